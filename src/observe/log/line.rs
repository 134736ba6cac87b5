//! The bytes of a line.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::{Origin, Timestamps};
use crate::observe::stamp::Stamp;

/// Memory one thread uses again for every line.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    line: Vec<u8>,
    fields: Fields,
    stamp: Stamp,
}

/// How lines look.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    source: Arc<str>,
    timestamps: Timestamps,
}

impl Lines {
    pub(super) fn new(source: String, timestamps: Timestamps) -> Self {
        Self { source: source.into(), timestamps }
    }

    /// The line for `event`, in `buffers`.
    pub(super) fn event<'b>(&self, event: &Event<'_>, now: SystemTime, buffers: &'b mut Buffers) -> &'b [u8] {
        let Buffers { line, fields, stamp } = buffers;
        line.clear();
        fields.clear();
        event.record(fields);
        let origin = Origin::of(event.metadata().target());
        if origin == Origin::Foreign {
            // Without it nobody can tell which library speaks.
            fields.text("target", event.metadata().target());
        }
        self.head(level_number(*event.metadata().level()), now, stamp, line);
        line.extend_from_slice(&fields.message);
        line.extend_from_slice(b"\",\"source\":\"");
        escape(&self.source, line);
        if let Origin::Named(suffix) = origin {
            line.push(b'.');
            line.extend_from_slice(suffix.as_bytes());
        }
        line.push(b'"');
        if !fields.members.is_empty() {
            line.extend_from_slice(b",\"data\":{");
            line.extend_from_slice(&fields.members);
            line.push(b'}');
        }
        line.extend_from_slice(b"}\n");
        line
    }

    /// The line that tells of lost ones.
    pub(super) fn losses(&self, lines: u64, now: SystemTime, line: &mut Vec<u8>) {
        self.head(level_number(Level::WARN), now, &mut Stamp::default(), line);
        line.extend_from_slice(b"log-lines-dropped\",\"source\":\"");
        escape(&self.source, line);
        line.extend_from_slice(b"\",\"data\":{\"lines\":");
        number(lines, line);
        line.extend_from_slice(b"}}\n");
    }

    /// Everything up to the message's text.
    fn head(&self, level: u8, now: SystemTime, stamp: &mut Stamp, line: &mut Vec<u8>) {
        line.extend_from_slice(b"{\"log_level\":");
        number(level, line);
        line.extend_from_slice(b",\"timestamp\":");
        match self.timestamps {
            Timestamps::UnixEpoch => number(epoch_seconds(now), line),
            Timestamps::Rfc3339 => {
                line.push(b'"');
                stamp.write(now, line);
                line.push(b'"');
            }
        }
        line.extend_from_slice(b",\"message\":\"");
    }
}

pub(super) fn startup_failure(message: &str, error: &str, now: SystemTime) -> String {
    let mut line = b"{\"log_level\":3,\"timestamp\":".to_vec();
    number(epoch_seconds(now), &mut line);
    line.extend_from_slice(b",\"message\":\"");
    escape(message, &mut line);
    line.extend_from_slice(b"\",\"data\":{\"error\":\"");
    escape(error, &mut line);
    line.extend_from_slice(b"\"}}");
    // Only whole strings went in.
    String::from_utf8_lossy(&line).into_owned()
}

fn level_number(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 2,
        Level::INFO => 1,
        _ => 0,
    }
}

fn epoch_seconds(now: SystemTime) -> f64 {
    now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

fn number(value: impl fmt::Display, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    _ = write!(out, "{value}");
}

/// The fields of one event: the message's text and the members of `data`, both escaped already.
#[derive(Debug, Default)]
struct Fields {
    message: Vec<u8>,
    members: Vec<u8>,
}

impl Fields {
    fn clear(&mut self) {
        self.message.clear();
        self.members.clear();
    }

    /// Begins the member `name`; its value is to be appended.
    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.members.is_empty() {
            self.members.push(b',');
        }
        self.members.push(b'"');
        // A field named after a keyword is written r#type.
        escape(name.strip_prefix("r#").unwrap_or(name), &mut self.members);
        self.members.extend_from_slice(b"\":");
        &mut self.members
    }

    fn text(&mut self, name: &str, value: impl fmt::Display) {
        let members = self.member(name);
        members.push(b'"');
        // A value that fails to print leaves the part that it did print.
        _ = write!(Escaped(members), "{value}");
        members.push(b'"');
    }

    /// Takes the members of a JSON object over; anything else becomes the text of a member `data`.
    fn merge(&mut self, json: &str) {
        let object = serde_json::from_str::<&RawValue>(json).ok();
        let members = object.and_then(|object| object.get().strip_prefix('{')?.strip_suffix('}'));
        let Some(members) = members else { return self.text("data", json) };
        if members.trim().is_empty() {
            return;
        }
        if !self.members.is_empty() {
            self.members.push(b',');
        }
        // Between tokens a line end is only white space, but here it would end the line.
        self.members.extend(members.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => _ = write!(Escaped(&mut self.message), "{value:?}"),
            "data" => self.merge(&format!("{value:?}")),
            name => self.text(name, format_args!("{value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => escape(value, &mut self.message),
            "data" => self.merge(value),
            name => self.text(name, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let told = error.to_string();
            // Many libraries repeat their cause in their own text.
            if !text.ends_with(&told) {
                text.push_str(": ");
                text.push_str(&told);
            }
            cause = error.source();
        }
        self.record_str(field, &text);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        number(value, self.member(field.name()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        number(value, self.member(field.name()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        number(value, self.member(field.name()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        number(value, self.member(field.name()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        number(value, self.member(field.name()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let members = self.member(field.name());
        if value.is_finite() {
            number(value, members);
        } else {
            members.extend_from_slice(b"null");
        }
    }
}

/// Escapes what is written through it for the inside of a JSON string.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(text, self.0);
        Ok(())
    }
}

fn escape(text: &str, out: &mut Vec<u8>) {
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            // All of them, more than JSON asks for: a terminal that shows the log must not obey what came from the wire.
            control if control.is_control() => _ = write!(out, "\\u{:04x}", u32::from(control)),
            plain => out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}
