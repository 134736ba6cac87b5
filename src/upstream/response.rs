//! The head of a response: parsed, and its framing decided once.
//!
//! What Gorouter lets through is let through, what it refuses is refused with the same words, because
//! operators search logs for them. Where two readings of a message's length are possible the response is
//! refused: the connection it came on could otherwise carry one app's bytes into another's answer.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, SET_COOKIE, TRANSFER_ENCODING, UPGRADE},
};

use crate::{
    failure::BadResponse,
    headers::hop_by_hop::{is_of_connection, tokens},
};

/// Header fields parsed without touching the heap, and the most that are accepted at all.
const FEW_FIELDS: usize = 64;
const MANY_FIELDS: usize = 4096;

/// A parsed head.
#[derive(Debug)]
pub struct Head {
    /// Status, 100 to 999.
    pub status: StatusCode,
    /// The fields that travel on: none that is about the connection, and a length only if it is true.
    pub headers: HeaderMap,
    /// How the body's end is found.
    pub framing: Framing,
    /// Whether the connection may carry another request afterwards.
    pub keep_alive: bool,
    /// The protocol of an `Upgrade` field.
    pub upgrade: Option<HeaderValue>,
    /// Whether `headers` has a `Set-Cookie`; noted here, so that nobody has to look for it in an answer without.
    pub sets_cookie: bool,
}

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// Exactly this many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Everything until the connection closes.
    UntilClose,
}

/// Where the head in `buffer` ends, searching from `*searched`, which is moved ahead so that a head that
/// trickles in is not searched from its start each time. Line ends may be CRLF or LF.
pub fn end_of_head(buffer: &[u8], searched: &mut usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    for at in memchr::memchr_iter(b'\n', &buffer[from..]) {
        match buffer[from + at + 1..] {
            [b'\n', ..] => return Some(from + at + 2),
            [b'\r', b'\n', ..] => return Some(from + at + 3),
            _ => {}
        }
    }
    *searched = buffer.len();
    None
}

/// Parses a complete head. `to_head` says that the request was HEAD, whose responses have no body.
///
/// # Errors
/// The response must not be forwarded, and its connection not used again.
pub fn parse(head: Bytes, to_head: bool) -> Result<Head, BadResponse> {
    let mut few = [const { MaybeUninit::uninit() }; FEW_FIELDS];
    match parse_with(&head, to_head, &mut few) {
        Err(ParseError::TooMany) => {
            let mut many = vec![MaybeUninit::uninit(); MANY_FIELDS];
            parse_with(&head, to_head, &mut many)
        }
        done => done,
    }
    .map_err(|error| match error {
        ParseError::TooMany => BadResponse::TooLarge(head.len()),
        ParseError::Syntax => explain(&head),
        ParseError::Refused(why) => why,
    })
}

enum ParseError {
    TooMany,
    Syntax,
    Refused(BadResponse),
}

fn parse_with<'h>(
    head: &'h Bytes,
    to_head: bool,
    fields: &mut [MaybeUninit<httparse::Header<'h>>],
) -> Result<Head, ParseError> {
    if matches!(head.first(), Some(b'\r' | b'\n')) {
        return Err(ParseError::Refused(BadResponse::StatusLine(String::new())));
    }
    let mut response = httparse::Response::new(&mut []);
    let mut parser = httparse::ParserConfig::default();
    parser
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    match parser.parse_response_with_uninit_headers(&mut response, head, fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(ParseError::TooMany),
        Ok(httparse::Status::Partial) | Err(_) => return Err(ParseError::Syntax),
    }
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(ParseError::Syntax)?;
    let http_11 = response.version == Some(1);
    let mut headers = HeaderMap::with_capacity(response.headers.len() + 2);
    let mut wire = Wire::default();
    for field in response.headers.iter() {
        let Ok(name) = HeaderName::from_bytes(field.name.as_bytes()) else { continue };
        let Some(value) = field_value(head, field.value) else { continue };
        if !wire.note(&name, &value) {
            headers.append(name, value);
        }
    }
    for name in &wire.named {
        headers.remove(name);
    }
    let framing = wire.framing(status, http_11, to_head, &mut headers).map_err(ParseError::Refused)?;
    let stays_open = if http_11 { !wire.close } else { wire.keep_alive };
    let keep_alive = framing != Framing::UntilClose && stays_open;
    Ok(Head { status, headers, framing, keep_alive, upgrade: wire.upgrade, sets_cookie: wire.sets_cookie })
}

