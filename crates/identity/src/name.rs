//! The name that a peer's certificate must carry.
//!
//! A name is parsed once, when an endpoint registers. What rustls takes as a server name is matched by
//! webpki and sent as SNI; anything else is compared with the DNS SANs letter by letter and sent nowhere.
//! There is no third form: a name that cannot be matched matches nothing.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use rustls::pki_types::ServerName;

/// A name that a certificate must carry. Cheap to clone; equal if the texts are equal.
#[derive(Clone)]
pub struct ExpectedName(Arc<Parsed>);

struct Parsed {
    text: Box<str>,
    server_name: Option<ServerName<'static>>,
}

impl ExpectedName {
    /// The name as registered, or the host that is dialled where a registration names none.
    ///
    /// Every text makes a name. An IP address, in brackets or not, is matched against IP SANs; one that
    /// rustls refuses (`12345678`, a label over 63 characters) against DNS SANs as an exact string. The
    /// empty text matches no certificate.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        let server_name = ServerName::try_from(bare).ok().map(|parsed| parsed.to_owned());
        Self(Arc::new(Parsed { text: name.into(), server_name }))
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether the name is an IP address, matched against IP SANs and sent without SNI.
    #[must_use]
    pub fn is_ip(&self) -> bool {
        matches!(self.0.server_name, Some(ServerName::IpAddress(_)))
    }

    /// The name as webpki matches it; none where only an exact comparison will do.
    #[must_use]
    pub fn server_name(&self) -> Option<&ServerName<'static>> {
        self.0.server_name.as_ref()
    }
}

impl fmt::Display for ExpectedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ExpectedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExpectedName({:?})", self.as_str())
    }
}

impl PartialEq for ExpectedName {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

impl Eq for ExpectedName {}

impl Hash for ExpectedName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}
