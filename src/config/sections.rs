//! The sections of the configuration file, as far as they are not in `model`.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::modes::{ForwardedClientCert, LogLevel, RedactQueryParams, SyslogNetwork, TimestampFormat, XfccFormat};
use super::pem::{KeyPair, PemCertificates, Secret};

/// `status.*` (gorouter.md §10).
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// `host`: the address of the deprecated listener.
    pub host: String,
    /// `port`: the plain health port.
    pub port: u16,
    /// `enable_nontls_health_checks`; if not, `tls` is present.
    pub enable_nontls_health_checks: bool,
    /// `enable_deprecated_varz_healthz_endpoints`.
    pub enable_deprecated_varz_healthz_endpoints: bool,
    /// `user` for the route listing.
    pub user: String,
    /// `pass` for the route listing.
    pub pass: Secret,
    /// `tls.*`: the TLS health port.
    pub tls: Option<StatusTls>,
    /// `routes.*`.
    pub routes: StatusRoutes,
}

/// `status.tls.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusTls {
    /// `port`, never 0.
    pub port: u16,
    /// `certificate` and `key`.
    pub key_pair: KeyPair,
}

/// `status.routes.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusRoutes {
    /// `port` on 127.0.0.1.
    pub port: u16,
}

impl Default for StatusRoutes {
    fn default() -> StatusRoutes {
        StatusRoutes { port: 8082 }
    }
}

impl Default for Status {
    fn default() -> Status {
        Status {
            host: "0.0.0.0".to_owned(),
            port: 8080,
            enable_nontls_health_checks: true,
            enable_deprecated_varz_healthz_endpoints: false,
            user: String::new(),
            pass: Secret::default(),
            tls: None,
            routes: StatusRoutes::default(),
        }
    }
}

/// `nats.*` (gorouter.md §3).
#[derive(Clone, Debug, PartialEq)]
pub struct Nats {
    /// `hosts[]`: at least one.
    pub hosts: Vec<NatsHost>,
    /// `user`; empty for none.
    pub user: String,
    /// `pass`.
    pub pass: Secret,
    /// `tls_enabled` and what belongs to it.
    pub tls: Option<NatsTls>,
}

/// `nats.hosts[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsHost {
    /// `hostname`, never empty.
    pub hostname: String,
    /// `port`, never 0.
    pub port: u16,
}

/// What belongs to `nats.tls_enabled`.
#[derive(Clone, Debug, PartialEq)]
pub struct NatsTls {
    /// `ca_certs`: the only roots.
    pub ca_certs: PemCertificates,
    /// `cert_chain` and `private_key`.
    pub key_pair: KeyPair,
}

impl Default for Nats {
    fn default() -> Nats {
        Nats {
            hosts: vec![NatsHost { hostname: "localhost".to_owned(), port: 4222 }],
            user: String::new(),
            pass: Secret::default(),
            tls: None,
        }
    }
}

/// `logging.*` (gorouter.md §1, §9).
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    /// `syslog`: prefix of the log source and tag; empty for `gorouter.stdout`.
    pub syslog: String,
    /// `syslog_addr`.
    pub syslog_addr: String,
    /// `syslog_network`.
    pub syslog_network: SyslogNetwork,
    /// `syslog_truncate` in bytes; 0 for never.
    pub syslog_truncate: usize,
    /// `level`.
    pub level: LogLevel,
    /// `loggregator_enabled`.
    pub loggregator_enabled: bool,
    /// `metron_address`; none where the file does not say. See [`super::Config::metron`].
    pub metron_address: Option<String>,
    /// `disable_log_forwarded_for`.
    pub disable_log_forwarded_for: bool,
    /// `disable_log_source_ip`.
    pub disable_log_source_ip: bool,
    /// `redact_query_params`.
    pub redact_query_params: RedactQueryParams,
    /// `format.*`.
    pub format: LogFormat,
    /// `extra_access_log_fields`.
    pub extra_access_log_fields: Vec<String>,
}

/// `logging.format.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFormat {
    /// `timestamp`.
    pub timestamp: TimestampFormat,
}

impl Default for LogFormat {
    fn default() -> LogFormat {
        LogFormat { timestamp: TimestampFormat::UnixEpoch }
    }
}

