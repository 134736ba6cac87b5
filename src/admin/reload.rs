//! `POST /reload`: an operator asks for what `SIGHUP` asks for, and is told what came of it.

use http::{Method, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::server::{self, Page};

/// Who asked waits here for the outcome: a JSON text, or what is wrong.
pub type Ask = oneshot::Sender<Result<String, String>>;

/// The way to whoever reloads. A second one may ask while the first waits; more are sent away.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Ask>);

impl Reload {
    /// The way, and its other end. Without anybody at that end the answer is 409.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(1);
        (Self(asks), asked)
    }

    /// 200 and what was reloaded, or 422 and what is wrong; nothing has changed then.
    pub(super) async fn answer(&self, method: &Method) -> Page {
        // A look alone must change nothing.
        if method != Method::POST {
            return server::other_methods("POST");
        }
        let (tell, told) = oneshot::channel();
        match self.0.try_send(tell) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return server::error(StatusCode::TOO_MANY_REQUESTS, "a reload is waiting already\n");
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return no_file(),
        }
        match told.await {
            Ok(Ok(json)) => server::told(StatusCode::OK, "application/json", json + "\n"),
            Ok(Err(wrong)) => server::told(StatusCode::UNPROCESSABLE_ENTITY, "text/plain; charset=utf-8", wrong + "\n"),
            Err(_) => no_file(),
        }
    }
}

fn no_file() -> Page {
    server::error(StatusCode::CONFLICT, "there is no configuration file to read again\n")
}
