//! The page that Prometheus scrapes (gorouter.md §11).

use std::sync::Arc;

use http::request;

use super::server::{self, Page, Port, Site};
use crate::observe::metrics::{CONTENT_TYPE, Metrics};

/// Answers `/metrics` until the port is told to stop.
pub async fn serve(port: Port, metrics: Arc<Metrics>) {
    server::serve(port, MetricsPort(metrics)).await;
}

struct MetricsPort(Arc<Metrics>);

impl Site for MetricsPort {
    async fn answer(&self, request: &request::Parts) -> Page {
        if request.uri.path() != "/metrics" {
            return server::not_found();
        }
        let metrics = Arc::clone(&self.0);
        server::made(CONTENT_TYPE, move || {
            if let Some(count) = open_file_descriptors() {
                metrics.set_file_descriptors(count);
            }
            metrics.render()
        })
        .await
    }
}

/// How many file descriptors this process has open, where the system tells.
fn open_file_descriptors() -> Option<u64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The listing is itself an open descriptor.
    u64::try_from(listed.saturating_sub(1)).ok()
}
