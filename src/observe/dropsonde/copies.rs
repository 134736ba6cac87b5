//! Lines of the access log as messages to the log of the app that they name.

use std::{sync::Arc, time::SystemTime};

use super::{
    ORIGIN,
    envelope::{Envelope, EventType, LogMessage, OUT},
    nanoseconds, tags,
};
use crate::{
    observe::access_log::{Entry, Fields, Formatter},
    route::endpoint::Endpoint,
};

/// Longest line that is sent as it is; a datagram holds 65507 bytes.
const LONGEST_LINE: usize = 65_400;
/// Of a longer line so much of the target is kept.
const LONGEST_URI: usize = 20_000;
/// And so much of each of these: Referer, User-Agent, X-Forwarded-For, X-Forwarded-Proto.
const LONGEST_FIELD: usize = 1000;
/// And so much of all request fields that are logged by name.
const LONGEST_HEADERS: usize = 20_000;

/// One worker's copying.
#[derive(Debug)]
pub(super) struct Copies {
    formatter: Formatter,
    /// For lines that are rebuilt, whose target has been redacted already.
    rebuilding: Formatter,
    fields: Arc<Fields>,
    index: String,
}

impl Copies {
    /// Lines that show what `fields` says, of router number `index`.
    pub(super) fn new(fields: &Fields, index: u64) -> Self {
        let (fields, plain) = (Arc::new(fields.clone()), Arc::new(fields.clone().with_whole_targets()));
        Self {
            formatter: Formatter::showing(Arc::clone(&fields)),
            rebuilding: Formatter::showing(plain),
            fields,
            index: index.to_string(),
        }
    }

    pub(super) fn envelope(&mut self, entry: &Entry<'_>, endpoint: &Endpoint, now: SystemTime) -> Envelope {
        let timestamp = nanoseconds(now);
        let line = LogMessage {
            message: self.line(entry),
            message_type: OUT,
            timestamp,
            app_id: Some(endpoint.app_id().to_owned()),
            source_type: Some("RTR".into()),
            source_instance: Some(self.index.clone()),
        };
        Envelope {
            origin: ORIGIN.to_owned(),
            event_type: EventType::LogMessage.into(),
            timestamp: Some(timestamp),
            log_message: Some(line),
            tags: tags(endpoint),
            ..Envelope::default()
        }
    }

