//! What is shown to callers and demanded of them.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    CertificateError, CommonState, DigitallySignedStruct, DistinguishedName, Error, HandshakeKind, ServerConfig,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs::Ticketer},
    pki_types::{CertificateDer, UnixTime},
    server::{
        ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

use super::{
    AcceptRefusal, AcceptorError, AllowedName, Mode, Offer,
    known::{Caller, Known},
    ticket::Tickets,
};
use crate::{credentials::Credentials, leaf, peer_identity::PeerIdentity, provider};

/// One state of an acceptor: swapped whole, never changed.
pub(super) struct Terms {
    shown: Arc<Shown>,
    /// Keys that live as long as the terms: a ticket of before a rotation opens nothing after it.
    ticketer: Arc<dyn ProducesTickets>,
    offer: Offer,
    provider: Arc<CryptoProvider>,
    /// Without a demand all connections share these: with our protocols, and without.
    open: Option<[Arc<ServerConfig>; 2]>,
    strict: Option<Strict>,
}

struct Strict {
    chain: Arc<dyn ClientCertVerifier>,
    allowed: Vec<AllowedName>,
    known: Known,
}

impl Terms {
    pub(super) fn new(credentials: &Credentials, mode: Mode, offer: Offer) -> Result<Self, AcceptorError> {
        let shown = Arc::new(Shown(credentials.certified().clone()));
        let (ticketer, provider) = (Ticketer::new()?, offer.provider());
        let mut terms = Self { shown, ticketer, offer, provider, open: None, strict: None };
        match mode {
            Mode::Tls => {
                terms.open = Some([Arc::new(terms.build(None, true)?), Arc::new(terms.build(None, false)?)]);
            }
            Mode::Strict { trust, .. } if trust.is_empty() => return Err(AcceptorError::NoAuthority),
            Mode::Strict { trust, allowed } => {
                let roots = trust.roots().clone();
                let chain = WebPkiClientVerifier::builder_with_provider(roots, provider::provider()).build()?;
                terms.strict = Some(Strict { chain, allowed, known: Known::default() });
            }
        }
        Ok(terms)
    }

    pub(super) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The configuration for one connection, with our application protocols or without. In strict it is built for each,
    /// because the verifier carries that connection's verdict; beside a handshake this costs nothing.
    pub(super) fn config(&self, demand: &Arc<Demand>, protocols: bool) -> Result<Arc<ServerConfig>, Error> {
        match &self.open {
            Some([with, without]) => Ok(if protocols { with } else { without }.clone()),
            None => self.build(Some(demand.clone()), protocols).map(Arc::new),
        }
    }

    fn build(&self, demand: Option<Arc<Demand>>, protocols: bool) -> Result<ServerConfig, Error> {
        let versions = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&self.offer.versions())?;
        let (client, tickets): (_, Arc<dyn ProducesTickets>) = match demand {
            Some(demand) => (versions.with_client_cert_verifier(demand.clone()), demand.tickets.clone()),
            None => (versions.with_no_client_auth(), self.ticketer.clone()),
        };
        let mut config = client.with_cert_resolver(self.shown.clone());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Our order is the cheapest first, or an operator's. OpenSSL's clients ask for AES-256 with SHA-384 before all
        // else, which costs a tenth more per handshake and per byte for nothing that a hop inside one network needs.
        config.ignore_client_order = true;
        if self.offer.tickets {
            config.ticketer = tickets;
            config.send_tls13_tickets = 1;
        } else {
            config.send_tls13_tickets = 0;
        }
        if protocols {
            config.alpn_protocols.clone_from(&self.offer.protocols);
        }
        Ok(config)
    }
}

/// The one certificate that is shown, whatever name is asked for.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// One connection's verifier: the terms, and what was found.
pub(super) struct Demand {
    terms: Arc<Terms>,
    verdict: Mutex<Option<Verdict>>,
    tickets: Arc<Tickets>,
}

