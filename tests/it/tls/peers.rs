//! Client certificates: acceptance, and names of callers.

use http::{HeaderValue, Request, Response};
use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType, date_time_ymd};
use tokio::{net::TcpListener, sync::watch};
use tonic::body::Body;
use voyage_gateway::{
    grpc::auth::AuthMode,
    peer::PeerIdentity,
    telemetry::{Metrics, PortName},
    transport::{self, Port, PortState, Protocol, Timing, tls::Acceptor},
};

use super::*;
use crate::support::reason;

#[tokio::test]
async fn a_certificate_of_the_authority_is_accepted() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(2100), Some(&authority));
    let gateway = files.serve().await;
    let caller = authority.client("caller");
    for version in VERSIONS {
        let config = Arc::new(client(&authority, Some(&caller), &[version]));
        embed(gateway.grpc(), &config).await.unwrap();
    }
    assert_eq!((handshakes(&gateway, "ok").await, handshakes(&gateway, "failed").await), (2, 0));
}

#[tokio::test]
async fn other_certificates_are_refused_and_affect_no_other_caller() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.server(2100), Some(&authority));
    let gateway = files.serve().await;
    let good = Arc::new(client(&authority, Some(&authority.client("caller")), &VERSIONS));
    let mut before = embed(gateway.grpc(), &good).await.unwrap();

    let expired = authority.signed(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let early = authority.signed(|params| params.not_before = date_time_ymd(4000, 1, 1));
    let server_only = authority.signed(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let strange = stranger.client("caller");
    let mut failed = 0;
    for (about, shown) in [
        ("none", None),
        ("another authority's", Some(&strange)),
        ("expired", Some(&expired)),
        ("not yet valid", Some(&early)),
        ("not for clients", Some(&server_only)),
    ] {
        for version in VERSIONS {
            let config = Arc::new(client(&authority, shown, &[version]));
            let refused = embed(gateway.grpc(), &config).await;
            assert!(refused.is_err(), "{about}, {version:?}");
            failed += 1;
        }
    }
    until_handshakes(&gateway, "failed", failed).await;
    assert_eq!(handshakes(&gateway, "ok").await, 1);
    assert_eq!(gateway.simulator().calls().len(), 1, "none of them was heard");
    ask(&mut before).await.unwrap();
    embed(gateway.grpc(), &good).await.unwrap();
}

/// Serves with these files; each reply has the name of the peer.
async fn tell_names(files: &Files) -> SocketAddr {
    let metrics = Metrics::new().unwrap();
    let tls = Acceptor::load(&files.section(""), &metrics).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |request: Request<Body>| async move {
        let mut response = Response::new(Body::empty());
        if let Some(peer) = request.extensions().get::<PeerIdentity>() {
            let name = HeaderValue::from_bytes(peer.0.as_bytes()).unwrap();
            response.headers_mut().insert("x-name", name);
        }
        response
    };
    let port = Port {
        name: PortName::Grpc,
        protocol: Protocol::Http2,
        tls,
        max_connections: 100,
        timing: Timing::with_age(PATIENCE, PATIENCE),
        metrics,
    };
    let states = watch::Sender::new(PortState::Serving);
    let serving = transport::serve(listener, port, answer, states.subscribe());
    tokio::spawn(async move {
        serving.await;
        drop(states);
    });
    address
}

/// Returns the caller's name of two calls over one connection.
async fn name_of(address: SocketAddr, config: &Arc<ClientConfig>) -> Option<String> {
    let stream = connect(address, config).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut names = Vec::new();
    for _ in 0..2 {
        let request = Request::get("https://localhost/").body(()).unwrap();
        let mut sender = sender.clone().ready().await.unwrap();
        let (reply, _) = sender.send_request(request, true).unwrap();
        let reply = reply.await.unwrap();
        let name = reply.headers().get("x-name");
        names.push(name.map(|name| String::from_utf8(name.as_bytes().to_vec()).unwrap()));
    }
    assert_eq!(names[0], names[1], "every request of a connection has its name");
    names.pop().unwrap()
}

#[tokio::test]
async fn every_request_has_the_name_of_its_connection() {
    let authority = Authority::new();
    let address = tell_names(&Files::new(&authority.server(2100), Some(&authority))).await;
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
    let spiffe = "spiffe://tests.example/a";
    for (alternatives, common_name, expected) in [
        (vec![dns("a.example"), uri(spiffe)], Some("cn"), Some(spiffe)),
        (vec![dns("a.example")], Some("cn"), Some("a.example")),
        (vec![], Some("cn"), Some("cn")),
        // Accepted without a name: the authenticator decides on it.
        (vec![], None, None),
        (vec![uri(spiffe), uri("spiffe://tests.example/b")], Some("cn"), None),
    ] {
        let shown = authority.signed(|params| {
            params.subject_alt_names = alternatives;
            if let Some(name) = common_name {
                params.distinguished_name.push(DnType::CommonName, name);
            }
        });
        for version in VERSIONS {
            let config = Arc::new(client(&authority, Some(&shown), &[version]));
            assert_eq!(name_of(address, &config).await.as_deref(), expected);
        }
    }
}

#[tokio::test]
async fn a_certificate_that_was_not_requested_is_no_name() {
    let authority = Authority::new();
    let address = tell_names(&Files::new(&authority.server(2100), None)).await;
    let config = Arc::new(client(&authority, Some(&authority.client("caller")), &VERSIONS));
    assert_eq!(name_of(address, &config).await, None);
}

/// A token beside it does not help, either.
#[tokio::test]
async fn a_certificate_without_a_name_is_no_credential() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(2100), Some(&authority));
    let tls = files.section("");
    let gateway = Gateway::with(|config, _| {
        config.tls = tls;
        config.auth.mode = Some(AuthMode::Mtls);
    })
    .await;
    let nameless = client(&authority, Some(&authority.signed(|_| ())), &VERSIONS);
    let stream = connect(gateway.grpc(), &Arc::new(nameless)).await.unwrap();
    let mut nobody = speak(stream).await.unwrap();
    for headers in [&[][..], &[("authorization", "Bearer somebody")]] {
        let mut request = tonic::Request::new(texts(&["a text"]));
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        let refused = nobody.embed(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        assert_eq!(reason(&refused), "CREDENTIALS_MISSING");
    }
    assert_eq!(gateway.simulator().calls().len(), 0);

    let caller = client(&authority, Some(&authority.client("caller")), &VERSIONS);
    embed(gateway.grpc(), &Arc::new(caller)).await.unwrap();
    let labels = [("billed_to", "spiffe://tests.example/caller")];
    assert!(sample(&gateway.metrics().await, "voyage_gateway_tokens_total", &labels) > 0);
}
