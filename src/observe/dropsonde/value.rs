//! A figure that is sent often: everything of its envelope but the value and the time is encoded once.

use prost::Message;

use super::envelope::{Envelope, EventType, ValueMetric};

/// An envelope around a figure, encoded but for its value and its time.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    bytes: Vec<u8>,
    /// Where the eight bytes of the value are.
    value_at: usize,
}

/// The field of an [`Envelope`] that is different each time. Fields of a message may come in any order.
#[derive(Clone, PartialEq, Message)]
struct Moment {
    #[prost(int64, optional, tag = "6")]
    timestamp: Option<i64>,
}

impl Figure {
    pub(super) fn new(name: &str, unit: &str) -> Self {
        let value_metric = ValueMetric { name: name.to_owned(), value: 0.0, unit: unit.to_owned() };
        let bytes = Envelope {
            origin: super::ORIGIN.to_owned(),
            event_type: EventType::ValueMetric.into(),
            value_metric: Some(value_metric),
            ..Envelope::default()
        }
        .encode_to_vec();
        // Behind the value stands the unit alone, with its kind and its length, which is below 128.
        let value_at = bytes.len() - unit.len() - 2 - size_of::<f64>();
        Self { bytes, value_at }
    }

    /// Appends the envelope for `value` at `nanoseconds` since the epoch.
    pub(super) fn write(&self, value: f64, nanoseconds: i64, out: &mut Vec<u8>) {
        let at = out.len() + self.value_at;
        out.extend_from_slice(&self.bytes);
        if let Some(place) = out.get_mut(at..at + size_of::<f64>()) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        // A vector takes whatever it is given.
        let _ = Moment { timestamp: Some(nanoseconds) }.encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn it_reads_as_if_it_were_encoded_whole(name in "[a-z._]{0,200}", unit in "[a-z]{0,9}", value: f64, at: i64) {
            let mut bytes = Vec::new();
            Figure::new(&name, &unit).write(value, at, &mut bytes);
            let envelope = Envelope::decode(&*bytes).unwrap();
            let metric = envelope.value_metric.clone().unwrap();
            proptest::prop_assert_eq!(metric.value.to_bits(), value.to_bits());
            proptest::prop_assert_eq!((metric.name, metric.unit), (name, unit));
            proptest::prop_assert_eq!((envelope.origin.as_str(), envelope.timestamp), ("gorouter", Some(at)));
            proptest::prop_assert_eq!(envelope.event_type(), EventType::ValueMetric);
        }
    }
}
