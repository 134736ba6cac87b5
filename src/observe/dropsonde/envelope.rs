//! The messages of dropsonde's protocol, version 1, as far as a router sends them: names, numbers and kinds of fields
//! are those of its public description (package `events`).

use std::collections::BTreeMap;

/// What one datagram holds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// Who sends it: `gorouter`.
    #[prost(string, required, tag = "1")]
    pub origin: String,
    /// Which of the messages below it holds.
    #[prost(enumeration = "EventType", required, tag = "2")]
    pub event_type: i32,
    /// Nanoseconds since the epoch.
    #[prost(int64, optional, tag = "6")]
    pub timestamp: Option<i64>,
    /// An exchange.
    #[prost(message, optional, tag = "7")]
    pub http_start_stop: Option<HttpStartStop>,
    /// A line of an app's log.
    #[prost(message, optional, tag = "8")]
    pub log_message: Option<LogMessage>,
    /// A figure.
    #[prost(message, optional, tag = "9")]
    pub value_metric: Option<ValueMetric>,
    /// What was counted since the last one.
    #[prost(message, optional, tag = "10")]
    pub counter_event: Option<CounterEvent>,
    /// The deployment; metron fills it in, and the three below.
    #[prost(string, optional, tag = "13")]
    pub deployment: Option<String>,
    /// The job.
    #[prost(string, optional, tag = "14")]
    pub job: Option<String>,
    /// The index of the job.
    #[prost(string, optional, tag = "15")]
    pub index: Option<String>,
    /// The address of the machine.
    #[prost(string, optional, tag = "16")]
    pub ip: Option<String>,
    /// Further facts.
    #[prost(btree_map = "string, string", tag = "17")]
    pub tags: BTreeMap<String, String>,
}

/// What an [`Envelope`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// [`HttpStartStop`].
    HttpStartStop = 4,
    /// [`LogMessage`].
    LogMessage = 5,
    /// [`ValueMetric`].
    ValueMetric = 6,
    /// [`CounterEvent`].
    CounterEvent = 7,
}

/// A figure at one moment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueMetric {
    /// Its name.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// The figure.
    #[prost(double, required, tag = "2")]
    pub value: f64,
    /// What it counts.
    #[prost(string, required, tag = "3")]
    pub unit: String,
}

/// How often something has happened.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CounterEvent {
    /// Its name.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// Since the last event of this name.
    #[prost(uint64, required, tag = "2")]
    pub delta: u64,
    /// Ever; metron adds the deltas up itself.
    #[prost(uint64, optional, tag = "3")]
    pub total: Option<u64>,
}

/// A line of an app's log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LogMessage {
    /// The line, without its end.
    #[prost(bytes = "vec", required, tag = "1")]
    pub message: Vec<u8>,
    /// [`OUT`] or 2 for errors.
    #[prost(int32, required, tag = "2")]
    pub message_type: i32,
    /// Nanoseconds since the epoch.
    #[prost(int64, required, tag = "3")]
    pub timestamp: i64,
    /// The app.
    #[prost(string, optional, tag = "4")]
    pub app_id: Option<String>,
    /// The kind of its sender: `RTR`.
    #[prost(string, optional, tag = "5")]
    pub source_type: Option<String>,
    /// Which one of its kind.
    #[prost(string, optional, tag = "6")]
    pub source_instance: Option<String>,
}

/// The kind of a [`LogMessage`] that is no error.
pub const OUT: i32 = 1;

/// One exchange, as one of its ends saw it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HttpStartStop {
    /// When the request was sent or received, nanoseconds since the epoch.
    #[prost(int64, required, tag = "1")]
    pub start_timestamp: i64,
    /// When the answer was received or sent.
    #[prost(int64, required, tag = "2")]
    pub stop_timestamp: i64,
    /// The request's id.
    #[prost(message, required, tag = "3")]
    pub request_id: Uuid,
    /// Which end this is.
    #[prost(enumeration = "PeerType", required, tag = "4")]
    pub peer_type: i32,
    /// The request's method, see [`method`].
    #[prost(int32, required, tag = "5")]
    pub method: i32,
    /// Where it went, without its query.
    #[prost(string, required, tag = "6")]
    pub uri: String,
    /// The other end's address.
    #[prost(string, required, tag = "7")]
    pub remote_address: String,
    /// User-Agent.
    #[prost(string, required, tag = "8")]
    pub user_agent: String,
    /// The answer's status; 0 if there was none.
    #[prost(int32, required, tag = "9")]
    pub status_code: i32,
    /// Bytes of the answer's body.
    #[prost(int64, required, tag = "10")]
    pub content_length: i64,
    /// The app.
    #[prost(message, optional, tag = "12")]
    pub application_id: Option<Uuid>,
    /// The index of its instance.
    #[prost(int32, optional, tag = "13")]
    pub instance_index: Option<i32>,
    /// Its instance.
    #[prost(string, optional, tag = "14")]
    pub instance_id: Option<String>,
    /// X-Forwarded-For, address by address.
    #[prost(string, repeated, tag = "15")]
    pub forwarded: Vec<String>,
}

