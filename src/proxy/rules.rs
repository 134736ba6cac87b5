//! What the configuration asks of heads: what is added, removed, shown and measured, and which requests are about the
//! router itself (gorouter.md section 7.2).
//!
//! All of it is off unless it is asked for, but the answer to health checks. What is off costs a request a comparison.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header::USER_AGENT};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::{
    error_page::ErrorPage,
    headers::{
        noted::Noted,
        rewrite::Rewrite,
        size::Limits,
        trace::{Dice, Ids, Names, Tracing},
    },
    lifecycle::{Health, Readiness},
};

/// The rules of one router.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Fields that a client's `Connection` cannot remove (`hop_by_hop_headers_to_filter`).
    pub kept: Vec<HeaderName>,
    /// What becomes of the head of every response.
    pub rewrite: Option<Rewrite>,
    /// Who is shown the way that a request took.
    pub trace_key: Option<TraceKey>,
    /// Which trace ids travel with requests.
    pub tracing: Tracing,
    /// Which requests ask for the router's own health.
    pub health_check: Option<HealthCheck>,
    /// Most that the head of a request may hold; none where nothing below the server's own limit is asked for.
    pub request_limits: Option<Limits>,
    /// The operator's own page for errors (`html_error_template_file`).
    pub error_page: Option<Arc<ErrorPage>>,
}

/// A secret (`trace_key`), and what those who know it are told of the router.
#[derive(Clone)]
pub struct TraceKey {
    /// What `X-Vcap-Trace` must be.
    pub key: Box<[u8]>,
    /// The router's own address.
    pub router: HeaderValue,
}

impl std::fmt::Debug for TraceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceKey").field("router", &self.router).finish_non_exhaustive()
    }
}

/// Health by `User-Agent`.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// The agent, exactly (`healthcheck_user_agent`); not empty.
    pub agent: Box<str>,
    /// The health to tell.
    pub readiness: Readiness,
}

impl Rules {
    /// The id of a request as text, and its trace, which is stated in its headers too if that is on.
    ///
    /// The numbers name a request in logs; nothing rests on their being hard to guess.
    pub(super) fn name_request(&self, headers: &mut HeaderMap) -> ([u8; 36], Ids) {
        let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid().as_u128();
        let names = if self.tracing.is_on() {
            self.tracing.state(headers, Dice { id, parent: fastrand::u64(1..) })
        } else {
            Names::fresh(id)
        };
        let mut text = [0; 36];
        Uuid::from_u128(names.request).hyphenated().encode_lower(&mut text);
        (text, names.trace)
    }

    /// The health that the request asks for, if it does.
    pub(super) fn health(&self, headers: &HeaderMap, noted: &Noted) -> Option<Health> {
        let check = self.health_check.as_ref().filter(|check| check.agent.len() == noted.agent_length)?;
        (headers.get(USER_AGENT)? == &*check.agent).then(|| check.readiness.health())
    }

    /// What the client is told of the router, if it knows the key.
    pub(super) fn shown_to(&self, headers: &HeaderMap) -> Option<&HeaderValue> {
        let trace = self.trace_key.as_ref()?;
        let said = headers.get("x-vcap-trace")?.as_bytes();
        bool::from(said.ct_eq(&trace.key)).then_some(&trace.router)
    }
}
