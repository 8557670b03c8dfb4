//! The content of the files, and the problems of invalid ones.

use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::{super::served::served, authority};

/// A certificate with its key and its authority, as PEM.
struct Files {
    cert: String,
    key: String,
    ca: String,
    other_key: String,
}

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2100, 1, 1);
    Files {
        cert: params.signed_by(&key, &authority).unwrap().pem(),
        key: key.serialize_pem(),
        ca: authority.pem(),
        other_key: KeyPair::generate().unwrap().serialize_pem(),
    }
});

fn outcome(files: &[&str]) -> Result<i64, String> {
    let contents: Vec<_> = files.iter().map(|text| text.as_bytes().to_vec()).collect();
    served(&contents).map(|served| served.not_after)
}

fn half(text: &str) -> &str {
    &text[..text.len() / 2]
}

#[test]
fn whole_files_are_taken() {
    let Files { cert, key, ca, .. } = &*FILES;
    let seconds_to_2100 = 4_102_444_800;
    assert_eq!(outcome(&[cert, key]), Ok(seconds_to_2100));
    assert_eq!(outcome(&[cert, key, ca]), Ok(seconds_to_2100));
    let chain = format!("the leaf\n{cert}\nits issuer\n{ca}");
    assert_eq!(outcome(&[&chain, key, &chain]), Ok(seconds_to_2100));
    // One file for both, as some tools write it.
    let both = format!("{key}{cert}");
    assert_eq!(outcome(&[&both, &both]), Ok(seconds_to_2100));
}

#[test]
fn unusable_files_are_reported_by_their_setting() {
    let Files { cert, key, ca, other_key } = &*FILES;
    let canary = "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n";
    let bad_key = "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n";
    let sealed = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let not_base64 = "-----BEGIN CERTIFICATE-----\n!canary!\n-----END CERTIFICATE-----\n";
    let chain = |second: &str| format!("{cert}{second}");
    let no_cert = "tls.cert: there is no certificate in it; expected PEM";
    let no_key = "tls.key: there is no key in it; expected PEM, not encrypted";
    let other = "tls.key: it is not the key of the first certificate in tls.cert";
    for (files, reported) in [
        (["", key, ca], no_cert),
        (["canary", key, ca], no_cert),
        ([key, cert, ca], no_cert),
        ([half(cert), key, ca], "tls.cert: it is cut short"),
        ([&chain(half(ca)), key, ca], "tls.cert: it is cut short"),
        ([not_base64, key, ca], "tls.cert: it is not PEM"),
        ([canary, key, ca], "tls.cert: certificate 1 is malformed"),
        ([&chain(canary), key, ca], "tls.cert: certificate 2 is malformed"),
        ([cert, "", ca], no_key),
        ([cert, &sealed, ca], no_key),
        ([cert, cert, ca], no_key),
        ([cert, half(key), ca], "tls.key: it is cut short"),
        (
            [cert, &format!("{key}{other_key}"), ca],
            "tls.key: there are several keys in it; expected one",
        ),
        (
            [cert, bad_key, ca],
            "tls.key: its key is not one that TLS can use (RSA, ECDSA or Ed25519)",
        ),
        ([cert, other_key, ca], other),
        ([ca, key, ca], other),
        ([&format!("{ca}{cert}"), key, ca], other),
        ([cert, key, ""], "tls.client_ca: there is no certificate in it; expected PEM"),
        ([cert, key, key], "tls.client_ca: there is no certificate in it; expected PEM"),
        ([cert, key, half(ca)], "tls.client_ca: it is cut short"),
        ([cert, key, &format!("{ca}{}", half(ca))], "tls.client_ca: it is cut short"),
        ([cert, key, not_base64], "tls.client_ca: it is not PEM"),
        ([cert, key, canary], "tls.client_ca: certificate 1 is malformed"),
    ] {
        let problem = outcome(&files).unwrap_err();
        assert_eq!(problem, reported);
        assert!(!problem.contains("canary"), "{problem}");
    }
    assert!(outcome(&[cert]).is_err());
}

#[test]
fn no_session_can_be_resumed() {
    let Files { cert, key, ca, .. } = &*FILES;
    for files in [vec![cert, key], vec![cert, key, ca]] {
        let contents: Vec<_> = files.iter().map(|text| text.as_bytes().to_vec()).collect();
        let config = served(&contents).unwrap().config;
        assert!(!config.session_storage.can_cache());
        assert!(!config.ticketer.enabled());
        assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
        assert_eq!(config.alpn_protocols, [b"h2"]);
    }
}

proptest! {
    #[test]
    fn no_files_bring_the_reader_down(
        which in 0..3_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let Files { cert, key, ca, .. } = &*FILES;
        let mut contents: Vec<_> =
            [cert, key, ca].into_iter().map(|text| text.as_bytes().to_vec()).collect();
        let content = &mut contents[which];
        for (place, byte) in changes {
            let place = place.index(content.len());
            content[place] = byte;
        }
        if let Some(length) = cut {
            content.truncate(length.index(content.len()));
        }
        if let Err(problem) = served(&contents).map(|_| ()) {
            prop_assert!(problem.starts_with("tls."), "{}", problem);
        }
    }
}
