//! Whom a collector must be certified by, and what it is shown.

use reqwest::ClientBuilder;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Certificates for a collector, as PEM that has been found to hold some.
#[derive(Clone, Default)]
pub(in crate::telemetry::export) struct Tls {
    /// The only authorities; `None`: those of the system.
    authorities: Option<Vec<u8>>,
    /// Certificate and key.
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// Believes only these authorities. Says what is wrong with the PEM.
    pub(in crate::telemetry::export) fn believe(&mut self, pem: Vec<u8>) -> Result<(), String> {
        match reqwest::Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => {
                self.authorities = Some(pem);
                Ok(())
            }
            Ok(_) | Err(_) => Err("expected certificates as PEM".to_owned()),
        }
    }

    /// Shows a client certificate. Says what is wrong with the PEM of either.
    pub(in crate::telemetry::export) fn show(
        &mut self,
        certificate: Vec<u8>,
        key: Vec<u8>,
    ) -> Result<(), String> {
        let both = [certificate.as_slice(), b"\n", key.as_slice()].concat();
        reqwest::Identity::from_pem(&both)
            .map_err(|_| "expected a certificate and its key as PEM".to_owned())?;
        self.identity = Some((certificate, key));
        Ok(())
    }

    pub(super) fn for_grpc(&self) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new();
        let tls = match &self.authorities {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_native_roots(),
        };
        match &self.identity {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        }
    }

    pub(super) fn for_http(&self, mut builder: ClientBuilder) -> Result<ClientBuilder, String> {
        let failed = |error: reqwest::Error| error.without_url().to_string();
        if let Some(pem) = &self.authorities {
            let authorities = reqwest::Certificate::from_pem_bundle(pem).map_err(failed)?;
            builder = builder.tls_certs_only(authorities);
        }
        if let Some((certificate, key)) = &self.identity {
            let both = [certificate.as_slice(), b"\n", key.as_slice()].concat();
            builder = builder.identity(reqwest::Identity::from_pem(&both).map_err(failed)?);
        }
        Ok(builder)
    }
}

/// Shows no key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}
