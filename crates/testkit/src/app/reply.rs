//! What an app answers.

use std::time::Duration;

use serde_json::json;

use super::received::Received;

/// One answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status, further headers, body with Content-Length.
    Full {
        /// Status code.
        status: u16,
        /// Header lines beside `x-app`, `x-instance` and Content-Length.
        headers: Vec<(String, String)>,
        /// Body.
        body: Vec<u8>,
    },
    /// 200 with the request as JSON: `app`, `instance`, `method`, `target`, `version`, `headers` (list of pairs),
    /// `body_bytes`, `connection`.
    Echo,
    /// Exactly these bytes; the connection stays open.
    Raw(Vec<u8>),
    /// Exactly these bytes, then closes in order.
    RawThenClose(Vec<u8>),
    /// 200 with a body of so many bytes, chunked or with Content-Length, as fast as it is taken.
    Stream {
        /// How many.
        bytes: u64,
        /// Chunked, 64 KiB each.
        chunked: bool,
    },
    /// 200 with a body of so many bytes with Content-Length, `step` at a time with a pause before each.
    Trickle {
        /// How many.
        bytes: usize,
        /// How many at a time.
        step: usize,
        /// The pause before each step.
        pause: Duration,
    },
    /// 200 `text/event-stream`, chunked: `data: <n>` for n from 0, each after one [`super::App::release`].
    Events(u64),
    /// 200 with this body (not empty), chunked, and trailers.
    WithTrailers {
        /// Body.
        body: Vec<u8>,
        /// Trailer lines.
        trailers: Vec<(String, String)>,
    },
    /// 101 for the protocol that `Upgrade` asks for, then echoes bytes until the client ends its direction.
    Tunnel,
    /// Waits for one [`super::App::release`], or for the client to leave.
    AfterRelease(Box<Reply>),
    /// Closes without an answer.
    Close,
    /// Resets without an answer.
    Reset,
}

impl Reply {
    /// A status with an empty body.
    pub fn status(status: u16) -> Self {
        Self::Full { status, headers: Vec::new(), body: Vec::new() }
    }

    /// 200 with this text.
    pub fn text(body: &str) -> Self {
        Self::Full { status: 200, headers: Vec::new(), body: body.into() }
    }

    /// Adds a header line, if this is a [`Reply::Full`].
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Full { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same answer, once released.
    pub fn after_release(self) -> Self {
        Self::AfterRelease(Box::new(self))
    }

    /// What an app does without a rule: `/stream/N`, `/chunked/N` and `/events/N` send N bytes or events, `/status/N`
    /// answers N, `/delay` echoes once released, `/close` and `/reset` do that, an `Upgrade` header opens a tunnel;
    /// everything else is echoed.
    pub fn by_path(request: &Received) -> Self {
        if request.header("upgrade").is_some() {
            return Self::Tunnel;
        }
        let path = request.path();
        let number = |prefix: &str| path.strip_prefix(prefix).and_then(|rest| rest.parse::<u64>().ok());
        if let Some(bytes) = number("/stream/") {
            Self::Stream { bytes, chunked: false }
        } else if let Some(bytes) = number("/chunked/") {
            Self::Stream { bytes, chunked: true }
        } else if let Some(count) = number("/events/") {
            Self::Events(count)
        } else if let Some(status) = number("/status/") {
            Self::status(status as u16)
        } else {
            match path {
                "/delay" => Self::Echo.after_release(),
                "/close" => Self::Close,
                "/reset" => Self::Reset,
                _ => Self::Echo,
            }
        }
    }

    pub(super) fn echo(app: &str, instance: &str, request: &Received) -> Self {
        let body = json!({
            "app": app,
            "instance": instance,
            "method": request.method,
            "target": request.target,
            "version": request.version,
            "headers": request.headers,
            "body_bytes": request.body_bytes,
            "connection": request.connection,
        });
        Self::text(&body.to_string()).header("Content-Type", "application/json")
    }
}
