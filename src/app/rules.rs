//! From the configuration to the rules about heads.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderName, HeaderValue};

use super::StartError;
use crate::{
    config::{Config, HttpRewrite},
    error_page::ErrorPage,
    headers::{rewrite::Rewrite, size::Limits, trace::Tracing},
    lifecycle::Readiness,
    proxy::rules::{HealthCheck, Rules, TraceKey},
};

/// What Gorouter's server, and ours, refuses in any case.
const LARGEST_HEAD: usize = 1 << 20;

/// The rules. Names and values that cannot stand in a head are left out; [`left_out`] tells which.
///
/// # Errors
/// The template for errors cannot be read or rendered.
pub(super) fn rules(config: &Config, own_ip: IpAddr, readiness: &Readiness) -> Result<Rules, StartError> {
    let trace_key = (!config.trace_key.is_empty()).then(|| TraceKey {
        key: config.trace_key.expose().as_bytes().into(),
        router: HeaderValue::from_str(&own_ip.to_string()).unwrap_or(HeaderValue::from_static("")),
    });
    let agent = config.healthcheck_user_agent.as_str();
    let lines = config.max_request_headers.map(std::num::NonZeroUsize::get);
    let bytes = config.max_request_header_bytes;
    let tracing = &config.tracing;
    Ok(Rules {
        error_page: error_page(config)?.map(Arc::new),
        kept: names(&config.hop_by_hop_headers_to_filter),
        rewrite: rewrite(&config.http_rewrite),
        trace_key,
        tracing: Tracing::new(tracing.enable_zipkin, tracing.enable_w3c, &tracing.w3c_tenant_id),
        health_check: (!agent.is_empty()).then(|| HealthCheck { agent: agent.into(), readiness: readiness.clone() }),
        request_limits: (bytes < LARGEST_HEAD || lines.is_some()).then_some(Limits { bytes, lines }),
    })
}

/// The operator's own page for errors, if there is one.
///
/// # Errors
/// The template cannot be read or rendered.
pub(super) fn error_page(config: &Config) -> Result<Option<ErrorPage>, StartError> {
    let Some(path) = config.html_error_template_file.as_deref() else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| StartError::UnreadableErrorPage { path: path.to_owned(), error })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let page = ErrorPage::parse(&name, &text);
    page.map(Some).map_err(|error| StartError::ErrorPage { path: path.to_owned(), error })
}

/// What of the configuration cannot stand in a head, each in words: it is left out of the rules.
pub(super) fn left_out(config: &Config) -> Vec<String> {
    let HttpRewrite { add_headers_if_not_present: add, remove_headers: remove } = &config.http_rewrite;
    let kept = config.hop_by_hop_headers_to_filter.iter().map(|name| ("hop_by_hop_headers_to_filter", name));
    let removed = remove.iter().map(|name| (REMOVED, name));
    let added = add.iter().map(|(name, _)| (ADDED, name));
    let names = kept.chain(added).chain(removed).filter(|(_, text)| name_of(text).is_none());
    let names = names.map(|(key, text)| format!("{key}: {text:?} is not the name of a header"));
    let values = add.iter().filter(|(name, value)| name_of(name).is_some() && value_of(value).is_none());
    names.chain(values.map(|(name, _)| format!("{ADDED}: the value of {name} cannot be sent"))).collect()
}

const ADDED: &str = "http_rewrite.responses.add_headers_if_not_present";
const REMOVED: &str = "http_rewrite.responses.remove_headers";

fn rewrite(wanted: &HttpRewrite) -> Option<Rewrite> {
    let add = |(name, value): &(String, String)| Some((name_of(name)?, value_of(value)?));
    let rewrite = Rewrite {
        remove: names(&wanted.remove_headers),
        add: wanted.add_headers_if_not_present.iter().filter_map(add).collect(),
    };
    (rewrite != Rewrite::default()).then_some(rewrite)
}

fn names(texts: &[String]) -> Vec<HeaderName> {
    texts.iter().filter_map(|text| name_of(text)).collect()
}

fn name_of(text: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(text.as_bytes()).ok()
}

fn value_of(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}
