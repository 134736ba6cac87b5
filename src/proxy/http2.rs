//! What HTTP/2 says otherwise than HTTP/1, on the way in.
//!
//! The library refuses malformed messages itself, by a reset: fields about the connection, a `TE` other than
//! `trailers`, pseudo-fields that are missing, twice or out of place, bytes that no field may hold, a body that is not
//! as long as announced. What is left has two readings only once it is translated.

use http::{
    HeaderValue, Method,
    header::{COOKIE, HOST},
    request::Parts,
};

use super::admit::Refused;

/// Lets a request pass that can be said in HTTP/1 without a change of meaning, and joins its cookies.
///
/// # Errors
/// A `Host` beside another `:authority` (RFC 9113 section 8.3.1), or CONNECT.
pub fn admit(request: &mut Parts) -> Result<(), Refused> {
    if request.method == Method::CONNECT {
        return Err(Refused::Malformed);
    }
    if let (Some(authority), Some(host)) = (request.uri.authority(), request.headers.get(HOST))
        && !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
    {
        return Err(Refused::Malformed);
    }
    join_cookies(request);
    Ok(())
}

/// A client may send each cookie in a field of its own, which saves room; apps know one field only (RFC 9113 section
/// 8.2.3).
fn join_cookies(request: &mut Parts) {
    let mut cookies = request.headers.get_all(COOKIE).iter();
    let (Some(first), Some(_)) = (cookies.next(), cookies.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for cookie in request.headers.get_all(COOKIE).iter().skip(1) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        request.headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
        let request = http::Request::builder().method(method).uri(uri).version(http::Version::HTTP_2);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_host_beside_the_authority_is_the_same() {
        for (uri, fields, verdict) in [
            ("https://a.example/", &[][..], Ok(())),
            ("https://a.example/", &[("host", "A.example")], Ok(())),
            ("/", &[("host", "a.example")], Ok(())),
            ("https://a.example/", &[("host", "b.example")], Err(Refused::Malformed)),
            ("https://a.example/", &[("host", "a.example:443")], Err(Refused::Malformed)),
            ("https://a.example/", &[("host", "")], Err(Refused::Malformed)),
        ] {
            assert_eq!(admit(&mut request("GET", uri, fields)), verdict, "{uri} {fields:?}");
        }
        assert_eq!(admit(&mut request("CONNECT", "https://a.example/", &[])), Err(Refused::Malformed));
    }

    #[test]
    fn cookies_are_joined() {
        for (cookies, joined) in
            [(&[][..], None), (&["a=b"], Some("a=b")), (&["a=b", "c=d", "e=f; g=h"], Some("a=b; c=d; e=f; g=h"))]
        {
            let fields: Vec<_> = cookies.iter().map(|cookie| ("cookie", *cookie)).collect();
            let mut request = request("GET", "/", &fields);
            admit(&mut request).unwrap();
            let got: Vec<_> = request.headers.get_all(COOKIE).iter().collect();
            assert_eq!(got, joined.into_iter().collect::<Vec<_>>());
        }
    }
}
