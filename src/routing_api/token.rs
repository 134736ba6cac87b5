//! Tokens from UAA: asked for with the client's own name and secret, kept until shortly before they end.
//!
//! Promises: neither secret nor token is in any log line or error; one request at a time, whoever waits shares the
//! answer; a token that was refused is asked for anew.
//!
//! Source: gorouter.md section 12; RFC 6749 section 4.4 (client credentials).

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{
    https::{self, Failed, Https},
    tls::Renewed,
};
use crate::observe::metrics::{Metrics, RoutingApiError};

/// Most bytes of an answer with a token.
const MAX_ANSWER: usize = 256 * 1024;

/// Where tokens come from and how long they are kept.
#[derive(Clone)]
pub struct TokenSettings {
    /// UAA.
    pub uaa: Https,
    /// `oauth.client_name`.
    pub client_name: String,
    /// `oauth.client_secret`.
    pub client_secret: String,
    /// Further tries after one that failed (`token_fetcher_max_retries`).
    pub max_retries: u32,
    /// Pause between two tries (`token_fetcher_retry_interval`).
    pub retry_interval: Duration,
    /// How long before its end a token is not used any more (`token_fetcher_expiration_buffer_time`).
    pub expiration_buffer: Duration,
}

/// There is no token.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// UAA does not answer, or refuses.
    #[error("UAA: {0}")]
    Uaa(#[from] Failed),
    /// It answers with something else. What it says is not repeated, since it may hold a token.
    #[error("UAA: the answer holds no token")]
    NotOne,
}

/// Hands out tokens.
pub struct Tokens {
    settings: TokenSettings,
    known: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    /// `bearer …`, marked as not to be printed.
    value: HeaderValue,
    until: Instant,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// Seconds.
    #[serde(default)]
    expires_in: u64,
}

impl Tokens {
    /// Nothing is asked for yet.
    #[must_use]
    pub fn new(settings: TokenSettings) -> Self {
        Self { settings, known: Mutex::new(None) }
    }

    /// TLS towards UAA.
    #[must_use]
    pub fn tls(&self) -> &Renewed {
        &self.settings.uaa.tls
    }

    /// The value of an `Authorization` header. Each failure is told and counted.
    ///
    /// # Errors
    /// [`NoToken`] after the last try, and at once where UAA refuses name and secret.
    pub async fn value(&self, metrics: &Metrics) -> Result<HeaderValue, NoToken> {
        let mut known = self.known.lock().await;
        if let Some(token) = known.as_ref().filter(|token| Instant::now() < token.until) {
            return Ok(token.value.clone());
        }
        tracing::debug!(target: "route-fetcher", "started-fetching-token");
        let mut tries = 0;
        let token = loop {
            match self.fetch().await {
                Ok(token) => break token,
                Err(error) => {
                    metrics.routing_api_failed(RoutingApiError::Token);
                    tracing::error!(target: "route-fetcher", %error, "unable-to-fetch-token");
                    if tries >= self.settings.max_retries || is_refusal(&error) {
                        return Err(error);
                    }
                }
            }
            tries += 1;
            sleep(self.settings.retry_interval).await;
        };
        let value = token.value.clone();
        *known = Some(token);
        Ok(value)
    }

    /// `value` was refused: it is not handed out again.
    pub async fn forget(&self, value: &HeaderValue) {
        self.known.lock().await.take_if(|token| token.value == *value);
    }

    async fn fetch(&self) -> Result<Token, NoToken> {
        let TokenSettings { uaa, client_name, client_secret, expiration_buffer, .. } = &self.settings;
        let login = format!("Basic {}", BASE64_STANDARD.encode(format!("{client_name}:{client_secret}")));
        let request = Request::post("/oauth/token")
            .header(header::AUTHORIZATION, secret(&login)?)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from_static(b"grant_type=client_credentials")));
        let asked = Instant::now();
        let response = uaa.open(request.map_err(|_| NoToken::NotOne)?).await?;
        let body = https::whole(response, MAX_ANSWER).await?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| NoToken::NotOne)?;
        if answer.access_token.is_empty() {
            return Err(NoToken::NotOne);
        }
        let lives = Duration::from_secs(answer.expires_in).saturating_sub(*expiration_buffer);
        let until = asked.checked_add(lives).unwrap_or(asked);
        Ok(Token { value: secret(&format!("bearer {}", answer.access_token))?, until })
    }
}

fn secret(text: &str) -> Result<HeaderValue, NoToken> {
    let mut value = HeaderValue::from_str(text).map_err(|_| NoToken::NotOne)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether trying again can only give the same answer.
fn is_refusal(error: &NoToken) -> bool {
    matches!(error, NoToken::Uaa(Failed::Status(status)) if status.is_client_error())
}
