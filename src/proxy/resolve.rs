//! From a request to the pool that serves it (gorouter.md section 7.3).

use std::sync::Arc;

use http::HeaderValue;

use crate::{
    failure::Failure,
    headers::{
        instance::{APP_INSTANCE, AppInstance, PROCESS_INSTANCE, ProcessInstance, app_instance, process_instance},
        noted::Noted,
    },
    observe::exchange::{Exchange, host},
    route::{endpoint::Endpoint, pool::Pool},
    table::Table,
};

/// The instance that a request names.
#[derive(Clone, Copy)]
enum Named<'a> {
    App(AppInstance<'a>),
    Process(ProcessInstance<'a>),
}

/// The pool for the request's host and path, cut down to the instance that the request names, if it does.
///
/// # Errors
/// No host, no route, a route without endpoints, or no such instance.
pub fn resolve(table: &Table, exchange: &Exchange, noted: Noted, empty_is_503: bool) -> Result<Arc<Pool>, Failure> {
    let request = &exchange.request;
    let name = str::from_utf8(host(request)).unwrap_or_default();
    let bare = memchr::memchr(b':', name.as_bytes()).map_or(name, |at| &name[..at]);
    if bare.is_empty() || *bare == *exchange.client().ip {
        return Err(Failure::EmptyHost);
    }
    let named = if noted.app_instance || noted.process_instance { Some(Named::by(exchange, name)?) } else { None };
    let pool = table.lookup(name, request.uri.path());
    if let Some(named) = named {
        let pool = pool.as_deref().and_then(|pool| pool.part(|endpoint| named.is(endpoint)));
        return pool.map(Arc::new).ok_or_else(|| named.unknown(name));
    }
    match pool {
        Some(pool) if !pool.leases().is_empty() => Ok(pool),
        Some(_) if empty_is_503 => Err(Failure::NoEndpoints { host: name.into() }),
        Some(_) | None => Err(Failure::UnknownRoute { host: name.into() }),
    }
}

impl<'a> Named<'a> {
    /// Reads the one field or the other; an app's instance wins.
    fn by(exchange: &'a Exchange, host: &str) -> Result<Self, Failure> {
        let field = |name| exchange.request.headers.get(name).map(HeaderValue::as_bytes);
        let malformed = |failure, message: &str| {
            tracing::info!(
                target: "proxy",
                host,
                "trace-id" = exchange.trace.trace_id(),
                "span-id" = exchange.trace.span_id(),
                "{message}"
            );
            failure
        };
        if let Some(value) = field(APP_INSTANCE) {
            let instance = app_instance(value).map(Self::App);
            return instance.ok_or_else(|| malformed(Failure::MalformedAppInstance, "invalid-app-instance-header"));
        }
        let process = field(PROCESS_INSTANCE).and_then(process_instance).map(Self::Process);
        process.ok_or_else(|| malformed(Failure::MalformedProcessInstance, "invalid-process-instance-header"))
    }

    fn is(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::App(AppInstance { app, index }) => endpoint.app_id() == app && endpoint.instance_index() == index,
            Self::Process(ProcessInstance { process, index }) => {
                endpoint.tag("process_id") == Some(process)
                    && index.is_none_or(|index| endpoint.instance_index() == index)
            }
        }
    }

    fn unknown(self, host: &str) -> Failure {
        let named = match self {
            Self::App(AppInstance { app, index }) => format!("instance ('{index}') with guid ('{app}')"),
            Self::Process(ProcessInstance { process, index: Some(index) }) => {
                format!("instance ('{index}') with process guid ('{process}')")
            }
            Self::Process(ProcessInstance { process, index: None }) => {
                format!("instance with process guid ('{process}')")
            }
        };
        Failure::UnknownInstance { host: host.into(), named }
    }
}
