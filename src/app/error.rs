//! Why a router does not start.

use std::{io, path::PathBuf};

use trueroute_identity::{credentials::CredentialsError, dial::DialerError, trust::TrustError};

use crate::{
    admin,
    bus::{link::LinkError, secure::SecureError},
    error_page::PageError,
    frontend::tls::{FrontTlsError, inner::InnerDoorError},
    observe::access_log::OpenError,
    routing_api::{self, ApiError, https::BadOrigin},
};

/// The router cannot start. Each names what is wrong.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine has no default route, so the router has no address to announce.
    #[error("no default route: {0}")]
    OwnAddress(#[source] io::Error),
    /// NATS.
    #[error(transparent)]
    Nats(#[from] LinkError),
    /// TLS towards NATS.
    #[error(transparent)]
    NatsTls(#[from] SecureError),
    /// The authorities for endpoints.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The certificate for endpoints.
    #[error("backends.cert_chain, backends.private_key: {0}")]
    Credentials(#[source] CredentialsError),
    /// The certificate for route services.
    #[error("route_services.cert_chain, route_services.private_key: {0}")]
    ServiceCredentials(#[source] CredentialsError),
    /// The door by which requests for route services among the own apps come in again.
    #[error("route_services_hairpinning: {0}")]
    InnerDoor(#[source] InnerDoorError),
    /// TLS towards endpoints.
    #[error("cipher_suites: {0}")]
    Dialer(#[from] DialerError),
    /// TLS towards clients.
    #[error(transparent)]
    FrontTls(#[from] FrontTlsError),
    /// TLS of the health port.
    #[error("status.tls: {0}")]
    StatusTls(#[source] admin::secure::SecureError),
    /// TLS of the metrics port.
    #[error("prometheus.cert_path, prometheus.key_path, prometheus.ca_path: {0}")]
    PrometheusTls(#[source] admin::secure::SecureError),
    /// A file that holds a certificate or a key.
    #[error("{key}: cannot read {}: {error}", path.display())]
    Unreadable {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Buckets of a histogram.
    #[error("prometheus.meters.{0}: the bounds must increase")]
    Buckets(&'static str),
    /// A key that does not name a host.
    #[error("{key}: {error}")]
    Origin {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        error: BadOrigin,
    },
    /// TLS towards the Routing API or UAA.
    #[error(transparent)]
    RoutingApiTls(#[from] routing_api::tls::SecureError),
    /// Tokens are wanted, and UAA's port is not set.
    #[error("UAA client requires TLS enabled: oauth.port is not set")]
    UaaWithoutTls,
    /// The Routing API.
    #[error(transparent)]
    RoutingApi(#[from] ApiError),
    /// There is nobody to tell what is to be told.
    #[error(
        "logging.metron_address: must not be empty while enable_envelope_v1_metrics or logging.loggregator_enabled is on"
    )]
    MetronAddress,
    /// The way to metron.
    #[error("logging.metron_address: {0}")]
    Dropsonde(#[source] io::Error),
    /// The access log.
    #[error("access_log.file: {0}")]
    AccessLog(#[from] OpenError),
    /// A port.
    #[error("{key}: cannot listen on port {port}: {error}")]
    Listen {
        /// The key that names the port.
        key: &'static str,
        /// The port.
        port: u16,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The operator's own page for errors.
    #[error("Could not read HTML error template file: {}: {error}", path.display())]
    UnreadableErrorPage {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The same, and it is there, but no template.
    #[error("html_error_template_file: {}: {error}", path.display())]
    ErrorPage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: PageError,
    },
    /// Threads.
    #[error("workers: {0}")]
    Workers(#[source] io::Error),
}

impl StartError {
    /// The log message that Gorouter has for it.
    #[must_use]
    pub fn message(&self) -> &'static str {
        match self {
            Self::Nats(_) | Self::NatsTls(_) => "nats-connection-error",
            Self::RoutingApi(ApiError::Token(_)) | Self::UaaWithoutTls => "unable-to-fetch-token",
            Self::RoutingApi(_)
            | Self::RoutingApiTls(_)
            | Self::Origin { .. }
            | Self::Unreadable { key: "oauth.ca_certs", .. } => "routing-api-connection-failed",
            Self::UnreadableErrorPage { .. } | Self::ErrorPage { .. } => "new-html-error-template-from-file",
            Self::MetronAddress | Self::Dropsonde(_) => "dropsonde-initialize-error",
            Self::AccessLog(_) => "error-creating-access-logger",
            Self::Listen { key: "port", .. } => "tcp-listener-error",
            Self::Listen { key: "ssl_port", .. } | Self::FrontTls(_) => "tls-listener-error",
            Self::Listen { key: "route_services_internal_server_port", .. } | Self::InnerDoor(_) => {
                "new-route-services-server"
            }
            Self::Listen { .. } | Self::StatusTls(_) | Self::PrometheusTls(_) | Self::Unreadable { .. } => {
                "initialize-router-error"
            }
            Self::OwnAddress(_)
            | Self::Trust(_)
            | Self::Credentials(_)
            | Self::ServiceCredentials(_)
            | Self::Dialer(_)
            | Self::Buckets(_)
            | Self::Workers(_) => "gorouter.failed-to-start",
        }
    }
}
