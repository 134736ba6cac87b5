//! The name that a peer's certificate must carry.
//!
//! What rustls takes as a server name is matched by webpki and sent as SNI; anything else is compared with the
//! DNS SANs letter by letter and sent nowhere. There is no third form: a name that cannot be matched matches
//! nothing. Only the text is kept, since a router knows a name for each of its endpoints and dials few of them at
//! a time; which form it has is read where it is needed, which costs a handshake nothing that could be noticed.

use std::{fmt, sync::Arc};

use rustls::pki_types::ServerName;

/// A name that a certificate must carry. Cheap to clone; equal if the texts are equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ExpectedName(Arc<str>);

impl ExpectedName {
    /// The name as registered, or the host that is dialled where a registration names none.
    ///
    /// Every text makes a name. An IP address, in brackets or not, is matched against IP SANs; one that
    /// rustls refuses (`12345678`, a label over 63 characters) against DNS SANs as an exact string. The
    /// empty text matches no certificate.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is an IP address, matched against IP SANs and sent without SNI.
    #[must_use]
    pub fn is_ip(&self) -> bool {
        matches!(self.server_name(), Some(ServerName::IpAddress(_)))
    }

    /// The name as webpki matches it; none where only an exact comparison will do.
    #[must_use]
    pub fn server_name(&self) -> Option<ServerName<'_>> {
        let bare = self.0.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.0);
        ServerName::try_from(bare).ok()
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
