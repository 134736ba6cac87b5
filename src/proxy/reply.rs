//! Answers that the router makes itself, and the finish of those that endpoints make.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPIRES, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};
use hyper::ext::ReasonPhrase;

use super::{admit::Refused, body::ClientBody, request_body::RequestBody};
use crate::{
    error_page::{ErrorPage, Page},
    failure::{Failure, reason_phrase},
    lifecycle::Health,
    observe::exchange::{Client, Exchange, Recorder},
    upstream::{reply::ReplyBody, response::Head},
};

/// Names that are not in the library's own list, parsed once instead of on every reply.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-vcap-request-id");
static ROUTER_ERROR: HeaderName = HeaderName::from_static("x-cf-routererror");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The answer to a failure (gorouter.md sections 6 and 7.3), on the operator's own `page` where that is meant for it.
pub fn failure(failure: &Failure, mut exchange: Box<Exchange>, page: Option<&ErrorPage>) -> Response<ClientBody> {
    let answer = failure.answer();
    if answer.status != 404 {
        tracing::info!(
            target: "proxy",
            body = answer.body.as_deref().unwrap_or_default(),
            "trace-id" = exchange.trace.trace_id(),
            "span-id" = exchange.trace.span_id(),
            "status"
        );
    }
    exchange.answer(answer.status);
    let mut headers = HeaderMap::new();
    if let Some(error) = answer.router_error {
        headers.insert(&ROUTER_ERROR, field_value(&error));
        exchange.router_error(error);
    }
    if let Some(caching) = answer.cache_control {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    }
    let body = answer.body.map(|text| {
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        match page.filter(|_| answer.has_page).and_then(|page| own_page(page, answer.status, &text, &headers)) {
            Some(html) => {
                headers.insert(CONTENT_TYPE, HTML);
                html
            }
            None => {
                headers.insert(CONTENT_TYPE, TEXT);
                text + "\n"
            }
        }
    });
    let mut response = Response::new(ClientBody::own(Bytes::from(body.unwrap_or_default()), Some(exchange)));
    *response.headers_mut() = headers;
    set_status(&mut response, answer.status);
    response
}

/// The page for `text`, which is the status, its text and a message; none where the template does not render.
fn own_page(page: &ErrorPage, status: u16, text: &str, headers: &HeaderMap) -> Option<String> {
    let (status_text, message) = text.split_once(": ").unwrap_or((text, ""));
    let status_text = status_text.split_once(' ').map_or("", |(_, words)| words);
    match page.render(&Page { status, status_text, message, headers }) {
        Ok(html) => Some(html),
        Err(error) => {
            tracing::error!(target: "proxy", %error, "html-error-template-failed");
            None
        }
    }
}

/// The answer to a load balancer's health check.
pub fn health(health: Health, mut exchange: Box<Exchange>) -> Response<ClientBody> {
    let (status, text) = match health {
        Health::Healthy => (StatusCode::OK, "ok\n"),
        Health::Initializing | Health::Degraded => (StatusCode::SERVICE_UNAVAILABLE, ""),
    };
    exchange.answer(status.as_u16());
    let mut response = Response::new(ClientBody::own(Bytes::from_static(text.as_bytes()), Some(exchange)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=0"));
    headers.insert(EXPIRES, HeaderValue::from_static("0"));
    response
}

/// The answer of the gate.
pub fn refused(why: Refused) -> Response<ClientBody> {
    let (status, reason, text) = why.answer();
    let mut response = Response::new(ClientBody::own(Bytes::from_static(text.as_bytes()), None));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    if let Some(reason) = reason {
        response.extensions_mut().insert(ReasonPhrase::from_static(reason));
    }
    if !text.is_empty() {
        response.headers_mut().insert(CONTENT_TYPE, TEXT);
    }
    if why != Refused::OptionsServer {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Notes what the gate refuses, where that is logged. What the server itself answers is not refused.
pub fn note_refused(recorder: &Recorder, request: &Parts, client: &Client, why: Refused) {
    if why != Refused::OptionsServer {
        let (status, _, text) = why.answer();
        recorder.refused(request, client, status, text.len() as u64);
    }
}

/// The answer of an endpoint.
pub fn endpoint(head: Head, body: ReplyBody<RequestBody>, mut exchange: Box<Exchange>) -> Response<ClientBody> {
    exchange.answer(head.status.as_u16());
    if let Some(error) = head.headers.get(&ROUTER_ERROR) {
        exchange.router_error(String::from_utf8_lossy(error.as_bytes()).into_owned());
    }
    let mut headers = head.headers;
    name_request(&mut headers, &exchange);
    let mut response = Response::new(ClientBody::endpoint(body, exchange));
    *response.headers_mut() = headers;
    set_status(&mut response, head.status.as_u16());
    response
}

/// Adds `X-Vcap-Request-Id` unless the endpoint set it, and the way that the request took for those who may see it.
pub fn name_request(headers: &mut HeaderMap, exchange: &Exchange) {
    if let http::header::Entry::Vacant(vacant) = headers.entry(&REQUEST_ID) {
        vacant.insert(field_value(exchange.request_id()));
    }
    if let (Some(router), Some(endpoint)) = (&exchange.shown, exchange.endpoint()) {
        let address = field_value(endpoint.peer.address());
        headers.insert("x-vcap-router", router.clone());
        headers.insert("x-vcap-backend", address.clone());
        headers.insert("x-cf-routeendpoint", address);
    }
}

/// Sets the status, with Go's reason phrase where hyper knows none.
fn set_status(response: &mut Response<ClientBody>, status: u16) {
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    if let Some(reason) = reason_phrase(status).and_then(|text| ReasonPhrase::try_from(text.into_bytes()).ok()) {
        response.extensions_mut().insert(reason);
    }
}

/// Text as a header value; what cannot stand in one becomes a space.
fn field_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let clean: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { ' ' }).collect();
        HeaderValue::from_str(&clean).unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}
