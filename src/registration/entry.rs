//! An entry of the Routing API as a [`Registration`] of a plain endpoint.
//!
//! Source: gorouter.md section 12: the app's id is the entry's `log_guid`, its age when stale is `ttl`.

use std::sync::Arc;

use serde::Deserialize;

use super::{MAX_MESSAGE, Registration, Rejected, check_text};
use crate::route::endpoint::ModificationTag;

#[derive(Deserialize)]
struct Entry {
    route: Option<String>,
    port: Option<u16>,
    ip: Option<String>,
    /// Seconds.
    ttl: Option<i64>,
    log_guid: Option<String>,
    route_service_url: Option<String>,
    modification_tag: Option<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    guid: Option<String>,
    index: Option<u32>,
}

/// Parses one entry, an object in JSON. Null and absent mean empty; unknown keys are skipped.
///
/// # Errors
///
/// When anything in it has another type, or is not as a message on the bus would have to be.
pub fn parse(bytes: &[u8]) -> Result<Registration, Rejected> {
    if bytes.len() > MAX_MESSAGE {
        return Err(Rejected::TooLarge(bytes.len()));
    }
    let entry: Entry = serde_json::from_slice(bytes)?;
    let tag = entry.modification_tag.and_then(|tag| {
        let guid = tag.guid.filter(|guid| !guid.is_empty())?;
        Some(ModificationTag { guid: guid.into(), index: tag.index.unwrap_or(0) })
    });
    check_text("modification_tag", tag.as_ref().map_or("", |tag| &tag.guid), true)?;
    let registration = Registration {
        host: entry.ip.unwrap_or_default(),
        port: entry.port.unwrap_or(0),
        uris: vec![entry.route.unwrap_or_default()],
        app: entry.log_guid.unwrap_or_default(),
        route_service_url: entry.route_service_url.unwrap_or_default(),
        stale_threshold_in_seconds: entry.ttl.unwrap_or(0),
        modification_tag: tag.map(Arc::new),
        ..Registration::default()
    };
    registration.check()?;
    Ok(registration)
}

/// What an entry is about: the life of one endpoint in one route.
pub type Life = (Vec<String>, String, u16, Option<Box<str>>);

/// What the entry that gave `registration` is about.
#[must_use]
pub fn life(registration: &Registration) -> Life {
    let Registration { uris, host, port, modification_tag, .. } = registration;
    (uris.clone(), host.clone(), *port, modification_tag.as_ref().map(|tag| tag.guid.clone()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_becomes_a_plain_endpoint() {
        let registration = parse(
            br#"{"route":"A.example/x","port":8080,"ip":"10.0.0.1","ttl":60,"log_guid":"app","more":[1],
            "route_service_url":"https://rs.example","modification_tag":{"guid":"g","index":7}}"#,
        );
        let registration = registration.unwrap();
        let endpoint = registration.endpoint(None, true).unwrap();
        assert_eq!((endpoint.peer.address(), endpoint.peer.is_tls()), ("10.0.0.1:8080", false));
        assert_eq!((endpoint.app_id(), endpoint.route_service_url()), ("app", "https://rs.example"));
        assert_eq!(endpoint.stale_threshold(), Duration::from_secs(60));
        let tag = endpoint.modification_tag().unwrap();
        assert_eq!((&*tag.guid, tag.index), ("g", 7));
        let keys: Vec<_> = registration.uris().map(|uri| uri.unwrap().as_str().to_owned()).collect();
        assert_eq!(keys, ["a.example/x"]);
    }

    #[test]
    fn what_an_entry_does_not_say_is_empty() {
        for entry in [
            r#"{"ip":"10.0.0.1","port":1,"route":"a"}"#,
            r#"{"ip":"10.0.0.1","port":1,"route":"a","ttl":null,"log_guid":null,"modification_tag":null}"#,
            r#"{"ip":"10.0.0.1","port":1,"route":"a","modification_tag":{"guid":"","index":3}}"#,
        ] {
            let endpoint = parse(entry.as_bytes()).unwrap().endpoint(None, true).unwrap();
            assert_eq!((endpoint.app_id(), endpoint.stale_threshold()), ("", Duration::ZERO), "{entry}");
            assert_eq!(endpoint.modification_tag(), None, "{entry}");
        }
    }

    #[test]
    fn a_value_of_another_type_rejects_the_entry() {
        for entry in [
            "",
            "{",
            "1",
            "null",
            r#""a""#,
            r#"{"route":1}"#,
            r#"{"route":["a"]}"#,
            r#"{"port":"80"}"#,
            r#"{"port":65536}"#,
            r#"{"port":-1}"#,
            r#"{"ip":4}"#,
            r#"{"ttl":"60"}"#,
            r#"{"ttl":1.5}"#,
            r#"{"log_guid":{}}"#,
            r#"{"log_guid":"a\u000d\u000ab"}"#,
            r#"{"route_service_url":"http://rs.example"}"#,
            r#"{"modification_tag":"a"}"#,
            r#"{"modification_tag":{"guid":1}}"#,
            r#"{"modification_tag":{"guid":"a","index":-1}}"#,
            r#"{"modification_tag":{"guid":"a\u0000"}}"#,
            "{\"route\":\"\u{1}\"}",
        ] {
            assert!(parse(entry.as_bytes()).is_err(), "{entry}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
