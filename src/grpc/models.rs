//! `ModelService`: the catalogue, and the gateway's version and limits.

use std::{sync::Arc, time::Duration};

use tonic::{Request, Response, Status};

use super::{
    RequestModels, Settings,
    convert::{MAX_INPUTS, Violations, output_dtype, to_i32},
    edge::Call,
    v1::{
        GetGatewayInfoRequest, GetGatewayInfoResponse, ListModelsRequest, ListModelsResponse,
        Model, ModelKind, ModelLifecycle, model_service_server::ModelService,
    },
};
use crate::{
    error::Error,
    item::Endpoint,
    model::{self, Kind, Lifecycle},
};

/// Serves `voyage.gateway.v1.ModelService`.
#[derive(Debug)]
pub(super) struct Models {
    pub(super) settings: Arc<Settings>,
}

#[tonic::async_trait]
impl ModelService for Models {
    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let call = Call::of(request.extensions());
        let wanted = wanted_kind(request.get_ref().kind)
            .and_then(|wanted| call.check_rpc().map(|()| wanted))
            .map_err(|error| call.refuse(&error))?;
        let models = self
            .settings
            .models
            .catalogue
            .models()
            .filter(|model| wanted.is_none_or(|kind| model.kind == kind))
            .map(|model| listed(model, &self.settings.models))
            .collect();
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn get_gateway_info(
        &self,
        request: Request<GetGatewayInfoRequest>,
    ) -> Result<Response<GetGatewayInfoResponse>, Status> {
        let call = Call::of(request.extensions());
        call.check_rpc().map_err(|error| call.refuse(&error))?;
        Ok(Response::new(GetGatewayInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: crate::REVISION.to_owned(),
            max_inputs: to_i32(MAX_INPUTS),
            max_request_bytes: to_i32(self.settings.max_request_bytes),
            max_bulk_in_flight: 0,
            default_deadline: proto_duration(self.settings.deadlines.default),
            max_deadline: proto_duration(self.settings.deadlines.max),
        }))
    }
}

fn wanted_kind(number: i32) -> Result<Option<Kind>, Error> {
    let mut violations = Violations::default();
    let kind = violations.read_enum("kind", number, ModelKind::as_str_name);
    violations.into_result()?;
    Ok(match kind {
        ModelKind::Unspecified => None,
        ModelKind::Text => Some(Kind::Text),
        ModelKind::Contextualized => Some(Kind::Contextualized),
        ModelKind::Multimodal => Some(Kind::Multimodal),
        ModelKind::Rerank => Some(Kind::Rerank),
    })
}

/// Returns nothing for more than 10,000 years.
fn proto_duration(span: Duration) -> Option<prost_types::Duration> {
    span.try_into().ok()
}

fn listed(model: &model::Model, models: &RequestModels) -> Model {
    let kind = match model.kind {
        Kind::Text => ModelKind::Text,
        Kind::Contextualized => ModelKind::Contextualized,
        Kind::Multimodal => ModelKind::Multimodal,
        Kind::Rerank => ModelKind::Rerank,
    };
    let lifecycle = match model.lifecycle {
        Lifecycle::Active => ModelLifecycle::Active,
        Lifecycle::Legacy => ModelLifecycle::Legacy,
        Lifecycle::Deprecated => ModelLifecycle::Deprecated,
    };
    let mut dimensions: Vec<i32> = model.dimensions.iter().copied().map(to_i32).collect();
    dimensions.sort_unstable();
    Model {
        name: model.name.to_owned(),
        kind: kind as i32,
        is_default: ***models.default_of(model.kind) == *model.name,
        default_dimension: model.default_dimension().map_or(0, to_i32),
        dimensions,
        output_dtypes: model.dtypes.iter().map(|dtype| output_dtype(*dtype) as i32).collect(),
        context_length: to_i32(model.context_tokens),
        max_batch_inputs: to_i32(model.max_inputs),
        max_batch_tokens: to_i32(model.max_request_tokens),
        max_batch_chunks: max_batch_chunks(model.kind),
        max_query_tokens: to_i32(model.query_tokens),
        usd_per_million_tokens: model.price,
        usd_per_billion_pixels: model.pixel_price,
        lifecycle: lifecycle as i32,
        retirement_date: model.retirement_date.to_owned(),
        replacement: model.replacement.to_owned(),
        aliases: models.catalogue.aliases_of(model.name),
    }
}

fn max_batch_chunks(kind: Kind) -> i32 {
    match kind {
        Kind::Contextualized => to_i32(Endpoint::Contextualized.bounds().chunks),
        Kind::Text | Kind::Multimodal | Kind::Rerank => 0,
    }
}
