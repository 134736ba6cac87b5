//! Trace ids that travel with a request: Zipkin's B3, in one field and in several, and W3C's trace context
//! (gorouter.md sections 7.2 and 7.5).
//!
//! Takes up what a client sends, begins a trace where there is none, and lets both formats and the request id share
//! their ids. Randomness is an argument. No span is added to a trace that is under way, except the parent id that
//! W3C asks every hop to write.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};

static B3: HeaderName = HeaderName::from_static("b3");
static TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
static SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A `tracestate` longer than this is not passed on.
const LONGEST_STATE: usize = 2048;

/// Which formats are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracing {
    /// `tracing.enable_zipkin`.
    zipkin: bool,
    /// The router's own key in `tracestate`, with `tracing.enable_w3c`.
    w3c: Option<Box<str>>,
}

/// The random numbers of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dice {
    /// A UUID of version 4: the id of a request without a trace, and the trace id of a new one.
    pub id: u128,
    /// The router's parent id in a W3C trace that is under way.
    pub parent: u64,
}

/// A trace, and the span in it that the endpoint's work belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    trace: u128,
    /// Whether the trace id has all 32 digits; Zipkin also knows 16.
    whole: bool,
    span: u64,
}

/// What a request is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The request id as a UUID's number: the trace's, if that forms a UUID, else [`Dice::id`].
    pub request: u128,
    /// Its trace; of a request without one, what a trace begun for it would be.
    pub trace: Ids,
}

impl Names {
    /// Of a request without a trace: the digits of the trace id are those of the request id, and those of the span
    /// its last ones.
    #[must_use]
    pub fn fresh(id: u128) -> Self {
        Self { request: id, trace: Ids { trace: id, whole: true, span: id as u64 } }
    }
}

impl Ids {
    /// The trace id, in 32 or 16 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:0digits$x}", self.trace, digits = if self.whole { 32 } else { 16 })
    }

    /// The span id, in 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }
}

impl Tracing {
    /// Zipkin or not, W3C or not; a `tenant` that is not empty stands before the router's name in `tracestate`.
    #[must_use]
    pub fn new(zipkin: bool, w3c: bool, tenant: &str) -> Self {
        let key = if tenant.is_empty() { "gorouter".into() } else { format!("{tenant}@gorouter") };
        Self { zipkin, w3c: w3c.then(|| key.into()) }
    }

    /// Whether any format is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.zipkin || self.w3c.is_some()
    }

    /// States the ids of the request's trace in `headers`, and gives its names.
    pub fn state(&self, headers: &mut HeaderMap, dice: Dice) -> Names {
        let fresh = Names::fresh(dice.id).trace;
        let zipkin = if self.zipkin { zipkin(headers, fresh) } else { None };
        let w3c = self.w3c.as_ref().map(|key| w3c(headers, key, zipkin.unwrap_or(fresh), dice.parent));
        let trace = zipkin.or(w3c).unwrap_or(fresh);
        Names { request: if trace.whole { trace.trace } else { dice.id }, trace }
    }
}

/// The ids of a Zipkin trace, stated in full unless the client did; none where the client's fields say something that
/// is not understood, and where they only say whether to sample.
fn zipkin(headers: &mut HeaderMap, fresh: Ids) -> Option<Ids> {
    match headers.get(&B3).and_then(|value| single(value.as_bytes())) {
        Some(Single::Ids(ids)) => return Some(ids),
        Some(Single::Sampling) => return None,
        None => {}
    }
    if let (Some(trace), Some(span)) = (headers.get(&TRACE_ID), headers.get(&SPAN_ID)) {
        let ids = ids(trace.as_bytes(), span.as_bytes())?;
        let joined = [trace.as_bytes(), b"-", span.as_bytes()].concat();
        set(headers, &B3, &joined);
        return Some(ids);
    }
    let (trace, span) = (format!("{:032x}", fresh.trace), format!("{:016x}", fresh.span));
    set(headers, &TRACE_ID, trace.as_bytes());
    set(headers, &SPAN_ID, span.as_bytes());
    set(headers, &B3, format!("{trace}-{span}").as_bytes());
    Some(fresh)
}

