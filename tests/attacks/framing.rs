//! B3-1: lengths and codings that contradict each other, or that not everybody recognises.
//!
//! The corpus is the product of a spelling of `Transfer-Encoding`, where it stands, what `Content-Length` says beside
//! it, how lines end, and a body with a request hidden in it. Each is followed by an ordinary request on the same
//! connection.

use super::canary::{Canary, HOST, statuses};

/// What a spelling is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// The chunked coding.
    Chunked,
    /// Nothing that a router may guess about.
    Refused,
    /// A field of another name.
    Another,
}
use Reading::{Another, Chunked, Refused};

/// `~` stands for the line end.
const CODINGS: &[(&str, Reading)] = &[
    ("Transfer-Encoding: chunked", Chunked),
    ("transfer-encoding: chunked", Chunked),
    ("TRANSFER-ENCODING: CHUNKED", Chunked),
    ("tRANSFER-eNCODING: cHuNkEd", Chunked),
    ("Transfer-Encoding:chunked", Chunked),
    ("Transfer-Encoding:\tchunked", Chunked),
    ("Transfer-Encoding:    chunked", Chunked),
    ("Transfer-Encoding: chunked  ", Chunked),
    ("Transfer-Encoding: chunked\t", Chunked),
    ("X: y\nTransfer-Encoding: chunked", Chunked),
    ("Connection: Transfer-Encoding~Transfer-Encoding: chunked", Chunked),
    ("Connection: keep-alive, transfer-encoding~Transfer-Encoding: chunked", Chunked),
    ("Transfer-Encoding : chunked", Refused),
    ("Transfer-Encoding\t: chunked", Refused),
    (" Transfer-Encoding: chunked", Refused),
    ("\tTransfer-Encoding: chunked", Refused),
    ("X: y~ Transfer-Encoding: chunked", Refused),
    ("Transfer-Encoding:~ chunked", Refused),
    ("Transfer-Encoding:~\tchunked", Refused),
    ("Transfer-Encoding~: chunked", Refused),
    ("Transfer-Encoding: chunked~ , identity", Refused),
    ("Transfer-Encoding:", Refused),
    ("Transfer-Encoding: ,", Refused),
    ("Transfer-Encoding: xchunked", Refused),
    ("Transfer-Encoding: chunkedx", Refused),
    ("Transfer-Encoding: chunk", Refused),
    ("Transfer-Encoding: x chunked", Refused),
    ("Transfer-Encoding: chunked x", Refused),
    ("Transfer-Encoding: chunked;q=1", Refused),
    ("Transfer-Encoding: chunked;", Refused),
    ("Transfer-Encoding: chunked,", Refused),
    ("Transfer-Encoding: ,chunked", Refused),
    ("Transfer-Encoding: chunked, chunked", Refused),
    ("Transfer-Encoding: chunked, identity", Refused),
    ("Transfer-Encoding: identity, chunked", Refused),
    ("Transfer-Encoding: identity", Refused),
    ("Transfer-Encoding: gzip", Refused),
    ("Transfer-Encoding: gzip, chunked", Refused),
    ("Transfer-Encoding: chunked, gzip", Refused),
    ("Transfer-Encoding: \"chunked\"", Refused),
    ("Transfer-Encoding: 'chunked'", Refused),
    ("Transfer-Encoding: [chunked]", Refused),
    ("Transfer-Encoding: {chunked}", Refused),
    ("Transfer-Encoding: chunked#", Refused),
    ("Transfer-Encoding: \u{b}chunked", Refused),
    ("Transfer-Encoding: chunked\u{b}", Refused),
    ("Transfer-Encoding: chunked\u{c}", Refused),
    ("Transfer-Encoding: \0chunked", Refused),
    ("Transfer-Encoding: chunked\0", Refused),
    ("Transfer-Encoding: chunked\u{7f}", Refused),
    ("Transfer-Encoding: chunked\u{a0}", Refused),
    ("Transfer-Encoding: \u{feff}chunked", Refused),
    ("Transfer-Encoding: chun\u{212a}ed", Refused),
    ("Transfer-Encoding: chun\rked", Refused),
    ("Transfer-Encoding: chunked\r ", Refused),
    ("Transfer-Encoding: \rchunked", Refused),
    ("X: y\rTransfer-Encoding: chunked", Refused),
    ("X: y\r\rTransfer-Encoding: chunked", Refused),
    ("Transfer-Encoding: chunked~Transfer-Encoding: chunked", Refused),
    ("Transfer-Encoding: chunked~Transfer-Encoding: identity", Refused),
    ("Transfer-Encoding: identity~Transfer-Encoding: chunked", Refused),
    ("Transfer-Encoding: chunked~transfer-encoding: cow", Refused),
    ("Transfer-Encoding:~Transfer-Encoding: chunked", Refused),
    ("Transfer-Encoding: chunked~Transfer-Encoding:", Refused),
    ("Transfer-Encoding\0: chunked", Refused),
    ("Transfer-Encoding\u{a0}: chunked", Refused),
    ("\u{b}Transfer-Encoding: chunked", Refused),
    ("Transfer Encoding: chunked", Refused),
    ("Transfer-Encoding; chunked", Refused),
    ("Transfer-Encoding = chunked", Refused),
    ("Transfer-Encoding", Refused),
    (": chunked", Refused),
    ("Transfer_Encoding: chunked", Another),
    ("Transfer-Encodin: chunked", Another),
    ("X-Transfer-Encoding: chunked", Another),
    ("TransferEncoding: chunked", Another),
    ("Content-Encoding: chunked", Another),
    ("TE: chunked", Another),
];