    /// The line without its end.
    fn line(&mut self, entry: &Entry<'_>) -> Vec<u8> {
        let mut line = Vec::new();
        self.formatter.line(entry, &mut line);
        if line.len() > LONGEST_LINE {
            line.clear();
            self.rebuild(entry, &mut line);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        line
    }

    /// Writes the line again with what a client can make long cut short.
    fn rebuild(&mut self, entry: &Entry<'_>, line: &mut Vec<u8>) {
        let mut target = Vec::new();
        self.fields.show_target(entry.method, entry.target, |piece| target.extend_from_slice(piece));
        let short = Entry {
            target: &cut(&target, LONGEST_URI, "REQUEST-URI"),
            referer: &cut(entry.referer, LONGEST_FIELD, "REFERER"),
            user_agent: &cut(entry.user_agent, LONGEST_FIELD, "USER-AGENT"),
            x_forwarded_for: &cut(entry.x_forwarded_for, LONGEST_FIELD, "X-FORWARDED-FOR"),
            x_forwarded_proto: &cut(entry.x_forwarded_proto, LONGEST_FIELD, "X-FORWARDED-PROTO"),
            ..*entry
        };
        self.rebuilding.front(&short, line);
        let at = line.len();
        self.rebuilding.back(&short, line);
        if line.len() - at > LONGEST_HEADERS {
            let headers = cut(&line[at..], LONGEST_HEADERS, "EXTRA-REQUEST-HEADERS");
            line.truncate(at);
            line.extend_from_slice(&headers);
        }
        // Quoting makes up to four bytes of one: what is still too long is cut wherever that is.
        line.truncate(LONGEST_LINE);
    }
}

/// `value`, or so much of it as is kept, with a word at its end that tells so.
fn cut(value: &[u8], most: usize, name: &str) -> Vec<u8> {
    let mut kept = value[..value.len().min(most)].to_vec();
    if value.len() > most {
        kept.extend_from_slice(name.as_bytes());
        kept.extend_from_slice(b"-TOO-LONG-TO-LOG--TRUNCATED");
    }
    kept
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::observe::access_log::{Privacy, Redact, example};

    fn text(fields: &Fields, entry: &Entry<'_>) -> String {
        String::from_utf8(Copies::new(fields, 0).line(entry)).unwrap()
    }

    #[test]
    fn a_line_that_fits_is_the_access_logs() {
        let mut line = Vec::new();
        crate::observe::access_log::format(&example(), &mut line);
        assert_eq!(text(&Fields::default(), &example()) + "\n", String::from_utf8(line).unwrap());
    }

    #[test]
    fn a_line_that_is_too_long_is_built_again_with_what_is_long_cut_short() {
        let (target, field) = (format!("/{}", "u".repeat(30_000)), "f".repeat(15_000));
        let long = Entry {
            target: target.as_bytes(),
            referer: field.as_bytes(),
            user_agent: field.as_bytes(),
            x_forwarded_for: field.as_bytes(),
            x_forwarded_proto: b"https",
            ..example()
        };
        let line = text(&Fields::default(), &long);
        let words = |most, name| format!("{}{name}-TOO-LONG-TO-LOG--TRUNCATED", "f".repeat(most));
        let shown = format!("\"GET /{}REQUEST-URI-TOO-LONG-TO-LOG--TRUNCATED HTTP/1.1\" 200", "u".repeat(19_999));
        assert!(line.contains(&shown), "{line}");
        assert!(line.contains(&format!(" \"{}\" \"{}\" ", words(1000, "REFERER"), words(1000, "USER-AGENT"))));
        assert!(
            line.contains(&format!(
                " x_forwarded_for:\"{}\" x_forwarded_proto:\"https\"",
                words(1000, "X-FORWARDED-FOR")
            ))
        );
        assert!(line.ends_with(" x_cf_routererror:\"-\""), "{}", &line[line.len() - 100..]);
    }

    #[test]
    fn request_fields_are_cut_together() {
        let mut headers = HeaderMap::new();
        for name in ["x-a", "x-b"] {
            headers.insert(name, HeaderValue::from_str(&"v".repeat(40_000)).unwrap());
        }
        let fields = Fields::default().and_headers(["X-A", "X-B"]);
        let line = text(&fields, &Entry { headers: &headers, ..example() });
        let kept = format!(" x_a:\"{}EXTRA-REQUEST-HEADERS-TOO-LONG-TO-LOG--TRUNCATED", "v".repeat(20_000 - 6));
        assert!(line.ends_with(&kept), "{}", &line[line.len() - 100..]);
    }

    #[test]
    fn a_rebuilt_line_hides_what_is_to_be_hidden() {
        let query = "/a?".to_owned() + &"q".repeat(30_000);
        let field = "f".repeat(70_000);
        let long = Entry { target: query.as_bytes(), user_agent: field.as_bytes(), ..example() };
        let hidden = |redact| {
            let privacy = Privacy { redact, hides_source: true, hides_forwarded_for: true };
            text(&Fields::new(privacy), &long)
        };
        let (all, hash) = (hidden(Redact::All), hidden(Redact::Hash));
        assert!(all.contains("\"GET /a HTTP/1.1\"") && all.contains(" x_forwarded_for:\"-\""), "{all}");
        let mut line = Vec::new();
        Formatter::showing(Arc::new(Fields::new(Privacy { redact: Redact::Hash, ..Privacy::default() })))
            .line(&Entry { target: query.as_bytes(), ..example() }, &mut line);
        let usual = String::from_utf8(line).unwrap();
        let target = usual.split(' ').nth(4).unwrap();
        assert!(target.starts_with("/a?hash=") && hash.contains(&format!("\"GET {target} HTTP/1.1\"")), "{hash}");
    }

    #[test]
    fn whatever_it_is_made_of_it_fits_a_datagram() {
        let field = vec![0; 70_000];
        let long = Entry { target: &field, user_agent: &field, referer: &field, router_error: &field, ..example() };
        assert_eq!(Copies::new(&Fields::default(), 0).line(&long).len(), LONGEST_LINE);
    }
}
