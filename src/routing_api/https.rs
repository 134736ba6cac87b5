//! One HTTPS request per connection, each with a deadline and a bound for what comes back.
//!
//! The peers of this module are asked a few times a minute, so that a connection of their own costs nothing that
//! matters, and a peer that misbehaves can spoil one answer only.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::tls::Renewed;

/// Longest time from the dial to an answer's head, and from there to its end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a stream of events may be silent before the system asks whether the other end is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    host: String,
    port: u16,
}

/// A text that names no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} does not name a host that is reached over https")]
pub struct BadOrigin {
    /// The text.
    pub text: String,
}

impl Origin {
    /// The host that `text` names, with or without `https://` before it, at `port`.
    ///
    /// # Errors
    /// [`BadOrigin`]; also for `http://`, because a token is not sent in the clear.
    pub fn parse(text: &str, port: u16) -> Result<Self, BadOrigin> {
        let bad = || BadOrigin { text: text.into() };
        let host = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
        let uri: Uri = format!("https://{host}:{port}/").parse().map_err(|_| bad())?;
        let is_bare = !host.is_empty() && uri.path() == "/" && uri.query().is_none() && !host.contains('@');
        match uri.host() {
            Some(named) if is_bare && named == host => Ok(Self { host: host.into(), port }),
            _ => Err(bad()),
        }
    }

    /// The host as a name or an address, without the brackets of IPv6.
    fn bare(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Why there is no answer, or none that is of use. Says nothing of what was sent.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The host's name is none.
    #[error("{0} is no name that a certificate can have")]
    Name(String),
    /// No connection.
    #[error("no connection to {origin}: {source}")]
    Connect {
        /// Host and port.
        origin: String,
        /// What the system or TLS says.
        source: std::io::Error,
    },
    /// The connection broke, or it is not HTTP.
    #[error("the exchange broke off: {0}")]
    Exchange(#[from] hyper::Error),
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    /// More than is accepted.
    #[error("the answer is larger than the {0} bytes that are accepted")]
    TooLarge(usize),
    /// Another status than 200.
    #[error("the answer is {0}")]
    Status(StatusCode),
}

/// Asks one origin.
#[derive(Clone)]
pub struct Https {
    /// Where.
    pub origin: Origin,
    /// How it has to prove itself, and what is shown to it.
    pub tls: Renewed,
}

impl Https {
    /// Sends `request`, whose URI is a path, and waits for the head of a 200.
    ///
    /// # Errors
    /// [`Failed`], any other status included.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed> {
        timeout(PATIENCE, Box::pin(self.exchange(request))).await.map_err(|_| Failed::Late)?
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed> {
        let Origin { host, port } = &self.origin;
        let refused = |source| Failed::Connect { origin: format!("{host}:{port}"), source };
        let name = ServerName::try_from(self.origin.bare().to_owned()).map_err(|_| Failed::Name(host.clone()))?;
        let stream = TcpStream::connect((self.origin.bare(), *port)).await.map_err(refused)?;
        let probes = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
        // Without it a host that vanished is noticed at the next fetch.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&probes);
        let secured = TlsConnector::from(self.tls.current()).connect(name, stream).await.map_err(refused)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(secured)).await?;
        // It ends with the answer's body, or when that is dropped.
        tokio::spawn(connection);
        if let Ok(value) = format!("{host}:{port}").parse() {
            request.headers_mut().insert(header::HOST, value);
        }
        let response = sender.send_request(request).await?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(Failed::Status(status)),
        }
    }
}

/// The whole body of `response`, of at most `most` bytes.
///
/// # Errors
/// [`Failed`], also where it takes too long.
pub async fn whole(response: Response<Incoming>, most: usize) -> Result<Bytes, Failed> {
    let body = Limited::new(response.into_body(), most).collect();
    match timeout(PATIENCE, body).await.map_err(|_| Failed::Late)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => {
            Err(error.downcast::<hyper::Error>().map_or(Failed::TooLarge(most), |error| Failed::Exchange(*error)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_host_reached_over_https() {
        for (text, host) in [
            ("https://api.example", "api.example"),
            ("https://api.example/", "api.example"),
            ("api.example", "api.example"),
            ("10.0.0.1", "10.0.0.1"),
            ("https://[::1]", "[::1]"),
        ] {
            let origin = Origin::parse(text, 3001);
            assert_eq!(origin, Ok(Origin { host: host.into(), port: 3001 }), "{text}");
        }
        for text in ["", "http://api.example", "https://a/b", "https://a:1", "a b", "user@a", "https://a?b", "::1"] {
            assert!(Origin::parse(text, 3001).is_err(), "{text}");
        }
        assert_eq!(Origin::parse("[::1]", 1).unwrap().bare(), "::1");
    }
}
