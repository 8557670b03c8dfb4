//! Who calls: credentials in, a caller's name out.

mod config;

use std::sync::Arc;

use http::HeaderMap;

pub use config::{AuthMode, Config};

use crate::{
    caller::{Caller, PeerIdentity},
    error::Error,
};

/// Finds out who calls.
#[derive(Clone, Debug)]
pub enum Authenticator {
    /// Nobody is asked.
    Nobody(Arc<str>),
}

impl Authenticator {
    /// Asks nobody who they are.
    pub fn none() -> Self {
        Self::Nobody(Arc::from(Caller::ANONYMOUS))
    }

    /// Returns the name of the caller whose credential is in `headers`, or was shown in the TLS handshake.
    #[expect(clippy::unnecessary_wraps, reason = "a mode that asks can refuse")]
    pub(super) fn identify(
        &self,
        _headers: &HeaderMap,
        _peer: Option<&PeerIdentity>,
    ) -> Result<Arc<str>, Error> {
        match self {
            Self::Nobody(name) => Ok(Arc::clone(name)),
        }
    }
}
