//! Authorities and certificates, made on the spot.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Signs certificates. All authorities have the same name, and differ by their keys.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(super) struct Certified {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's certificate, for `localhost`, until the end of this year.
    pub(super) fn server(&self, year: i32) -> Certified {
        self.signed(|params| {
            params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
            params.not_after = rcgen::date_time_ymd(year, 12, 31);
        })
    }

    /// A caller's certificate, with a SPIFFE ID.
    pub(super) fn client(&self, id: &str) -> Certified {
        let id = SanType::URI(format!("spiffe://tests.example/{id}").try_into().unwrap());
        self.signed(|params| params.subject_alt_names = vec![id])
    }

    /// Any other certificate, without a name.
    pub(super) fn signed(&self, adjust: impl FnOnce(&mut CertificateParams)) -> Certified {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        Certified { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }
}

impl Certified {
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.serialize_der().try_into().unwrap()
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}
