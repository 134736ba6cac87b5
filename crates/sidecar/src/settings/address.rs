//! Where an app is.

use std::{fmt, net::SocketAddr, str::FromStr};

/// The app's plain port: an address, or a name that is looked up at each dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppAddress {
    /// An IP address and port.
    Fixed(SocketAddr),
    /// A host name and port.
    Named(Box<str>, u16),
}

impl AppAddress {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Fixed(address) => address.port(),
            Self::Named(_, port) => *port,
        }
    }
}

impl From<SocketAddr> for AppAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Fixed(address)
    }
}

impl FromStr for AppAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(AddressError::ZeroPort) } else { Ok(Self::Fixed(address)) };
        }
        let (host, port) = host_and_port(text)?;
        if port == 0 { Err(AddressError::ZeroPort) } else { Ok(Self::Named(host.into(), port)) }
    }
}

impl fmt::Display for AppAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => address.fmt(f),
            Self::Named(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No colon between host and port.
    #[error("expected HOST:PORT")]
    NoPort,
    /// The host is empty or has characters that no host name has.
    #[error("the host is not a host name or IP address")]
    BadHost,
    /// The port is not a number below 65536.
    #[error("the port is not a number between 0 and 65535")]
    BadPort,
    /// Port 0 where a real one is needed.
    #[error("port 0 can not be dialled")]
    ZeroPort,
}

/// Splits `HOST:PORT`. The host is a name or an IP address; an IPv6 address stands in brackets, which are kept.
pub(crate) fn host_and_port(text: &str) -> Result<(&str, u16), AddressError> {
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
    let port = port.parse().map_err(|_| AddressError::BadPort)?;
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let is_host = match bracketed {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    if is_host { Ok((host, port)) } else { Err(AddressError::BadHost) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_an_address_or_a_name_with_a_real_port() {
        let table: [(&str, Result<&str, AddressError>); 9] = [
            ("127.0.0.1:8080", Ok("127.0.0.1:8080")),
            ("[::1]:8080", Ok("[::1]:8080")),
            ("app-a.local:80", Ok("app-a.local:80")),
            ("app", Err(AddressError::NoPort)),
            ("app:", Err(AddressError::BadPort)),
            ("app:65536", Err(AddressError::BadPort)),
            ("app:0", Err(AddressError::ZeroPort)),
            (":8080", Err(AddressError::BadHost)),
            ("::1:8080", Err(AddressError::BadHost)),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<AppAddress>().map(|a| a.to_string()), expected.map(str::to_owned), "{text}");
        }
    }
}
