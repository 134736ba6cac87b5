//! The table, for operators who know the password (gorouter.md §10, and docs/admin.md for what Gorouter has not).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode, request};
use subtle::ConstantTimeEq as _;

use super::{
    pools::{self, Sources},
    reload::Reload,
    server::{self, Page, Port, Site},
};

/// Who may see the listing (`status.user`, `status.pass`).
#[derive(Clone)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password. One that contains a colon matches nothing, as with Gorouter.
    pub password: String,
}

/// Answers `/routes` with what `listing` returns, a JSON text, `/pools` and `/why` from `sources`, and lets `/reload` ask
/// for a reload, until the port is told to stop. `listing` runs on a thread of its own.
pub async fn serve(
    port: Port,
    login: Login,
    sources: Sources,
    listing: impl Fn() -> String + Send + Sync + 'static,
    reload: Reload,
) {
    server::serve(port, RoutesPort { login, sources, listing: Arc::new(listing), reload }).await;
}

struct RoutesPort<F> {
    login: Login,
    sources: Sources,
    listing: Arc<F>,
    reload: Reload,
}

impl<F: Fn() -> String + Send + Sync + 'static> Site for RoutesPort<F> {
    async fn answer(&self, request: &request::Parts) -> Page {
        // Before the path is looked at: a stranger must not learn which paths exist.
        if let Some(refusal) = self.login.refusal(&request.headers) {
            return refusal;
        }
        match request.uri.path() {
            "/routes" => {
                let listing = Arc::clone(&self.listing);
                server::made("application/json", move || listing()).await
            }
            "/pools" => pools::pools(&self.sources, request),
            "/why" => pools::why(&self.sources, request).await,
            "/reload" => self.reload.answer(&request.method).await,
            _ => server::not_found(),
        }
    }
}

impl Login {
    /// The answer to a request of somebody else.
    pub(super) fn refusal(&self, headers: &HeaderMap) -> Option<Page> {
        if self.admits(headers) {
            return None;
        }
        let mut page = server::error(StatusCode::UNAUTHORIZED, "401 Unauthorized\n");
        page.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        Some(page)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Basic "));
        let Some(shown) = shown.and_then(|encoded| STANDARD.decode(encoded).ok()) else { return false };
        let mut parts = shown.split(|byte| *byte == b':');
        let (Some(user), Some(password), None) = (parts.next(), parts.next(), parts.next()) else { return false };
        // Both are compared to the end, so that the time taken does not tell which one was right.
        (user.ct_eq(self.user.as_bytes()) & password.ct_eq(self.password.as_bytes())).into()
    }
}
