//! `ModelService`: models and limits of the gateway.

use tonic::Code;
use voyage_gateway::{
    caller::{Config as Callers, Rule},
    grpc::v1::{
        CacheStatus, EmbedRequest, GetGatewayInfoRequest, ListModelsRequest, Model, ModelKind,
        ModelLifecycle, OutputDtype,
    },
    model::CATALOGUE,
    units::Size,
};

use crate::support::{Gateway, fields, reason, sample, statuses, texts};

async fn list(gateway: &Gateway, kind: ModelKind) -> Vec<Model> {
    let request = ListModelsRequest { kind: kind as i32 };
    gateway.models().await.list_models(request).await.unwrap().into_inner().models
}

#[tokio::test]
async fn models_are_listed_with_their_limits() {
    let gateway = Gateway::start().await;
    let models = list(&gateway, ModelKind::Unspecified).await;
    assert_eq!(models.len(), CATALOGUE.len());
    let defaults: Vec<_> = models.iter().filter(|model| model.is_default).collect();
    assert_eq!(defaults.len(), 4, "one for each RPC");
    assert_eq!(
        *defaults[0],
        Model {
            name: "voyage-4".to_owned(),
            kind: ModelKind::Text as i32,
            is_default: true,
            default_dimension: 1024,
            dimensions: vec![256, 512, 1024, 2048],
            output_dtypes: [
                OutputDtype::Float,
                OutputDtype::Int8,
                OutputDtype::Uint8,
                OutputDtype::Binary,
                OutputDtype::Ubinary,
            ]
            .map(|dtype| dtype as i32)
            .to_vec(),
            context_length: 32_000,
            max_batch_inputs: 1_000,
            max_batch_tokens: 320_000,
            usd_per_million_tokens: 0.06,
            lifecycle: ModelLifecycle::Active as i32,
            ..Model::default()
        }
    );
}

#[tokio::test]
async fn models_are_listed_by_kind() {
    let gateway = Gateway::start().await;
    let kinds = [
        (ModelKind::Text, "voyage-4-lite"),
        (ModelKind::Contextualized, "voyage-context-4"),
        (ModelKind::Multimodal, "voyage-multimodal-3.5"),
        (ModelKind::Rerank, "rerank-3"),
    ];
    let mut listed = 0;
    for (kind, known) in kinds {
        let models = list(&gateway, kind).await;
        assert!(models.iter().all(|model| model.kind() == kind));
        assert!(models.iter().any(|model| model.name == known), "{known}");
        listed += models.len();
    }
    assert_eq!(listed, CATALOGUE.len(), "every model has a kind");
}

#[tokio::test]
async fn every_listed_text_model_works_as_listed() {
    let gateway = Gateway::start().await;
    for model in list(&gateway, ModelKind::Text).await {
        let request = voyage_gateway::grpc::v1::EmbedRequest {
            model: model.name.clone(),
            ..texts(&["a text"])
        };
        let reply = gateway.embed(request).await.unwrap().into_inner();
        assert_eq!(reply.dimension, model.default_dimension, "{}", model.name);
    }
}

#[tokio::test]
async fn the_default_is_the_operators() {
    let gateway =
        Gateway::with(|config, _| config.upstream.default_model = "voyage-code-4".to_owned()).await;
    let models = list(&gateway, ModelKind::Text).await;
    let default = models.iter().find(|model| model.is_default).unwrap();
    assert_eq!(default.name, "voyage-code-4");

    // A default of another kind is no default.
    let gateway =
        Gateway::with(|config, _| config.upstream.default_model = "rerank-3".to_owned()).await;
    assert!(!list(&gateway, ModelKind::Text).await.iter().any(|model| model.is_default));
}

#[tokio::test]
async fn an_unknown_kind_is_a_violation() {
    let gateway = Gateway::start().await;
    let status =
        gateway.models().await.list_models(ListModelsRequest { kind: 77 }).await.err().unwrap();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_REQUEST")
    );
    assert_eq!(fields(&status), ["kind"]);
}

#[tokio::test]
async fn the_gateway_says_what_it_is() {
    let gateway =
        Gateway::with(|config, _| config.server.max_request_bytes = Size::from_mib(3)).await;
    let info = gateway.models().await.get_gateway_info(GetGatewayInfoRequest {}).await.unwrap();
    let info = info.into_inner();
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.revision, voyage_gateway::REVISION);
    assert_eq!((info.max_inputs, info.max_request_bytes), (16_384, 3 << 20));
    assert_eq!(info.max_bulk_in_flight, 0);
    let seconds = |span: Option<prost_types::Duration>| span.map(|span| span.seconds);
    assert_eq!((seconds(info.default_deadline), seconds(info.max_deadline)), (Some(60), Some(300)));
}

/// The settings of `[models]`.
fn models(text: &str) -> voyage_gateway::model::Config {
    toml::from_str(text).unwrap()
}