impl Default for Logging {
    fn default() -> Logging {
        Logging {
            syslog: String::new(),
            syslog_addr: "127.0.0.1:514".to_owned(),
            syslog_network: SyslogNetwork::Udp,
            syslog_truncate: 0,
            level: LogLevel::Debug,
            loggregator_enabled: false,
            metron_address: None,
            disable_log_forwarded_for: false,
            disable_log_source_ip: false,
            redact_query_params: RedactQueryParams::None,
            format: LogFormat::default(),
            extra_access_log_fields: Vec::new(),
        }
    }
}

/// `prometheus.*` (gorouter.md §11).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prometheus {
    /// `enabled`.
    pub enabled: bool,
    /// `port` on 127.0.0.1; 0 for another one at each start.
    pub port: u16,
    /// `cert_path`, `key_path`, `ca_path`: mutual TLS, when cert_path and port are set.
    pub tls: Option<PrometheusTls>,
    /// `meters.*`.
    pub meters: Meters,
}

/// The files of `prometheus.*_path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusTls {
    /// `cert_path`.
    pub cert_path: PathBuf,
    /// `key_path`.
    pub key_path: PathBuf,
    /// `ca_path`.
    pub ca_path: PathBuf,
}

/// `prometheus.meters.*`: upper bounds of histogram buckets, strictly ascending; an empty list keeps the default.
#[derive(Clone, Debug, PartialEq)]
pub struct Meters {
    /// `route_lookup_time_histogram_buckets`, nanoseconds.
    pub route_lookup_time_histogram_buckets: Vec<f64>,
    /// `gorouter_time_histogram_buckets`, seconds.
    pub gorouter_time_histogram_buckets: Vec<f64>,
    /// `route_registration_latency_histogram_buckets`, milliseconds.
    pub route_registration_latency_histogram_buckets: Vec<f64>,
    /// `routing_response_latency_histogram_buckets`, milliseconds.
    pub routing_response_latency_histogram_buckets: Vec<f64>,
    /// `http_latency_histogram_buckets`, seconds.
    pub http_latency_histogram_buckets: Vec<f64>,
}

impl Default for Meters {
    fn default() -> Meters {
        let latency = vec![1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 50.0, 100.0, 500.0, 1000.0];
        Meters {
            route_lookup_time_histogram_buckets: (1..=10).map(|n| f64::from(n) * 10_000.0).collect(),
            gorouter_time_histogram_buckets: latency.clone(),
            route_registration_latency_histogram_buckets: vec![0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0],
            routing_response_latency_histogram_buckets: latency,
            http_latency_histogram_buckets: vec![0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6],
        }
    }
}

/// `tracing.*` (gorouter.md §7.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracing {
    /// `enable_zipkin`.
    pub enable_zipkin: bool,
    /// `enable_w3c`.
    pub enable_w3c: bool,
    /// `w3c_tenant_id`.
    pub w3c_tenant_id: String,
}

/// `access_log.*` (gorouter.md §9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// `file`; none for no file.
    pub file: Option<PathBuf>,
    /// `enable_streaming`: to syslog.
    pub enable_streaming: bool,
    /// `log_aborted_exchanges` (our own key): exchanges that were not finished leave a line too.
    pub log_aborted_exchanges: bool,
}

/// `snapshot.*` (our own keys): the table on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// `file`; none for no snapshot.
    pub file: Option<PathBuf>,
    /// `interval`: the least time between two writes, above zero.
    pub interval: Duration,
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot { file: None, interval: Duration::from_secs(10) }
    }
}

/// `verify_client_certificate_metadata[]` (gorouter.md §7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientMetadataRule {
    /// `issuer_in_chain`.
    pub issuer_in_chain: CertSubject,
    /// `valid_cert_subjects`.
    pub valid_cert_subjects: Vec<CertSubject>,
}

/// The subject of a certificate, as a rule writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertSubject {
    /// `country`.
    pub country: Vec<String>,
    /// `organization`.
    pub organization: Vec<String>,
    /// `organizational_unit`.
    pub organizational_unit: Vec<String>,
    /// `common_name`.
    pub common_name: String,
    /// `serial_number`.
    pub serial_number: String,
    /// `locality`.
    pub locality: Vec<String>,
    /// `province`.
    pub province: Vec<String>,
    /// `street_address`.
    pub street_address: Vec<String>,
    /// `postal_code`.
    pub postal_code: Vec<String>,
}

