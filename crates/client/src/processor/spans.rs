//! A span for each attempt, by OpenTelemetry's conventions for messaging, and the trace that a record's producer began.

use ottla_core::log;
use tracing::{Span, field::Empty};

use super::{Batch, HandlerFailure, Message};
use crate::consumer::OwnedRecord;

/// Which trace a record belongs to, by W3C's headers: what its producer's instrumentation wrote.
///
/// Each attempt at a record runs in a span of `tracing` with the target `ottla::processing` and the level debug, by the conventions of
/// OpenTelemetry for messaging: see `docs/processing.md`. The span is no part of the producer's trace by itself, as the layer for
/// OpenTelemetry alone can make it one. With `tracing-opentelemetry` the handler does so:
///
/// ```text
/// let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Headers(&message)));
/// Span::current().set_parent(parent);    // or add_link(parent.span().span_context().clone())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl<'a> TraceContext<'a> {
    /// The first `traceparent` of a record's headers, if it is one that W3C's Trace Context allows, with its `tracestate`.
    pub(super) fn of(record: &'a OwnedRecord) -> Option<Self> {
        let mut headers = record.headers().filter_map(Result::ok);
        let traceparent = headers.find(|header| header.key == b"traceparent")?;
        let traceparent = std::str::from_utf8(traceparent.value?).ok().filter(|text| is_valid(text))?;
        let mut headers = record.headers().filter_map(Result::ok);
        let tracestate = headers.find(|header| header.key == b"tracestate").and_then(|it| it.value);
        Some(Self { traceparent, tracestate: tracestate.and_then(|text| std::str::from_utf8(text).ok()) })
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> &'a str {
        self.traceparent
    }

    /// The header `tracestate`, where there is one.
    pub fn tracestate(&self) -> Option<&'a str> {
        self.tracestate
    }

    /// The trace's id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &'a str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// The id of the producer's span: 16 hexadecimal digits.
    pub fn parent_id(&self) -> &'a str {
        self.traceparent.get(36..52).unwrap_or_default()
    }

    /// Whether the producer's side may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        let flags = self.traceparent.get(53..55).and_then(|flags| u8::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & 1 == 1)
    }
}

/// Whether it has the form of version 00, or of a later one that begins with it.
fn is_valid(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let mut parts = text.split('-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let lengths = [(version, 2), (trace, 32), (parent, 16), (flags, 2)];
    lengths.iter().all(|(part, length)| part.len() == *length && is_hex(part))
        && version != "ff"
        && !is_zero(trace)
        && !is_zero(parent)
        && (version != "00" || parts.next().is_none())
}

/// An attempt at a record.
pub(super) fn of_message(group: &str, message: &Message) -> Span {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let span = span(group, message.record());
    if !span.is_disabled() {
        span.record("messaging.kafka.offset", message.offset());
        if let Some(key) = message.key().and_then(text) {
            span.record("messaging.kafka.message.key", key);
        }
        if message.value().is_none() {
            span.record("messaging.kafka.message.tombstone", true);
        }
        if let Some(context) = message.trace_context() {
            span.record("traceparent", context.traceparent());
        }
    }
    span
}

/// An attempt at a batch.
pub(super) fn of_batch(group: &str, batch: &Batch) -> Span {
    let Some(first) = batch.records().first() else { return Span::none() };
    let span = span(group, first);
    span.record("messaging.batch.message_count", batch.records().len());
    span
}

/// What the attempts at messages and at batches have in common. Nothing of it is computed for who does not listen.
fn span(group: &str, first: &OwnedRecord) -> Span {
    tracing::debug_span!(
        target: log::PROCESSING,
        "process",
        otel.name = format_args!("process {}", first.topic()),
        otel.kind = "consumer",
        otel.status_code = Empty,
        error.r#type = Empty,
        messaging.system = "kafka",
        messaging.operation.name = "process",
        messaging.operation.r#type = "process",
        messaging.consumer.group.name = group,
        messaging.destination.name = first.topic(),
        messaging.destination.partition.id = first.partition().to_string(),
        messaging.batch.message_count = Empty,
        messaging.kafka.offset = Empty,
        messaging.kafka.message.key = Empty,
        messaging.kafka.message.tombstone = Empty,
        traceparent = Empty,
    )
}

/// The attempt has failed.
pub(super) fn failed(span: &Span, failure: &HandlerFailure) {
    let kind = match failure {
        HandlerFailure::Error(..) => "error",
        HandlerFailure::Panicked(_) => "panic",
        HandlerFailure::TimedOut(_) => "timeout",
    };
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_taken_as_w3c_says_and_no_other() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = "00f067aa0ba902b7";
        let good = format!("00-{trace}-{parent}-01");
        assert!(is_valid(&good));
        assert!(is_valid(&format!("01-{trace}-{parent}-01-more")), "of a later version");
        let context = TraceContext { traceparent: &good, tracestate: None };
        assert_eq!((context.trace_id(), context.parent_id()), (trace, parent));
        assert!(context.is_sampled());
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            format!("00-{trace}-{parent}"),
            format!("00-{trace}-{parent}-01-more"),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{zeros}-{parent}-01"),
            format!("00-{trace}-{}-01", &zeros[..16]),
            format!("00-{trace}-{parent}-1"),
            format!("00-{trace}x-{parent}-01"),
        ] {
            assert!(!is_valid(&bad), "{bad}");
        }
    }
}
