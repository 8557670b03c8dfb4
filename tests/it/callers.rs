//! Permissions and quotas of callers over real gRPC: codes, details, and reloads of the table.

use std::{fs, path::Path, time::Duration};

use tonic::{Code, Status};
use voyage_gateway::{
    caller::{Config as Callers, Rule},
    grpc::v1::{
        CacheMode, CacheStatus, EmbedRequest, GetGatewayInfoRequest, ListModelsRequest,
        RequestOptions,
    },
};

use crate::support::{
    Gateway, details, eventually, in_mode, metadata, numbered, partial, reason, sample, statuses,
    texts, with_options,
};

/// Starts a gateway with one rule for all callers.
async fn ruled(rule: Rule) -> Gateway {
    let callers = Callers([("default".to_owned(), rule)].into());
    Gateway::with(move |config, _| config.callers = callers).await
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

async fn refused(gateway: &Gateway, request: EmbedRequest) -> Status {
    gateway.embed(request).await.expect_err("a refusal")
}

/// Checks a refusal by a quota; returns its retry delay.
#[track_caller]
fn assert_quota(status: &Status, quota: &str, limit: u64) -> Option<Duration> {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(reason(status), "CALLER_QUOTA_EXCEEDED");
    assert_eq!(metadata(status, "caller").as_deref(), Some("anonymous"));
    assert_eq!(metadata(status, "quota").as_deref(), Some(quota));
    let details = details(status);
    assert_eq!(details.error_info().unwrap().domain, "voyage-gateway");
    let violation = &details.quota_failure().unwrap().violations[0];
    assert_eq!(violation.subject, "caller:anonymous");
    assert_eq!(violation.quota_metric, quota);
    assert_eq!(u64::try_from(violation.quota_value), Ok(limit));
    // Java and .NET would try again on a pushback at once.
    assert!(status.metadata().get("grpc-retry-pushback-ms").is_none());
    details.retry_info().and_then(|info| info.retry_delay)
}

#[track_caller]
fn assert_not_allowed(status: &Status, what: &str) {
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert_eq!(reason(status), "CALLER_NOT_ALLOWED");
    assert_eq!(metadata(status, "what").as_deref(), Some(what));
    assert!(details(status).retry_info().is_none());
}

#[tokio::test]
async fn only_the_rpcs_of_the_rule_may_be_called() {
    let gateway = ruled(Rule { rpcs: Some(names(&["ListModels"])), ..Rule::default() }).await;
    assert_not_allowed(&refused(&gateway, texts(&["a text"])).await, "rpc");
    let mut models = gateway.models().await;
    models.list_models(ListModelsRequest::default()).await.unwrap();
    let info = models.get_gateway_info(GetGatewayInfoRequest::default()).await;
    assert_not_allowed(&info.err().unwrap(), "rpc");
    // Violations of the request itself come first.
    let status = refused(&gateway, texts::<&str>(&[])).await;
    assert_eq!(reason(&status), "INVALID_REQUEST");
    assert!(gateway.sent().is_empty());

    let gateway = ruled(Rule { rpcs: Some(names(&["Embed"])), ..Rule::default() }).await;
    gateway.embed(texts(&["a text"])).await.unwrap();
    let list = gateway.models().await.list_models(ListModelsRequest::default()).await;
    assert_not_allowed(&list.err().unwrap(), "rpc");
}

#[tokio::test]
async fn only_the_models_of_the_rule_may_be_used() {
    let rule = Rule { models: Some(names(&["voyage-4", "voyage-code-*"])), ..Rule::default() };
    let gateway = ruled(rule).await;
    let with = |model: &str| EmbedRequest { model: model.to_owned(), ..texts(&["a text"]) };
    for allowed in ["", "voyage-4", "voyage-code-3"] {
        gateway.embed(with(allowed)).await.unwrap();
    }
    let sent = gateway.sent().len();
    for forbidden in ["voyage-4-lite", "voyage-3.5", "someone-elses"] {
        assert_not_allowed(&refused(&gateway, with(forbidden)).await, "model");
    }
    // Before the size of the reply is checked.
    let large = EmbedRequest { model: "voyage-4-lite".to_owned(), ..texts(&numbered(0..5_000)) };
    assert_not_allowed(&refused(&gateway, large).await, "model");
    assert_eq!(gateway.sent().len(), sent);
}

#[tokio::test]
async fn requests_a_second_are_bounded_hits_included() {
    let gateway = ruled(Rule { requests_per_second: Some(1), ..Rule::default() }).await;
    let mut client = gateway.client().await;
    client.embed(texts(&["a text"])).await.unwrap();
    // On a busy machine a second may pass between two calls: repeat until one is refused.
    let status = loop {
        if let Err(status) = client.embed(texts(&["a text"])).await {
            break status;
        }
    };
    let wait = assert_quota(&status, "requests_per_second", 1).unwrap();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    assert_eq!(metadata(&status, "need").as_deref(), Some("1"));
    // The catalogue is not counted.
    gateway.models().await.list_models(ListModelsRequest::default()).await.unwrap();
    eventually(async || gateway.embed(texts(&["a text"])).await.is_ok()).await;
}

#[tokio::test]
async fn a_caller_over_its_tokens_is_still_served_from_the_cache() {
    let gateway = ruled(Rule { tokens_per_minute: Some(40), ..Rule::default() }).await;
    let known = "a text that all callers send again and again";
    let reply = gateway.embed(texts(&[known])).await.unwrap().into_inner();
    let cost = reply.usage.unwrap().total_tokens;
    assert!(cost > 0);
    // The rest of the quota is too small for this request; the whole quota would be large enough.
    let many: Vec<String> = (0..7).map(|number| format!("{number} {number}")).collect();
    let status = loop {
        match gateway.embed(in_mode(texts(&many), CacheMode::Bypass)).await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    let wait = assert_quota(&status, "tokens_per_minute", 40).unwrap();
    assert!(wait <= Duration::from_millis(60_600), "{wait:?}");

    let reply = gateway.embed(texts(&[known])).await.unwrap().into_inner();
    assert_eq!(statuses(&reply), [CacheStatus::Hit]);
    let mut mixed = vec![known.to_owned()];
    mixed.extend(many.iter().map(|text| text.repeat(5)));
    let reply = gateway.embed(partial(texts(&mixed))).await.unwrap().into_inner();
    assert_eq!((reply.embeddings[0].index, statuses(&reply)[0]), (0, CacheStatus::Hit));
    let last = reply.errors.last().unwrap();
    assert_eq!((last.index, last.reason.as_str()), (7, "CALLER_QUOTA_EXCEEDED"));
    assert!(last.retry_delay.is_some());
}

#[tokio::test]
async fn a_request_beyond_the_whole_quota_has_no_retry_time() {
    let gateway = ruled(Rule { tokens_per_day: Some(5), ..Rule::default() }).await;
    let status = refused(&gateway, texts(&["far more words than five tokens can ever be"])).await;
    assert_eq!(assert_quota(&status, "tokens_per_day", 5), None);
    let need: u64 = metadata(&status, "need").unwrap().parse().unwrap();
    assert!(need > 5);
    assert!(gateway.sent().is_empty());
}

#[tokio::test]
async fn a_used_up_budget_stops_everything_but_hits() {
    let gateway = Gateway::with(|config, _| {
        config.limits.daily_tokens = Some(20);
        config.limits.monthly_tokens = Some(1_000);
    })
    .await;
    gateway.embed(texts(&["a text"])).await.unwrap();
    let mut number = 0;
    let status = loop {
        number += 1;
        match gateway.embed(texts(&[format!("text number {number}")])).await {
            Ok(_) => assert!(number < 20),
            Err(status) => break status,
        }
    };
    let sent = gateway.sent().len();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "BUDGET_EXHAUSTED");
    assert_eq!(metadata(&status, "budget").as_deref(), Some("limits.daily_tokens"));
    let details = details(&status);
    let violation = &details.quota_failure().unwrap().violations[0];
    assert_eq!((violation.subject.as_str(), violation.quota_value), ("gateway", 20));
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::from_hours(23), "{wait:?}");

    let reply = gateway.embed(texts(&["a text"])).await.unwrap().into_inner();
    assert_eq!(statuses(&reply), [CacheStatus::Hit]);
    assert_eq!(gateway.sent().len(), sent);
    let page = gateway.metrics().await;
    let gauge = |name: &str, budget: &str| {
        let name = format!("voyage_gateway_budget_{name}_tokens");
        sample(&page, &name, &[("budget", &format!("limits.{budget}_tokens"))])
    };
    assert_eq!((gauge("limit", "daily"), gauge("limit", "monthly")), (20, 1_000));
    let used = gauge("used", "daily");
    assert_eq!(used, sample(&page, "voyage_gateway_tokens_total", &[]), "what Voyage reported");
    assert!(used > 0 && used <= 20);
}

