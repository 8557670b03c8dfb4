//! Where a caller stands among traces, as it says in W3C's headers: <https://www.w3.org/TR/trace-context/>.
//!
//! What is not exactly as the specification has it is as good as not there: the RPC begins a trace of its own.

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceId, TraceState};

/// The caller's span: version, trace, span and flags.
const TRACEPARENT: &str = "traceparent";

/// What other tracing systems add.
const TRACESTATE: &str = "tracestate";

/// Characters of `00-<32 digits>-<16 digits>-<2 digits>`.
const LENGTH: usize = 55;

/// Members a `tracestate` may have; one with more is not one.
const MAX_MEMBERS: usize = 32;

/// Bytes of `tracestate` that are kept, as many as everybody must be able to pass on.
const MAX_STATE_BYTES: usize = 512;

/// Members longer than this go first where not all can be kept.
const LONG_MEMBER: usize = 128;

/// How callers say which trace they are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// W3C's `traceparent` and `tracestate`.
    #[default]
    TraceContext,
    /// Not at all: every RPC begins a trace.
    None,
}

/// The caller's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    /// Whether the caller records the trace.
    pub(super) sampled: bool,
}

impl Remote {
    /// Reads `traceparent`; two of them are none.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.as_bytes().trim_ascii()),
            _ => None,
        }
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(LENGTH)?;
        let [version, trace_id, span_id, flags] = fields(head)?;
        let version = hex(version)?;
        // Later versions may have more to say, after a dash; 255 is none.
        let is_known = version == 0 && rest.is_empty();
        let is_later =
            version > 0 && version < 0xff && rest.first().is_none_or(|byte| *byte == b'-');
        if !is_known && !is_later {
            return None;
        }
        let trace_id = TraceId::from(hex(trace_id)?);
        let span_id = SpanId::from(u64::try_from(hex(span_id)?).ok()?);
        let sampled = hex(flags)? & 1 == 1;
        (trace_id != TraceId::INVALID && span_id != SpanId::INVALID).then_some(Self {
            trace_id,
            span_id,
            sampled,
        })
    }
}

/// Cuts a head of the right length into its fields.
fn fields(head: &[u8]) -> Option<[&[u8]; 4]> {
    let mut fields = head.split(|byte| *byte == b'-');
    let all = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let lengths = all.map(<[u8]>::len);
    (fields.next().is_none() && lengths == [2, 32, 16, 2]).then_some(all)
}

/// Reads lower-case hexadecimal digits, at most 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u128::from(value))
    })
}

/// Reads `tracestate`, of several headers as of one; one that is not as it should be is empty.
pub(super) fn trace_state(headers: &HeaderMap) -> TraceState {
    let mut members = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        let Some(more) = members_of(value) else { return TraceState::NONE };
        members.extend(more);
        if members.len() > MAX_MEMBERS {
            return TraceState::NONE;
        }
    }
    shorten(&mut members);
    TraceState::from_key_value(members).unwrap_or(TraceState::NONE)
}

fn members_of(value: &HeaderValue) -> Option<Vec<(&str, &str)>> {
    let members = value.to_str().ok()?.split(',').map(|member| member.trim_matches([' ', '\t']));
    let members = members.filter(|member| !member.is_empty()).take(MAX_MEMBERS + 1);
    let pairs = members.map(|member| member.split_once('='));
    pairs.map(|pair| pair.filter(|(key, value)| !key.is_empty() && !value.is_empty())).collect()
}

/// Drops members until what is left is short enough: long ones first, then the last.
fn shorten(members: &mut Vec<(&str, &str)>) {
    let length = |(key, value): &(&str, &str)| key.len() + value.len() + 2;
    let total = |members: &[(&str, &str)]| members.iter().map(length).sum::<usize>();
    while total(members) > MAX_STATE_BYTES {
        let long = members.iter().rposition(|member| length(member) > LONG_MEMBER);
        members.remove(long.unwrap_or(members.len() - 1));
    }
}

/// Writes a span as the `traceparent` of what it calls.
pub(super) fn traceparent(span: &SpanContext) -> String {
    let flags = u8::from(span.is_sampled());
    format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
}
