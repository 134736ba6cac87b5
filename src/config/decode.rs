//! What a value can be read as, type by type.

use ipnet::IpNet;

use super::duration::GoDuration;
use super::error::{ConfigError, Problem, shown};
use super::modes::Mode;
use super::pem::{PemCertificates, Secret};
use super::read::{Decode, Field};
use super::scalar::Meaning;

impl Decode for bool {
    fn decode(field: &Field<'_>) -> Result<bool, ConfigError> {
        field.scalar("bool")?.as_bool().ok_or_else(|| field.mismatch("bool"))
    }
}

impl Decode for u16 {
    fn decode(field: &Field<'_>) -> Result<u16, ConfigError> {
        field.int("uint16")
    }
}

impl Decode for u32 {
    fn decode(field: &Field<'_>) -> Result<u32, ConfigError> {
        field.int("uint32")
    }
}

impl Decode for u64 {
    fn decode(field: &Field<'_>) -> Result<u64, ConfigError> {
        field.int("uint")
    }
}

impl Decode for i64 {
    fn decode(field: &Field<'_>) -> Result<i64, ConfigError> {
        field.int("int")
    }
}

impl Decode for f64 {
    fn decode(field: &Field<'_>) -> Result<f64, ConfigError> {
        field.scalar("float64")?.as_float().ok_or_else(|| field.mismatch("float64"))
    }
}

/// Any scalar is a string, in its own spelling.
impl Decode for String {
    fn decode(field: &Field<'_>) -> Result<String, ConfigError> {
        Ok(field.scalar("string")?.text.clone())
    }
}

impl Decode for Secret {
    fn decode(field: &Field<'_>) -> Result<Secret, ConfigError> {
        String::decode(field).map(Secret::from)
    }
}

impl Decode for PemCertificates {
    fn decode(field: &Field<'_>) -> Result<PemCertificates, ConfigError> {
        PemCertificates::new(String::decode(field)?).map_err(|e| field.fault(e))
    }
}

/// Only a string is a duration: a bare number has no unit, and 0 is no exception.
impl Decode for GoDuration {
    fn decode(field: &Field<'_>) -> Result<GoDuration, ConfigError> {
        match field.scalar("time.Duration")?.meaning() {
            Meaning::Text(text) => GoDuration::parse(text).map_err(|e| field.fault(e)),
            _ => Err(field.mismatch("time.Duration (a text with a unit, as \"30s\")")),
        }
    }
}

impl Decode for IpNet {
    fn decode(field: &Field<'_>) -> Result<IpNet, ConfigError> {
        let text = String::decode(field)?;
        text.parse().map_err(|_| field.fault(Problem::Rule("is no network in CIDR notation, as 10.0.0.0/8")))
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(field: &Field<'_>) -> Result<Vec<T>, ConfigError> {
        field.list()?.iter().map(T::decode).collect()
    }
}

/// A word of a fixed list.
pub(super) struct Word<M>(pub(super) M);

impl<M: Mode> Decode for Word<M> {
    fn decode(field: &Field<'_>) -> Result<Word<M>, ConfigError> {
        let text = &field.scalar("string")?.text;
        match M::WORDS.iter().find(|(word, _)| word == text) {
            Some((_, mode)) => Ok(Word(*mode)),
            None => {
                let words: Vec<_> = M::WORDS.iter().map(|(word, _)| *word).filter(|word| !word.is_empty()).collect();
                let (value, allowed) = (shown(text), words.join(" "));
                Err(field.fault(Problem::NotAllowed { noun: M::NOUN, value, allowed }))
            }
        }
    }
}
