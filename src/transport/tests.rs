//! Process limits, connection ages and protocol detection.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::{
    Protocol, Timing,
    preface::{self, Http},
    process::{TooFewFiles, afford, affordable_connections, forbid_dumps},
};

#[test]
fn connections_get_what_the_others_leave_of_the_files() {
    for (wanted, reserved, limit, afforded) in [
        (10_000, 144, None, Ok(10_000)),
        (10_000, 144, Some(1_048_576), Ok(10_000)),
        (10_000, 144, Some(10_144), Ok(10_000)),
        (10_000, 144, Some(10_143), Ok(9_999)),
        (10_000, 144, Some(1024), Ok(880)),
        (10_000, 144, Some(145), Ok(1)),
        (1, 144, Some(1024), Ok(1)),
        (10_000, 144, Some(144), Err(TooFewFiles { limit: 144, reserved: 144 })),
        (10_000, 144, Some(0), Err(TooFewFiles { limit: 0, reserved: 144 })),
        (u32::MAX, 0, Some(u64::MAX), Ok(u32::MAX)),
    ] {
        assert_eq!(afford(wanted, reserved, limit), afforded, "{wanted} {reserved} {limit:?}");
    }
    assert_eq!(affordable_connections(1, 0), Ok(1));
}

#[test]
fn too_few_files_are_reported_with_a_remedy() {
    let reported = TooFewFiles { limit: 100, reserved: 144 }.to_string();
    assert!(["100", "144", "ulimit -n"].iter().all(|word| reported.contains(word)), "{reported}");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_not_dumped() {
    use rustix::process::{DumpableBehavior, dumpable_behavior};
    forbid_dumps().unwrap();
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
}

#[test]
fn ages_differ_by_a_tenth_either_way() {
    let age = Duration::from_secs(1_000);
    let timing = Timing::with_age(age, Duration::ZERO);
    let ages: Vec<_> = (0..1_000).map(|_| timing.jittered_age()).collect();
    assert!(ages.iter().all(|one| one.abs_diff(age) <= age / 10));
    assert!(ages.iter().any(|one| *one < age * 19 / 20));
    assert!(ages.iter().any(|one| *one > age * 21 / 20));
}

#[tokio::test]
async fn first_bytes_are_known_however_they_come() {
    let tls = Err("TLS on a plaintext port");
    let http1 = Err("HTTP/1.1 on a gRPC port");
    let unknown = Err("unknown protocol");
    let left = Err("closed within the first bytes");
    for (said, expected) in [
        (preface::HTTP2.as_slice(), Ok(Some(Http::Two))),
        (b"", Ok(None)),
        (&preface::HTTP2[..23], left),
        (b"\x16\x03\x01\x02\x00\x01", tls),
        (b"GET /", http1),
        (b"POST / HTTP/1.1\r\n", http1),
        (b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", unknown),
        (b"SSH-2.0-x", unknown),
        (b"\x00", unknown),
    ] {
        for cut in [0, 2, 3] {
            let (first, rest) = said.split_at(cut.min(said.len()));
            let mut stream = first.chain(rest);
            let detected = preface::detect(&mut stream, Protocol::Http2).await;
            let detected = detected.map(|detected| detected.map(|(http, _)| http));
            let detected = detected.map_err(|error| error.to_string());
            assert_eq!(detected, expected.map_err(str::to_owned), "{said:?} in two at {cut}");
        }
    }
}

#[test]
fn tls_is_known_by_its_first_byte() {
    for (said, tls) in [
        (b"\x16".as_slice(), true),
        (b"\x16\x03", true),
        (b"\x16\x02", false),
        (b"GET", false),
        (&preface::HTTP2, false),
    ] {
        assert_eq!(preface::is_tls(said), tls, "{said:?}");
    }
}