/// What a `b3` field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Single {
    Ids(Ids),
    /// Only whether to sample, which is to be told on.
    Sampling,
}

/// `trace-span[-sampling[-parent]]`, or `sampling` alone.
fn single(value: &[u8]) -> Option<Single> {
    if is_sampling(value) {
        return Some(Single::Sampling);
    }
    let mut parts = value.split(|byte| *byte == b'-');
    let ids = ids(parts.next()?, parts.next()?)?;
    let sampled = parts.next().is_none_or(is_sampling);
    let parent = parts.next().is_none_or(|parent| parent.len() == 16 && number(parent).is_some());
    (sampled && parent && parts.next().is_none()).then_some(Single::Ids(ids))
}

/// Denied, accepted, debug.
fn is_sampling(value: &[u8]) -> bool {
    matches!(value, b"0" | b"1" | b"d")
}

fn ids(trace: &[u8], span: &[u8]) -> Option<Ids> {
    if !matches!(trace.len(), 16 | 32) || span.len() != 16 {
        return None;
    }
    Some(Ids { trace: number(trace)?, whole: trace.len() == 32, span: u64::try_from(number(span)?).ok()? })
}

/// Up to 32 hexadecimal digits that are not all zero: zeros name no trace and no span.
fn number(digits: &[u8]) -> Option<u128> {
    // A sign would be taken for a part of the number.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(str::from_utf8(digits).ok()?, 16).ok().filter(|number| *number != 0)
}

/// States the W3C trace, under way or begun with `ids`.
fn w3c(headers: &mut HeaderMap, key: &str, ids: Ids, parent: u64) -> Ids {
    let under_way = headers.get(&TRACEPARENT).and_then(|value| traceparent(value.as_bytes()));
    let (trace, span, flags) = match under_way {
        Some((trace, flags)) => (trace, parent, flags),
        None => (ids.trace, ids.span, 1),
    };
    set(headers, &TRACEPARENT, format!("00-{trace:032x}-{span:016x}-{flags:02x}").as_bytes());
    let state = tracestate(headers, key, span);
    set(headers, &TRACESTATE, state.as_bytes());
    Ids { trace, whole: true, span }
}

/// Trace id and flags of `00-<trace>-<parent>-<flags>` (W3C trace context, section 3.2).
fn traceparent(value: &[u8]) -> Option<(u128, u8)> {
    let lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte) || *byte == b'-';
    let separated = |at: &usize| value.get(*at) == Some(&b'-');
    if value.len() != 55 || !value.starts_with(b"00-") || !value.iter().all(lower) || ![35, 52].iter().all(separated) {
        return None;
    }
    let trace = number(&value[3..35])?;
    number(&value[36..52])?;
    let flags = u8::from_str_radix(str::from_utf8(&value[53..]).ok()?, 16).ok()?;
    Some((trace, flags))
}

/// The router's own entry, and after it those of others.
fn tracestate(headers: &HeaderMap, key: &str, span: u64) -> String {
    let said: Vec<&str> = headers.get_all(&TRACESTATE).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut state = format!("{key}={span:016x}");
    if said.iter().map(|value| value.len() + 1).sum::<usize>() > LONGEST_STATE + 1 {
        return state;
    }
    let entries = said.iter().flat_map(|value| value.split(',')).map(str::trim);
    let ours = |entry: &&str| entry.split_once('=').is_some_and(|(name, _)| name == key);
    for entry in entries.filter(|entry| !entry.is_empty() && !ours(entry)) {
        // Writing to a string does not fail.
        let _ = write!(state, ",{entry}");
    }
    state
}

fn set(headers: &mut HeaderMap, name: &HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
