//! What goes wrong between the router and an endpoint, in the words that operators of Gorouter know.

use std::{borrow::Cow, io, net::SocketAddr};

/// TCP to an endpoint failed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The system refused.
    #[error("dial tcp {address}: connect: {}", go_io(.error))]
    Connect {
        /// `host:port`.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// Nobody answered in time.
    #[error("dial tcp {address}: i/o timeout")]
    Timeout {
        /// `host:port`.
        address: String,
    },
    /// The operator has barred the network.
    #[error("dial tcp {address}: connection to IP not allowed")]
    Barred {
        /// The first address that was found.
        address: SocketAddr,
    },
    /// The host name has no address.
    #[error("dial tcp: lookup {host}: {error}")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver says.
        error: io::Error,
    },
}

impl DialError {
    /// Whether it is for want of something on our side, descriptors or local ports, so that it says nothing about
    /// the endpoint. Clients can bring that want about; they must not cost endpoints their places.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        /// ENFILE and EMFILE, the same on every Unix; the standard library has no kinds for them.
        const TOO_MANY_FILES: [i32; 2] = [23, 24];
        let (Self::Connect { error, .. } | Self::Lookup { error, .. }) = self else { return false };
        matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory)
            || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
    }
}

/// What went wrong in HTTP/2, in the words of Go's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Http2Error {
    /// The endpoint reset the request's stream.
    #[error("stream error: stream ID {stream}; {code:?}; received from peer")]
    Reset {
        /// The stream.
        stream: u32,
        /// The endpoint's reason.
        code: h2::Reason,
    },
    /// What the endpoint sent on the request's stream was wrong, or its head too large.
    #[error("stream error: stream ID {stream}; {code:?}")]
    Stream {
        /// The stream.
        stream: u32,
        /// What the endpoint was told.
        code: h2::Reason,
    },
    /// The endpoint ended the connection by GOAWAY.
    #[error("http2: server sent GOAWAY and closed the connection; ErrCode={code:?}")]
    GoAway {
        /// The endpoint's reason.
        code: h2::Reason,
    },
    /// What the endpoint sent was wrong for the whole connection.
    #[error("connection error: {code:?}")]
    Connection {
        /// What the endpoint was told.
        code: h2::Reason,
    },
    /// The endpoint sent no SETTINGS in time.
    #[error("http2: timeout awaiting SETTINGS frame")]
    Silent,
}

/// A connection that broke, in the words that operators know from Go's errors.
#[derive(Debug, thiserror::Error)]
#[error("{operation} tcp {}->{}: {operation}: {}", address(.local), address(.remote), go_io(.error))]
pub struct BrokenConnection {
    /// `read` or `write`.
    pub operation: &'static str,
    /// Our address.
    pub local: Option<SocketAddr>,
    /// The endpoint's address.
    pub remote: Option<SocketAddr>,
    /// What the system says.
    pub error: io::Error,
}

fn address(address: &Option<SocketAddr>) -> Cow<'static, str> {
    address.map_or(Cow::Borrowed("?"), |address| address.to_string().into())
}

/// The text of a system error without Rust's `(os error N)`, in lower case as Go prints it.
fn go_io(error: &io::Error) -> Cow<'static, str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".into(),
        io::ErrorKind::BrokenPipe => "broken pipe".into(),
        io::ErrorKind::TimedOut => "connection timed out".into(),
        io::ErrorKind::HostUnreachable => "no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase().into()
        }
    }
}

/// A response that is not forwarded. The texts are those that operators of Gorouter know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// The first line is not a status line.
    #[error("malformed HTTP response {0:?}")]
    StatusLine(String),
    /// The status is not three digits.
    #[error("malformed HTTP status code {0:?}")]
    StatusCode(String),
    /// A field line is broken.
    #[error("malformed MIME header line: {0}")]
    Field(String),
    /// The connection ended inside the head.
    #[error("malformed MIME header: missing colon: {0:?}")]
    Truncated(String),
    /// A transfer coding other than chunked.
    #[error("unsupported transfer encoding: {0:?}")]
    Coding(String),
    /// More than one transfer coding field.
    #[error("too many transfer encodings: [{}]", quoted(.0))]
    Codings(Vec<String>),
    /// Lengths that differ.
    #[error("http: message cannot contain multiple Content-Length headers; got [{}]", quoted(.0))]
    Lengths(Vec<String>),
    /// A length that is not a decimal number.
    #[error("bad Content-Length {0:?}")]
    Length(String),
    /// The head is larger than allowed.
    #[error("net/http: server response headers exceeded {0} bytes; aborted")]
    TooLarge(usize),
    /// Interim responses without end.
    #[error("net/http: too many 1xx informational responses")]
    Interim,
}

fn quoted(values: &[String]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")
}
