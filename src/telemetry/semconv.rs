//! The names in traces: OpenTelemetry's where it has one, else our own below `voyage_gateway`.
//!
//! RPC, HTTP and network names are those of the semantic conventions v1.44.0; those of `gen_ai` are from
//! `semantic-conventions-genai`, where embeddings have a span of their own.

/// Whose spans they are.
pub const SCOPE: &str = "voyage-gateway";
/// The conventions' version.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The span of looking into the cache.
pub const CACHE_SPAN: &str = "cache";
/// The span of waiting for answers of Voyage's.
pub const WAIT_SPAN: &str = "wait";
/// The span of waiting for company, a turn and a free call.
pub const QUEUE_SPAN: &str = "queue";
/// The span of waiting for budget.
pub const LIMITER_SPAN: &str = "limiter";
/// The span of one HTTP request: its method.
pub const ATTEMPT_SPAN: &str = "POST";

/// Returns the name of a batch's span.
pub fn batch_span(model: &str) -> String {
    format!("{EMBEDDINGS} {model}")
}

/// The protocol: `grpc`.
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// The only protocol there is.
pub const GRPC: &str = "grpc";
/// The method: `package.Service/Method`, or [`OTHER`].
pub const RPC_METHOD: &str = "rpc.method";
/// Any name that is none of ours.
pub const OTHER: &str = "_OTHER";
/// What a caller named that is none of ours.
pub const RPC_METHOD_ORIGINAL: &str = "rpc.method_original";
/// The status as gRPC names it.
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";

/// What a failed operation failed of.
pub const ERROR_TYPE: &str = "error.type";
/// Where a server is: ours, or Voyage.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";
/// The address of the connection's other end.
pub const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
/// Its port.
pub const NETWORK_PEER_PORT: &str = "network.peer.port";

/// The HTTP method.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// How many requests came before it for the same items; absent for the first.
pub const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";
/// The HTTP status.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The URL, which has neither query nor user.
pub const URL_FULL: &str = "url.full";

/// What is done with a model: [`EMBEDDINGS`].
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// The only thing that is done.
pub const EMBEDDINGS: &str = "embeddings";
/// Who does it: [`VOYAGEAI`].
pub const GEN_AI_PROVIDER_NAME: &str = "gen_ai.provider.name";
/// Voyage; the conventions have no name for it, and let one be chosen.
pub const VOYAGEAI: &str = "voyageai";
/// The model that is asked.
pub const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
/// How vectors are sent.
pub const GEN_AI_REQUEST_ENCODING_FORMATS: &str = "gen_ai.request.encoding_formats";
/// The dimension of the vectors.
pub const GEN_AI_EMBEDDINGS_DIMENSION_COUNT: &str = "gen_ai.embeddings.dimension.count";
/// Tokens that Voyage reported.
pub const GEN_AI_USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";

/// The RPC's `x-request-id`.
pub const REQUEST_ID: &str = "voyage_gateway.request_id";
/// Who calls, by name.
pub const CALLER: &str = "voyage_gateway.caller";
/// How the RPC ended, by whose doing it was.
pub const OUTCOME: &str = "voyage_gateway.outcome";
/// Why it failed, as its status says.
pub const REASON: &str = "voyage_gateway.reason";
/// What the cache may do for the request.
pub const CACHE_MODE: &str = "voyage_gateway.cache.mode";
/// Inputs found in the cache.
pub const CACHE_HITS: &str = "voyage_gateway.cache.hits";
/// Inputs that are fetched for the request.
pub const CACHE_MISSES: &str = "voyage_gateway.cache.misses";
/// Inputs that are fetched for it or for others already.
pub const CACHE_COALESCED: &str = "voyage_gateway.cache.coalesced";
/// Inputs of a request or of a batch.
pub const INPUTS: &str = "voyage_gateway.inputs";
/// Seconds waited in the queue, of the input that was sent last.
pub const WAIT_QUEUE: &str = "voyage_gateway.wait.queue";
/// Seconds waited for budget, of the same input.
pub const WAIT_LIMITER: &str = "voyage_gateway.wait.limiter";
/// Links there would be beside those that there are.
pub const LINKS_DROPPED: &str = "voyage_gateway.links.dropped";
/// HTTP requests a batch took.
pub const UPSTREAM_REQUESTS: &str = "voyage_gateway.upstream.requests";
/// The alias of an API key.
pub const UPSTREAM_KEY: &str = "voyage_gateway.upstream.key";

/// Voyage answered 429; the batch waits.
pub const RATE_LIMITED_EVENT: &str = "voyage_gateway.rate_limited";
/// The batch waits before it is sent again.
pub const BACKOFF_EVENT: &str = "voyage_gateway.backoff";
/// The connection was stale; the batch goes again at once.
pub const RESEND_EVENT: &str = "voyage_gateway.resend";
/// Voyage rejected the key, which is set aside.
pub const KEY_SET_ASIDE_EVENT: &str = "voyage_gateway.key_set_aside";
/// The batch was taken apart.
pub const SPLIT_EVENT: &str = "voyage_gateway.split";
/// Seconds that are waited.
pub const DELAY: &str = "voyage_gateway.delay";
