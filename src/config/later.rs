//! What a configuration may ask for and this version does not do yet.
//!
//! Two lists: what is only missing (logged once at start), and what must not be missing in silence (refuses to
//! start). A feature that is built loses its line here.

use super::error::Unsupported;
use super::model::Config;
use super::modes::ClientCertValidation;

impl Config {
    /// The keys that are set to something other than their default and are not acted on yet, in the order of
    /// gorouter.md §2.
    pub fn not_acted_on(&self) -> Vec<&'static str> {
        let d = Config::default();
        let (front, ours) = (self.front_tls.as_ref(), self);
        let client_certs = front.is_some_and(|f| f.client_cert_validation != ClientCertValidation::None);
        [
            ("status.host", ours.status.host != d.status.host),
            ("status.enable_nontls_health_checks", !ours.status.enable_nontls_health_checks),
            ("status.enable_deprecated_varz_healthz_endpoints", ours.status.enable_deprecated_varz_healthz_endpoints),
            ("status.tls", ours.status.tls.is_some()),
            ("logging.syslog_addr", ours.logging.syslog_addr != d.logging.syslog_addr),
            ("logging.syslog_network", ours.logging.syslog_network != d.logging.syslog_network),
            ("logging.syslog_truncate", ours.logging.syslog_truncate != 0),
            ("logging.loggregator_enabled", ours.logging.loggregator_enabled),
            ("logging.metron_address", ours.logging.metron_address != d.logging.metron_address),
            ("prometheus.cert_path", ours.prometheus.tls.is_some()),
            ("access_log.enable_streaming", ours.access_log.enable_streaming),
            ("debug_addr", !ours.debug_addr.is_empty()),
            ("enable_proxy", ours.enable_proxy),
            ("enable_http1_concurrent_read_write", ours.enable_http1_concurrent_read_write),
            ("client_cert_validation", client_certs),
            ("client_ca_certs", front.is_some_and(|f| f.client_ca_certs.is_some())),
            ("only_trust_client_ca_certs", front.is_some_and(|f| f.only_trust_client_ca_certs)),
            ("verify_client_certificate_metadata", front.is_some_and(|f| !f.client_metadata_rules.is_empty())),
            ("skip_ssl_validation", ours.skip_ssl_validation),
            ("publish_active_apps_interval", ours.publish_active_apps_interval.is_some()),
            ("http_1_endpoint_timeout", ours.http_1_endpoint_timeout != ours.endpoint_timeout),
            ("http_2_endpoint_timeout", ours.http_2_endpoint_timeout != ours.endpoint_timeout),
            ("route_services_timeout", ours.route_services_timeout != d.route_services_timeout),
            ("read_header_timeout", ours.read_header_timeout.is_some()),
            (
                "route_latency_metric_muzzle_duration",
                ours.route_latency_metric_muzzle_duration != d.route_latency_metric_muzzle_duration,
            ),
            ("oauth", ours.oauth != d.oauth),
            ("routing_api", ours.routing_api.is_some()),
            ("token_fetcher", ours.token_fetcher != d.token_fetcher),
            ("route_services", ours.route_services != d.route_services),
            ("max_response_headers", ours.max_response_headers.is_some()),
            ("keep_alive_100_continue_requests", ours.keep_alive_100_continue_requests),
            ("html_error_template_file", ours.html_error_template_file.is_some()),
            ("per_request_metrics_reporting", !ours.per_request_metrics_reporting),
            ("enable_envelope_v1_metrics", !ours.enable_envelope_v1_metrics),
            ("send_http_start_stop_server_event", !ours.send_http_start_stop_server_event),
            ("send_http_start_stop_client_event", !ours.send_http_start_stop_client_event),
            ("per_app_prometheus_http_metrics_reporting", ours.per_app_prometheus_http_metrics_reporting),
            ("domains", !ours.domains.is_empty()),
        ]
        .into_iter()
        .filter_map(|(key, set)| set.then_some(key))
        .collect()
    }

    /// Refuses what would be unsafe to leave out: clients that are not checked although the file says so.
    ///
    /// # Errors
    /// The first such key.
    pub fn refuse_unsupported(&self) -> Result<(), Unsupported> {
        if let Some(front) = &self.front_tls
            && front.client_cert_validation != ClientCertValidation::None
        {
            let value = front.client_cert_validation.to_string();
            return Err(Unsupported { key: "client_cert_validation", value });
        }
        if let Some(domain) = self.domains.first() {
            return Err(Unsupported { key: "domains", value: super::error::shown(&domain.domain) });
        }
        Ok(())
    }
}
