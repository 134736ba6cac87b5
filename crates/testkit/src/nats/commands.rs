//! Lines from clients, parsed.

use std::io;

use serde_json::Value;

/// One command. The payload of a PUB follows its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Connect(Options),
    Ping,
    Pong,
    Publish { subject: String, reply: Option<String>, size: usize },
    Subscribe { subject: String, group: Option<String>, sid: String },
    Unsubscribe { sid: String, max: Option<u64> },
}

/// What CONNECT says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) verbose: bool,
    pub(super) echo: bool,
    pub(super) login: Option<(String, String)>,
}

/// Parses a line; `None` if it is no command. The verb's case doesn't matter.
pub(super) fn parse(line: &[u8]) -> Option<Command> {
    let line = std::str::from_utf8(line).ok()?.trim_end_matches(['\r', '\n']);
    let (verb, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    let owned = str::to_owned;
    match (verb.to_ascii_uppercase().as_str(), &words[..]) {
        ("PING", _) => Some(Command::Ping),
        ("PONG", _) => Some(Command::Pong),
        ("CONNECT", _) => Some(Command::Connect(options(rest)?)),
        ("PUB", [subject, size]) => {
            Some(Command::Publish { subject: owned(subject), reply: None, size: size.parse().ok()? })
        }
        ("PUB", [subject, reply, size]) => {
            Some(Command::Publish { subject: owned(subject), reply: Some(owned(reply)), size: size.parse().ok()? })
        }
        ("SUB", [subject, sid]) => Some(Command::Subscribe { subject: owned(subject), group: None, sid: owned(sid) }),
        ("SUB", [subject, group, sid]) => {
            Some(Command::Subscribe { subject: owned(subject), group: Some(owned(group)), sid: owned(sid) })
        }
        ("UNSUB", [sid]) => Some(Command::Unsubscribe { sid: owned(sid), max: None }),
        ("UNSUB", [sid, max]) => Some(Command::Unsubscribe { sid: owned(sid), max: Some(max.parse().ok()?) }),
        _ => None,
    }
}

fn options(json: &str) -> Option<Options> {
    let value: Value = serde_json::from_str(json).ok()?;
    let flag = |name: &str, default| value.get(name).and_then(Value::as_bool).unwrap_or(default);
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Options { verbose: flag("verbose", false), echo: flag("echo", true), login: text("user").zip(text("pass")) })
}

/// What the server says before it closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownOperation,
    Authorization,
    PayloadTooLarge,
    LineTooLong,
}

impl Refusal {
    pub(super) fn line(self) -> &'static [u8] {
        match self {
            Self::UnknownOperation => b"-ERR 'Unknown Protocol Operation'\r\n",
            Self::Authorization => b"-ERR 'Authorization Violation'\r\n",
            Self::PayloadTooLarge => b"-ERR 'Maximum Payload Violation'\r\n",
            Self::LineTooLong => b"-ERR 'Maximum Control Line Exceeded'\r\n",
        }
    }
}

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client left, or its connection broke.
    Left,
    /// The server threw it out.
    Refused(Refusal),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_parse_and_others_do_not() {
        let publish =
            |reply: Option<&str>| Command::Publish { subject: "a.b".into(), reply: reply.map(str::to_owned), size: 5 };
        let cases = [
            ("PING\r\n", Some(Command::Ping)),
            ("ping\r\n", Some(Command::Ping)),
            ("PUB a.b 5\r\n", Some(publish(None))),
            ("PUB a.b r 5\r\n", Some(publish(Some("r")))),
            ("PUB a.b\t5\r\n", Some(publish(None))),
            ("SUB a  7\r\n", Some(Command::Subscribe { subject: "a".into(), group: None, sid: "7".into() })),
            (
                "SUB a g 7\r\n",
                Some(Command::Subscribe { subject: "a".into(), group: Some("g".into()), sid: "7".into() }),
            ),
            ("UNSUB 7\r\n", Some(Command::Unsubscribe { sid: "7".into(), max: None })),
            ("UNSUB 7 3\r\n", Some(Command::Unsubscribe { sid: "7".into(), max: Some(3) })),
            ("PUB a.b five\r\n", None),
            ("PUB a.b\r\n", None),
            ("SUB a\r\n", None),
            ("GET / HTTP/1.1\r\n", None),
            ("CONNECT {\r\n", None),
            ("\r\n", None),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn connect_tells_its_options() {
        let Some(Command::Connect(options)) = parse(br#"CONNECT {"verbose":true,"user":"u","pass":"p","echo":false}"#)
        else {
            panic!("CONNECT parses")
        };
        let expected = Options { verbose: true, echo: false, login: Some(("u".into(), "p".into())) };
        assert_eq!(options, expected);
    }
}
