use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

/// A certificate authority.
pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        Self::from_params(ca_params(name))
    }

    /// An authority that expired yesterday.
    pub(crate) fn expired(name: &str) -> Self {
        let mut params = ca_params(name);
        (params.not_before, params.not_after) = (days(-20), days(-1));
        Self::from_params(params)
    }

    fn from_params(params: CertificateParams) -> Self {
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pem = issuer.pem();
        Self { issuer, pem }
    }

    /// An authority below this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let issuer = CertifiedIssuer::signed_by(ca_params(name), KeyPair::generate().unwrap(), &self.issuer).unwrap();
        let pem = issuer.pem();
        Self { issuer, pem }
    }

    pub(crate) fn issue(&self, leaf: Leaf) -> Issued {
        let key = leaf.key.unwrap_or_else(|| KeyPair::generate().unwrap());
        let certificate = leaf.params.signed_by(&key, &self.issuer).unwrap();
        Issued::new(certificate.der().clone(), certificate.pem(), &key)
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

pub(crate) fn days(count: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::days(count)
}

/// A certificate to be.
pub(crate) struct Leaf {
    pub(crate) params: CertificateParams,
    key: Option<KeyPair>,
}

impl Leaf {
    /// As Diego issues them: the instance id as common name and DNS SAN, for both ends of a connection.
    pub(crate) fn of(instance: &str) -> Self {
        Self::bare(instance).dns(instance)
    }

    /// With a common name and no SAN.
    pub(crate) fn bare(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (days(-1), days(1));
        Self { params, key: None }
    }

    pub(crate) fn dns(self, name: &str) -> Self {
        self.san(SanType::DnsName(name.try_into().unwrap()))
    }

    pub(crate) fn san(mut self, san: SanType) -> Self {
        self.params.subject_alt_names.push(san);
        self
    }

    /// A DNS SAN of any bytes, which rcgen would refuse to write.
    pub(crate) fn raw_dns(mut self, name: &[u8]) -> Self {
        let length = u8::try_from(name.len()).unwrap();
        let content = [&[0x30, length + 2, 0x82, length], name].concat();
        self.params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], content));
        self
    }

    pub(crate) fn valid(mut self, from: i64, to: i64) -> Self {
        (self.params.not_before, self.params.not_after) = (days(from), days(to));
        self
    }

    pub(crate) fn usage(mut self, usage: &[ExtendedKeyUsagePurpose]) -> Self {
        self.params.extended_key_usages = usage.to_vec();
        self
    }

    pub(crate) fn made_ca(mut self) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    pub(crate) fn key(mut self, key: KeyPair) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn self_signed(self) -> Issued {
        let key = self.key.unwrap_or_else(|| KeyPair::generate().unwrap());
        let certificate = self.params.self_signed(&key).unwrap();
        Issued::new(certificate.der().clone(), certificate.pem(), &key)
    }
}

/// A certificate, what was put after it, and its key.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) pem: String,
    pub(crate) key_pem: String,
    key: Vec<u8>,
}

impl Issued {
    fn new(der: CertificateDer<'static>, pem: String, key: &KeyPair) -> Self {
        Self { chain: vec![der], pem, key_pem: key.serialize_pem(), key: key.serialize_der() }
    }

    /// Shows the issuer's certificate too.
    pub(crate) fn with(mut self, issuer: &Ca) -> Self {
        self.chain.push(issuer.issuer.der().clone());
        self.pem.push_str(&issuer.pem);
        self
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }
}
