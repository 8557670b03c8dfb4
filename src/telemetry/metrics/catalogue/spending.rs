//! Tokens and money: what was billed, what was saved, and what may be spent.

use super::{Label, MODEL, Metric, label};

const BUDGET: Label =
    Label::closed(label::BUDGET, &["limits.daily_tokens", "limits.monthly_tokens"]);

/// Tokens by who pays.
pub const TOKENS: Metric = Metric::counter(
    "voyage_gateway.tokens",
    "voyage_gateway_tokens_total",
    "Tokens that Voyage reported, by who is billed for them.",
)
.labels(&[Label::bounded(
    label::BILLED_TO,
    "a caller's name as in `voyage_gateway_caller_rpcs_total`, or `abandoned`: nobody was left to pay, or the reply was of no use",
    1_258,
)])
.for_this("Who spends the bill. The sum is what Voyage reported.");

/// Tokens by model.
pub const MODEL_TOKENS: Metric = Metric::counter(
    "voyage_gateway.model_tokens",
    "voyage_gateway_model_tokens_total",
    "Tokens by model: `billed` is all that Voyage reported, useless replies included; `saved` is what hits, joined calls and \
     duplicates would have cost; `estimated` is the gateway's guess where Voyage reported none.",
)
.labels(&[MODEL, Label::closed(label::KIND, &["billed", "saved", "estimated"])])
.for_this("`saved` over `billed` + `saved` is what the gateway is worth.");

/// Money by model.
pub const COST: Metric = Metric::counter(
    "voyage_gateway.cost.usd",
    "voyage_gateway_cost_usd_total",
    "US dollars at the model catalogue's prices, free tokens and discounts not considered: `spent` for billed tokens, `saved` \
     for saved ones. Models that are not in the catalogue have no price.",
)
.unit("{USD}")
.labels(&[MODEL, Label::closed(label::KIND, &["spent", "saved"])])
.for_this("The bill, before it comes.");

/// Used tokens of the budgets.
pub const BUDGET_USED_TOKENS: Metric = Metric::gauge(
    "voyage_gateway.budget.used_tokens",
    "voyage_gateway_budget_used_tokens",
    "Tokens of a budget that are spent or held for calls.",
)
.labels(&[BUDGET])
.for_this("Alert before it reaches its limit: from then on only hits are answered.");

/// The budgets.
pub const BUDGET_LIMIT_TOKENS: Metric = Metric::gauge(
    "voyage_gateway.budget.limit_tokens",
    "voyage_gateway_budget_limit_tokens",
    "Tokens that a budget allows this replica. Absent when it is not set.",
)
.labels(&[BUDGET])
.for_this("What the used tokens are held against.");

/// Refusals for want of quota.
pub const QUOTA_REFUSALS: Metric = Metric::counter(
    "voyage_gateway.quota_refusals",
    "voyage_gateway_quota_refusals_total",
    "Requests or inputs refused for want of quota or budget, by the setting.",
)
.labels(&[Label::closed(
    label::RULE,
    &[
        "requests_per_second",
        "tokens_per_minute",
        "tokens_per_day",
        "limits.daily_tokens",
        "limits.monthly_tokens",
    ],
)])
.for_this("Which rule callers meet: raise it, or tell them.");

/// All of these.
pub(super) const ALL: &[&Metric] =
    &[&TOKENS, &MODEL_TOKENS, &COST, &BUDGET_USED_TOKENS, &BUDGET_LIMIT_TOKENS, &QUOTA_REFUSALS];
