//! `ModelService`: models and limits of the gateway.

use tonic::Code;
use voyage_gateway::{
    grpc::v1::{GetGatewayInfoRequest, ListModelsRequest, Model, ModelKind, OutputDtype},
    model::CATALOGUE,
    units::Size,
};

use crate::support::{Gateway, fields, reason, texts};

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
    assert_eq!(defaults.len(), 4, "one of each kind");
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
}
