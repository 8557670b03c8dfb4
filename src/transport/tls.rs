//! TLS on the callers' port: which certificate is shown, whose are accepted, and what their holders are called.
//!
//! The files are read again and again ([`Live`]): a new connection is served with what they say by then, an old one
//! keeps what it began with until it ends.

mod config;
mod failure;
mod identity;
mod served;

use std::{fmt, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

pub use config::Config;
pub use failure::TlsError;
pub use tokio_rustls::server::TlsStream;

use crate::{
    peer::PeerIdentity,
    reload::{Live, LoadError, Reload},
    telemetry::{Handshake, Metrics},
};
use served::Served;

/// The setting that names the files, in logs and metrics.
const SETTING: &str = "tls";

/// Makes TLS connections of TCP connections; cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    served: Arc<Live<Served>>,
    metrics: Metrics,
}

impl Acceptor {
    /// Reads the files of `[tls]`; `None` when there are none.
    ///
    /// # Errors
    ///
    /// One of them cannot be read or makes no sense: the words name it.
    pub fn load(config: &Config, metrics: &Metrics) -> Result<Option<Self>, LoadError> {
        if !config.is_on() {
            tracing::info!("TLS is off: the gRPC port speaks plaintext");
            return Ok(None);
        }
        // A certificate or key that is not named, against all validation, is a file that cannot be read.
        let [cert, key] = [&config.cert, &config.key].map(|path| path.clone().unwrap_or_default());
        let paths = [cert, key].into_iter().chain(config.client_ca.clone()).collect();
        let served = Live::load(SETTING, paths, metrics.clone(), served::served)?;
        // Weak, because what it watches holds the metrics.
        let watched = Arc::downgrade(&served);
        metrics.watch_certificate(move || watched.upgrade().map(|served| served.get().not_after));
        Ok(Some(Self { served, metrics: metrics.clone() }))
    }

    /// Returns the files, to be looked at again.
    pub fn files(&self) -> Arc<dyn Reload> {
        Arc::<Live<Served>>::clone(&self.served)
    }

    /// Does the handshake; returns the stream and the name in the peer's certificate, if one was demanded and it has
    /// a name that can be trusted.
    ///
    /// The caller decides how long it may take. A handshake that is dropped before its end is counted as `timeout`.
    ///
    /// # Errors
    ///
    /// The peer speaks no TLS or none of ours, shows no certificate or none that is accepted, or is gone.
    pub async fn accept<S>(
        &self,
        stream: S,
    ) -> Result<(TlsStream<S>, Option<PeerIdentity>), TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut handshake = self.metrics.tls_handshake();
        let config = Arc::clone(&self.served.get().config);
        let shaken = TlsAcceptor::from(config).accept(stream).await;
        handshake.ended(if shaken.is_ok() { Handshake::Ok } else { Handshake::Failed });
        let stream = shaken.map_err(TlsError::from)?;
        let certificates = stream.get_ref().1.peer_certificates();
        let identity = certificates.and_then(|chain| identity::of(chain.first()?));
        Ok((stream, identity))
    }
}

/// Says which files, never what is in them.
impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acceptor").field(&self.served).finish()
    }
}

#[cfg(test)]
mod tests;
