//! The names of labels that are not in OpenTelemetry's semantic conventions.
#![expect(missing_docs, reason = "the catalogue's entries describe each label")]

pub const BILLED_TO: &str = "billed_to";
pub const BLAME: &str = "blame";
pub const BUDGET: &str = "budget";
pub const CALLER: &str = "caller";
pub const CAUSE: &str = "cause";
pub const ENDPOINT: &str = "endpoint";
pub const KEY: &str = "key";
pub const KIND: &str = "kind";
pub const MODE: &str = "mode";
pub const MODEL: &str = "model";
pub const OUTCOME: &str = "outcome";
pub const PORT: &str = "port";
pub const REASON: &str = "reason";
pub const RESULT: &str = "result";
pub const REVISION: &str = "revision";
pub const RULE: &str = "rule";
pub const STAGE: &str = "stage";
pub const STATE: &str = "state";
pub const STATUS: &str = "status";
pub const TIER: &str = "tier";
pub const UNIT: &str = "unit";
pub const VERSION: &str = "version";
pub const WHAT: &str = "what";
pub const WHY: &str = "why";
