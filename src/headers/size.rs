//! How large the head of a request is, as Gorouter counts (gorouter.md section 7.2, "Request size").

use http::{header::HOST, request::Parts};

/// Most that the head of a request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; a head of this many is too large (`max_request_header_bytes`).
    pub bytes: usize,
    /// Field lines besides Host; more are too many (`max_request_headers`).
    pub lines: Option<usize>,
}

/// What the router's own `X-Vcap-Request-Id` adds to every head.
const REQUEST_ID: &str = "x-vcap-request-id";
const REQUEST_ID_LENGTH: usize = 36;

impl Limits {
    /// Whether a request with this `target` and `host` goes beyond them. The request id counts as one line, the
    /// router's instead of the client's, since Gorouter looks after it has set it.
    #[must_use]
    pub fn are_exceeded(&self, request: &Parts, target: &str, host: &[u8]) -> bool {
        let line = |name: &str, length: usize| name.len() + length + 4;
        let start = request.method.as_str().len() + target.len() + "HTTP/1.1".len() + 4;
        let mut lines = 1;
        let mut bytes = start + host.len() + 8 + line(REQUEST_ID, REQUEST_ID_LENGTH);
        for (name, value) in &request.headers {
            if *name != HOST && name != REQUEST_ID {
                lines += 1;
                bytes += line(name.as_str(), value.len());
            }
        }
        bytes >= self.bytes || self.lines.is_some_and(|most| lines > most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_measured_to_the_byte_and_line() {
        let mut request = http::Request::get("/p").header("host", "h").header("x-a", "1").header("x-a", "2");
        request = request.header("x-vcap-request-id", "replaced");
        let request = request.body(()).unwrap().into_parts().0;
        // GET /p HTTP/1.1, Host: h, X-Vcap-Request-Id: 36 characters, X-A: 1, X-A: 2, each with its line end.
        let size = (3 + 1 + 2 + 1 + 8 + 2) + (4 + 2 + 1 + 2) + (17 + 2 + 36 + 2) + 2 * (3 + 2 + 1 + 2);
        for (bytes, lines, exceeded) in [
            (size, None, true),
            (size + 1, None, false),
            (size + 1, Some(3), false),
            (size + 1, Some(2), true),
            (size, Some(3), true),
        ] {
            assert_eq!(Limits { bytes, lines }.are_exceeded(&request, "/p", b"h"), exceeded, "{bytes} {lines:?}");
        }
    }
}
