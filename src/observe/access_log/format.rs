//! The bytes of a line.

use std::{sync::Arc, time::Duration};

use super::{Entry, Fields};
use crate::observe::stamp::Stamp;

/// Formats lines; allocates nothing but what the output needs to grow.
#[derive(Debug, Default)]
pub(in crate::observe) struct Formatter {
    stamp: Stamp,
    fields: Arc<Fields>,
}

impl Formatter {
    /// One whose lines show what `fields` says.
    pub(in crate::observe) fn showing(fields: Arc<Fields>) -> Self {
        Self { stamp: Stamp::default(), fields }
    }

    /// Appends the line, its end included.
    pub(in crate::observe) fn line(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.front(entry, out);
        self.back(entry, out);
    }

    /// Appends everything up to the router's error.
    pub(in crate::observe) fn front(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let privacy = self.fields.privacy();
        out.extend_from_slice(entry.host);
        out.extend_from_slice(b" - [");
        self.stamp.write(entry.received, out);
        out.extend_from_slice(b"] \"");
        quote(entry.method.as_bytes(), out);
        out.push(b' ');
        self.fields.show_target(entry.method, entry.target, |piece| quote(piece, out));
        out.push(b' ');
        quote(entry.protocol.as_bytes(), out);
        out.extend_from_slice(b"\" ");
        match entry.status {
            None | Some(0) => out.extend_from_slice(b"\"-\""),
            Some(status) => number(status.into(), out),
        }
        for bytes in [entry.request_bytes, entry.response_bytes] {
            out.push(b' ');
            number(bytes, out);
        }
        field(b" ", entry.referer, out);
        field(b" ", entry.user_agent, out);
        field(b" ", if privacy.hides_source { b"" } else { entry.remote_addr.as_bytes() }, out);
        field(b" ", entry.backend_addr.as_bytes(), out);
        field(b" x_forwarded_for:", if privacy.hides_forwarded_for { b"" } else { entry.x_forwarded_for }, out);
        field(b" x_forwarded_proto:", entry.x_forwarded_proto, out);
        field(b" vcap_request_id:", entry.request_id, out);
        seconds(b" response_time:", entry.response_time, out);
        seconds(b" gorouter_time:", entry.gorouter_time, out);
        field(b" app_id:", entry.app_id.as_bytes(), out);
        field(b" app_index:", entry.app_index.as_bytes(), out);
        field(b" instance_id:", entry.instance_id.as_bytes(), out);
        self.fields.write_extras(entry.cost, out);
        field(b" x_cf_routererror:", entry.router_error, out);
    }

    /// Appends the request fields that are logged by name, and the end.
    pub(in crate::observe) fn back(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.fields.write_headers(entry, out);
        if let Some(aborted) = entry.aborted {
            field(b" aborted:", aborted.word().as_bytes(), out);
        }
        out.push(b'\n');
    }
}

pub(super) fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(super) fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    if value.is_empty() {
        out.extend_from_slice(b"\"-\"");
        return;
    }
    out.push(b'"');
    quote(value, out);
    out.push(b'"');
}

/// Seconds with six decimals, rounded to the nearest microsecond.
pub(super) fn seconds(name: &[u8], value: Option<Duration>, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    let Some(value) = value else {
        out.extend_from_slice(b"\"-\"");
        return;
    };
    let rounded = value.saturating_add(Duration::from_nanos(500));
    number(rounded.as_secs(), out);
    let mut fraction = *b".000000";
    let mut micros = rounded.subsec_micros();
    for digit in fraction[1..].iter_mut().rev() {
        // A remainder of ten fits in a byte.
        *digit = b'0' + (micros % 10) as u8;
        micros /= 10;
    }
    out.extend_from_slice(&fraction);
}

/// Appends `text` with Go's escapes (`strconv.Quote`, without the quotes around it).
fn quote(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.iter().take_while(|byte| is_plain(**byte)).count();
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let Some(&byte) = rest.first() else { return };
        if byte.is_ascii() {
            escape_ascii(byte, out);
            rest = &rest[1..];
        } else {
            rest = quote_beyond_ascii(rest, out);
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn escape_ascii(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        0x07 => b'a',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x0b => b'v',
        _ => return escape_byte(byte, out),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

fn escape_byte(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

/// Appends everything up to the next ASCII byte; returns what is left.
fn quote_beyond_ascii<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let end = text.iter().position(u8::is_ascii).unwrap_or(text.len());
    let (beyond, rest) = text.split_at(end);
    for chunk in beyond.utf8_chunks() {
        for char in chunk.valid().chars() {
            if is_printable(char) {
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                escape_char(char, out);
            }
        }
        for &byte in chunk.invalid() {
            escape_byte(byte, out);
        }
    }
    rest
}

/// What both Go and Rust call printable: no control, format, unassigned or separator characters.
fn is_printable(char: char) -> bool {
    // The standard library tells only by escaping, and escapes a combining mark, which Go prints, only in front.
    let mut text = *b"a\0\0\0\0";
    let length = 1 + char.encode_utf8(&mut text[1..]).len();
    std::str::from_utf8(&text[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(char))
}

fn escape_char(char: char, out: &mut Vec<u8>) {
    let code = u32::from(char);
    let (letter, digits) = if code < 0x1_0000 { (b'u', 4) } else { (b'U', 8) };
    out.extend_from_slice(&[b'\\', letter]);
    for place in (0..digits).rev() {
        out.push(HEX[(code >> (4 * place) & 15) as usize]);
    }
}
