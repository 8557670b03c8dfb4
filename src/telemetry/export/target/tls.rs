//! The certificates of a connection to a collector.

use reqwest::{Client, ClientBuilder};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Certificates as PEM that has been parsed once.
#[derive(Clone, Default)]
pub(in crate::telemetry::export) struct Tls {
    /// The only trusted authorities; `None`: those of the system.
    authorities: Option<Vec<u8>>,
    /// The client's certificate and key.
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// Trusts only these authorities. Returns the problem of an invalid PEM.
    pub(in crate::telemetry::export) fn set_authorities(
        &mut self,
        pem: Vec<u8>,
    ) -> Result<(), String> {
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
        let is_empty = certificates.is_empty();
        // Building a client reads the certificates within the PEM.
        if is_empty || Client::builder().tls_certs_only(certificates).build().is_err() {
            return Err("expected certificates as PEM".to_owned());
        }
        self.authorities = Some(pem);
        Ok(())
    }

    /// Sends a client certificate. Returns the problem if the PEM of either file is invalid.
    pub(in crate::telemetry::export) fn set_identity(
        &mut self,
        certificate: Vec<u8>,
        key: Vec<u8>,
    ) -> Result<(), String> {
        identity(&certificate, &key)
            .and_then(|own| Client::builder().tls_certs_only([]).identity(own).build())
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

    pub(super) fn for_http(&self, mut builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        if let Some(pem) = &self.authorities {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?);
        }
        if let Some((certificate, key)) = &self.identity {
            builder = builder.identity(identity(certificate, key)?);
        }
        Ok(builder)
    }
}

fn identity(certificate: &[u8], key: &[u8]) -> reqwest::Result<reqwest::Identity> {
    reqwest::Identity::from_pem(&[certificate, b"\n", key].concat())
}

/// Leaves the key out.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}
