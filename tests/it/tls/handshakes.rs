//! Accepted and refused protocols of the port.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};

use super::*;

#[tokio::test]
async fn both_versions_carry_http2() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(2100), None);
    let gateway = files.serve().await;
    let versions = [ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2];
    for (version, spoken) in VERSIONS.into_iter().zip(versions) {
        let config = Arc::new(client(&authority, None, &[version]));
        let stream = connect(gateway.grpc(), &config).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(spoken));
        assert_eq!(session.alpn_protocol(), Some(b"h2".as_slice()));
        ask(&mut speak(stream).await.unwrap()).await.unwrap();
    }
    assert_eq!(handshakes(&gateway, "ok").await, 2);
    // The admin port stays plaintext.
    assert_eq!(gateway.page("GET", "/livez").await.0, 200);
}

#[tokio::test]
async fn a_client_need_not_name_http2_but_must_not_want_another() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(2100), None);
    let gateway = files.serve().await;
    let mut silent = client(&authority, None, &VERSIONS);
    silent.alpn_protocols.clear();
    embed(gateway.grpc(), &Arc::new(silent)).await.unwrap();

    let mut old = client(&authority, None, &VERSIONS);
    old.alpn_protocols = vec![b"http/1.1".to_vec()];
    let error = connect(gateway.grpc(), &Arc::new(old)).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    until_handshakes(&gateway, "failed", 1).await;
}

#[tokio::test]
async fn a_plaintext_connection_is_closed() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(2100), None);
    let gateway = files.serve().await;
    let hellos = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), b"GET / HTTP/1.1\r\n\r\n"];
    for hello in hellos {
        let mut stream = TcpStream::connect(gateway.grpc()).await.unwrap();
        stream.write_all(hello).await.unwrap();
        let mut heard = Vec::new();
        // An alert, unless the hang-up overtakes it; never HTTP.
        let _ = stream.read_to_end(&mut heard).await;
        assert!(heard.first().is_none_or(|kind| *kind == 21), "{heard:?}");
    }
    until_handshakes(&gateway, "failed", 2).await;
    embed(gateway.grpc(), &Arc::new(client(&authority, None, &VERSIONS))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_handshake_times_out() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(2100), None);
    let gateway = files.serve().await;
    // Nothing at all, and the first bytes of a hello.
    for said in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(gateway.grpc()).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        assert!(heard.is_empty(), "{heard:?}");
    }
    until_handshakes(&gateway, "timeout", 2).await;
}

#[tokio::test(start_paused = true)]
async fn silent_connections_delay_no_handshake() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(2100), None);
    let gateway = files.serve().await;
    let config = Arc::new(client(&authority, None, &VERSIONS));
    let mut silent = Vec::new();
    // The clock stands still while a thread is busy: none of them can be given up. The thread's own patience has
    // an end, so that a gateway that waits for them fails this test instead of holding it up.
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let busy = tokio::task::spawn_blocking(move || is_done.recv_timeout(PATIENCE));
    for _ in 0..20 {
        silent.push(TcpStream::connect(gateway.grpc()).await.unwrap());
    }
    embed(gateway.grpc(), &config).await.unwrap();
    assert_eq!(handshakes(&gateway, "timeout").await, 0, "they are still at it");
    drop(done);
    let _ = busy.await;
}

#[tokio::test]
async fn every_handshake_is_a_whole_one() {
    let authority = Authority::new();
    let caller = authority.client("caller");
    for (client_ca, shown) in [(None, None), (Some(&authority), Some(&caller))] {
        let files = Files::new(&authority.server(2100), client_ca);
        let gateway = files.serve().await;
        for version in VERSIONS {
            // The client keeps its sessions between the two.
            let config = Arc::new(client(&authority, shown, &[version]));
            embed(gateway.grpc(), &config).await.unwrap();
            let again = connect(gateway.grpc(), &config).await.unwrap();
            assert_ne!(again.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        }
    }
}
