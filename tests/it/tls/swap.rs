//! Changed files: their effect on new and on open connections.

use super::*;

/// Returns the certificate that a new connection is shown.
async fn shown(gateway: &Gateway, config: &Arc<ClientConfig>) -> Vec<u8> {
    let stream = connect(gateway.grpc(), config).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn not_after(gateway: &Gateway) -> u64 {
    let name = "voyage_gateway_tls_certificate_not_after_seconds";
    sample(&gateway.metrics().await, name, &[])
}

/// 31 December of 2100 and 2200, in seconds since 1970.
const END_OF_2100: u64 = 4_133_894_400;
const END_OF_2200: u64 = 7_289_568_000;

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let authority = Authority::new();
    let (old, new) = (authority.server(2100), authority.server(2200));
    let files = Files::new(&old, None);
    let gateway = files.serve().await;
    let config = Arc::new(client(&authority, None, &VERSIONS));
    let mut before = embed(gateway.grpc(), &config).await.unwrap();
    assert_eq!(shown(&gateway, &config).await, *old.chain()[0]);
    assert_eq!(not_after(&gateway).await, END_OF_2100);

    // One file after the other: the pair is loaded when both match.
    files.write_all("", &new, None);
    eventually(async || not_after(&gateway).await == END_OF_2200).await;
    assert_eq!(shown(&gateway, &config).await, *new.chain()[0]);
    ask(&mut before).await.unwrap();
}

#[tokio::test]
async fn a_swapped_link_is_noticed() {
    let authority = Authority::new();
    let (old, new) = (authority.server(2100), authority.server(2200));
    let files = Files::new(&old, None);
    files.write_all("v1/", &old, Some(&authority));
    files.write_all("v2/", &new, Some(&authority));
    files.link("data", "v1");
    let gateway = files.serve_below("data/").await;
    let caller = authority.client("caller");
    let config = Arc::new(client(&authority, Some(&caller), &VERSIONS));
    let mut before = embed(gateway.grpc(), &config).await.unwrap();

    files.link("data", "v2");
    eventually(async || not_after(&gateway).await == END_OF_2200).await;
    assert_eq!(shown(&gateway, &config).await, *new.chain()[0]);
    ask(&mut before).await.unwrap();
}

#[tokio::test]
async fn files_that_make_no_sense_change_nothing() {
    let authority = Authority::new();
    let (old, new) = (authority.server(2100), authority.server(2200));
    let other = Authority::new().server(2150);
    let files = Files::new(&old, Some(&authority));
    let gateway = files.serve().await;
    let caller = authority.client("caller");
    let config = Arc::new(client(&authority, Some(&caller), &VERSIONS));
    let mut before = embed(gateway.grpc(), &config).await.unwrap();

    let half = |text: &str| text[..text.len() / 2].to_owned();
    let mut refused = 0;
    for (name, bad, good) in [
        ("cert.pem", half(&new.pem()), old.pem()),
        ("cert.pem", new.pem(), old.pem()),
        ("cert.pem", other.pem(), old.pem()),
        ("cert.pem", String::new(), old.pem()),
        ("key.pem", new.key_pem(), old.key_pem()),
        ("key.pem", half(&old.key_pem()), old.key_pem()),
        ("ca.pem", String::new(), authority.pem()),
        ("ca.pem", half(&authority.pem()), authority.pem()),
    ] {
        files.write(name, &bad);
        refused += 1;
        until_reloads(&gateway, "refused", refused).await;
        assert_eq!(shown(&gateway, &config).await, *old.chain()[0], "{name}");
        assert_eq!(not_after(&gateway).await, END_OF_2100);
        files.write(name, &good);
        until_reloads(&gateway, "changed", refused).await;
    }
    fs::remove_file(files.path("key.pem")).unwrap();
    until_reloads(&gateway, "refused", refused + 1).await;
    embed(gateway.grpc(), &config).await.unwrap();

    files.write_all("", &new, None);
    eventually(async || not_after(&gateway).await == END_OF_2200).await;
    assert_eq!(shown(&gateway, &config).await, *new.chain()[0]);
    ask(&mut before).await.unwrap();
}

#[tokio::test]
async fn another_client_authority_is_for_new_connections() {
    for version in VERSIONS {
        let (server_side, old, new) = (Authority::new(), Authority::new(), Authority::new());
        let files = Files::new(&server_side.server(2100), Some(&old));
        let gateway = files.serve().await;
        let caller = |authority: &Authority| {
            let shown = authority.client("caller");
            Arc::new(client(&server_side, Some(&shown), &[version]))
        };
        let (left, joined) = (caller(&old), caller(&new));
        let mut before = embed(gateway.grpc(), &left).await.unwrap();
        assert!(embed(gateway.grpc(), &joined).await.is_err());

        files.write("ca.pem", &new.pem());
        until_reloads(&gateway, "changed", 1).await;
        // It comes with all that it could resume the first connection with.
        assert!(embed(gateway.grpc(), &left).await.is_err(), "{version:?}");
        embed(gateway.grpc(), &joined).await.unwrap();
        ask(&mut before).await.unwrap();

        // Both, for the time of a change-over.
        files.write("ca.pem", &format!("{}{}", old.pem(), new.pem()));
        until_reloads(&gateway, "changed", 2).await;
        embed(gateway.grpc(), &left).await.unwrap();
        embed(gateway.grpc(), &joined).await.unwrap();
    }
}