/// `oauth.*` (gorouter.md §12).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OAuth {
    /// `token_endpoint`.
    pub token_endpoint: String,
    /// `port`.
    pub port: u16,
    /// `client_name`.
    pub client_name: String,
    /// `client_secret`.
    pub client_secret: Secret,
    /// `ca_certs`: a path.
    pub ca_certs: String,
    /// `skip_ssl_validation`.
    pub skip_ssl_validation: bool,
}

/// `routing_api.*` (gorouter.md §12).
#[derive(Clone, Debug, PartialEq)]
pub struct RoutingApi {
    /// `uri`, never empty.
    pub uri: String,
    /// `port`, never 0.
    pub port: u16,
    /// `auth_disabled`.
    pub auth_disabled: bool,
    /// `ca_certs`.
    pub ca_certs: PemCertificates,
    /// `cert_chain` and `private_key`.
    pub key_pair: KeyPair,
}

/// `token_fetcher_*` (gorouter.md §12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFetcher {
    /// `token_fetcher_max_retries`.
    pub max_retries: u32,
    /// `token_fetcher_retry_interval`.
    pub retry_interval: Duration,
    /// `token_fetcher_expiration_buffer_time`, in the file a number of seconds.
    pub expiration_buffer_time: Duration,
}

impl Default for TokenFetcher {
    fn default() -> TokenFetcher {
        TokenFetcher {
            max_retries: 3,
            retry_interval: Duration::from_secs(5),
            expiration_buffer_time: Duration::from_secs(30),
        }
    }
}

/// `route_services.*` and `route_services_*` (gorouter.md §8).
#[derive(Clone, Debug, PartialEq)]
pub struct RouteServices {
    /// `route_services_secret`; not empty turns route services on.
    pub secret: Secret,
    /// `route_services_secret_decrypt_only`.
    pub secret_decrypt_only: Secret,
    /// `route_services_recommend_https`.
    pub recommend_https: bool,
    /// `route_services_hairpinning`.
    pub hairpinning: bool,
    /// `route_services_hairpinning_allowlist`: lower-case names, the first label may be `*`.
    pub hairpinning_allowlist: Vec<String>,
    /// `route_services_internal_server_port`.
    pub internal_server_port: u16,
    /// `max_attempts`. Not clamped: 0 makes no attempt.
    pub max_attempts: u32,
    /// `strict_signature_validation`.
    pub strict_signature_validation: bool,
    /// `cert_chain` and `private_key`.
    pub key_pair: Option<KeyPair>,
    /// `enable_websockets`.
    pub enable_websockets: bool,
    /// `egress_blocklist`: networks in which no route service is dialled.
    pub egress_blocklist: Vec<IpNet>,
}

impl Default for RouteServices {
    fn default() -> RouteServices {
        RouteServices {
            secret: Secret::default(),
            secret_decrypt_only: Secret::default(),
            recommend_https: false,
            hairpinning: false,
            hairpinning_allowlist: Vec::new(),
            internal_server_port: 7070,
            max_attempts: 0,
            strict_signature_validation: false,
            key_pair: None,
            enable_websockets: false,
            egress_blocklist: Vec::new(),
        }
    }
}

/// `http_rewrite.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRewrite {
    /// `responses.add_headers_if_not_present[]`: name and value.
    pub add_headers_if_not_present: Vec<(String, String)>,
    /// `responses.remove_headers[].name`.
    pub remove_headers: Vec<String>,
}

/// `domains[]` (gorouter.md §7.4).
#[derive(Clone, Debug, PartialEq)]
pub struct MtlsDomain {
    /// `domain`, never empty.
    pub domain: String,
    /// `ca_certs`.
    pub ca_certs: PemCertificates,
    /// `forwarded_client_cert`; none when the file does not say.
    pub forwarded_client_cert: Option<ForwardedClientCert>,
    /// `xfcc_format`.
    pub xfcc_format: XfccFormat,
}
