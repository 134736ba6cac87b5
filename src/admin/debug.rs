//! The debug server: the level of the log, and how busy the process is (gorouter.md §1, `debug_addr`).
//!
//! It asks nobody for a password, so it belongs on a loopback address. What Gorouter has there of Go's own (profiles)
//! is not here; the index says what is.

use http::{Method, StatusCode, request};

use super::server::{self, Page, Port, ShortBody, Site};
use crate::observe::{log::Threshold, runtimes::Runtimes};

const TEXT: &str = "text/plain; charset=utf-8";
const INDEX: &str = "GET /log-level         the level from which on lines are logged
PUT /log-level         sets it at once: debug, info, warn or error, as the request's body; POST too
GET /debug/runtime     runtimes, heap, threads and descriptors, as JSON
";
const NOT_GO: &str = "404 page not found: profiles of this kind are Go's; see / for what there is\n";

/// Answers until the port is told to stop. Without a `level` there is none to be seen or set.
pub async fn serve(port: Port, level: Option<Threshold>, runtimes: Runtimes) {
    server::serve(port, DebugPort { level, runtimes }).await;
}

struct DebugPort {
    level: Option<Threshold>,
    runtimes: Runtimes,
}

impl Site for DebugPort {
    const BODY: usize = 64;

    async fn answer(&self, request: &request::Parts) -> Page {
        match request.uri.path() {
            "/" => server::text(StatusCode::OK, INDEX),
            "/log-level" => self.log_level(request),
            "/debug/runtime" => {
                let runtimes = self.runtimes.clone();
                server::made("application/json", move || runtimes.figures().to_string() + "\n").await
            }
            "/block-profile-rate" | "/mutex-profile-fraction" => server::error(StatusCode::NOT_FOUND, NOT_GO),
            path if path.starts_with("/debug/pprof") => server::error(StatusCode::NOT_FOUND, NOT_GO),
            _ => server::not_found(),
        }
    }
}

impl DebugPort {
    fn log_level(&self, request: &request::Parts) -> Page {
        let Some(level) = &self.level else { return server::not_found() };
        if matches!(request.method, Method::GET | Method::HEAD) {
            return server::told(StatusCode::OK, TEXT, format!("{}\n", level.name()));
        }
        if !matches!(request.method, Method::PUT | Method::POST) {
            return server::other_methods("GET, HEAD, PUT, POST");
        }
        let body = request.extensions.get::<ShortBody>().and_then(|body| str::from_utf8(&body.0).ok());
        let before = level.name();
        if !body.is_some_and(|name| level.set(name.trim())) {
            return server::error(StatusCode::BAD_REQUEST, "the body must be debug, info, warn or error\n");
        }
        // At the level of an error: whoever set `error` wants to know from when on the rest is missing.
        tracing::error!(before, level = level.name(), "log-level-changed");
        server::told(StatusCode::OK, TEXT, format!("{}\n", level.name()))
    }
}
