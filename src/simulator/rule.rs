//! Fault rules, and their form on the command line.

use std::{fmt, str::FromStr, time::Duration};

use super::{fault::Fault, random::SplitMix};

/// A fault and when it happens. [`FromStr`] reads the form of the command line.
#[derive(Clone, PartialEq)]
pub struct FaultRule {
    pub(super) when: When,
    pub(super) fault: Fault,
}

#[derive(Clone, PartialEq)]
pub(super) enum When {
    Always,
    /// The call of this number, counted from 1.
    Call(u64),
    /// The next calls that no earlier rule applies to, this many.
    Next(u64),
    /// With this probability.
    Rate(f64),
    /// When an input equals this text.
    Text(String),
}

/// The faults that take no value.
const PLAIN: &[(&str, Fault)] = &[
    ("hang", Fault::Hang),
    ("reset", Fault::Reset),
    ("slow-drip", Fault::SlowDrip { chunk: 64, pause: Duration::from_millis(10) }),
    ("cut-body", Fault::CutBody),
    ("bad-json", Fault::BadJson),
    ("html-body", Fault::HtmlBody),
    ("wrong-type", Fault::WrongType),
    ("invalid-utf8", Fault::InvalidUtf8),
    ("shuffled-index", Fault::ShuffledIndex),
    ("duplicate-index", Fault::DuplicateIndex),
    ("missing-index", Fault::MissingIndex),
    ("index-out-of-range", Fault::IndexOutOfRange),
    ("wrong-length", Fault::WrongLength),
    ("not-a-number", Fault::NotANumber),
    ("infinite", Fault::Infinite),
    ("bad-base64", Fault::BadBase64),
    ("empty-embedding", Fault::EmptyEmbedding),
    ("no-usage", Fault::NoUsage),
    ("float-lists", Fault::FloatLists),
    ("too-long", Fault::TooLong),
];

impl FaultRule {
    /// Returns the faults that have names, separated by commas, with the values they take.
    pub fn names() -> String {
        let mut names: Vec<_> = PLAIN.iter().map(|(name, _)| *name).collect();
        names.extend(["delay=TIME", "wrong-count=DELTA", "huge-body=BYTES", "poison=TEXT"]);
        names.join(", ")
    }
}

impl When {
    /// Returns the index of the input concerned, or `None` when the rule does not apply.
    pub(super) fn applies(
        &mut self,
        number: u64,
        inputs: &[Vec<String>],
        chance: &mut SplitMix,
    ) -> Option<usize> {
        match self {
            Self::Always => Some(0),
            Self::Call(chosen) => (number == *chosen).then_some(0),
            Self::Next(left) => {
                *left = left.checked_sub(1)?;
                Some(0)
            }
            Self::Rate(probability) => (chance.fraction() < *probability).then_some(0),
            Self::Text(text) => inputs.iter().position(|texts| texts.contains(text)),
        }
    }
}

/// Reads one rule:
///
/// ```text
/// rule  = fault | fault ":" percent "%" | fault "@" call | "poison=" TEXT
/// fault = status | name | name "=" value
/// ```
///
/// A fault alone applies to every call, `503:5%` to every twentieth on average, `hang@3` to the third call only. Names
/// are those of [`Fault`] with dashes; values are `delay=250ms` (or `2s`), `wrong-count=-1`, `huge-body=100000000`.
/// `poison=TEXT` refuses every call that has the input TEXT and names that example as too long; TEXT is
/// everything after the equals sign.
impl FromStr for FaultRule {
    /// The problem, and the expected form.
    type Err = String;

    fn from_str(rule: &str) -> Result<Self, String> {
        if let Some(text) = rule.strip_prefix("poison=") {
            return Ok(Self { when: When::Text(text.to_owned()), fault: Fault::TooLong });
        }
        let (fault, when) = if let Some((fault, percent)) = rule.split_once(':') {
            let expected = "after `:` comes a probability from 0% to 100%, as in `503:5%`";
            (fault, probability(percent).ok_or(expected)?)
        } else if let Some((fault, call)) = rule.split_once('@') {
            let expected = "after `@` comes the number of a call, counted from 1, as in `429@1`";
            (fault, call_number(call).ok_or(expected)?)
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

fn read_fault(text: &str) -> Result<Fault, String> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let status = text.parse().ok().filter(|status| (200..600).contains(status));
        return Ok(Fault::status(status.ok_or("an HTTP status is a number from 200 to 599")?));
    }
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let (usage, fault) = match name {
        "delay" => ("`delay=250ms` or `delay=2s`", read_time(value).map(Fault::Delay)),
        "wrong-count" => {
            ("`wrong-count=1` or `wrong-count=-1`", value.parse().ok().map(Fault::WrongCount))
        }
        "huge-body" => ("`huge-body=100000000`", value.parse().ok().map(Fault::HugeBody)),
        _ => {
            let plain = PLAIN.iter().find(|(name, _)| *name == text);
            let (_, fault) = plain.ok_or_else(|| {
                let names = FaultRule::names();
                format!("unknown fault `{text}`: expected an HTTP status or one of {names}")
            })?;
            return Ok(fault.clone());
        }
    };
    fault.ok_or_else(|| format!("fault `{name}` is written {usage}"))
}

fn read_time(text: &str) -> Option<Duration> {
    if let Some(milliseconds) = text.strip_suffix("ms") {
        return milliseconds.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

/// Leaves out when it applies, which may be a text.
impl fmt::Debug for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultRule").field("fault", &self.fault).finish_non_exhaustive()
    }
}