#[tokio::test]
async fn scopes_and_priorities_of_a_rule_fail_no_request() {
    // A priority above the caller's rule is lowered; the call succeeds.
    let rule = Rule {
        max_priority: Some(voyage_gateway::caller::Priority::Batch),
        cache_scope: Some(voyage_gateway::caller::Scope::PerCaller),
        weight: Some(3),
        ..Rule::default()
    };
    let gateway = ruled(rule).await;
    let urgent = RequestOptions { priority: 1, ..RequestOptions::default() };
    for status in [CacheStatus::Miss, CacheStatus::Hit] {
        let request = with_options(texts(&["a text"]), urgent);
        let reply = gateway.embed(request).await.unwrap().into_inner();
        assert_eq!(statuses(&reply), [status]);
    }
}

/// A configuration file, gone at the end of its test.
struct File(tempfile::TempPath);

impl File {
    fn new(content: &str) -> Self {
        let file = Self(tempfile::NamedTempFile::new().unwrap().into_temp_path());
        file.write(content);
        file
    }

    fn write(&self, content: &str) {
        // At once, as editors and Kubernetes do it: no look finds half a file.
        let new = self.0.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, &self.0).unwrap();
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

/// Waits until a changed file was taken over or refused so many times.
async fn until_reloaded(gateway: &Gateway, outcome: &str, times: u64) {
    eventually(async || {
        let page = gateway.metrics().await;
        let labels = [("what", "config"), ("outcome", outcome)];
        sample(&page, "voyage_gateway_reloads_total", &labels) == times
    })
    .await;
}

#[tokio::test]
async fn the_table_of_the_file_is_taken_over_while_it_runs() {
    let file = File::new("[callers.anonymous]\nrpcs = ['ListModels']\n");
    let gateway = Gateway::from_file(file.path()).await;
    assert_not_allowed(&refused(&gateway, texts(&["a text"])).await, "rpc");

    file.write("[callers.anonymous]\ntokens_per_day = 1000\n");
    until_reloaded(&gateway, "changed", 1).await;
    let reply = gateway.embed(texts(&["a text of some words"])).await.unwrap().into_inner();
    let used = u64::try_from(reply.usage.unwrap().total_tokens).unwrap();

    // The rule changes and the usage stays; without usage, this request would be allowed.
    file.write(&format!("[callers.default]\ntokens_per_day = {used}\n"));
    until_reloaded(&gateway, "changed", 2).await;
    let status = refused(&gateway, texts(&["a"])).await;
    assert!(assert_quota(&status, "tokens_per_day", used).is_some());

    // An invalid file changes nothing, in any section.
    for (times, bad) in [
        (1, "[callers.default]\ntokens_per_day = 'a lot'\n"),
        (2, "[callers.default]\nrpcs = ['Enbed']\n"),
        (3, "[batch]\nmax_inputs = 0\n"),
        (4, "[callers"),
    ] {
        file.write(bad);
        until_reloaded(&gateway, "refused", times).await;
        let status = refused(&gateway, texts(&["a"])).await;
        assert!(assert_quota(&status, "tokens_per_day", used).is_some());
    }

    file.write("");
    until_reloaded(&gateway, "changed", 3).await;
    gateway.embed(texts(&["a"])).await.unwrap();
}
