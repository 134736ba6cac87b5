//! Heads of requests and responses, between HTTP/2 and what the rest of the router works with.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{CONTENT_LENGTH, HOST, SET_COOKIE},
    uri::{Authority, PathAndQuery, Scheme},
};

use crate::{
    failure::BadResponse,
    headers::{
        hop_by_hop::{is_of_connection, is_ours},
        trailers::may_trail,
    },
    upstream::{
        request::{BodyFraming, RequestHead},
        response::{self, Framing, Head},
    },
};

/// The head of a request. What cannot stand in a field is left out; what comes from clients has been checked.
pub(super) fn request(head: &RequestHead<'_>, framing: BodyFraming) -> Request<()> {
    let mut fields = HeaderMap::with_capacity(head.headers.len() + head.added.len() + 1);
    for (name, value) in head.headers {
        if !is_ours(name.as_str()) {
            fields.append(name, value.clone());
        }
    }
    for (name, value) in head.added {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
    match framing {
        BodyFraming::Length(length) => drop(fields.insert(CONTENT_LENGTH, length.into())),
        BodyFraming::None if head.announce_empty => drop(fields.insert(CONTENT_LENGTH, 0.into())),
        BodyFraming::None | BodyFraming::Chunked => {}
    }
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    match uri(head) {
        Some(uri) => *request.uri_mut() = uri,
        // A host that is no authority, but that the gate let in: the endpoint gets it as a field.
        None => {
            *request.version_mut() = Version::HTTP_11;
            *request.uri_mut() = path(head.target).into();
            if let Ok(host) = HeaderValue::from_bytes(head.host) {
                fields.insert(HOST, host);
            }
        }
    }
    *request.headers_mut() = fields;
    request
}

fn uri(head: &RequestHead<'_>) -> Option<Uri> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(Authority::try_from(head.host).ok()?);
    parts.path_and_query = Some(path(head.target));
    Uri::from_parts(parts).ok()
}

/// Path and query of a target, which may be of any form.
fn path(target: &str) -> PathAndQuery {
    let whole = target.parse::<Uri>().ok().and_then(|uri| uri.path_and_query().cloned());
    whole.unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// Trailers of a request as they go to the endpoint: none of what must stand in the head.
pub(super) fn trailers(fields: HeaderMap) -> HeaderMap {
    let mut name = None;
    let named = fields.into_iter().filter_map(|(next, value)| {
        // A field with several values is named once.
        name = next.or_else(|| name.take());
        Some((name.clone()?, value))
    });
    named.filter(|(name, _)| may_trail(name.as_str())).collect()
}

/// The head of a response; `ended` says that nothing follows it.
pub(super) fn response(response: Response<()>, ended: bool, to_head: bool) -> Result<Head, BadResponse> {
    let (parts, ()) = response.into_parts();
    let (status, mut headers) = (parts.status, parts.headers);
    let length = length(&mut headers)?;
    let of_connection: Vec<HeaderName> =
        headers.keys().filter(|name| is_of_connection(name.as_str())).cloned().collect();
    for name in of_connection {
        headers.remove(name);
    }
    let bodyless = to_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let framing = match length {
        _ if bodyless || ended => Framing::Empty,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    };
    let sets_cookie = headers.contains_key(SET_COOKIE);
    Ok(Head { status, headers, framing, keep_alive: true, upgrade: None, sets_cookie })
}

/// The length that the endpoint announces, as one field.
fn length(headers: &mut HeaderMap) -> Result<Option<u64>, BadResponse> {
    let mut said = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = said.next().cloned() else { return Ok(None) };
    if said.any(|other| other != first) {
        let all = headers.get_all(CONTENT_LENGTH).iter().map(response::lossy).collect();
        return Err(BadResponse::Lengths(all));
    }
    let length = response::decimal(first.as_bytes()).ok_or_else(|| BadResponse::Length(response::lossy(&first)))?;
    headers.insert(CONTENT_LENGTH, first);
    Ok(Some(length))
}

/// Nothing: what a last, empty frame carries.
pub(super) const NOTHING: Bytes = Bytes::new();

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::upstream::request::Connection;

    fn head<'a>(target: &'a str, host: &'a [u8], headers: &'a HeaderMap) -> RequestHead<'a> {
        let added: &[(&str, &[u8])] = &[("X-Cf-Applicationid", b"guid"), ("Te", b"trailers")];
        RequestHead {
            method: &Method::POST,
            target,
            host,
            headers,
            added,
            connection: Connection::Keep,
            announce_empty: true,
        }
    }

    #[test]
    fn a_request_says_what_it_said_and_nothing_about_the_clients_connection() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("host", "ignored"),
            ("connection", "x-a"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("content-length", "99"),
            ("x-b", "1"),
            ("x-b", "2"),
            ("cookie", "a=1; b=2"),
        ] {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let made = request(&head("/a%2Fb?q=%zz;x", b"App.example.com:80", &fields), BodyFraming::Length(4));
        assert_eq!(made.uri(), "https://App.example.com:80/a%2Fb?q=%zz;x");
        let mut names: Vec<&str> = made.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "cookie", "te", "x-b", "x-cf-applicationid"]);
        assert_eq!(made.headers()["content-length"], "4");
        assert_eq!(made.headers().get_all("x-b").iter().count(), 2);

        let made = request(&head("http://other.example/x?y", b"app.example", &fields), BodyFraming::None);
        assert_eq!(made.uri(), "https://app.example/x?y");
        assert_eq!(made.headers()["content-length"], "0");
        let made = request(&head("/", b"app.example", &fields), BodyFraming::Chunked);
        assert!(!made.headers().contains_key("content-length"));
    }

    #[test]
    fn a_host_that_is_no_authority_goes_as_a_field() {
        let fields = HeaderMap::new();
        let made = request(&head("/x", b"a b", &fields), BodyFraming::None);
        assert_eq!((made.uri().to_string(), made.version()), ("/x".into(), Version::HTTP_11));
        assert_eq!(made.headers()["host"], "a b");
    }

    #[test]
    fn the_end_of_a_response_follows_its_head() {
        let read = |status: u16, lengths: &[&'static str], ended, to_head| {
            let mut made = Response::new(());
            *made.status_mut() = StatusCode::from_u16(status).unwrap();
            for length in lengths {
                made.headers_mut().append(CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            response(made, ended, to_head).map(|head| head.framing)
        };
        for (status, lengths, ended, to_head, framing) in [
            (200, &["5"][..], false, false, Framing::Length(5)),
            (200, &["5", "5"], false, false, Framing::Length(5)),
            (200, &[], false, false, Framing::Chunked),
            (200, &[], true, false, Framing::Empty),
            (200, &["5"], true, true, Framing::Empty),
            (204, &[], false, false, Framing::Empty),
            (304, &["5"], true, false, Framing::Empty),
        ] {
            assert_eq!(read(status, lengths, ended, to_head).unwrap(), framing, "{status} {lengths:?}");
        }
        for lengths in [&["5", "6"][..], &["+5"], &["5, 5"]] {
            assert!(read(200, lengths, false, false).is_err(), "{lengths:?}");
        }
    }

    #[test]
    fn trailers_say_nothing_that_only_the_router_may_say() {
        let mut fields = HeaderMap::new();
        for (name, value) in [("x-sum", "1"), ("x-sum", "2"), ("x-forwarded-for", "6.6.6.6"), ("x-end", "3")] {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let kept = trailers(fields);
        assert_eq!(kept.get_all("x-sum").iter().count(), 2);
        assert_eq!((kept.len(), &kept["x-end"]), (3, &HeaderValue::from_static("3")));
    }
}