/// The value as a slice of the head, or joined up where it was folded over lines (RFC 9112 section 5.2).
fn field_value(head: &Bytes, value: &[u8]) -> Option<HeaderValue> {
    if value.is_empty() {
        return Some(HeaderValue::from_static(""));
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(head.slice_ref(value)) {
        return Some(value);
    }
    let parts: Vec<&[u8]> = value
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .map(<[u8]>::trim_ascii)
        .filter(|part| !part.is_empty())
        .collect();
    HeaderValue::from_bytes(&parts.join(&b' ')).ok()
}

/// The fields of a head that are about this connection: they are read here and go no further.
#[derive(Default)]
struct Wire {
    codings: Vec<HeaderValue>,
    lengths: Vec<HeaderValue>,
    upgrade: Option<HeaderValue>,
    close: bool,
    keep_alive: bool,
    sets_cookie: bool,
    named: Vec<HeaderName>,
}

impl Wire {
    /// Takes a field in if it is about the connection.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> bool {
        if *name == CONTENT_LENGTH {
            self.lengths.push(value.clone());
        } else if *name == TRANSFER_ENCODING {
            self.codings.push(value.clone());
        } else if *name == CONNECTION {
            self.note_connection(value);
        } else if *name == UPGRADE {
            self.upgrade = Some(value.clone());
        } else if *name == SET_COOKIE {
            self.sets_cookie = true;
            return false;
        } else {
            return is_of_connection(name.as_str());
        }
        true
    }

    fn note_connection(&mut self, value: &HeaderValue) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case("close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case("keep-alive") {
                self.keep_alive = true;
            } else if let Ok(name) = HeaderName::from_bytes(token.as_bytes()) {
                self.named.push(name);
            }
        }
    }

    /// Decides how the body ends, and announces in `headers` only a length that is true of that decision.
    fn framing(
        &self,
        status: StatusCode,
        http_11: bool,
        to_head: bool,
        headers: &mut HeaderMap,
    ) -> Result<Framing, BadResponse> {
        let chunked = http_11 && self.chunked()?;
        let length = self.length()?;
        if self.codings.is_empty()
            && let (Some(_), Some(said)) = (length, self.lengths.first())
        {
            headers.insert(CONTENT_LENGTH, said.clone());
        }
        if to_head
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
        {
            return Ok(Framing::Empty);
        }
        Ok(match length {
            _ if chunked => Framing::Chunked,
            Some(0) => Framing::Empty,
            Some(length) if self.codings.is_empty() => Framing::Length(length),
            Some(_) | None => Framing::UntilClose,
        })
    }

    fn chunked(&self) -> Result<bool, BadResponse> {
        match &self.codings[..] {
            [] => Ok(false),
            [coding] if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
            [coding] => Err(BadResponse::Coding(lossy(coding))),
            codings => Err(BadResponse::Codings(codings.iter().map(lossy).collect())),
        }
    }

    fn length(&self) -> Result<Option<u64>, BadResponse> {
        let Some(first) = self.lengths.first() else { return Ok(None) };
        if self.lengths.iter().any(|other| other != first) {
            return Err(BadResponse::Lengths(self.lengths.iter().map(lossy).collect()));
        }
        decimal(first.as_bytes()).map(Some).ok_or_else(|| BadResponse::Length(lossy(first)))
    }
}

/// Digits only: a sign or white space is read differently by different parties.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// The value as text, for messages.
pub(super) fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Says what is wrong with a head that does not parse.
fn explain(head: &[u8]) -> BadResponse {
    let line_end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let line = String::from_utf8_lossy(head[..line_end].trim_ascii_end()).into_owned();
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next()) {
        (Some(version), Some(code)) if version.starts_with("HTTP/1.") => {
            if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit()) {
                let mut rest = head;
                rest.advance(line_end.min(head.len()));
                BadResponse::Field(String::from_utf8_lossy(rest.trim_ascii()).lines().next().unwrap_or_default().into())
            } else {
                BadResponse::StatusCode(code.into())
            }
        }
        _ => BadResponse::StatusLine(line),
    }
}