/// An end of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum PeerType {
    /// Who asked.
    Client = 1,
    /// Who was asked.
    Server = 2,
}

/// 128 bits. The bytes are those of the UUID as it is written, the first eight in `low`, each half with its first byte
/// as the lowest.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Uuid {
    /// The first eight bytes.
    #[prost(uint64, required, tag = "1")]
    pub low: u64,
    /// The last eight.
    #[prost(uint64, required, tag = "2")]
    pub high: u64,
}

impl Uuid {
    /// Of its text; none if that is no UUID.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let number = uuid::Uuid::try_parse(text).ok()?.to_u128_le();
        // The low half of the little-endian number is the first eight bytes.
        Some(Self { low: number as u64, high: (number >> 64) as u64 })
    }
}

/// The protocol's number for a method; none for one that it does not know.
#[must_use]
pub fn method(name: &str) -> Option<i32> {
    const IN_ORDER: [&str; 44] = [
        "GET",
        "POST",
        "PUT",
        "DELETE",
        "HEAD",
        "ACL",
        "BASELINE-CONTROL",
        "BIND",
        "CHECKIN",
        "CHECKOUT",
        "CONNECT",
        "COPY",
        "DEBUG",
        "LABEL",
        "LINK",
        "LOCK",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MKREDIRECTREF",
        "MKWORKSPACE",
        "MOVE",
        "OPTIONS",
        "ORDERPATCH",
        "PATCH",
        "PRI",
        "PROPFIND",
        "PROPPATCH",
        "REBIND",
        "REPORT",
        "SEARCH",
        "SHOWMETHOD",
        "SPACEJUMP",
        "TEXTSEARCH",
        "TRACE",
        "TRACK",
        "UNBIND",
        "UNCHECKOUT",
        "UNLINK",
        "UNLOCK",
        "UPDATE",
        "UPDATEREDIRECTREF",
        "VERSION-CONTROL",
    ];
    let at = IN_ORDER.iter().position(|known| *known == name)?;
    i32::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let envelope = Envelope {
            origin: "gorouter".into(),
            event_type: EventType::ValueMetric.into(),
            timestamp: Some(300),
            value_metric: Some(ValueMetric { name: "latency".into(), value: 1.0, unit: "ms".into() }),
            tags: [("a".to_owned(), "b".to_owned())].into(),
            ..Envelope::default()
        };
        let metric = b"\x0a\x07latency\x11\0\0\0\0\0\0\xf0\x3f\x1a\x02ms";
        let mut bytes = b"\x0a\x08gorouter\x10\x06\x30\xac\x02".to_vec();
        bytes.extend_from_slice(&[0x4a, u8::try_from(metric.len()).unwrap()]);
        bytes.extend_from_slice(metric);
        bytes.extend_from_slice(b"\x8a\x01\x06\x0a\x01a\x12\x01b");
        assert_eq!(envelope.encode_to_vec(), bytes);
        let counter = CounterEvent { name: "r".into(), delta: 0, total: None };
        assert_eq!(counter.encode_to_vec(), b"\x0a\x01r\x10\x00", "what is required is sent, zero too");
        let line = LogMessage {
            message: b"x".to_vec(),
            message_type: OUT,
            timestamp: 1,
            app_id: Some("a".into()),
            source_type: Some("RTR".into()),
            source_instance: Some("0".into()),
        };
        assert_eq!(line.encode_to_vec(), b"\x0a\x01x\x10\x01\x18\x01\x22\x01a\x2a\x03RTR\x32\x010");
    }

    #[test]
    fn a_uuid_is_two_numbers_of_its_bytes_in_order() {
        let id = Uuid::read("f47ac10b-58cc-4372-a567-0e02b2c3d479").unwrap();
        assert_eq!((id.low, id.high), (0x7243_cc58_0bc1_7af4, 0x79d4_c3b2_020e_67a5));
        assert_eq!(Uuid::read("my-app"), None);
    }

    #[test]
    fn methods_have_the_protocols_numbers() {
        for (name, number) in [("GET", 1), ("HEAD", 5), ("CONNECT", 11), ("OPTIONS", 24), ("PATCH", 26), ("TRACE", 36)]
        {
            assert_eq!(method(name), Some(number), "{name}");
        }
        assert_eq!(method("VERSION-CONTROL"), Some(44));
        assert_eq!(method("get"), None);
    }
}
