//! The TLS configuration of the files of `[tls]`.

use std::sync::Arc;

use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

/// The TLS configuration of new connections.
pub(super) struct Served {
    pub(super) config: Arc<ServerConfig>,
    /// When the certificate expires, in seconds since 1970.
    pub(super) not_after: i64,
}

/// Parses `tls.cert`, `tls.key` and, if set, `tls.client_ca`, in this order. All must be valid together: a new
/// certificate without its new key changes nothing.
pub(super) fn served(contents: &[Vec<u8>]) -> Result<Served, String> {
    let [cert, key, client_ca @ ..] = contents else {
        return Err("tls.cert and tls.key must both be set".to_owned());
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates("tls.cert", cert)?;
    // The chain is not empty, and each certificate has been parsed.
    let not_after = chain.first().and_then(parsed).map(|leaf| leaf.validity().not_after);
    let not_after = not_after.ok_or_else(|| malformed("tls.cert", 0))?;
    let certified = certified(chain, key, &provider)?;
    let client_ca = client_ca.first();
    let verifier = client_ca.map(|roots| verifier(roots, &provider)).transpose()?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| error.to_string())?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // No session is resumed. A resumed session skips the client certificate, which may have expired or lost its CA.
    // gRPC connections live long enough for full handshakes.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    tracing::info!(
        %not_after,
        client_certificates = client_ca.is_some(),
        "read the certificate of the gRPC port"
    );
    Ok(Served { config: Arc::new(config), not_after: not_after.timestamp() })
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let key = private_key(key)?;
    // rustls describes the key's encoding; this describes the expected key.
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| "tls.key: its key is not one that TLS can use (RSA, ECDSA or Ed25519)")?;
    let certified = CertifiedKey::new(chain, key);
    certified
        .keys_match()
        .map_err(|_| "tls.key: it is not the key of the first certificate in tls.cert")?;
    Ok(certified)
}

fn verifier(
    roots: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates("tls.client_ca", roots)?.into_iter().enumerate() {
        store.add(certificate).map_err(|_| malformed("tls.client_ca", index))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|error| format!("tls.client_ca: {error}"))
}

/// Returns the certificates of a PEM file: at least one, all well-formed.
fn certificates(setting: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<CertificateDer<'static>> = sections(setting, text)?;
    if certificates.is_empty() {
        return Err(format!("{setting}: there is no certificate in it; expected PEM"));
    }
    for (index, certificate) in certificates.iter().enumerate() {
        parsed(certificate).ok_or_else(|| malformed(setting, index))?;
    }
    Ok(certificates)
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let mut keys: Vec<PrivateKeyDer<'static>> = sections("tls.key", text)?;
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => Ok(key),
        (Some(_), false) => Err("tls.key: there are several keys in it; expected one".to_owned()),
        (None, _) => Err("tls.key: there is no key in it; expected PEM, not encrypted".to_owned()),
    }
}

/// Reads the PEM sections of one kind. The reader's own errors quote the file.
fn sections<T: PemObject>(setting: &str, text: &[u8]) -> Result<Vec<T>, String> {
    T::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| match error {
        pem::Error::MissingSectionEnd { .. } => format!("{setting}: it is cut short"),
        _ => format!("{setting}: it is not PEM"),
    })
}

fn malformed(setting: &str, index: usize) -> String {
    format!("{setting}: certificate {} is malformed", index + 1)
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate)
        .ok()
        .filter(|(rest, _)| rest.is_empty())
        .map(|(_, certificate)| certificate)
}
