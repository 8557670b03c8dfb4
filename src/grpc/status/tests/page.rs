//! `docs/errors.md` tells the truth.

use std::collections::{BTreeMap, BTreeSet};

use super::{rows::rows, *};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md"));

/// The heading of the reasons that later versions will send.
const LATER: &str = "## Not sent by this version";

/// What a line of the page, or the code, says about a reason.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line {
    sent: bool,
    codes: BTreeSet<String>,
    domains: BTreeSet<String>,
    faults: BTreeSet<String>,
    retries: BTreeSet<String>,
}

fn words(cell: &str) -> BTreeSet<String> {
    cell.split(',').map(|word| word.trim().to_owned()).collect()
}

/// The lines of the page's tables by their reasons.
fn page() -> BTreeMap<String, Line> {
    let later = PAGE.find(LATER).unwrap();
    let mut lines = BTreeMap::new();
    for (part, sent) in [(&PAGE[..later], true), (&PAGE[later..], false)] {
        for line in part.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let ["", reason, codes, domains, faults, retries, advice, ""] = &*cells else {
                panic!("six cells, not {line}");
            };
            assert!(advice.ends_with('.'), "{line}");
            let line = Line {
                sent,
                codes: words(codes),
                domains: words(domains),
                faults: words(faults),
                retries: words(retries),
            };
            let reason = reason.trim_matches('`').to_owned();
            assert!(lines.insert(reason.clone(), line).is_none(), "{reason} is there twice");
        }
    }
    lines
}

/// What the code does, by the reasons it can send.
fn code() -> BTreeMap<String, Line> {
    let mut lines = BTreeMap::<_, Line>::new();
    for row in rows() {
        let place = place(&row.error);
        let line = lines.entry(reason_name(place.reason).to_owned()).or_default();
        line.sent = true;
        // `InvalidArgument` is INVALID_ARGUMENT on the page.
        let code = format!("{:?}", place.code);
        let spelled: String = code
            .char_indices()
            .flat_map(|(at, letter)| {
                let gap = (at > 0 && letter.is_uppercase()).then_some('_');
                gap.into_iter().chain([letter.to_ascii_uppercase()])
            })
            .collect();
        line.codes.insert(spelled);
        let details = status(&row.error, "the-id").get_error_details();
        line.domains.insert(details.error_info().unwrap().domain.clone());
        for blame in [row.error.blame(), row.error.blame_in_ample_time()] {
            line.faults.insert(blame.as_str().to_owned());
        }
        let retry = match place.retry {
            Retry::Never | Retry::Forbidden => "no",
            Retry::After(_) | Retry::Elsewhere => "yes",
        };
        line.retries.insert(retry.to_owned());
    }
    lines
}

/// Every reason of `proto/` but UNSPECIFIED.
fn reasons() -> BTreeSet<String> {
    (1..1000)
        .filter_map(|number| ErrorReason::try_from(number).ok())
        .map(|reason| reason_name(reason).to_owned())
        .collect()
}

#[test]
fn every_reason_of_the_proto_is_on_the_page_once() {
    assert_eq!(page().into_keys().collect::<BTreeSet<_>>(), reasons());
}

#[test]
fn the_page_says_what_the_code_does() {
    let code = code();
    for (reason, line) in page() {
        match code.get(&reason) {
            Some(sent) => assert_eq!(line, *sent, "{reason}"),
            None => assert!(!line.sent, "{reason} is not sent by this version"),
        }
    }
}

/// Domains follow the numbers, also of the reasons that are still to come.
#[test]
fn the_domain_follows_the_number() {
    let page = page();
    for number in 1..1000 {
        if let Ok(reason) = ErrorReason::try_from(number) {
            let domain = if number < 20 { GATEWAY_DOMAIN } else { VOYAGE_DOMAIN };
            let line = &page[reason_name(reason)];
            assert_eq!(line.domains, BTreeSet::from([domain.to_owned()]), "{reason:?}");
        }
    }
}

#[test]
fn the_page_names_every_key_of_the_metadata() {
    for row in rows() {
        let details = status(&row.error, "the-id").get_error_details();
        for key in details.error_info().unwrap().metadata.keys().filter(|key| *key != "credential")
        {
            assert!(PAGE.contains(&format!("`{key}`")), "{key}");
        }
    }
}
