//! The health port: what a load balancer asks before it sends traffic (gorouter.md §10).

use http::header::{CACHE_CONTROL, EXPIRES};
use http::{HeaderValue, StatusCode, request};

use super::server::{self, Page, Port, Site};
use crate::lifecycle::{Health, Readiness};

/// Answers `/health` with 200 while the router is healthy and 503 otherwise, and the liveness path always with 200, until
/// the port is told to stop.
pub async fn serve(port: Port, readiness: Readiness) {
    server::serve(port, HealthPort(readiness)).await;
}

struct HealthPort(Readiness);

impl Site for HealthPort {
    async fn answer(&self, request: &request::Parts) -> Page {
        match request.uri.path() {
            "/health" => health(self.0.health()),
            "/is-process-alive-do-not-use-for-loadbalancing" => server::text(StatusCode::OK, "ok\n"),
            _ => server::not_found(),
        }
    }
}

pub(super) fn health(health: Health) -> Page {
    let mut page = match health {
        Health::Healthy => server::text(StatusCode::OK, "ok\n"),
        Health::Initializing | Health::Degraded => server::empty(StatusCode::SERVICE_UNAVAILABLE),
    };
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=0"));
    page.headers_mut().insert(EXPIRES, HeaderValue::from_static("0"));
    page
}
