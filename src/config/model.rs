//! The configuration as the router uses it: gorouter.md §2 with every default filled in.
//!
//! Field names are those of the file. A limit that can be "none" is an `Option`; a group that can be off is an
//! `Option` of a struct whose parts are then all present.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use rustls::SupportedCipherSuite;

use super::modes::*;
use super::pem::{KeyPair, PemCertificates, Secret};
use super::sections::*;

/// The whole configuration. [`Config::default`] is what an empty file means.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `status.*`: health and route listing.
    pub status: Status,
    /// `nats.*`: the message bus.
    pub nats: Nats,
    /// `logging.*`.
    pub logging: Logging,
    /// `port`: the plain HTTP port; see [`Config::http_port`].
    pub port: u16,
    /// `disable_http`: no plain HTTP port. Then `front_tls` is present.
    pub disable_http: bool,
    /// `enable_ssl` and what belongs to it; none without `enable_ssl`.
    pub front_tls: Option<FrontTls>,
    /// `prometheus.*`.
    pub prometheus: Prometheus,
    /// `index`: the number of this router among its like, used in its component id.
    pub index: u64,
    /// `zone`: the own availability zone.
    pub zone: String,
    /// `go_max_procs`: the number of workers; none means one per CPU.
    pub go_max_procs: Option<NonZeroUsize>,
    /// `tracing.*`.
    pub tracing: Tracing,
    /// `trace_key`: the `X-Vcap-Trace` value that asks for debug headers; empty turns them off.
    pub trace_key: Secret,
    /// `access_log.*`.
    pub access_log: AccessLog,
    /// `debug_addr`: where a debug server listens; empty for none.
    pub debug_addr: String,
    /// `enable_proxy`: PROXY protocol v1 on the traffic ports.
    pub enable_proxy: bool,
    /// `enable_http2`.
    pub enable_http2: bool,
    /// `enable_http1_concurrent_read_write`: the response may start while the request is still read. It always may.
    pub enable_http1_concurrent_read_write: bool,
    /// `ca_certs`: roots for backends and route services, besides the system's.
    pub ca_certs: Vec<PemCertificates>,
    /// `tls_handshake_timeout` towards backends; none means no limit.
    pub tls_handshake_timeout: Option<Duration>,
    /// `skip_ssl_validation`: for route services only.
    pub skip_ssl_validation: bool,
    /// `forwarded_client_cert`.
    pub forwarded_client_cert: ForwardedClientCert,
    /// `force_forwarded_proto_https`: `X-Forwarded-Proto` is always https.
    pub force_forwarded_proto_https: bool,
    /// `sanitize_forwarded_proto`: a client's `X-Forwarded-Proto` does not count.
    pub sanitize_forwarded_proto: bool,
    /// `hop_by_hop_headers_to_filter`: names that a `Connection` header cannot strip.
    pub hop_by_hop_headers_to_filter: Vec<String>,
    /// `isolation_segments`.
    pub isolation_segments: Vec<String>,
    /// `routing_table_sharding_mode`.
    pub routing_table_sharding_mode: ShardingMode,
    /// `route_integrity` (our own key).
    pub route_integrity: RouteIntegrity,
    /// `snapshot.*` (our own keys).
    pub snapshot: Snapshot,
    /// `suspend_pruning_if_nats_unavailable`.
    pub suspend_pruning_if_nats_unavailable: bool,
    /// `prune_stale_droplets_interval`; none means never.
    pub prune_stale_droplets_interval: Option<Duration>,
    /// `droplet_stale_threshold`, never below `start_response_delay_interval`.
    pub droplet_stale_threshold: Duration,
    /// `publish_active_apps_interval`; none means never.
    pub publish_active_apps_interval: Option<Duration>,
    /// `start_response_delay_interval`: how long the table fills before the traffic ports open.
    pub start_response_delay_interval: Duration,
    /// `endpoint_timeout`: from dispatch to the end of the response body, per attempt; none means no limit.
    pub endpoint_timeout: Option<Duration>,
    /// `http_1_endpoint_timeout`: the same for clients of HTTP/1, `endpoint_timeout` unless set.
    pub http_1_endpoint_timeout: Option<Duration>,
    /// `http_2_endpoint_timeout`: the same for clients of HTTP/2, `endpoint_timeout` unless set.
    pub http_2_endpoint_timeout: Option<Duration>,
    /// `endpoint_dial_timeout`; none means that of the system.
    pub endpoint_dial_timeout: Option<Duration>,
    /// `endpoint_keep_alive_probe_interval`: TCP keep-alive towards backends; none (a negative value) turns it off.
    pub endpoint_keep_alive_probe_interval: Option<Duration>,
    /// `route_services_timeout`: how long a signature is valid.
    pub route_services_timeout: Duration,
    /// `frontend_idle_timeout`: how long an idle client connection stays; none means for ever.
    pub frontend_idle_timeout: Option<Duration>,
    /// `read_header_timeout` for clients; none means as long as one may be idle.
    pub read_header_timeout: Option<Duration>,
    /// `route_latency_metric_muzzle_duration`.
    pub route_latency_metric_muzzle_duration: Duration,
    /// `drain_wait`: how long to go on accepting after the health check fails.
    pub drain_wait: Duration,
    /// `drain_timeout`: how long requests may take to end then; `endpoint_timeout` unless set.
    pub drain_timeout: Duration,
    /// `secure_cookies`: sticky cookies are always Secure.
    pub secure_cookies: bool,
    /// `sticky_session_cookie_names`.
    pub sticky_session_cookie_names: Vec<String>,
    /// `sticky_sessions_for_auth_negotiate`.
    pub sticky_sessions_for_auth_negotiate: bool,
    /// `healthcheck_user_agent`: requests of this agent are answered with the own health.
    pub healthcheck_user_agent: String,
    /// `oauth.*`: where the token for the Routing API comes from.
    pub oauth: OAuth,
    /// `routing_api.*`; none unless uri and port are set.
    pub routing_api: Option<RoutingApi>,
    /// `token_fetcher_*`.
    pub token_fetcher: TokenFetcher,
    /// `route_services.*` and the `route_services_*` keys.
    pub route_services: RouteServices,
    /// `backends.*`.
    pub backends: Backends,
    /// `nats_client_ping_interval`; zero for no pings.
    pub nats_client_ping_interval: Duration,
    /// `extra_headers_to_log`.
    pub extra_headers_to_log: Vec<String>,
    /// `balancing_algorithm`.
    pub balancing_algorithm: BalancingAlgorithm,
    /// `balancing_algorithm_az_preference`.
    pub balancing_algorithm_az_preference: AzPreference,
    /// `disable_keep_alives`: a connection per request towards backends.
    pub disable_keep_alives: bool,
    /// `max_idle_conns` of one endpoint; none means no limit.
    pub max_idle_conns: Option<NonZeroUsize>,
    /// `max_idle_conns_per_host` of one endpoint; zero (a negative value) keeps none.
    pub max_idle_conns_per_host: usize,
    /// `max_request_header_bytes`, never above 1 MiB.
    pub max_request_header_bytes: usize,
    /// `max_request_headers`: lines; none means no limit.
    pub max_request_headers: Option<NonZeroUsize>,
    /// `max_response_header_bytes`; 10 MiB unless set.
    pub max_response_header_bytes: usize,
    /// `max_response_headers`: lines; none means no limit.
    pub max_response_headers: Option<NonZeroUsize>,
    /// `keep_alive_100_continue_requests`: no effect, connections are kept after such requests too, as later Gorouters do.
    pub keep_alive_100_continue_requests: bool,
    /// `http_rewrite.*`.
    pub http_rewrite: HttpRewrite,
    /// `empty_pool_response_code_503`: a known route without endpoints is 503 instead of 404.
    pub empty_pool_response_code_503: bool,
    /// `empty_pool_timeout`: how long a route without endpoints stays known.
    pub empty_pool_timeout: Duration,
    /// `html_error_template_file`; none means plain texts.
    pub html_error_template_file: Option<PathBuf>,
    /// `per_request_metrics_reporting`.
    pub per_request_metrics_reporting: bool,
    /// `enable_envelope_v1_metrics`; none where the file does not say. See [`Config::tells_metron`].
    pub enable_envelope_v1_metrics: Option<bool>,
    /// `send_http_start_stop_server_event`.
    pub send_http_start_stop_server_event: bool,
    /// `send_http_start_stop_client_event`.
    pub send_http_start_stop_client_event: bool,
    /// `per_app_prometheus_http_metrics_reporting`.
    pub per_app_prometheus_http_metrics_reporting: bool,
    /// `domains[]`: names whose clients must present a certificate.
    pub domains: Vec<MtlsDomain>,
}

