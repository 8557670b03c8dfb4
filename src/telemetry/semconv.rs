//! The names in traces: those of OpenTelemetry's semantic conventions, and our own below `voyage_gateway`.
//!
//! RPC, HTTP and network names are those of the semantic conventions v1.44.0; those of `gen_ai` are from
//! `semantic-conventions-genai`, where embeddings have a span of their own.

/// The instrumentation scope.
pub const SCOPE: &str = "voyage-gateway";
/// The conventions' version.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The span of the cache look-up.
pub const CACHE_SPAN: &str = "cache";
/// The span of the wait for Voyage's answers.
pub const WAIT_SPAN: &str = "wait";
/// The part of the wait before a call has room for the input.
pub const QUEUE_SPAN: &str = "queue";
/// The part of the wait for the rate limit.
pub const LIMITER_SPAN: &str = "limiter";
/// The span of one HTTP request: its method.
pub const ATTEMPT_SPAN: &str = "POST";

/// The protocol: `grpc`.
pub const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// The only protocol.
pub const GRPC: &str = "grpc";
/// The method: `package.Service/Method`, or [`OTHER`].
pub const RPC_METHOD: &str = "rpc.method";
/// A name that is not in the proto.
pub const OTHER: &str = "_OTHER";
/// The caller's name of an unknown method.
pub const RPC_METHOD_ORIGINAL: &str = "rpc.method_original";
/// The status as gRPC names it.
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";

/// The kind of a failure.
pub const ERROR_TYPE: &str = "error.type";
/// The address of the server: this one, or Voyage's.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";
/// The address of the connection's other end.
pub const NETWORK_PEER_ADDRESS: &str = "network.peer.address";
/// Its port.
pub const NETWORK_PEER_PORT: &str = "network.peer.port";

/// The HTTP method.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// The number of earlier requests for the same items; absent for the first.
pub const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";
/// The HTTP status.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The URL, without query and user info.
pub const URL_FULL: &str = "url.full";

/// The operation: `embeddings` or `rerank`.
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// The provider: [`VOYAGEAI`].
pub const GEN_AI_PROVIDER_NAME: &str = "gen_ai.provider.name";
/// Voyage, for which the conventions have no name.
pub const VOYAGEAI: &str = "voyageai";
/// The model.
pub const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
/// The encoding of vectors.
pub const GEN_AI_REQUEST_ENCODING_FORMATS: &str = "gen_ai.request.encoding_formats";
/// The dimension of the vectors.
pub const GEN_AI_EMBEDDINGS_DIMENSION_COUNT: &str = "gen_ai.embeddings.dimension.count";
/// The tokens that Voyage reported.
pub const GEN_AI_USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";

/// The RPC's `x-request-id`.
pub const REQUEST_ID: &str = "voyage_gateway.request_id";
/// The caller's name.
pub const CALLER: &str = "voyage_gateway.caller";
/// The outcome of the RPC.
pub const OUTCOME: &str = "voyage_gateway.outcome";
/// The reason in its status.
pub const REASON: &str = "voyage_gateway.reason";
/// The request's cache mode.
pub const CACHE_MODE: &str = "voyage_gateway.cache.mode";
/// Inputs found in the cache.
pub const CACHE_HITS: &str = "voyage_gateway.cache.hits";
/// Inputs fetched for the request.
pub const CACHE_MISSES: &str = "voyage_gateway.cache.misses";
/// Inputs that joined a fetch of this or another request.
pub const CACHE_COALESCED: &str = "voyage_gateway.cache.coalesced";
/// Inputs of a request or of a batch.
pub const INPUTS: &str = "voyage_gateway.inputs";
/// Seconds in the queue, of the input that was sent last.
pub const WAIT_QUEUE: &str = "voyage_gateway.wait.queue";
/// Seconds behind the rate limit, of the same input.
pub const WAIT_LIMITER: &str = "voyage_gateway.wait.limiter";
/// The number of links that had no room.
pub const LINKS_DROPPED: &str = "voyage_gateway.links.dropped";
/// The path of Voyage's endpoint.
pub const ENDPOINT: &str = "voyage_gateway.endpoint";
/// The number of HTTP requests of a batch.
pub const UPSTREAM_REQUESTS: &str = "voyage_gateway.upstream.requests";
/// The alias of an API key.
pub const UPSTREAM_KEY: &str = "voyage_gateway.upstream.key";

/// Voyage answered 429; the batch waits.
pub const RATE_LIMITED_EVENT: &str = "voyage_gateway.rate_limited";
/// The batch waits before it is sent again.
pub const BACKOFF_EVENT: &str = "voyage_gateway.backoff";
/// The connection was stale; the batch is sent again at once.
pub const RESEND_EVENT: &str = "voyage_gateway.resend";
/// Voyage rejected the key; it is set aside.
pub const KEY_SET_ASIDE_EVENT: &str = "voyage_gateway.key_set_aside";
/// The batch was split.
pub const SPLIT_EVENT: &str = "voyage_gateway.split";
/// The delay in seconds.
pub const DELAY: &str = "voyage_gateway.delay";
