//! The name of a certificate's subject, attribute by attribute.
//!
//! Written and compared as Go's `crypto/x509/pkix` does, for Gorouter's rules and header fields are in its terms: each
//! of nine attributes has a list or a text of its own, and the text of the whole has a fixed order (RFC 2253 escapes).

use std::fmt::{self, Write};

use x509_parser::{
    error::X509Error,
    oid_registry::{Oid, asn1_rs::ToDer},
    prelude::FromDer,
    x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name},
};

use crate::{leaf, provider};

/// The SHA-256 of a certificate in DER, in lower-case hexadecimal digits.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> String {
    provider::sha256(certificate)
}

/// A subject. Two are equal if every attribute is, and the values of each stand in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistinguishedName {
    /// C, 2.5.4.6.
    pub country: Vec<String>,
    /// O, 2.5.4.10.
    pub organization: Vec<String>,
    /// OU, 2.5.4.11.
    pub organizational_unit: Vec<String>,
    /// CN, 2.5.4.3; empty for none.
    pub common_name: String,
    /// SERIALNUMBER, 2.5.4.5; empty for none.
    pub serial_number: String,
    /// L, 2.5.4.7.
    pub locality: Vec<String>,
    /// ST, 2.5.4.8.
    pub province: Vec<String>,
    /// STREET, 2.5.4.9.
    pub street_address: Vec<String>,
    /// POSTALCODE, 2.5.4.17.
    pub postal_code: Vec<String>,
    /// What is none of these, or no text that can be read: its object identifier, and its value in DER. No rule can
    /// write such a thing, so a name that has one equals none that a rule writes.
    pub others: Vec<(String, Vec<u8>)>,
}

impl DistinguishedName {
    /// The subject of a certificate in DER.
    ///
    /// # Errors
    /// If it is not a certificate.
    pub fn of_subject(certificate: &[u8]) -> Result<Self, X509Error> {
        leaf::parse(certificate).map(|certificate| Self::read(certificate.subject()))
    }

    /// The name whose attributes stand in `content`: a Name without its outer tag and length, as webpki keeps it. None
    /// for what cannot be read to its end: a name that is read in part would be taken for another.
    pub(crate) fn of_content(content: &[u8]) -> Option<Self> {
        let (mut read, mut rest) = (Self::default(), content);
        while !rest.is_empty() {
            let (after, relative) = RelativeDistinguishedName::from_der(rest).ok()?;
            relative.iter().for_each(|attribute| read.take(attribute));
            rest = after;
        }
        Some(read)
    }

    fn read(name: &X509Name<'_>) -> Self {
        let mut read = Self::default();
        for attribute in name.iter_attributes() {
            read.take(attribute);
        }
        read
    }

    fn take(&mut self, attribute: &AttributeTypeAndValue<'_>) {
        let kind = attribute.attr_type();
        let Ok(value) = attribute.as_str().map(str::to_owned) else {
            return self.take_other(kind, attribute);
        };
        match kind.as_bytes() {
            [0x55, 0x04, 6] => self.country.push(value),
            [0x55, 0x04, 10] => self.organization.push(value),
            [0x55, 0x04, 11] => self.organizational_unit.push(value),
            [0x55, 0x04, 7] => self.locality.push(value),
            [0x55, 0x04, 8] => self.province.push(value),
            [0x55, 0x04, 9] => self.street_address.push(value),
            [0x55, 0x04, 17] => self.postal_code.push(value),
            [0x55, 0x04, 3] if self.common_name.is_empty() => self.common_name = value,
            [0x55, 0x04, 5] if self.serial_number.is_empty() => self.serial_number = value,
            // A second of what there can be one of makes the name nobody's.
            _ => self.take_other(kind, attribute),
        }
    }

    fn take_other(&mut self, kind: &Oid<'_>, attribute: &AttributeTypeAndValue<'_>) {
        let value = attribute.attr_value().to_der_vec().unwrap_or_default();
        self.others.push((kind.to_id_string(), value));
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |value: &String| if value.is_empty() { Vec::new() } else { vec![value.clone()] };
        let relative = [
            ("SERIALNUMBER", one(&self.serial_number)),
            ("CN", one(&self.common_name)),
            ("POSTALCODE", self.postal_code.clone()),
            ("STREET", self.street_address.clone()),
            ("ST", self.province.clone()),
            ("L", self.locality.clone()),
            ("OU", self.organizational_unit.clone()),
            ("O", self.organization.clone()),
            ("C", self.country.clone()),
        ];
        let mut between = "";
        for (kind, values) in relative {
            for value in values {
                write!(f, "{between}{kind}=")?;
                escape(f, &value)?;
                between = "+";
            }
            if !between.is_empty() {
                between = ",";
            }
        }
        for (kind, value) in self.others.iter().rev() {
            write!(f, "{between}{kind}=#")?;
            value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            between = ",";
        }
        Ok(())
    }
}

/// RFC 2253 section 2.4. Control characters, which no field of a request can hold, are written as two digits.
fn escape(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => write!(f, "\\{c}")?,
            '#' if at == 0 => f.write_str("\\#")?,
            ' ' if at == 0 || at == last => f.write_str("\\ ")?,
            c if c.is_ascii_control() => write!(f, "\\{:02X}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn a_name_is_written_in_gos_order_with_its_escapes() {
        let full = DistinguishedName {
            country: list(&["US"]),
            organization: list(&["Acme, Inc."]),
            organizational_unit: list(&["organization:o", "space:s", "app:a"]),
            common_name: "instance".into(),
            serial_number: "7".into(),
            locality: list(&["L"]),
            province: list(&["P"]),
            street_address: list(&["S 1"]),
            postal_code: list(&["94105"]),
            others: vec![("1.2.3".into(), vec![0x0c, 1, b'x'])],
        };
        assert_eq!(
            full.to_string(),
            "SERIALNUMBER=7,CN=instance,POSTALCODE=94105,STREET=S 1,ST=P,L=L,OU=organization:o+OU=space:s+OU=app:a,\
             O=Acme\\, Inc.,C=US,1.2.3=#0c0178"
        );
        for (common_name, written) in [
            ("", ""),
            ("a", "CN=a"),
            ("#a#", "CN=\\#a#"),
            (" a b ", "CN=\\ a b\\ "),
            (" ", "CN=\\ "),
            ("a\"b\\c<d>e;f+g", "CN=a\\\"b\\\\c\\<d\\>e\\;f\\+g"),
            ("a\r\nb\0", "CN=a\\0D\\0Ab\\00"),
            ("é", "CN=é"),
        ] {
            let name = DistinguishedName { common_name: common_name.into(), ..DistinguishedName::default() };
            assert_eq!(name.to_string(), written, "{common_name:?}");
        }
    }

    #[test]
    fn a_certificates_subject_is_read_whole() {
        use rcgen::{CertificateParams, DnType, KeyPair};
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 3]), "x");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let read = DistinguishedName::of_subject(certificate.der()).unwrap();
        let expected = DistinguishedName {
            country: list(&["DE"]),
            common_name: "leaf".into(),
            others: vec![("1.2.3".into(), vec![0x0c, 1, b'x'])],
            ..DistinguishedName::default()
        };
        assert_eq!(read, expected);
        let parsed = leaf::parse(certificate.der()).unwrap();
        let raw = parsed.subject().as_raw();
        assert!(raw.len() < 0x80);
        assert_eq!(DistinguishedName::of_content(&raw[2..]), Some(expected));
        assert_eq!(DistinguishedName::of_content(b"nonsense"), None);
    }
}
