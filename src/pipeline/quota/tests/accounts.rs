//! The number of accounts is bounded, and no caller avoids its quota.

use super::*;
use crate::caller::Rule;

fn quotas() -> Quotas {
    Quotas::new(&LimitsConfig::default(), Metrics::new().unwrap())
}

fn caller(name: &str) -> Caller {
    let rule = Rule {
        requests_per_second: Some(2),
        tokens_per_minute: Some(100),
        tokens_per_day: Some(150),
        ..Rule::default()
    };
    Caller { rule: Arc::new(rule), ..Caller::unruled(name) }
}

fn spend(quotas: &Quotas, caller: &Caller, tokens: u64) -> Result<(), Error> {
    let payer = quotas.payer(caller, Instant::now()).unwrap();
    payer.reserve(tokens, Instant::now()).map(|charge| charge.settle(tokens))
}

#[tokio::test(start_paused = true)]
async fn a_million_callers_are_not_remembered() {
    let quotas = quotas();
    for number in 0..1_000_000 {
        let stranger = caller(&format!("stranger {number}"));
        let _ = quotas.count_request(&stranger, Instant::now());
    }
    assert_eq!(quotas.remembered(), REMEMBERED);
    // When they are idle, there is room again.
    tokio::time::advance(Duration::from_secs(1)).await;
    quotas.count_request(&caller("new"), Instant::now()).unwrap();
    assert_eq!(quotas.remembered(), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_beyond_the_limit_share_a_quota() {
    let quotas = quotas();
    for number in 0..REMEMBERED {
        spend(&quotas, &caller(&format!("stranger {number}")), 100).unwrap();
    }
    // Further callers share one account …
    spend(&quotas, &caller("a"), 60).unwrap();
    assert!(matches!(spend(&quotas, &caller("b"), 60), Err(Error::CallerQuota(_))));
    spend(&quotas, &caller("c"), 40).unwrap();
    // … but configured callers do not, and the first callers keep their own.
    let named = Caller { named: true, ..caller("search") };
    spend(&quotas, &named, 100).unwrap();
    assert!(spend(&quotas, &named, 100).is_err());
    assert!(spend(&quotas, &caller("stranger 7"), 100).is_err());
    assert_eq!(quotas.remembered(), REMEMBERED + 1);

    // A day later all is forgotten.
    tokio::time::advance(Duration::from_hours(25)).await;
    spend(&quotas, &caller("d"), 100).unwrap();
    assert_eq!(quotas.remembered(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_not_forgotten() {
    let quotas = quotas();
    let (slow, now) = (caller("slow"), Instant::now());
    let held = quotas.payer(&slow, now).unwrap().unreserved();
    for number in 0..REMEMBERED {
        let _ = quotas.count_request(&caller(&format!("stranger {number}")), now);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    quotas.count_request(&caller("new"), Instant::now()).unwrap();
    assert_eq!(quotas.remembered(), 2);
    held.settle(100);
    assert!(spend(&quotas, &slow, 1).is_err(), "the debt is on the account that is asked");
}

#[tokio::test(start_paused = true)]
async fn each_replica_grants_its_share() {
    let limits = LimitsConfig { daily_tokens: Some(300), replicas: 3, ..LimitsConfig::default() };
    let quotas = Quotas::new(&limits, Metrics::new().unwrap());
    let search = caller("search");
    let Err(Error::CallerQuota(quota)) = spend(&quotas, &search, 34) else { panic!("a refusal") };
    assert_eq!((quota.rule, quota.limit, quota.need), ("tokens_per_minute", 33, 34));
    assert_eq!(quota.retry_after, None);
    spend(&quotas, &search, 33).unwrap();
    quotas.count_request(&search, Instant::now()).unwrap();
    assert!(quotas.count_request(&search, Instant::now()).is_err(), "2 a second make at least 1");
    let refused = spend(&quotas, &Caller::anonymous(), 68);
    let Err(Error::BudgetExhausted { budget, limit, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((budget, limit), ("limits.daily_tokens", 100));
    spend(&quotas, &Caller::anonymous(), 67).unwrap();
}

#[tokio::test(start_paused = true)]
async fn callers_without_rules_have_no_account() {
    let quotas = quotas();
    let anyone = Caller::anonymous();
    quotas.count_request(&anyone, Instant::now()).unwrap();
    assert!(quotas.payer(&anyone, Instant::now()).is_none());
    assert_eq!(quotas.remembered(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_rules_leaves_what_was_used() {
    let quotas = quotas();
    let with = |tokens_per_minute| {
        let rule = Rule { tokens_per_minute: Some(tokens_per_minute), ..Rule::default() };
        Caller { rule: Arc::new(rule), ..Caller::unruled("search") }
    };
    spend(&quotas, &with(100), 90).unwrap();
    assert!(spend(&quotas, &with(50), 10).is_err());
    assert!(spend(&quotas, &with(99), 10).is_err());
    spend(&quotas, &with(200), 110).unwrap();
    assert!(spend(&quotas, &with(200), 1).is_err());
}
