//! The rules of callers follow the file; nothing else of it does.

use std::sync::Arc;

use super::*;
use crate::reload::{Reload as _, ReloadOutcome};

/// Returns the rules that sources give, live.
fn live(sources: &Sources) -> Arc<Live<Rules>> {
    live_rules(sources, &load(sources).unwrap(), None, &Metrics::new().unwrap())
}

fn weight(rules: &Live<Rules>) -> u32 {
    rules.get().caller(&Arc::from("search")).weight()
}

fn in_file(file: &File) -> Sources {
    Sources { file: Some(file.path().to_owned()), ..Sources::default() }
}

#[test]
fn rules_follow_the_file_and_the_sources_above_it() {
    let file = File::new("[callers.search]\nweight = 2\n");
    let set = strings(&["callers.default.tokens_per_day=7"]);
    let sources = [
        Sources { set: set.clone(), ..in_file(&file) },
        Sources {
            environment: pairs(&[("VOYAGE_GATEWAY_CONFIG", file.path().to_str().unwrap())]),
            set,
            ..Sources::default()
        },
    ];
    let live = sources.map(|sources| live(&sources));
    fs::write(file.path(), "[callers.search]\nweight = 3\n[callers.default]\ntokens_per_day = 1\n")
        .unwrap();
    for live in &live {
        assert_eq!(weight(live), 2);
        assert_eq!((live.reload(), weight(live)), (ReloadOutcome::Changed, 3));
        // As at the start, `--set` wins over the file.
        let stranger = live.get().caller(&Arc::from("stranger"));
        assert_eq!(stranger.rule.tokens_per_day, Some(7));
    }
}

#[test]
fn a_file_that_makes_no_sense_changes_no_rule() {
    let file = File::new("[callers.search]\nweight = 2\n");
    let live = live(&in_file(&file));
    for bad in ["[callers.search]\nweight = 0\n", "[callers.search]\nweight = 5\n[cash]\n", "["] {
        fs::write(file.path(), bad).unwrap();
        assert_eq!((live.reload(), weight(&live)), (ReloadOutcome::Refused, 2), "{bad}");
    }
}

#[test]
fn without_a_file_the_rules_stay_as_they_are() {
    let set = strings(&["callers.search.weight=2"]);
    let live = live(&Sources { set, ..Sources::default() });
    assert_eq!((live.reload(), weight(&live)), (ReloadOutcome::Unchanged, 2));
}

const MODELS: &str =
    "callers.a.models: must hold names of models, none empty, with \"*\" only at the end of one";

#[test]
fn invalid_rules_are_reported() {
    let names: Vec<_> = crate::grpc::rpc_names().into_iter().collect();
    let rpcs = &format!("callers.a.rpcs: must hold names of RPCs only: {}", names.join(", "));
    for (set, reported) in [
        ("callers.a.requests_per_second=0", "callers.a.requests_per_second: must be at least 1"),
        (
            "callers.'a b'.tokens_per_minute=0",
            "callers.\"a b\".tokens_per_minute: must be at least 1",
        ),
        (
            "callers.'a\"b'.tokens_per_day=0",
            "callers.\"a\\\"b\".tokens_per_day: must be at least 1",
        ),
        ("callers.default.weight=0", "callers.default.weight: must be 1 to 1000"),
        ("callers.default.weight=1001", "callers.default.weight: must be 1 to 1000"),
        ("callers.a.models=['']", MODELS),
        ("callers.a.models=['x', 'voyage-*-4']", MODELS),
        ("callers.a.models=['**']", MODELS),
        ("callers.a.rpcs=['']", rpcs),
        ("callers.a.rpcs=['embed']", rpcs),
        ("callers.a.rpcs=['Embed', 'canary']", rpcs),
        ("callers.a.wieght=2", "callers.a.wieght: unknown key; did you mean \"weight\"?"),
        ("callers.a=2", "callers.a: expected a section of keys"),
        ("callers.''.weight=2", "callers.\"\": must not be empty: every caller has a name"),
    ] {
        assert_eq!(report(load_set(&[set])), format!("{reported} (from --set)"), "{set}");
    }
}
