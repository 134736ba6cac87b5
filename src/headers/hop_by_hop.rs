//! Fields that belong to one connection and must not travel to the next (RFC 9110 section 7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE},
};

/// Whether the field is never copied from a client to an endpoint: because it is about the client's
/// connection, or because the router states it itself. A client that could set the latter could pose as
/// the router.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "transfer-encoding"
            | "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "upgrade"
            | "http2-settings"
            | "x-forwarded-for"
            | "x-forwarded-proto"
            | "x-request-start"
            | "x-vcap-request-id"
            | "x-cf-applicationid"
            | "x-cf-instanceid"
            | "x-cf-instanceindex"
            | "x-cf-app-instance"
    )
}

/// Whether a response's field is about the endpoint's connection only, or a route service's signature, which is
/// between it and the router. `Trailer` announces fields that do travel on, so it stays.
#[must_use]
pub fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "x-cf-proxy-signature"
    )
}

/// Removes the fields that the client's `Connection` names, except those that it must not, which say who the client is
/// and whose trace this is, and the `kept` ones, which the operator lists (`hop_by_hop_headers_to_filter`). What was
/// removed; of several fields with one name the first.
pub fn remove_named(headers: &mut HeaderMap, kept: &[HeaderName]) -> Vec<(HeaderName, HeaderValue)> {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter(|token| !token.eq_ignore_ascii_case("upgrade") && !token.eq_ignore_ascii_case("te"))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect();
    let mut removed = Vec::new();
    for name in named {
        if !is_protected(&name)
            && !kept.contains(&name)
            && let Some(value) = headers.remove(&name)
        {
            removed.push((name, value));
        }
    }
    removed
}

/// Whether no client may have the field removed. Some say where the request goes or where it ends: they are read after
/// the removal, and without them it would be read differently. Others tell the app or a tracing system what an earlier
/// hop said about the client, which the client must not be able to take back (engineering.md B3, 7). What the router
/// states itself needs no protection, since it is stated afterwards.
fn is_protected(name: &HeaderName) -> bool {
    if [CONNECTION, HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
        return true;
    }
    match name.as_str() {
        "x-forwarded-for" | "x-forwarded-proto" => false,
        "b3" | "traceparent" | "tracestate" | "forwarded" => true,
        name => ["x-forwarded-", "x-b3-", "x-cf-"].iter().any(|start| name.starts_with(start)),
    }
}

/// The items of a comma-separated list; none if it is not text.
pub fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|token| !token.is_empty())
}

/// The protocol that the client asks to switch to. An app that took up HTTP again, as `h2c` or by whatever name, would
/// get requests through the tunnel that no gate has seen, so that is never passed on.
#[must_use]
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let asked = headers.get_all(CONNECTION).iter().flat_map(tokens).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let names = || tokens(protocol).map(|token| token.split('/').next().unwrap_or(token).trim_end());
    let to_http = names().any(|name| ["h2c", "h2", "http"].iter().any(|http| name.eq_ignore_ascii_case(http)));
    (asked && !protocol.is_empty() && !to_http).then(|| protocol.clone())
}

/// Whether the client takes trailers, the one `TE` that a proxy passes on.
#[must_use]
pub fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().flat_map(tokens).any(|token| token.eq_ignore_ascii_case("trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(pair).collect()
    }

    #[test]
    fn named_fields_go_however_they_are_named() {
        for connection in ["x-foo, keep-alive", " X-FOO ", "a,,x-foo", "close, x-Foo"] {
            let mut map = headers(&[("x-foo", "1"), ("x-bar", "2")]);
            map.insert(CONNECTION, HeaderValue::from_static(connection));
            let removed = [(HeaderName::from_static("x-foo"), HeaderValue::from_static("1"))];
            assert_eq!(remove_named(&mut map, &[]), removed, "{connection}");
            assert!(!map.contains_key("x-foo"), "{connection}");
            assert_eq!(map["x-bar"], "2", "{connection}");
        }
        for kept in ["host", "content-length", "transfer-encoding"] {
            let mut map = headers(&[(kept, "1"), ("connection", kept)]);
            remove_named(&mut map, &[]);
            assert!(map.contains_key(kept), "{kept}");
        }
        let mut split = headers(&[("connection", ""), ("connection", "x-foo"), ("x-foo", "1")]);
        remove_named(&mut split, &[]);
        assert!(!split.contains_key("x-foo"));
    }

    #[test]
    fn what_earlier_hops_said_about_the_client_cannot_be_named_away() {
        for (name, goes) in [
            ("x-foo", true),
            ("authorization", true),
            ("cookie", true),
            ("x-forwarded-for", true),
            ("x-forwarded-proto", true),
            ("x-request-start", true),
            ("x-vcap-request-id", true),
            ("x-vcap-trace", true),
            ("x-forwarded-client-cert", false),
            ("x-forwarded-host", false),
            ("forwarded", false),
            ("b3", false),
            ("x-b3-traceid", false),
            ("x-b3-spanid", false),
            ("x-b3-sampled", false),
            ("traceparent", false),
            ("tracestate", false),
            ("x-cf-app-instance", false),
            ("x-cf-process-instance", false),
            ("x-cf-applicationid", false),
            ("x-cf-proxy-signature", false),
            ("x-cf-forwarded-url", false),
        ] {
            for connection in [vec![name.to_owned()], vec!["".into(), format!("close , {}", name.to_uppercase())]] {
                let mut map = headers(&[(name, "1")]);
                for value in &connection {
                    map.append(CONNECTION, HeaderValue::from_str(value).unwrap());
                }
                assert_eq!(!remove_named(&mut map.clone(), &[]).is_empty(), goes, "{connection:?}");
                let kept = [HeaderName::from_static(name)];
                assert!(
                    remove_named(&mut map, &kept).is_empty() && map.contains_key(name),
                    "{name} is kept when listed"
                );
            }
        }
    }

    #[test]
    fn an_upgrade_needs_both_fields() {
        assert!(upgrade(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])).is_some());
        assert!(upgrade(&headers(&[("upgrade", "websocket")])).is_none());
        assert!(upgrade(&headers(&[("connection", "Upgrade")])).is_none());
        for http in ["websocket, H2C", "h2c/1", "HTTP/2.0", "h2", "x,http"] {
            assert!(upgrade(&headers(&[("connection", "Upgrade"), ("upgrade", http)])).is_none(), "{http}");
        }
    }

    #[test]
    fn only_trailers_of_te_pass() {
        assert!(takes_trailers(&headers(&[("te", "gzip, Trailers")])));
        assert!(!takes_trailers(&headers(&[("te", "gzip")])));
    }
}
