//! Which name a certificate gives, and that no bytes bring the reader down.

use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::{
    CertificateParams, CustomExtension, DnType, DnValue, KeyPair, SanType, string::BmpString,
};

use super::{super::identity::of, nameless};

const ID: &str = "spiffe://prod.example/ns/search/sa/indexer";

/// Making keys is the slow part, and names have nothing to do with them.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());

fn signed(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&*KEY).unwrap().der().to_vec()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn email(text: &str) -> SanType {
    SanType::Rfc822Name(text.try_into().unwrap())
}

fn params(alternatives: Vec<SanType>, common_name: Option<&str>) -> CertificateParams {
    let mut params = nameless();
    params.subject_alt_names = alternatives;
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params
}

fn name(params: &CertificateParams) -> Option<String> {
    of(&signed(params)).map(|identity| identity.0.to_string())
}

#[test]
fn the_most_telling_name_is_taken() {
    for (alternatives, common_name, expected) in [
        (vec![uri(ID)], None, Some(ID)),
        (vec![dns("a.example"), uri(ID)], Some("cn"), Some(ID)),
        (vec![dns("a.example"), dns("b.example")], Some("cn"), Some("a.example")),
        (vec![uri("https://a.example/x"), dns("a.example")], None, Some("a.example")),
        (vec![uri("https://a"), uri("https://b")], Some("cn"), Some("cn")),
        (vec![email("a@b.example")], Some("cn"), Some("cn")),
        (vec![], Some("Search, \"Ünit\" 7"), Some("Search, \"Ünit\" 7")),
        (vec![uri("https://a.example/x"), email("a@b.example")], None, None),
        (vec![], None, None),
    ] {
        let params = params(alternatives, common_name);
        assert_eq!(name(&params).as_deref(), expected, "{:?}", params.subject_alt_names);
    }
}

#[test]
fn several_uris_beside_a_spiffe_id_are_no_identity() {
    let other = "spiffe://prod.example/other";
    for uris in [[ID, other], [ID, ID], [ID, "https://a.example/"], ["https://a.example/", ID]] {
        let alternatives = uris.into_iter().map(uri).chain([dns("a.example")]).collect();
        assert_eq!(name(&params(alternatives, Some("cn"))), None, "{uris:?}");
    }
}

#[test]
fn a_spiffe_id_is_spelt_as_the_standard_says() {
    for good in ["spiffe://d/a", "spiffe://a-b_c.1/A-b_c.1/...", "spiffe://d/a/b/c/d"] {
        assert_eq!(name(&params(vec![uri(good)], None)).as_deref(), Some(good));
    }
    for bad in [
        "spiffe:",
        "spiffe:d/a",
        "spiffe:///a",
        "spiffe://",
        "spiffe://d",
        "spiffe://d/",
        "spiffe://d/a/",
        "spiffe://d/a//b",
        "spiffe://d/./a",
        "spiffe://d/a/..",
        "spiffe://D/a",
        "spiffe://user@d/a",
        "spiffe://d:1/a",
        "spiffe://d/a?b",
        "spiffe://d/a#b",
        "spiffe://d/%61",
        "spiffe://d/a b",
        "SPIFFE://d/a",
    ] {
        // Nor does another name of the certificate take its place.
        let params = params(vec![uri(bad), dns("a.example")], Some("cn"));
        assert_eq!(name(&params), None, "{bad}");
    }
}

#[test]
fn no_other_name_passes_for_a_spiffe_id() {
    for forged in [ID, "SPIFFE://prod.example/ns/search", "spiffe:x"] {
        assert_eq!(name(&params(vec![dns(forged)], Some("cn"))), None, "{forged}");
        assert_eq!(name(&params(vec![], Some(forged))), None, "{forged}");
    }
}

#[test]
fn names_are_bounded_and_printable() {
    let long = |length: usize| format!("spiffe://d/{}", "a".repeat(length - 11));
    assert_eq!(name(&params(vec![uri(&long(256))], None)), Some(long(256)));
    assert_eq!(name(&params(vec![uri(&long(257))], None)), None);
    let common = "ü".repeat(128);
    assert_eq!(name(&params(vec![], Some(&common))), Some(common.clone()));
    assert_eq!(name(&params(vec![], Some(&format!("{common}x")))), None);
    for bad in ["", "a\nb", "a\0", "\x7f", "a\u{85}b", "\u{1b}[31m"] {
        assert_eq!(name(&params(vec![], Some(bad))), None, "{bad:?}");
    }
    for bad in ["", "a\nb", "a\0.example"] {
        assert_eq!(name(&params(vec![dns(bad)], Some("cn"))), None, "{bad:?}");
    }
}

#[test]
fn names_that_cannot_be_read_are_no_identity() {
    // Two common names: the same attribute, once by its name and once by its number.
    let mut twice = params(vec![], Some("one"));
    twice.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "two");
    assert_eq!(name(&twice), None);

    // UCS-2, which is obsolete.
    let mut wide = nameless();
    let text = DnValue::BmpString(BmpString::try_from("cn").unwrap());
    wide.distinguished_name.push(DnType::CommonName, text);
    assert_eq!(name(&wide), None);

    let with = |contents: &[&[u8]]| {
        let mut params = params(vec![], Some("cn"));
        params.custom_extensions = contents
            .iter()
            .map(|der| CustomExtension::from_oid_content(&[2, 5, 29, 17], der.to_vec()))
            .collect();
        params
    };
    let dns_x = b"\x30\x03\x82\x01x".as_slice();
    assert_eq!(name(&with(&[dns_x])).as_deref(), Some("x"), "the encoding is right");
    for bad in [
        [b"\x30\x03\x82\x01\xff".as_slice()].as_slice(),
        &[b"\x30\x06\x82\x01x\x86\x01\xff"],
        &[b"\x30\x05\x82\x01x"],
        &[b"\x30\x03\x82\x7fx"],
        &[b"\x04\x01x"],
        &[b""],
        &[dns_x, b"\x30\x03\x82\x01y"],
    ] {
        assert_eq!(name(&with(bad)), None, "{bad:?}");
    }
}

#[test]
fn what_follows_a_certificate_is_not_ignored() {
    let mut certificate = signed(&params(vec![uri(ID)], None));
    assert!(of(&certificate).is_some());
    certificate.push(0);
    assert_eq!(of(&certificate), None);
    assert_eq!(of(b""), None);
}

/// Returns a certificate with names of every kind.
fn rich() -> Vec<u8> {
    static RICH: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut params = params(vec![dns("a.example"), email("a@b.example")], Some("cn"));
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.subject_alt_names.push(uri(ID));
        signed(&params)
    });
    RICH.clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_bring_the_reader_down(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        inserted in proptest::option::of((any::<prop::sample::Index>(), any::<[u8; 3]>())),
    ) {
        let mut certificate = rich();
        for (place, byte) in changes {
            let place = place.index(certificate.len());
            certificate[place] = byte;
        }
        if let Some((place, bytes)) = inserted {
            let place = place.index(certificate.len());
            certificate.splice(place..place, bytes);
        }
        if let Some(length) = cut {
            certificate.truncate(length.index(certificate.len()));
        }
        if let Some(identity) = of(&certificate) {
            let name = &*identity.0;
            prop_assert!((1..=256).contains(&name.len()));
            prop_assert!(!name.contains(|c: char| c.is_control()));
        }
    }

    #[test]
    fn neither_does_any_noise(bytes: Vec<u8>) {
        prop_assert_eq!(of(&bytes), None);
    }
}
