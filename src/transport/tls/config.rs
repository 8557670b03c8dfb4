//! `[tls]`: TLS on the callers' port.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::check::Validation;

/// `[tls]`: TLS on the port callers use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Config {
    /// A PEM file with the server's certificate, followed by those of the authorities between it and the root.
    /// Set, with `tls.key`, `server.listen` speaks TLS 1.3 and 1.2 only. The admin port stays plaintext.
    pub cert: Option<PathBuf>,

    /// A PEM file with the private key of `tls.cert`, not encrypted: PKCS#8, PKCS#1 or SEC1.
    pub key: Option<PathBuf>,

    /// A PEM file with the authorities whose client certificates are accepted. Set, callers without one are
    /// turned away in the handshake. A caller's name is the certificate's SPIFFE ID, else its first DNS name,
    /// else its common name.
    pub client_ca: Option<PathBuf>,
}

impl Config {
    /// Tells whether callers must speak TLS.
    pub fn is_on(&self) -> bool {
        // Half a section is no configuration, but must never pass for "off".
        *self != Self::default()
    }

    /// Validates the section's values; the files are read where they are used.
    pub fn validate(&self) -> Validation {
        let is_path = |path: Option<&Path>| path.is_none_or(|path| !path.as_os_str().is_empty());
        let mut validation = Validation::new()
            .require("cert", is_path(self.cert.as_deref()), "must not be empty")
            .require("key", is_path(self.key.as_deref()), "must not be empty")
            .require("client_ca", is_path(self.client_ca.as_deref()), "must not be empty");
        let settings = [
            ("cert", self.cert.is_some()),
            ("key", self.key.is_some()),
            ("client_ca", self.client_ca.is_some()),
        ];
        // A certificate is nothing without its key, and client certificates nothing without both.
        for (key, is_set) in &settings[..2] {
            let needing = settings.iter().find(|(other, is_set)| other != key && *is_set);
            if let Some((needing, _)) = needing {
                let demand = format!("must be set, because tls.{needing} is");
                validation = validation.require_together(&[key, needing], *is_set, &demand);
            }
        }
        validation
    }
}