/// What was found about a caller's certificate.
type Verdict = Result<Caller, AcceptRefusal>;

impl Demand {
    pub(super) fn new(terms: Arc<Terms>) -> Self {
        let tickets = Arc::new(Tickets::new(terms.ticketer.clone()));
        Self { terms, verdict: Mutex::new(None), tickets }
    }

    /// Why the caller's certificate was refused, if it was.
    pub(super) fn verdict(&self) -> Option<AcceptRefusal> {
        self.take_verdict()?.err()
    }

    fn take_verdict(&self) -> Option<Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Who the caller of a finished handshake is. A resumed session brings its certificate from the
    /// ticket, past the verifier, so it is judged here, by the clock by which the ticket was taken.
    pub(super) fn caller(&self, tls: &CommonState) -> Result<Option<Arc<PeerIdentity>>, AcceptRefusal> {
        let Some(strict) = &self.terms.strict else {
            return Ok(None);
        };
        if let Some(Ok(caller)) = self.take_verdict()
            && tls.handshake_kind() != Some(HandshakeKind::Resumed)
        {
            return Ok(Some(caller.holder));
        }
        let (leaf, intermediates) =
            tls.peer_certificates().and_then(<[_]>::split_first).ok_or(AcceptRefusal::NoCertificate)?;
        let clock = self.tickets.taken().unwrap_or_else(UnixTime::now);
        strict.judge(leaf, intermediates, clock).map(|caller| Some(caller.holder))
    }
}

impl Strict {
    fn judge(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>], now: UnixTime) -> Verdict {
        let clock = leaf::clock(now);
        if let Some(caller) = self.known.caller(leaf, intermediates, clock) {
            return Ok(caller);
        }
        let unreadable = || AcceptRefusal::Certificate(CertificateError::BadEncoding);
        let parsed = leaf::parse(leaf).map_err(|_| unreadable())?;
        let (not_before, not_after) = leaf::bounds(parsed.validity());
        if clock < not_before || not_after < clock {
            return Err(AcceptRefusal::Expired { not_before, not_after });
        }
        match self.chain.verify_client_cert(leaf, intermediates, now) {
            Ok(_) => {}
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
                return Err(AcceptRefusal::UnknownAuthority);
            }
            Err(Error::InvalidCertificate(cause)) => return Err(AcceptRefusal::Certificate(cause)),
            Err(error) => return Err(AcceptRefusal::Tls(error)),
        }
        let identity = PeerIdentity::from_der(leaf).map_err(|_| unreadable())?;
        if !self.allowed.is_empty() && !self.allowed.iter().any(|name| name.is_carried_by(&identity)) {
            return Err(AcceptRefusal::WrongName { presented: identity.presented() });
        }
        let holder = Arc::new(identity);
        let until = self.known.remember(leaf, intermediates, &holder);
        Ok(Caller { holder, until })
    }
}

impl ClientCertVerifier for Demand {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.terms.strict.as_ref().map_or(&[], |strict| strict.chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let judged = match &self.terms.strict {
            Some(strict) => strict.judge(end_entity, intermediates, now),
            None => Err(AcceptRefusal::UnknownAuthority),
        };
        // Gorouter takes alerts 42 and 48 for a verdict on its certificate and no other: 45 (expired),
        // 43 or 46 would leave the endpoint in place and the operator with a bare 502.
        let told = match &judged {
            Ok(caller) => {
                self.tickets.hold_until(caller.until);
                None
            }
            Err(AcceptRefusal::UnknownAuthority) => Some(CertificateError::UnknownIssuer),
            Err(_) => Some(CertificateError::NotValidForName),
        };
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(judged);
        match told {
            None => Ok(ClientCertVerified::assertion()),
            Some(refusal) => Err(Error::InvalidCertificate(refusal)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &provider::algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &provider::algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider::algorithms().supported_schemes()
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("strict", &self.strict.is_some()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demand").field("terms", &self.terms).finish_non_exhaustive()
    }
}
