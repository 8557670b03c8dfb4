//! Decisions of rules about calls, and the completion of rules by `[callers.default]`.

use proptest::prelude::*;

use super::*;

/// The example of single callers in `config.example.toml`.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({ "search-frontend": {
        "requests_per_second": 50,
        "tokens_per_minute": 500_000,
        "tokens_per_day": 50_000_000,
        "models": ["voyage-4", "voyage-code-*"],
        "rpcs": ["Embed"],
        "weight": 4,
        "max_priority": "interactive",
        "cache_scope": "per-caller",
        "explain": true,
    } })
}

fn with(rule: Rule) -> Caller {
    Caller { rule: Arc::new(rule), ..Caller::unruled("search") }
}

fn models(patterns: &[&str]) -> Caller {
    let models = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    with(Rule { models: Some(models), ..Rule::default() })
}

#[test]
fn models_are_allowed_by_name_or_beginning() {
    let allows = |patterns: &[&str], model| models(patterns).check_model(model).is_ok();
    assert!(Caller::anonymous().check_model("anything").is_ok());
    assert!(allows(&["voyage-4", "voyage-code-*"], "voyage-4"));
    assert!(allows(&["voyage-4", "voyage-code-*"], "voyage-code-3"));
    assert!(allows(&["voyage-code-*"], "voyage-code-"));
    assert!(allows(&["*"], "anything"));
    assert!(!allows(&["voyage-4", "voyage-code-*"], "voyage-4-lite"));
    assert!(!allows(&["voyage-4"], "voyage"));
    assert!(!allows(&["voyage-code-*"], "voyage-4"));
    assert!(!allows(&[], "voyage-4"), "an empty list forbids all");
    let refused = models(&[]).check_model("voyage-4");
    assert_eq!(refused, Err(Error::CallerNotAllowed { what: "model" }));
}

#[test]
fn rpcs_are_allowed_by_name() {
    let rpcs = |names: &[&str]| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        with(Rule { rpcs: Some(names), ..Rule::default() })
    };
    assert_eq!(Caller::anonymous().check_rpc("Embed"), Ok(()));
    assert_eq!(rpcs(&["ListModels", "Embed"]).check_rpc("Embed"), Ok(()));
    for names in [["ListModels"].as_slice(), &[]] {
        let refused = rpcs(names).check_rpc("Embed");
        assert_eq!(refused, Err(Error::CallerNotAllowed { what: "rpc" }));
    }
}

#[test]
fn a_priority_is_never_above_the_highest_allowed() {
    use Priority::{Batch, Interactive};
    let highest = |max_priority| with(Rule { max_priority, ..Rule::default() });
    for (allowed, wanted, got) in [
        (None, Interactive, Interactive),
        (None, Batch, Batch),
        (Some(Interactive), Interactive, Interactive),
        (Some(Interactive), Batch, Batch),
        (Some(Batch), Interactive, Batch),
        (Some(Batch), Batch, Batch),
    ] {
        assert_eq!(highest(allowed).clamp(wanted), got, "{allowed:?} {wanted:?}");
    }
}

#[test]
fn a_callers_own_table_wins_key_by_key() {
    let table = |tokens_per_day, weight| Rule { tokens_per_day, weight, ..Rule::default() };
    let tables = [("default", table(Some(10), Some(2))), ("search", table(None, Some(7)))];
    let tables = tables.map(|(name, rule)| (name.to_owned(), rule));
    let rules = Rules::new(&Config(tables.into()));

    let search = rules.caller(&Arc::from("search"));
    assert_eq!((search.named, &*search.rule), (true, &table(Some(10), Some(7))));
    // A caller with the name "default" has no special rules.
    for stranger in ["someone", "default"] {
        let stranger = rules.caller(&Arc::from(stranger));
        assert_eq!((stranger.named, &*stranger.rule), (false, &table(Some(10), Some(2))));
    }
}

#[test]
fn a_scope_of_ones_own_wins() {
    let scoped = |cache_scope| with(Rule { cache_scope, ..Rule::default() });
    let (shared, own) = (Some(Scope::Shared), Some(Scope::PerCaller));
    assert_eq!(scoped(None).namespace(Scope::Shared), "");
    assert_eq!(scoped(shared).namespace(Scope::PerCaller), "");
    assert_ne!(scoped(None).namespace(Scope::PerCaller), "");
    assert_ne!(scoped(own).namespace(Scope::Shared), "");
}

proptest! {
    #[test]
    fn no_caller_has_the_namespace_of_another(a: String, b: String) {
        let space = |name: &str| Caller::unruled(name).namespace(Scope::PerCaller).into_owned();
        prop_assert_ne!(space(&a), "");
        prop_assert_eq!(space(&a) == space(&b), a == b);
    }
}