/// `backends.*`, and how backends are spoken to in TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct Backends {
    /// `max_conns`: requests in flight per endpoint; none means no limit.
    pub max_conns: Option<NonZeroUsize>,
    /// `max_attempts`, at least 1.
    pub max_attempts: NonZeroU32,
    /// `cert_chain` and `private_key`: the certificate presented to backends.
    pub key_pair: Option<KeyPair>,
    /// The suites offered to backends, from `cipher_suites` (all of TLS 1.3 included); none means the library's
    /// default.
    pub cipher_suites: Option<Vec<SupportedCipherSuite>>,
}

impl Default for Backends {
    fn default() -> Backends {
        Backends { max_conns: None, max_attempts: NonZeroU32::MIN, key_pair: None, cipher_suites: None }
    }
}

/// What belongs to `enable_ssl`.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontTls {
    /// `ssl_port`.
    pub port: u16,
    /// `tls_pem[]`: at least one; the first is the default certificate.
    pub certificates: Vec<KeyPair>,
    /// The suites to offer: those of `cipher_suites` in TLS 1.2, all of TLS 1.3 where `versions` has it. Never empty.
    pub cipher_suites: Vec<SupportedCipherSuite>,
    /// From `min_tls_version` and `max_tls_version`.
    pub versions: TlsVersions,
    /// `client_cert_validation`.
    pub client_cert_validation: ClientCertValidation,
    /// `client_ca_certs`.
    pub client_ca_certs: Option<PemCertificates>,
    /// `only_trust_client_ca_certs`: the system's roots do not count for clients.
    pub only_trust_client_ca_certs: bool,
    /// `verify_client_certificate_metadata[]`; empty unless `enable_verify_client_certificate_metadata`.
    pub client_metadata_rules: Vec<ClientMetadataRule>,
}

