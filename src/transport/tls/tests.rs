//! Valid and invalid certificates and keys. `tests/it` tests connections.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, IsCa, KeyPair,
};

use super::*;

mod identity;
mod served;

/// Returns parameters that say nothing about their subject.
fn nameless() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
}

/// Returns an authority of its own.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn half_a_section_never_passes_for_none() {
    let metrics = Metrics::new().unwrap();
    assert!(Acceptor::load(&Config::default(), &metrics).unwrap().is_none());
    for set in [
        Config { cert: Some("/none/cert.pem".into()), ..Config::default() },
        Config { key: Some("/none/key.pem".into()), ..Config::default() },
        Config { client_ca: Some("/none/ca.pem".into()), ..Config::default() },
    ] {
        assert!(set.is_on());
        assert!(Acceptor::load(&set, &metrics).is_err(), "{set:?}");
    }
}
