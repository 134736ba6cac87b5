//! The deprecated status port: health, and behind a login the table and the figures (gorouter.md §10).

use std::sync::Arc;

use http::{StatusCode, request};

use super::{
    health,
    routes::Login,
    server::{self, Page, Port, Site},
};
use crate::lifecycle::Readiness;

/// Writes a page of JSON, on a thread of its own.
pub type Write = Arc<dyn Fn() -> String + Send + Sync>;

/// What the port shows.
pub struct Pages {
    /// `/health`, for everybody.
    pub readiness: Readiness,
    /// Who may see the rest.
    pub login: Login,
    /// `/routes`.
    pub routes: Write,
    /// `/varz`.
    pub varz: Write,
}

/// Answers `/health` as the health port does, `/healthz` always with 200, and whoever knows the password `/routes` and
/// `/varz`, until the port is told to stop.
pub async fn serve(port: Port, pages: Pages) {
    server::serve(port, pages).await;
}

impl Site for Pages {
    async fn answer(&self, request: &request::Parts) -> Page {
        let path = request.uri.path();
        match path {
            "/health" => return health::health(self.readiness.health()),
            "/healthz" => return server::text(StatusCode::OK, "ok\n"),
            _ => {}
        }
        // Before the path is looked at: a stranger must not learn which paths exist.
        if let Some(refusal) = self.login.refusal(&request.headers) {
            return refusal;
        }
        let write = match path {
            "/routes" => Arc::clone(&self.routes),
            "/varz" => Arc::clone(&self.varz),
            _ => return server::not_found(),
        };
        server::made("application/json", move || write()).await
    }
}
