//! TLS on the gRPC port: server certificates, client certificates and the names in them.
//!
//! The files are reloaded ([`Live`]). New connections use the new configuration; open connections keep theirs.

mod config;
mod identity;
mod served;

use std::{fmt, io, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{Error as TlsError, InvalidMessage},
};

pub use config::Config;
pub use tokio_rustls::server::TlsStream;

use super::connection_error::ConnectionError;
use crate::{
    peer::PeerIdentity,
    reload::{Live, LoadError, Reload},
    telemetry::{Handshake, Metrics},
};
use served::Served;

/// The name of the files in logs and metrics.
const SETTING: &str = "tls";

/// Accepts TLS connections; cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    served: Arc<Live<Served>>,
    metrics: Metrics,
}

impl Acceptor {
    /// Loads the files of `[tls]`; `None` if TLS is off.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is invalid; the message names it.
    pub fn load(config: &Config, metrics: &Metrics) -> Result<Option<Self>, LoadError> {
        if !config.is_on() {
            tracing::info!("TLS is off; the gRPC port accepts plaintext");
            return Ok(None);
        }
        // A missing path fails as an unreadable file; validation reports it before.
        let [cert, key] = [&config.cert, &config.key].map(|path| path.clone().unwrap_or_default());
        let paths = [cert, key].into_iter().chain(config.client_ca.clone()).collect();
        let served = Live::load(SETTING, paths, metrics.clone(), served::served)?;
        // Weak: the files hold the metrics.
        let watched = Arc::downgrade(&served);
        metrics.watch_certificate(move || watched.upgrade().map(|served| served.get().not_after));
        Ok(Some(Self { served, metrics: metrics.clone() }))
    }

    /// Returns the files, to be reloaded.
    pub fn files(&self) -> Arc<dyn Reload> {
        Arc::<Live<Served>>::clone(&self.served)
    }

    /// Does the handshake; returns the stream and the name in the client certificate, if there is a valid one.
    ///
    /// A handshake that is dropped before its end counts as `timeout`.
    ///
    /// # Errors
    ///
    /// The handshake failed.
    pub(super) async fn accept<S>(
        &self,
        stream: S,
    ) -> Result<(TlsStream<S>, Option<PeerIdentity>), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut handshake = self.metrics.tls_handshake();
        let config = Arc::clone(&self.served.get().config);
        let result = TlsAcceptor::from(config).accept(stream).await;
        handshake.ended(if result.is_ok() { Handshake::Ok } else { Handshake::Failed });
        let stream = result.map_err(handshake_error)?;
        let certificates = stream.get_ref().1.peer_certificates();
        let identity = certificates.and_then(|chain| identity::of(chain.first()?));
        Ok((stream, identity))
    }
}

/// Wraps a handshake's error; rustls reports plaintext as an invalid content type.
fn handshake_error(error: io::Error) -> ConnectionError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            ConnectionError::Plaintext
        }
        _ => ConnectionError::Handshake(error),
    }
}

/// Shows the paths, not the contents.
impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acceptor").field(&self.served).finish()
    }
}

#[cfg(test)]
mod tests;