impl Config {
    /// The plain HTTP port, unless `disable_http`.
    pub fn http_port(&self) -> Option<u16> {
        (!self.disable_http).then_some(self.port)
    }
}

impl Default for Config {
    fn default() -> Config {
        let secs = Duration::from_secs;
        Config {
            status: Status::default(),
            nats: Nats::default(),
            logging: Logging::default(),
            port: 8081,
            disable_http: false,
            front_tls: None,
            prometheus: Prometheus::default(),
            index: 0,
            zone: String::new(),
            go_max_procs: None,
            tracing: Tracing::default(),
            trace_key: Secret::default(),
            access_log: AccessLog::default(),
            debug_addr: String::new(),
            enable_proxy: false,
            enable_http2: true,
            enable_http1_concurrent_read_write: false,
            ca_certs: Vec::new(),
            tls_handshake_timeout: Some(secs(10)),
            skip_ssl_validation: false,
            forwarded_client_cert: ForwardedClientCert::AlwaysForward,
            force_forwarded_proto_https: false,
            sanitize_forwarded_proto: false,
            hop_by_hop_headers_to_filter: Vec::new(),
            isolation_segments: Vec::new(),
            routing_table_sharding_mode: ShardingMode::All,
            route_integrity: RouteIntegrity::AsRegistered,
            snapshot: Snapshot::default(),
            suspend_pruning_if_nats_unavailable: false,
            prune_stale_droplets_interval: Some(secs(30)),
            droplet_stale_threshold: secs(120),
            publish_active_apps_interval: None,
            start_response_delay_interval: secs(5),
            endpoint_timeout: Some(secs(60)),
            http_1_endpoint_timeout: Some(secs(60)),
            http_2_endpoint_timeout: Some(secs(60)),
            endpoint_dial_timeout: Some(secs(5)),
            endpoint_keep_alive_probe_interval: Some(secs(1)),
            route_services_timeout: secs(60),
            frontend_idle_timeout: Some(secs(900)),
            read_header_timeout: None,
            route_latency_metric_muzzle_duration: secs(20),
            drain_wait: Duration::ZERO,
            drain_timeout: secs(60),
            secure_cookies: false,
            sticky_session_cookie_names: vec!["JSESSIONID".to_owned()],
            sticky_sessions_for_auth_negotiate: false,
            healthcheck_user_agent: "HTTP-Monitor/1.1".to_owned(),
            oauth: OAuth::default(),
            routing_api: None,
            token_fetcher: TokenFetcher::default(),
            route_services: RouteServices::default(),
            backends: Backends::default(),
            nats_client_ping_interval: secs(20),
            extra_headers_to_log: Vec::new(),
            balancing_algorithm: BalancingAlgorithm::RoundRobin,
            balancing_algorithm_az_preference: AzPreference::None,
            disable_keep_alives: true,
            max_idle_conns: NonZeroUsize::new(100),
            max_idle_conns_per_host: 2,
            max_request_header_bytes: 1 << 20,
            max_request_headers: None,
            max_response_header_bytes: 10 << 20,
            max_response_headers: None,
            keep_alive_100_continue_requests: false,
            http_rewrite: HttpRewrite::default(),
            empty_pool_response_code_503: false,
            empty_pool_timeout: Duration::ZERO,
            html_error_template_file: None,
            per_request_metrics_reporting: true,
            enable_envelope_v1_metrics: None,
            send_http_start_stop_server_event: true,
            send_http_start_stop_client_event: true,
            per_app_prometheus_http_metrics_reporting: false,
            domains: Vec::new(),
        }
    }
}
