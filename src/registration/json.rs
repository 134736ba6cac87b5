//! JSON to [`Registration`], with the leniency and the strictness of Go's decoder.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};

use super::Registration;

/// Decodes a message; nothing is checked but types.
pub(super) fn decode(bytes: &[u8]) -> serde_json::Result<Registration> {
    let mut registration = Registration::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Object(&mut registration).deserialize(&mut json)?;
    json.end()?;
    if let Some(tags) = &mut registration.tags {
        sort(tags);
    }
    Ok(registration)
}

/// Something whose fields are named by the keys of a JSON object.
trait Fields {
    /// Takes the value of the key that folds to `key`, or skips it.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, from: &mut A) -> Result<(), A::Error>;
}

impl Fields for Registration {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, from: &mut A) -> Result<(), A::Error> {
        match key {
            "host" => scalar(&mut self.host, from),
            "port" => scalar(&mut self.port, from),
            "tls_port" => scalar(&mut self.tls_port, from),
            "uris" => {
                let uris: Option<Vec<Option<String>>> = from.next_value()?;
                self.uris = uris.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect();
                Ok(())
            }
            "app" => scalar(&mut self.app, from),
            "private_instance_id" => scalar(&mut self.private_instance_id, from),
            "private_instance_index" => scalar(&mut self.private_instance_index, from),
            "protocol" => scalar(&mut self.protocol, from),
            "server_cert_domain_san" => scalar(&mut self.server_cert_domain_san, from),
            "route_service_url" => scalar(&mut self.route_service_url, from),
            "tags" => tags(&mut self.tags, from),
            "stale_threshold_in_seconds" => scalar(&mut self.stale_threshold_in_seconds, from),
            "isolation_segment" => scalar(&mut self.isolation_segment, from),
            "availability_zone" => scalar(&mut self.availability_zone, from),
            "endpoint_updated_at_ns" => scalar(&mut self.endpoint_updated_at_ns, from),
            "options" => from.next_value_seed(Object(&mut Options(self))),
            _ => from.next_value::<IgnoredAny>().map(drop),
        }
    }
}

/// The `options` object.
struct Options<'a>(&'a mut Registration);

impl Fields for Options<'_> {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, from: &mut A) -> Result<(), A::Error> {
        match key {
            "loadbalancing" => scalar(&mut self.0.loadbalancing, from),
            "hash_header" => scalar(&mut self.0.hash_header, from),
            "hash_balance" => {
                if let Some(Decimal(number)) = from.next_value()? {
                    self.0.hash_balance = number;
                }
                Ok(())
            }
            _ => from.next_value::<IgnoredAny>().map(drop),
        }
    }
}

/// A number, or its digits as text; empty text is zero.
struct Decimal(f64);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Decimal, E> {
                Ok(Decimal(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Decimal, E> {
                Ok(Decimal(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Decimal, E> {
                Ok(Decimal(number as f64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Decimal, E> {
                let number = if text.is_empty() { Some(0.0) } else { text.parse().ok() };
                let finite = number.filter(|number: &f64| number.is_finite());
                finite.map(Decimal).ok_or_else(|| E::custom("hash_balance is no number"))
            }
        }
        from.deserialize_any(Digits)
    }
}

/// As Go has it, null leaves a scalar as it is, also behind an earlier value of the same key.
fn scalar<'de, T: Deserialize<'de>, A: MapAccess<'de>>(field: &mut T, from: &mut A) -> Result<(), A::Error> {
    if let Some(value) = from.next_value()? {
        *field = value;
    }
    Ok(())
}

/// Null makes the map null again; a second object under the same key adds to the first.
fn tags<'de, A: MapAccess<'de>>(field: &mut Option<Vec<(String, String)>>, from: &mut A) -> Result<(), A::Error> {
    match from.next_value::<Option<Pairs>>()? {
        Some(Pairs(mut pairs)) => field.get_or_insert_default().append(&mut pairs),
        None => *field = None,
    }
    Ok(())
}

/// Sorts by name; of equal names the last stays.
fn sort(tags: &mut Vec<(String, String)>) {
    tags.sort_by(|a, b| a.0.cmp(&b.0));
    tags.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
}

/// The entries of an object of texts, in its order.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Option<String>>()? {
                    pairs.push((name, value.unwrap_or_default()));
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Entries)
    }
}

/// Reads an object, or null, into fields.
struct Object<'a, F>(&'a mut F);

impl<'de, F: Fields> DeserializeSeed<'de> for Object<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, F: Fields> Visitor<'de> for Object<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.0.take(&fold(&key), &mut map)?;
        }
        Ok(())
    }
}

/// The spelling under which Go matches keys: letters of any case, and the two non-ASCII characters that
/// fold to an ASCII letter.
fn fold(key: &str) -> String {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).collect()
}
