//! HTTP messages with what changes from run to run replaced, so that they can be compared whole.
//!
//! `<date>`, `<uuid>`, `<ms>` and `<port>` stand for values. Fields are sorted: their order is no part of the contract.

use std::fmt;

/// A head and what follows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) start: String,
    pub(crate) fields: Vec<String>,
    pub(crate) body: String,
}

impl Message {
    /// Takes a message apart. Bytes without an empty line are all start.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut fields: Vec<String> = lines.map(steady).collect();
        fields.sort();
        Self { start, fields, body: body.to_owned() }
    }

    fn of(start: &str, usual: &[&str], fields: &[&str], body: &str) -> Self {
        let named = |line: &&&str| fields.iter().any(|other| name(other) == name(line));
        let kept = usual.iter().filter(|line| !named(line)).chain(fields.iter().filter(|line| !line.starts_with('!')));
        let mut fields: Vec<String> = kept.map(|line| (*line).to_owned()).collect();
        fields.sort();
        Self { start: start.to_owned(), fields, body: body.to_owned() }
    }
}

/// A request as an app gets it: what the router states, and `fields` beside or instead of that. `!Name` leaves a field
/// out.
pub(crate) fn told(start: &str, fields: &[&str], body: &str) -> Message {
    let usual = [
        "Host: app.example.com",
        "X-Cf-Applicationid: 0a1b2c3d-0000-4000-8000-000000000001",
        "X-Cf-Instanceid: 0a1b2c3d-0000-4000-8000-000000000005",
        "X-Cf-Instanceindex: 0",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Request-Start: <ms>",
        "X-Vcap-Request-Id: <uuid>",
        "Connection: close",
    ];
    Message::of(start, &usual, fields, body)
}

/// An app's answer as the client gets it, with the router's two fields.
pub(crate) fn answered(start: &str, fields: &[&str], body: &str) -> Message {
    Message::of(start, &["X-Vcap-Request-Id: <uuid>", "Date: <date>"], fields, body)
}

/// The answer to a request when the app says [`HELLO`].
pub(crate) fn hello() -> Message {
    answered("HTTP/1.1 200 OK", &["Content-Length: 5", "Content-Type: text/plain"], "hello")
}

/// What an app usually says.
pub(crate) const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello";

/// The router's own answer to a failed exchange.
pub(crate) fn failed(start: &str, error: &str, body: &str) -> Message {
    let (length, error) = (format!("Content-Length: {}", body.len()), format!("X-Cf-Routererror: {error}"));
    let fields =
        ["Content-Type: text/plain; charset=utf-8", "X-Content-Type-Options: nosniff", "Date: <date>", &length, &error];
    Message::of(start, &[], &fields, body)
}

/// The 502 of gorouter.md section 6.
pub(crate) fn bad_gateway(error: &str) -> Message {
    let body = "502 Bad Gateway: Registered endpoint failed to handle the request.\n";
    failed("HTTP/1.1 502 Bad Gateway", &format!("endpoint_failure ({error})"), body)
}

/// A request: a start line, its fields, with `Host: app.example.com` unless they name one, and a body as it is.
pub(crate) fn ask(start: &str, fields: &[&str], body: &str) -> String {
    let mut lines = vec![start];
    if !fields.iter().any(|line| name(line) == "host") {
        lines.push("Host: app.example.com");
    }
    lines.extend(fields.iter().filter(|line| !line.starts_with('!')));
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

fn name(line: &str) -> String {
    line.trim_start_matches('!').split(':').next().unwrap_or_default().to_ascii_lowercase()
}

fn steady(line: &str) -> String {
    let Some((field, value)) = line.split_once(": ") else { return line.to_owned() };
    match field {
        "Date" => "Date: <date>".to_owned(),
        "X-Vcap-Request-Id" if is_uuid(value) => "X-Vcap-Request-Id: <uuid>".to_owned(),
        "X-Request-Start" if value.len() == 13 && value.bytes().all(|b| b.is_ascii_digit()) => {
            "X-Request-Start: <ms>".to_owned()
        }
        "X-Cf-Routererror" => format!("{field}: {}", without_local_port(value)),
        _ => line.to_owned(),
    }
}

/// Whether this is the text of a random UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            14 => c == '4',
            _ => c.is_ascii_hexdigit() && !c.is_ascii_uppercase(),
        })
}

/// Replaces the port in `127.0.0.1:1234->`, which is the router's own.
pub(crate) fn without_local_port(text: &str) -> String {
    let Some((before, after)) = text.split_once("->") else { return text.to_owned() };
    let known = before.trim_end_matches(|c: char| c.is_ascii_digit());
    format!("{known}<port>->{after}")
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.start)?;
        for field in &self.fields {
            writeln!(f, "  {}", field.escape_default())?;
        }
        write!(f, "  [{}]", self.body.escape_default())
    }
}