/// Where the coding stands among the fields.
#[derive(Clone, Copy, Debug)]
enum Place {
    First,
    Middle,
    Last,
}

/// What the body is to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hidden {
    /// After the last chunk, before the end of the length.
    AfterChunks,
    /// In a chunk, after the end of the length.
    InChunk,
}

/// What `Content-Length` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    None,
    /// All of the body.
    Whole,
    /// Up to the hidden request.
    Short,
    Zero,
    /// First one, then the other.
    Both,
}

/// One request of the corpus.
struct Variant {
    name: String,
    bytes: Vec<u8>,
    reading: Reading,
    length: Length,
    /// The body's bytes as the two framings see it.
    as_chunks: Vec<u8>,
    as_length: Vec<u8>,
}

fn variant(number: usize, coding: (&str, Reading), place: Place, length: Length, hidden: Hidden, end: &str) -> Variant {
    let inner = format!("GET /smuggled{number} HTTP/1.1\r\nHost: {HOST}\r\nX: x\r\n\r\n");
    let (body, short, in_chunks) = match hidden {
        Hidden::AfterChunks => (format!("0\r\n\r\n{inner}"), 5, String::new()),
        Hidden::InChunk => {
            let line = format!("{:x}\r\n", inner.len());
            (format!("{line}{inner}\r\n0\r\n\r\n"), line.len(), inner)
        }
    };
    let whole = body.len();
    let lengths = match length {
        Length::None => vec![],
        Length::Whole => vec![format!("Content-Length: {whole}")],
        Length::Short => vec![format!("Content-Length: {short}")],
        Length::Zero => vec!["Content-Length: 0".to_owned()],
        Length::Both => vec![format!("Content-Length: {short}"), format!("Content-Length: {whole}")],
    };
    let coding_lines = coding.0.replace('~', end);
    let mut lines = vec![format!("Host: {HOST}")];
    lines.extend(lengths);
    match place {
        Place::First => lines.insert(0, coding_lines),
        Place::Middle => lines.insert(1, coding_lines),
        Place::Last => lines.push(coding_lines),
    }
    let head = format!("POST /v{number} HTTP/1.1{end}{}{end}{end}", lines.join(end));
    let next = format!("GET /next{number} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    Variant {
        name: format!("{coding:?}, {place:?}, {length:?}, {hidden:?}, line ends {end:?}"),
        bytes: format!("{head}{body}{next}").into_bytes(),
        reading: coding.1,
        length,
        as_chunks: in_chunks.into_bytes(),
        as_length: body.into_bytes(),
    }
}

