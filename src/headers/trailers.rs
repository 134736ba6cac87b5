//! Which fields may stand behind a request's body.
//!
//! Many apps merge trailers into the head they have long acted upon, or read them in its place. What says where a
//! message ends, whom it is for, who sent it or how it is to be read must stand in the head, where it was judged
//! (RFC 9110 section 6.5.1).

use super::hop_by_hop::is_ours;

/// Prefixes of names by which routers and load balancers tell an app who its client is.
const TOLD_BY_ROUTERS: [&str; 5] = ["x-forwarded-", "x-cf-", "x-vcap-", "x-b3-", "x-real-"];

/// Whether an endpoint may be sent the field, its name in lower case, as a trailer.
#[must_use]
pub fn may_trail(name: &str) -> bool {
    let of_the_head = matches!(
        name,
        "authorization"
            | "b3"
            | "cache-control"
            | "content-encoding"
            | "content-range"
            | "content-type"
            | "cookie"
            | "expect"
            | "forwarded"
            | "max-forwards"
            | "origin"
            | "range"
            | "set-cookie"
            | "traceparent"
            | "tracestate"
            | "trailer"
    );
    !of_the_head && !is_ours(name) && !TOLD_BY_ROUTERS.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_nothing_about_the_message_may_trail() {
        for name in ["x-checksum", "digest", "etag", "server-timing", "grpc-status", "x-t"] {
            assert!(may_trail(name), "{name}");
        }
        for name in ["host", "content-length", "x-forwarded-client-cert", "x-cf-anything", "cookie", "expect", "te"] {
            assert!(!may_trail(name), "{name}");
        }
    }
}
