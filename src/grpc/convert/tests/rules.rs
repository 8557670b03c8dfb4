//! The effect of a caller's rules on its request.

use super::*;
use crate::caller::{self, Rule};

fn by(rule: Rule, request: EmbedRequest) -> Result<(Request, ReplyShape), Error> {
    let caller = Caller { rule: Arc::new(rule), ..Caller::unruled("search") };
    embed_request(request, &RequestModels::usual(), CallTerms { caller, deadline: Instant::now() })
}

fn no_models() -> Rule {
    Rule { models: Some(Vec::new()), ..Rule::default() }
}

fn nothing() -> Rule {
    Rule { rpcs: Some(Vec::new()), ..no_models() }
}

#[test]
fn rules_are_asked_after_the_fields_and_before_the_size() {
    let wrong = EmbedRequest { inputs: Vec::new(), ..hi() };
    assert!(matches!(by(nothing(), wrong), Err(Error::InvalidRequest(_))));

    let options = RequestOptions { max_response_bytes: 1, ..RequestOptions::default() };
    for (rule, what) in [(nothing(), "rpc"), (no_models(), "model")] {
        let refused = by(rule, with_options(options)).err();
        assert_eq!(refused, Some(Error::CallerNotAllowed { what }));
    }
    let too_large = by(Rule::default(), with_options(options));
    assert!(matches!(too_large, Err(Error::ResponseTooLarge { .. })));
}

#[test]
fn rules_apply_to_the_default_model_by_its_name() {
    let rule = |model: &str| Rule { models: Some(vec![model.to_owned()]), ..Rule::default() };
    assert!(by(rule("voyage-4"), hi()).is_ok());
    assert!(by(rule("voyage-4-lite"), hi()).is_err());
}

#[test]
fn the_rpc_is_one_that_rules_can_name() {
    for rpc in [texts::RPC, super::super::chunks::RPC, super::super::rerank::RPC] {
        assert!(crate::grpc::rpc_names().contains(rpc), "{rpc}");
    }
}

#[test]
fn the_highest_priority_is_the_rules() {
    use caller::Priority::{Batch, Interactive};
    let asked = |max_priority, priority: Priority| {
        let options = RequestOptions { priority: priority as i32, ..RequestOptions::default() };
        let rule = Rule { max_priority, ..Rule::default() };
        by(rule, with_options(options)).unwrap().0.priority
    };
    assert_eq!(asked(None, Priority::Interactive), Interactive);
    assert_eq!(asked(Some(Interactive), Priority::Interactive), Interactive);
    assert_eq!(asked(Some(Batch), Priority::Interactive), Batch);
    assert_eq!(asked(Some(Batch), Priority::Unspecified), Batch);
    assert_eq!(asked(Some(Interactive), Priority::Batch), Batch);
}