/// What a connection that ended inside a head says about it: nothing for an empty buffer.
#[must_use]
pub fn truncated(buffer: &BytesMut) -> Option<BadResponse> {
    let last = buffer.rsplit(|byte| *byte == b'\n').next()?;
    if buffer.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(last).into_owned();
    Some(if buffer.contains(&b'\n') { BadResponse::Truncated(text) } else { BadResponse::StatusLine(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Head, BadResponse> {
        parse(Bytes::copy_from_slice(text.as_bytes()), false)
    }

    #[test]
    fn framing_follows_the_head() {
        for (text, framing, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x, Close\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 5\r\n\r\n", Framing::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", Framing::Length(5), true),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::UntilClose, false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Framing::Empty, true),
            ("HTTP/1.1 304 Not Modified\r\n\r\n", Framing::Empty, true),
            ("HTTP/1.1 200 OK\nContent-Length: 1\n\n", Framing::Length(1), true),
        ] {
            let head = read(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{text:?}");
            assert!(!head.headers.contains_key(TRANSFER_ENCODING), "{text:?}");
        }
        assert_eq!(
            parse(Bytes::from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), true).unwrap().framing,
            Framing::Empty
        );
    }

    #[test]
    fn what_gorouter_refuses_is_refused_in_its_words() {
        for (text, words) in [
            ("nonsense\r\n\r\n", r#"malformed HTTP response "nonsense""#),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", r#"malformed HTTP response """#),
            ("HTTP/1.1 99 X\r\nContent-Length: 2\r\n\r\n", r#"malformed HTTP status code "99""#),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", r#"unsupported transfer encoding: "gzip""#),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
                r#"unsupported transfer encoding: "chunked, chunked""#,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                r#"too many transfer encodings: ["chunked" "chunked"]"#,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                r#"http: message cannot contain multiple Content-Length headers; got ["5" "6"]"#,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", r#"bad Content-Length "5, 5""#),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", r#"bad Content-Length "+5""#),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n", r#"bad Content-Length "x""#),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), words, "{text:?}");
        }
    }

    #[test]
    fn a_cookie_that_is_set_is_noted() {
        for (fields, noted) in
            [("", false), ("Cookie: a=b\r\n", false), ("SET-COOKIE: a=b\r\nset-cookie: c=d\r\n", true)]
        {
            let head = read(&format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n")).unwrap();
            assert_eq!((head.sets_cookie, head.headers.contains_key(SET_COOKIE)), (noted, noted), "{fields:?}");
        }
    }

    #[test]
    fn folded_values_are_joined_and_broken_names_dropped() {
        let head = read("HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nX B: 3\r\nContent-Length: 2\r\n\r\n").unwrap();
        assert_eq!(head.headers["x-a"], "1 2");
        assert_eq!(head.headers.len(), 2);
    }

    #[test]
    fn a_head_that_trickles_in_is_found_at_the_same_place() {
        for text in ["HTTP/1.1 200 OK\r\nA: b\r\n\r\nrest", "HTTP/1.1 200 OK\nA: b\n\nrest"] {
            let end = text.find("rest").unwrap();
            let mut searched = 0;
            for have in 0..end {
                assert_eq!(end_of_head(&text.as_bytes()[..have], &mut searched), None, "{have} of {text:?}");
            }
            assert_eq!(end_of_head(text.as_bytes(), &mut searched), Some(end));
        }
    }

    #[test]
    fn more_fields_than_the_quick_path_holds_are_fine() {
        let fields: String = (0..1000).map(|n| format!("X-{n}: v\r\n")).collect();
        assert_eq!(read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap().headers.len(), 1000);
    }

    #[test]
    fn a_head_cut_short_says_where() {
        let cut = |text: &str| truncated(&BytesMut::from(text)).map(|bad| bad.to_string());
        assert_eq!(cut(""), None);
        assert_eq!(
            cut("HTTP/1.1 200 OK\r\nContent-Le").unwrap(),
            r#"malformed MIME header: missing colon: "Content-Le""#
        );
    }
}
