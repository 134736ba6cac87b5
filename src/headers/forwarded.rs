//! What endpoints are told about the client (gorouter.md section 7.4).

use http::{HeaderMap, HeaderValue};

/// What becomes of a client's `X-Forwarded-Proto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtoPolicy {
    /// It is kept; absent or empty, it is stated.
    #[default]
    Keep,
    /// It is stated whatever the client says (`sanitize_forwarded_proto`).
    Sanitize,
    /// It is `https` whatever the client says (`force_forwarded_proto_https`).
    ForceHttps,
}

/// `X-Forwarded-For` with the client's address at its end; several fields become one list. None where there
/// is no such field, so that the client's address is the whole list.
#[must_use]
pub fn forwarded_for(headers: &HeaderMap, client_ip: &str) -> Option<Vec<u8>> {
    let mut list = Vec::new();
    for value in headers.get_all("x-forwarded-for") {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        return None;
    }
    list.extend_from_slice(client_ip.as_bytes());
    Some(list)
}

/// `X-Forwarded-Proto`; none where the client's own word stands.
#[must_use]
pub fn forwarded_proto(said: Option<&HeaderValue>, policy: ProtoPolicy, client_tls: bool) -> Option<&'static str> {
    let truth = if client_tls { "https" } else { "http" };
    match policy {
        ProtoPolicy::ForceHttps => Some("https"),
        ProtoPolicy::Sanitize => Some(truth),
        ProtoPolicy::Keep => match said {
            Some(said) if !said.is_empty() => None,
            _ => Some(truth),
        },
    }
}

/// `X-Request-Start` as the client sent it.
#[must_use]
pub fn request_start(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get("x-request-start").map(HeaderValue::as_bytes).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_comes_last() {
        let mut headers = HeaderMap::new();
        assert_eq!(forwarded_for(&headers, "9.9.9.9"), None);
        headers.append("x-forwarded-for", HeaderValue::from_static("1.2.3.4"));
        assert_eq!(forwarded_for(&headers, "9.9.9.9").unwrap(), b"1.2.3.4, 9.9.9.9");
        headers.append("x-forwarded-for", HeaderValue::from_static("5.6.7.8"));
        assert_eq!(forwarded_for(&headers, "9.9.9.9").unwrap(), b"1.2.3.4, 5.6.7.8, 9.9.9.9");
    }

    #[test]
    fn the_scheme_follows_the_policy() {
        use ProtoPolicy::{ForceHttps, Keep, Sanitize};
        for (said, policy, tls, told) in [
            (None, Keep, false, Some("http")),
            (None, Keep, true, Some("https")),
            (Some(""), Keep, true, Some("https")),
            (Some("wss"), Keep, false, None),
            (Some("https"), Sanitize, false, Some("http")),
            (Some("http"), Sanitize, true, Some("https")),
            (Some("http"), ForceHttps, false, Some("https")),
        ] {
            let field = said.map(HeaderValue::from_static);
            assert_eq!(forwarded_proto(field.as_ref(), policy, tls), told, "{said:?} {policy:?} {tls}");
        }
    }
}
