//! Fault rules as a command line writes them.

use std::str::FromStr;
use std::time::Duration;

use super::fault::Fault;
use super::script::{FaultRule, When};

/// Why a text is no fault rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultRuleError {
    /// There is no fault of that name.
    #[error(
        "unknown fault `{0}`: expected an HTTP status or one of {names}",
        names = NAMES.join(", ")
    )]
    UnknownFault(String),
    /// The fault's value is missing or unreadable.
    #[error("fault `{fault}` is written {usage}")]
    Value {
        /// The fault's name.
        fault: &'static str,
        /// How it is written.
        usage: &'static str,
    },
    /// An HTTP status that no final reply can have.
    #[error("an HTTP status is a number from 200 to 599")]
    Status,
    /// What follows the colon is no percentage.
    #[error("after `:` comes a probability from 0% to 100%, as in `503:5%`")]
    Probability,
    /// What follows the at sign is no call number.
    #[error("after `@` comes the number of a call, counted from 1, as in `429@1`")]
    CallNumber,
}

/// The faults that have names, with the values they take.
pub(super) const NAMES: &[&str] = &[
    "hang",
    "reset",
    "delay=TIME",
    "slow-drip",
    "cut-body",
    "bad-json",
    "html-body",
    "wrong-type",
    "invalid-utf8",
    "wrong-count=DELTA",
    "shuffled-index",
    "duplicate-index",
    "missing-index",
    "index-out-of-range",
    "wrong-length",
    "not-a-number",
    "infinite",
    "bad-base64",
    "empty-embedding",
    "no-usage",
    "float-lists",
    "huge-body=BYTES",
    "too-long",
    "poison=TEXT",
];

/// What `slow-drip` means without further words.
const SLOW_DRIP: Fault = Fault::SlowDrip { chunk: 64, pause: Duration::from_millis(10) };

/// Reads one rule:
///
/// ```text
/// rule  = fault | fault ":" percent "%" | fault "@" call | "poison=" TEXT
/// fault = status | name | name "=" value
/// ```
///
/// A fault alone strikes every call, `503:5%` every twentieth on average, `hang@3` the third call only. Names
/// are those of [`Fault`] with dashes; values are `delay=250ms` (or `2s`), `wrong-count=-1`, `huge-body=100000000`.
/// `poison=TEXT` refuses every call that has the input TEXT, naming that example as too long; TEXT is
/// everything after the equals sign.
impl FromStr for FaultRule {
    type Err = FaultRuleError;

    fn from_str(rule: &str) -> Result<Self, FaultRuleError> {
        if let Some(text) = rule.strip_prefix("poison=") {
            return Ok(Self { when: When::Text(text.to_owned()), fault: Fault::TooLong });
        }
        let (fault, when) = if let Some((fault, percent)) = rule.split_once(':') {
            (fault, probability(percent).ok_or(FaultRuleError::Probability)?)
        } else if let Some((fault, call)) = rule.split_once('@') {
            (fault, call_number(call).ok_or(FaultRuleError::CallNumber)?)
        } else {
            (rule, When::Always)
        };
        Ok(Self { when, fault: read_fault(fault)? })
    }
}

fn probability(percent: &str) -> Option<When> {
    let percent: f64 = percent.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(When::Rate(percent / 100.0))
}

fn call_number(call: &str) -> Option<When> {
    call.parse().ok().filter(|number| *number > 0).map(When::Call)
}

fn read_fault(text: &str) -> Result<Fault, FaultRuleError> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let status = text.parse().ok().filter(|status| (200..600).contains(status));
        return status.map(Fault::status).ok_or(FaultRuleError::Status);
    }
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let wrong = |fault, usage| FaultRuleError::Value { fault, usage };
    match name {
        "delay" => {
            read_time(value).map(Fault::Delay).ok_or(wrong("delay", "`delay=250ms` or `delay=2s`"))
        }
        "wrong-count" => value
            .parse()
            .map(Fault::WrongCount)
            .map_err(|_| wrong("wrong-count", "`wrong-count=1` or `wrong-count=-1`")),
        "huge-body" => value
            .parse()
            .map(Fault::HugeBody)
            .map_err(|_| wrong("huge-body", "`huge-body=100000000`")),
        _ => plain_fault(text).ok_or_else(|| FaultRuleError::UnknownFault(text.to_owned())),
    }
}

fn plain_fault(name: &str) -> Option<Fault> {
    Some(match name {
        "hang" => Fault::Hang,
        "reset" => Fault::Reset,
        "slow-drip" => SLOW_DRIP,
        "cut-body" => Fault::CutBody,
        "bad-json" => Fault::BadJson,
        "html-body" => Fault::HtmlBody,
        "wrong-type" => Fault::WrongType,
        "invalid-utf8" => Fault::InvalidUtf8,
        "shuffled-index" => Fault::ShuffledIndex,
        "duplicate-index" => Fault::DuplicateIndex,
        "missing-index" => Fault::MissingIndex,
        "index-out-of-range" => Fault::IndexOutOfRange,
        "wrong-length" => Fault::WrongLength,
        "not-a-number" => Fault::NotANumber,
        "infinite" => Fault::Infinite,
        "bad-base64" => Fault::BadBase64,
        "empty-embedding" => Fault::EmptyEmbedding,
        "no-usage" => Fault::NoUsage,
        "float-lists" => Fault::FloatLists,
        "too-long" => Fault::TooLong,
        _ => return None,
    })
}

fn read_time(text: &str) -> Option<Duration> {
    if let Some(milliseconds) = text.strip_suffix("ms") {
        return milliseconds.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}