impl Variant {
    /// The status codes of the answers, and what the canary gets: how many of the two requests, and the first one's
    /// body. None where the body itself reads as a request, so that nothing is hidden.
    fn expected(&self) -> Option<(Outcome, &[u8])> {
        Some(match (self.reading, self.length) {
            (Refused, _) | (Another, Length::Both) => (Outcome::Refused, b""),
            (Chunked, Length::None) if self.as_chunks.is_empty() => return None,
            (Chunked, Length::None) => (Outcome::BothPass, &self.as_chunks),
            // Two framings: the connection ends after the request, and with it whatever was to follow.
            (Chunked, _) => (Outcome::OnePasses, &self.as_chunks),
            (Another, Length::Whole) => (Outcome::BothPass, &self.as_length),
            (Another, Length::None | Length::Zero) => (Outcome::OnePassesThenRefused, b""),
            (Another, Length::Short) => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    OnePasses,
    OnePassesThenRefused,
    BothPass,
}

fn corpus() -> Vec<Variant> {
    let mut corpus = Vec::new();
    for coding in CODINGS {
        for place in [Place::First, Place::Middle, Place::Last] {
            for hidden in [Hidden::AfterChunks, Hidden::InChunk] {
                let lengths = match place {
                    Place::Middle => &[Length::None, Length::Whole, Length::Short, Length::Zero, Length::Both][..],
                    _ => &[Length::Whole, Length::Short],
                };
                for length in lengths {
                    for end in ["\r\n", "\n"] {
                        // Lines of a head may end in LF alone; that is told once per spelling.
                        if end == "\n" && !(matches!(place, Place::Middle) && *length == Length::Whole) {
                            continue;
                        }
                        let made = variant(corpus.len(), *coding, place, *length, hidden, end);
                        if made.expected().is_some() {
                            corpus.push(made);
                        }
                    }
                }
            }
        }
    }
    corpus
}

#[tokio::test]
async fn no_spelling_of_a_framing_hides_a_request() {
    let (canary, corpus) = (Canary::new().await, corpus());
    assert!(corpus.len() > 1000, "{}", corpus.len());
    let mut wrong = Vec::new();
    for variant in &corpus {
        let (outcome, _) = variant.expected().unwrap();
        let got = statuses(&canary.send(&variant.bytes).await);
        let right = match (outcome, &got[..]) {
            (Outcome::Refused, [refusal]) | (Outcome::OnePassesThenRefused, [200, refusal]) => {
                [400, 501].contains(refusal)
            }
            (Outcome::OnePasses, [200]) | (Outcome::BothPass, [200, 200]) => true,
            _ => false,
        };
        if !right {
            wrong.push(format!("{}: {outcome:?} became {got:?}", variant.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), corpus.len(), wrong.join("\n"));
    let got = canary.got().await;
    let mut targets: Vec<&str> = got.iter().map(|request| &*request.target).collect();
    let mut expected = Vec::new();
    for (number, variant) in corpus.iter().enumerate() {
        let (outcome, body) = variant.expected().unwrap();
        let first = format!("/v{number}");
        if outcome != Outcome::Refused {
            let request = got.iter().find(|request| request.target == first).unwrap();
            assert_eq!((request.complete, &*request.body), (true, body), "{}", variant.name);
            expected.push(first);
        }
        if outcome == Outcome::BothPass {
            expected.push(format!("/next{number}"));
        }
    }
    targets.sort_unstable();
    expected.sort_unstable();
    assert_eq!(targets, expected, "each request that was answered, once, and no other");
    canary.is_well("the corpus").await;
}
