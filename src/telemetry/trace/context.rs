//! The caller's span in W3C's headers: <https://www.w3.org/TR/trace-context/>.
//!
//! Headers that deviate from the specification are ignored: the RPC begins a trace of its own.

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The caller's span: version, trace, span and flags.
const TRACEPARENT: &str = "traceparent";

/// Data of other tracing systems.
const TRACESTATE: &str = "tracestate";

/// Characters of `00-<32 digits>-<16 digits>-<2 digits>`.
const LENGTH: usize = 55;

/// The most members of a valid `tracestate`.
const MAX_MEMBERS: usize = 32;

/// Bytes of `tracestate` that are kept; the specification demands at least as many.
const MAX_STATE_BYTES: usize = 512;

/// Longer members are dropped first where not all can be kept.
const LONG_MEMBER: usize = 128;

/// Returns the caller's span. Two `traceparent` headers are none.
pub(super) fn remote(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.to_str().ok()?.trim_ascii();
    let (head, rest) = value.split_at_checked(LENGTH)?;
    let is_well_formed = head.bytes().enumerate().all(|(place, byte)| match place {
        2 | 35 | 52 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    // Later versions may continue after a dash; 255 is invalid.
    let ends_well = match &head[..2] {
        "00" => rest.is_empty(),
        "ff" => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    if !is_well_formed || !ends_well {
        return None;
    }
    let trace_id = TraceId::from_hex(&head[3..35]).ok()?;
    let span_id = SpanId::from_hex(&head[36..52]).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(&head[53..], 16).ok()?) & TraceFlags::SAMPLED;
    let span = SpanContext::new(trace_id, span_id, flags, true, trace_state(headers));
    span.is_valid().then_some(span)
}

/// Reads `tracestate`, where several headers count as one; an invalid one is empty.
pub(super) fn trace_state(headers: &HeaderMap) -> TraceState {
    let mut members = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        let Some(more) = members_of(value) else { return TraceState::NONE };
        members.extend(more);
        if members.len() > MAX_MEMBERS {
            return TraceState::NONE;
        }
    }
    if members.is_empty() {
        return TraceState::NONE;
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

/// Drops members until the rest is short enough: long ones first, then the last.
fn shorten(members: &mut Vec<(&str, &str)>) {
    let length = |(key, value): &(&str, &str)| key.len() + value.len() + 2;
    let total = |members: &[(&str, &str)]| members.iter().map(length).sum::<usize>();
    while total(members) > MAX_STATE_BYTES {
        let long = members.iter().rposition(|member| length(member) > LONG_MEMBER);
        members.remove(long.unwrap_or(members.len() - 1));
    }
}
