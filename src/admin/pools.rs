//! `/pools` and `/why`: the table for operators, beside Gorouter's `/routes`. docs/admin.md describes both.
//!
//! Questions only: no request changes anything, whatever its method. Long pages are written on a thread of their own,
//! as fast as the client takes them.

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use http::{StatusCode, request};

use super::{
    server::{self, Page},
    view::{self, Rules, View},
};
use crate::{
    bus::Clock,
    table::{Table, survey::Filter},
};

/// Longest URL or host that is asked for.
const LONGEST: usize = 8 * 1024;

/// What the pages are made from.
#[derive(Clone)]
pub struct Sources {
    /// The table.
    pub table: Arc<Table>,
    /// The origin of its moments.
    pub clock: Clock,
    /// What else the request path goes by.
    pub rules: Arc<Rules>,
}

impl Sources {
    fn view(&self) -> View<'_> {
        View { table: &self.table, rules: &self.rules, now: (self.clock)(), clock: SystemTime::now() }
    }
}

/// The page `/pools`, of all routes or with `host=` those of a host.
pub(super) fn pools(sources: &Sources, request: &request::Parts) -> Page {
    let filter = match asked(request, "host") {
        Ok(None) => None,
        Ok(Some(text)) => match Filter::parse(&text) {
            Some(filter) => Some(filter),
            None => return refused("host: names no host"),
        },
        Err(why) => return refused(why),
    };
    let sources = sources.clone();
    server::streamed("application/json", move |take| sources.view().pools(filter.as_ref(), take))
}

/// The page `/why`, with `url=`.
pub(super) async fn why(sources: &Sources, request: &request::Parts) -> Page {
    let url = match asked(request, "url") {
        Ok(Some(url)) => url,
        Ok(None) => return refused("url: is missing"),
        Err(why) => return refused(why),
    };
    let (host, path) = match target(&url) {
        Ok((host, path)) => (host.to_owned(), path.to_owned()),
        Err(why) => return refused(why),
    };
    let sources = sources.clone();
    server::made("application/json", move || view::json(&sources.view().why(&host, &path)) + "\n").await
}

/// The host and the path that a request for `url` carries; the scheme may be missing.
fn target(url: &str) -> Result<(&str, &str), &'static str> {
    let rest = match url.split_once("://") {
        Some((scheme, rest))
            if ["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) =>
        {
            rest
        }
        Some((scheme, _)) if !scheme.contains(['/', '?', '#']) => {
            return Err("url: the scheme is neither http nor https");
        }
        _ => url,
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.contains('@') {
        return Err("url: leave out the user");
    }
    if host.split(':').next().unwrap_or_default().is_empty() {
        return Err("url: names no host");
    }
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("url: a request cannot hold spaces, control characters or letters beyond ASCII; write them as %XX");
    }
    Ok((host, path))
}

/// The value of the request's parameter `name`.
fn asked(request: &request::Parts, name: &str) -> Result<Option<String>, &'static str> {
    let query = request.uri.query().unwrap_or_default();
    let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    let Some((_, value)) = found.filter(|(_, value)| !value.is_empty()) else { return Ok(None) };
    if value.len() > LONGEST {
        return Err("the question is too long");
    }
    String::from_utf8(decoded(value).into_owned()).map(Some).map_err(|_| "the question is not UTF-8")
}

/// Percent-decoding; what is no escape stands for itself.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = if *first == b'%' { behind.split_at_checked(2) } else { None };
        let escaped = digits.and_then(|(two, after)| {
            let two = str::from_utf8(two).ok().filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            Some((u8::from_str_radix(two, 16).ok()?, after))
        });
        let (byte, after) = escaped.unwrap_or((*first, behind));
        bytes.push(byte);
        rest = after;
    }
    Cow::Owned(bytes)
}

fn refused(why: &'static str) -> Page {
    server::error(StatusCode::BAD_REQUEST, format!("{why}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_into_host_and_path() {
        for (url, wanted) in [
            ("https://A.example:8443/x/y?q=secret#z", Ok(("A.example:8443", "/x/y"))),
            ("a.example", Ok(("a.example", ""))),
            ("a.example/x", Ok(("a.example", "/x"))),
            ("a.example?u=http://b", Ok(("a.example", ""))),
            ("a.example/x?u=ftp://b", Ok(("a.example", "/x"))),
            ("WSS://a.example/", Ok(("a.example", "/"))),
            ("ftp://a.example", Err("url: the scheme is neither http nor https")),
            ("https://me:pw@a.example/", Err("url: leave out the user")),
            ("https:///x", Err("url: names no host")),
            (":80/x", Err("url: names no host")),
            ("", Err("url: names no host")),
        ] {
            assert_eq!(target(url), wanted, "{url}");
        }
        assert!(target("a.example/a b").is_err() && target("a.example/\u{e9}").is_err());
    }

    #[test]
    fn parameters_are_found_and_decoded() {
        let request = |query: &str| http::Request::get(format!("/why?{query}")).body(()).unwrap().into_parts().0;
        for (query, wanted) in [
            ("url=a.example%2Fb%3Fc", Ok(Some("a.example/b?c"))),
            ("x=1&url=a", Ok(Some("a"))),
            ("url=", Ok(None)),
            ("urls=a", Ok(None)),
            ("url=100%", Ok(Some("100%"))),
            ("url=%zz%4", Ok(Some("%zz%4"))),
            ("url=%ff", Err("the question is not UTF-8")),
        ] {
            let found = asked(&request(query), "url");
            assert_eq!(found.as_ref().map(Option::as_deref).map_err(|why| *why), wanted, "{query}");
        }
    }
}