#[tokio::test]
async fn every_kind_of_model_is_listed_with_its_own_limits() {
    let gateway = Gateway::start().await;
    let models = list(&gateway, ModelKind::Unspecified).await;
    let find = |name: &str| models.iter().find(|model| model.name == name).unwrap();
    let reranker = find("rerank-2.5-lite");
    assert_eq!((reranker.max_query_tokens, reranker.context_length), (8_000, 32_000));
    assert_eq!((reranker.max_batch_tokens, reranker.max_batch_inputs), (600_000, 1_000));
    assert_eq!((reranker.default_dimension, reranker.dimensions.len()), (0, 0));
    let legacy = (ModelLifecycle::Legacy, "rerank-3-lite");
    assert_eq!((reranker.lifecycle(), reranker.replacement.as_str()), legacy);
    let context = find("voyage-context-4");
    assert_eq!((context.max_batch_chunks, context.max_batch_tokens), (16_000, 120_000));
    let multimodal = find("voyage-multimodal-3.5");
    let prices = [multimodal.usd_per_million_tokens, multimodal.usd_per_billion_pixels];
    assert_eq!(prices.map(|price| price.to_string()), ["0.12", "0.6"]);
    assert_eq!((multimodal.max_batch_chunks, multimodal.max_query_tokens), (0, 0));
    assert_eq!(find("voyage-3-large").replacement, "voyage-4-large");
}

#[tokio::test]
async fn an_alias_is_resolved_before_anything_else() {
    let gateway = Gateway::with(|config, _| {
        config.models = models("[aliases]\nsearch = \"voyage-4\"\n");
        config.upstream.default_model = "search".to_owned();
        let rule = Rule { models: Some(vec!["voyage-4".to_owned()]), ..Rule::default() };
        config.callers = Callers([("default".to_owned(), rule)].into());
    })
    .await;
    let of = |model: &str| EmbedRequest { model: model.to_owned(), ..texts(&["a text"]) };
    for (asked, status) in [
        ("search", CacheStatus::Miss),
        ("voyage-4", CacheStatus::Hit),
        ("", CacheStatus::Hit),
        ("search", CacheStatus::Hit),
    ] {
        let reply = gateway.embed(of(asked)).await.unwrap();
        assert_eq!(reply.metadata().get("x-model").unwrap(), "voyage-4", "{asked:?}");
        assert_eq!(reply.get_ref().model, "voyage-4", "{asked:?}");
        assert_eq!(statuses(reply.get_ref()), [status], "{asked:?}");
    }
    assert_eq!(gateway.sent(), [["a text"]], "the aliases share the model's cache");
    let metrics = gateway.metrics().await;
    let billed = [("kind", "billed"), ("model", "voyage-4")];
    assert!(sample(&metrics, "voyage_gateway_model_tokens_total", &billed) > 0);
    assert!(!metrics.contains("search"), "no metric has the alias");

    let listed = list(&gateway, ModelKind::Text).await;
    let default = listed.iter().find(|model| model.is_default).unwrap();
    assert_eq!(
        (default.name.as_str(), &default.aliases[..]),
        ("voyage-4", &["search".to_owned()][..])
    );
    let status = gateway.embed(of("Search")).await.unwrap_err();
    assert_eq!(reason(&status), "CALLER_NOT_ALLOWED", "names are case-sensitive");
}

#[tokio::test]
async fn a_configured_model_is_known_everywhere() {
    let gateway = Gateway::with(|config, _| {
        config.models = models(
            "[voyage-4]\ndtypes = [\"float\"]\nmax_inputs = 2\nlifecycle = \"deprecated\"\n\
             retirement_date = \"2027-01-31\"\nprice = 5.0\n\
             [voyage-4-tuned]\nkind = \"text\"\ndimensions = [768]\n",
        );
    })
    .await;
    let listed = list(&gateway, ModelKind::Text).await;
    let find = |name: &str| listed.iter().find(|model| model.name == name).unwrap();
    let own = find("voyage-4");
    assert_eq!(
        (own.lifecycle(), own.retirement_date.as_str()),
        (ModelLifecycle::Deprecated, "2027-01-31")
    );
    assert_eq!((own.output_dtypes.len(), own.max_batch_inputs), (1, 2));
    assert_eq!(find("voyage-4-tuned").dimensions, [768]);

    let int8 = EmbedRequest { output_dtype: OutputDtype::Int8 as i32, ..texts(&["a text"]) };
    let status = gateway.embed(int8).await.unwrap_err();
    assert_eq!(fields(&status), ["output_dtype"]);
    let tuned = EmbedRequest {
        model: "voyage-4-tuned".to_owned(),
        output_dimension: 1024,
        ..texts(&["a text"])
    };
    let status = gateway.embed(tuned).await.unwrap_err();
    assert_eq!(fields(&status), ["output_dimension"]);

    gateway.embed(texts(&["1", "2", "3", "4", "5"])).await.unwrap();
    let sizes = gateway.sent().iter().map(Vec::len).max();
    assert_eq!(sizes, Some(2), "{:?}", gateway.sent());
    let metrics = gateway.metrics().await;
    let tokens = sample(
        &metrics,
        "voyage_gateway_model_tokens_total",
        &[("kind", "billed"), ("model", "voyage-4")],
    );
    let spent = metrics.lines().find(|line| {
        line.starts_with("voyage_gateway_cost_usd_total{kind=\"spent\"")
            && line.contains("\"voyage-4\"")
    });
    let spent: f64 = spent.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let wanted = 5e-6 * f64::from(u32::try_from(tokens).unwrap());
    assert!((spent - wanted).abs() < wanted / 1e6, "{spent}");
}
