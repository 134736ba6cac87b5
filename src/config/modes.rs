//! The keys whose value is one word out of a fixed list.
//!
//! Each is an enum; the words, and what an unknown word is called in the error, stand beside it.

use std::fmt;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

/// A configuration value that is one word out of a list.
pub(super) trait Mode: Copy + 'static {
    /// What the value is called in `Invalid … X. Allowed values are […]`.
    const NOUN: &'static str;
    /// Every word with its meaning, in the order in which the error lists them.
    const WORDS: &'static [(&'static str, Self)];
}

macro_rules! modes {
    ($($(#[$doc:meta])* $name:ident ($noun:literal) {
        $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)?
    })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl Mode for $name {
            const NOUN: &'static str = $noun;
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $name::$variant)),+];
        }

        impl $name {
            /// The word of the configuration file.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

modes! {
    /// `balancing_algorithm`: how the next endpoint of a pool is picked (gorouter.md §5).
    BalancingAlgorithm("load balancing algorithm") {
        /// Each endpoint in turn.
        RoundRobin = "round-robin",
        /// The endpoint with the fewest requests in flight.
        LeastConnection = "least-connection",
    }

    /// `balancing_algorithm_az_preference`: whether endpoints of the own zone come first (gorouter.md §5).
    AzPreference("load balancing AZ preference") {
        /// Zones play no part.
        None = "none",
        /// The first attempt prefers the own zone.
        LocallyOptimistic = "locally-optimistic",
    }

    /// `routing_table_sharding_mode`: which isolation segments this router serves (gorouter.md §4).
    ShardingMode("routing table sharding mode") {
        /// Every registration.
        All = "all",
        /// Registrations of the listed segments and those without a segment.
        SharedAndSegments = "shared-and-segments",
        /// Registrations of the listed segments only; the list is then not empty.
        Segments = "segments",
    }

    /// `forwarded_client_cert`: what becomes of `X-Forwarded-Client-Cert` (gorouter.md §7.4).
    ForwardedClientCert("forwarded client cert mode") {
        /// The client's header passes.
        AlwaysForward = "always_forward",
        /// The header passes only when the client presented a certificate.
        Forward = "forward",
        /// The header is dropped, and set from the client's certificate.
        SanitizeSet = "sanitize_set",
    }

    /// `client_cert_validation`: what the TLS listener asks of a client (gorouter.md §7.1).
    ClientCertValidation("client cert validation mode") {
        /// No certificate is asked for.
        None = "none",
        /// A certificate is asked for, and verified when one comes.
        Request = "request",
        /// A verified certificate is a condition.
        Require = "require",
    }

    /// `logging.redact_query_params`: what the access log shows of a query (gorouter.md §9).
    RedactQueryParams("redact query params mode") {
        /// All of it.
        None = "none",
        /// Nothing of it.
        All = "all",
        /// A hash of it.
        Hash = "hash",
    }

    /// `domains[].xfcc_format`: how a client certificate is written into the header (gorouter.md §7.4).
    XfccFormat("XFCC format") {
        /// The certificate itself.
        Raw = "raw",
        /// `Hash=…;Subject="…"`.
        Envoy = "envoy",
    }
}

/// `route_integrity` (our own key): one policy for all endpoints instead of what each registration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteIntegrity {
    /// The key is absent: an endpoint with a `tls_port` is verified, one without is plain.
    #[default]
    AsRegistered,
    /// Every endpoint is dialled in plain, and ages out.
    Off,
    /// TLS endpoints only.
    Tls,
    /// TLS endpoints only, and this router can prove itself: [`Backends::key_pair`](super::Backends) is present.
    Strict,
}

impl RouteIntegrity {
    /// The word of the configuration file, or what its absence means.
    pub fn as_str(self) -> &'static str {
        match self {
            RouteIntegrity::AsRegistered => "as registered",
            RouteIntegrity::Off => "off",
            RouteIntegrity::Tls => "tls",
            RouteIntegrity::Strict => "strict",
        }
    }
}

/// The words of `route_integrity`; the fourth meaning is the absence of the key.
#[derive(Clone, Copy)]
pub(super) struct IntegrityWord(pub(super) RouteIntegrity);

impl Mode for IntegrityWord {
    const NOUN: &'static str = "route integrity mode";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("off", IntegrityWord(RouteIntegrity::Off)),
        ("tls", IntegrityWord(RouteIntegrity::Tls)),
        ("strict", IntegrityWord(RouteIntegrity::Strict)),
    ];
}

/// `logging.level` (gorouter.md §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// 0 in a log line.
    Debug,
    /// 1 in a log line.
    Info,
    /// 2 in a log line.
    Warn,
    /// 3 in a log line.
    Error,
}

impl LogLevel {
    /// The word of the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

/// Lower or upper case, nothing in between; the empty word is info, as in Gorouter.
impl Mode for LogLevel {
    const NOUN: &'static str = "log level";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("debug", LogLevel::Debug),
        ("info", LogLevel::Info),
        ("warn", LogLevel::Warn),
        ("error", LogLevel::Error),
        ("DEBUG", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("WARN", LogLevel::Warn),
        ("ERROR", LogLevel::Error),
        ("", LogLevel::Info),
    ];
}

/// `logging.format.timestamp` (gorouter.md §1). Any other word than `rfc3339` is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Seconds since 1970 with a fraction.
    UnixEpoch,
    /// Local wall clock, `2006-01-02T15:04:05.000000000Z`.
    Rfc3339,
}

impl TimestampFormat {
    /// The word of the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            TimestampFormat::UnixEpoch => "unix-epoch",
            TimestampFormat::Rfc3339 => "rfc3339",
        }
    }
}

/// `logging.syslog_network`, by its first three letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogNetwork {
    /// `udp`, `udp4`, `udp6`.
    Udp,
    /// `tcp`, `tcp4`, `tcp6`.
    Tcp,
}

impl SyslogNetwork {
    /// The word of the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            SyslogNetwork::Udp => "udp",
            SyslogNetwork::Tcp => "tcp",
        }
    }
}

/// The TLS versions of the front listener: what is left of `min_tls_version` and `max_tls_version` (gorouter.md §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 only, the default.
    Tls12,
    /// 1.2 and 1.3.
    Tls12And13,
    /// 1.3 only.
    Tls13,
}

impl TlsVersions {
    /// The versions in the form that rustls takes.
    pub fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        static ONLY12: [&SupportedProtocolVersion; 1] = [&TLS12];
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static ONLY13: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            TlsVersions::Tls12 => &ONLY12,
            TlsVersions::Tls12And13 => &BOTH,
            TlsVersions::Tls13 => &ONLY13,
        }
    }
}

/// `min_tls_version` as written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MinTls {
    Unset,
    /// 1.0 or 1.1: nothing here speaks them.
    Ancient,
    V12,
    V13,
}

impl Mode for MinTls {
    const NOUN: &'static str = "minimum TLS version";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("TLSv1.0", MinTls::Ancient),
        ("TLSv1.1", MinTls::Ancient),
        ("TLSv1.2", MinTls::V12),
        ("TLSv1.3", MinTls::V13),
        ("", MinTls::Unset),
    ];
}

/// `max_tls_version` as written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MaxTls {
    V12,
    V13,
}

impl Mode for MaxTls {
    const NOUN: &'static str = "maximum TLS version";
    const WORDS: &'static [(&'static str, Self)] =
        &[("TLSv1.2", MaxTls::V12), ("TLSv1.3", MaxTls::V13), ("", MaxTls::V12)];
}
