//! `[tls]`: TLS on the gRPC port.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::check::Validation;

/// `[tls]`: TLS on the gRPC port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// A PEM file with the server's certificate, followed by intermediate certificates. With it and `tls.key`,
    /// `server.listen` accepts TLS 1.3 and 1.2 only. The admin port stays plaintext.
    pub cert: Option<PathBuf>,

    /// A PEM file with the private key of `tls.cert`, not encrypted: PKCS#8, PKCS#1 or SEC1.
    pub key: Option<PathBuf>,

    /// A PEM file with the CAs of client certificates. With it, the handshake requires a client certificate. The
    /// caller's name is its SPIFFE ID, otherwise its first DNS name, otherwise its common name.
    pub client_ca: Option<PathBuf>,
}

impl Config {
    /// Returns whether the gRPC port requires TLS.
    pub fn is_on(&self) -> bool {
        // An incomplete section is invalid, and must not turn TLS off.
        *self != Self::default()
    }

    /// Validates the section's values; the files are read when they are used.
    pub fn validate(&self) -> Validation {
        let settings = [("cert", &self.cert), ("key", &self.key), ("client_ca", &self.client_ca)];
        let mut validation = Validation::new();
        for (key, path) in settings {
            let valid = path.as_deref() != Some(Path::new(""));
            validation = validation.require(key, valid, "must not be empty");
        }
        // The certificate and its key require each other; client certificates require both.
        for (key, path) in &settings[..2] {
            let other = settings.iter().find(|(other, path)| other != key && path.is_some());
            if let Some((other, _)) = other {
                let requirement = format!("must be set, because tls.{other} is");
                let met = path.is_some();
                validation = validation.require_together(&[key, other], met, &requirement);
            }
        }
        validation
    }
}
