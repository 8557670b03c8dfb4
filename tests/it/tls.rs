//! TLS on the gRPC port: accepted certificates, the names in them, and reloads of the files.

mod authority;
mod handshakes;
mod mistakes;
mod peers;
mod start;
mod swap;

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::aws_lc_rs,
        pki_types::ServerName,
        version::{TLS12, TLS13},
    },
};
use tonic::transport::{Channel, Endpoint};
use voyage_gateway::{
    config::Config, grpc::v1::embedding_service_client::EmbeddingServiceClient,
    transport::TlsConfig, units::TimeSpan,
};

use crate::support::{Client, Gateway, PATIENCE, assert_vectors, eventually, sample, texts};
use authority::{Authority, Certified};

/// The versions that are served.
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// The files of `[tls]`, in a folder that goes with them.
struct Files(tempfile::TempDir);

impl Files {
    /// Writes the server's certificate and key, and the authority of accepted clients.
    fn new(server: &Certified, client_ca: Option<&Authority>) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write_all("", server, client_ca);
        files
    }

    fn write_all(&self, below: &str, server: &Certified, client_ca: Option<&Authority>) {
        fs::create_dir_all(self.0.path().join(below)).unwrap();
        self.write(&format!("{below}cert.pem"), &server.pem());
        self.write(&format!("{below}key.pem"), &server.key_pem());
        if let Some(authority) = client_ca {
            self.write(&format!("{below}ca.pem"), &authority.pem());
        }
    }

    /// Replaces a whole file in one step: half of it is never read.
    fn write(&self, name: &str, content: &str) {
        let draft = self.0.path().join("draft");
        fs::write(&draft, content).unwrap();
        fs::rename(draft, self.0.path().join(name)).unwrap();
    }

    /// Makes `name` lead to `target`, as the kubelet does: a new link, renamed over the old.
    fn link(&self, name: &str, target: &str) {
        let draft = self.0.path().join("draft");
        symlink(target, &draft).unwrap();
        fs::rename(draft, self.0.path().join(name)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The section that names them, below a folder of theirs.
    fn section(&self, below: &str) -> TlsConfig {
        let path = |name: &str| Some(self.path(&format!("{below}{name}.pem")));
        let client_ca = path("ca").filter(|path| path.exists());
        TlsConfig { cert: path("cert"), key: path("key"), client_ca }
    }

    /// Starts a gateway that serves with them.
    async fn serve(&self) -> Gateway {
        self.serve_below("").await
    }

    async fn serve_below(&self, below: &str) -> Gateway {
        let tls = self.section(below);
        Gateway::with(|config, _| {
            config.tls = tls;
            config.reload.interval = TimeSpan::from_millis(100);
        })
        .await
    }
}

/// Returns a client's TLS configuration: the trusted authority, its own certificate, the versions.
fn client(
    trusted: &Authority,
    shown: Option<&Certified>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate()).unwrap();
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some(shown) => builder.with_client_auth_cert(shown.chain(), shown.key()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Does a handshake, as far as the client's part of it goes.
async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// Speaks gRPC over this stream, and over no other: a lost connection stays lost.
async fn speak(stream: TlsStream<TcpStream>) -> Result<Client, tonic::transport::Error> {
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let endpoint: Endpoint = Channel::from_static("http://localhost");
    Ok(EmbeddingServiceClient::new(endpoint.connect_with_connector(connector).await?))
}

/// Connects and embeds; why not, otherwise. The server's refusal of a certificate may only be heard after the
/// client's part of the handshake.
async fn embed(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Client, String> {
    let stream = connect(address, config).await.map_err(|error| error.to_string())?;
    let mut client = speak(stream).await.map_err(|error| error.to_string())?;
    ask(&mut client).await.map(|()| client)
}

/// Embeds over a connection that is there.
async fn ask(client: &mut Client) -> Result<(), String> {
    let reply = client.embed(texts(&["a text"])).await.map_err(|status| status.to_string())?;
    assert_vectors(reply.get_ref(), &["a text"]);
    Ok(())
}

async fn handshakes(gateway: &Gateway, outcome: &str) -> u64 {
    let labels = [("outcome", outcome)];
    sample(&gateway.metrics().await, "voyage_gateway_tls_handshakes_total", &labels)
}

async fn until_handshakes(gateway: &Gateway, outcome: &str, count: u64) {
    eventually(async || handshakes(gateway, outcome).await == count).await;
}

async fn reloads(gateway: &Gateway, outcome: &str) -> u64 {
    let labels = [("what", "tls"), ("outcome", outcome)];
    sample(&gateway.metrics().await, "voyage_gateway_reloads_total", &labels)
}

async fn until_reloads(gateway: &Gateway, outcome: &str, count: u64) {
    eventually(async || reloads(gateway, outcome).await == count).await;
}

/// Returns a configuration that binds free ports, for tests without a whole [`Gateway`].
fn config(tls: TlsConfig) -> Config {
    let mut config = Config { tls, ..Config::default() };
    config.server.listen.set_port(0);
    config.admin.listen.set_port(0);
    config
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
