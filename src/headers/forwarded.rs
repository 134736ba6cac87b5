//! What endpoints are told about the client (gorouter.md section 7.4).

use std::borrow::Cow;

use http::HeaderMap;

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

/// `X-Forwarded-For` with the client's address at its end; several fields become one list.
#[must_use]
pub fn forwarded_for<'a>(headers: &HeaderMap, client_ip: &'a str) -> Cow<'a, [u8]> {
    let mut list = Vec::new();
    for value in headers.get_all("x-forwarded-for") {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        return Cow::Borrowed(client_ip.as_bytes());
    }
    list.extend_from_slice(client_ip.as_bytes());
    Cow::Owned(list)
}

/// `X-Forwarded-Proto`.
#[must_use]
pub fn forwarded_proto(headers: &HeaderMap, policy: ProtoPolicy, client_tls: bool) -> &[u8] {
    let truth: &[u8] = if client_tls { b"https" } else { b"http" };
    match policy {
        ProtoPolicy::ForceHttps => b"https",
        ProtoPolicy::Sanitize => truth,
        ProtoPolicy::Keep => match headers.get("x-forwarded-proto") {
            Some(said) if !said.is_empty() => said.as_bytes(),
            _ => truth,
        },
    }
}

/// `X-Request-Start` as the client sent it.
#[must_use]
pub fn request_start(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get("x-request-start").map(http::HeaderValue::as_bytes).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_client_comes_last() {
        let mut headers = HeaderMap::new();
        assert_eq!(&*forwarded_for(&headers, "9.9.9.9"), b"9.9.9.9");
        headers.append("x-forwarded-for", HeaderValue::from_static("1.2.3.4"));
        assert_eq!(&*forwarded_for(&headers, "9.9.9.9"), b"1.2.3.4, 9.9.9.9");
        headers.append("x-forwarded-for", HeaderValue::from_static("5.6.7.8"));
        assert_eq!(&*forwarded_for(&headers, "9.9.9.9"), b"1.2.3.4, 5.6.7.8, 9.9.9.9");
    }

    #[test]
    fn the_scheme_follows_the_policy() {
        use ProtoPolicy::{ForceHttps, Keep, Sanitize};
        for (said, policy, tls, told) in [
            (None, Keep, false, "http"),
            (None, Keep, true, "https"),
            (Some(""), Keep, true, "https"),
            (Some("wss"), Keep, false, "wss"),
            (Some("https"), Sanitize, false, "http"),
            (Some("http"), Sanitize, true, "https"),
            (Some("http"), ForceHttps, false, "https"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert("x-forwarded-proto", HeaderValue::from_static(said));
            }
            assert_eq!(forwarded_proto(&headers, policy, tls), told.as_bytes(), "{said:?} {policy:?} {tls}");
        }
    }
}
