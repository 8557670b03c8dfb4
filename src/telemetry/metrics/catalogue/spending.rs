//! Tokens, costs, budgets and quotas.
#![expect(missing_docs, reason = "each entry's description documents it")]

use super::{Label, MODEL, Metric, counter, gauge, label};

const BUDGET: Label =
    Label::closed(label::BUDGET, &["limits.daily_tokens", "limits.monthly_tokens"]);

pub const TOKENS: Metric =
    counter("voyage_gateway.tokens", "Tokens that Voyage reported, by billed caller.")
        .labels(&[Label::bounded(
            label::BILLED_TO,
            "a caller's name as in `voyage_gateway_caller_rpcs_total`, or `abandoned`: no caller was left, or the reply was unusable",
            1_258,
        )])
        .purpose("The share of each caller in the bill. The sum is what Voyage reported.");

pub const MODEL_TOKENS: Metric = counter(
    "voyage_gateway.model_tokens",
    "Tokens by model and kind. `billed`: reported by Voyage, unusable replies included. `saved`: avoided by hits, shared calls \
     and duplicates. `estimated`: the gateway's estimate if Voyage reported none.",
)
.labels(&[MODEL, Label::closed(label::KIND, &["billed", "saved", "estimated"])])
.purpose("`saved` over `billed` + `saved` is the share that the gateway saves.");

pub const MODEL_PIXELS: Metric = counter(
    "voyage_gateway.model_pixels",
    "Pixels of images and videos by model and kind, of multimodal models. The kinds are those of the tokens.",
)
.labels(&[MODEL, Label::closed(label::KIND, &["billed", "saved", "estimated"])])
.purpose("Pixels are billed besides tokens.");

pub const COST: Metric = counter(
    "voyage_gateway.cost.usd",
    "US dollars at the model catalogue's prices, without free tokens and discounts. `spent`: for billed tokens. `saved`: for \
     saved tokens. Models outside the catalogue have no price.",
)
.unit("{USD}")
.labels(&[MODEL, Label::closed(label::KIND, &["spent", "saved"])])
.purpose("The expected bill.");

pub const BUDGET_USED_TOKENS: Metric =
    gauge("voyage_gateway.budget.used_tokens", "Tokens of a budget that are spent or reserved.")
        .labels(&[BUDGET])
        .purpose("Alert before the limit: at the limit, only cached inputs are answered.");

pub const BUDGET_LIMIT_TOKENS: Metric = gauge(
    "voyage_gateway.budget.limit_tokens",
    "Token limit of a budget for this replica. Absent if the budget is not set.",
)
.labels(&[BUDGET])
.purpose("The limit of the used tokens.");

pub const QUOTA_REFUSALS: Metric = counter(
    "voyage_gateway.quota_refusals",
    "Requests and inputs refused because a quota or budget is used up, by setting.",
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
.purpose("Raise the setting, or inform the callers.");

pub(super) const ALL: &[&Metric] = &[
    &TOKENS,
    &MODEL_TOKENS,
    &MODEL_PIXELS,
    &COST,
    &BUDGET_USED_TOKENS,
    &BUDGET_LIMIT_TOKENS,
    &QUOTA_REFUSALS,
];
