//! A certificate authority and the peers of these stories.

mod peers;
mod pki;

pub(crate) use peers::*;
pub(crate) use pki::*;

use trueroute_identity::{Credentials, Dialer, DialerSettings, ExpectedName, Refusal, Secured, Trust, trust::Source};

/// The instance that every story expects to meet.
pub(crate) const INSTANCE: &str = "8f0b0f4e-5c1d-4f3e-7a55-1b2c";

pub(crate) fn trust_in(ca: &Ca) -> Trust {
    Trust::new(&[Source { name: "ca_certs", pem: &ca.pem }], false).unwrap()
}

pub(crate) fn credentials(issued: &Issued) -> Credentials {
    Credentials::from_pem(&issued.pem, &issued.key_pem).unwrap()
}

pub(crate) fn dialer(trust: Trust) -> Dialer {
    Dialer::new(trust, None, DialerSettings::default()).unwrap()
}

pub(crate) fn dialer_showing(trust: Trust, shown: &Issued) -> Dialer {
    Dialer::new(trust, Some(credentials(shown)), DialerSettings::default()).unwrap()
}

/// Dials a server that shows `issued`, expecting `name`.
pub(crate) async fn dial(dialer: &Dialer, issued: &Issued, name: &str) -> Result<Secured, Refusal> {
    let server = TlsServer::new(issued).start().await;
    dialer.secure(server.connect().await, &ExpectedName::new(name)).await
}
