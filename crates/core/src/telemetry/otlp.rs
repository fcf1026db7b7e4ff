//! OpenTelemetry's `MetricsData` (opentelemetry-proto 1.0, `metrics.proto`), as far as it is needed: gauges and sums of doubles, of one
//! resource and one scope without a name.

use ottla_protocol::Timestamp;

/// Names and values that tell apart.
pub(super) type Labels<'a> = [(&'static str, &'a str)];

/// How a number is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Gauge,
    /// What was added since `start`, or in all since then, which only grows.
    Sum {
        is_delta: bool,
        start: Timestamp,
    },
}

/// Puts metrics together, until the message is as long as it may be.
#[derive(Debug)]
pub(super) struct MetricsData {
    resource: Vec<u8>,
    metrics: Vec<u8>,
    room: usize,
}

/// The frames around all metrics: three keys with their lengths.
const AROUND: usize = 3 * 6;
/// The frames around a metric's points, without its name.
const AROUND_POINTS: usize = 4 * 6 + 4;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;

impl MetricsData {
    pub(super) fn new(resource: &Labels<'_>, limit: usize) -> Self {
        let mut attributes = Vec::new();
        resource.iter().for_each(|(name, value)| attribute(&mut attributes, 1, name, value));
        let room = limit.saturating_sub(AROUND + attributes.len());
        Self { resource: attributes, metrics: Vec::new(), room }
    }

    /// Adds a metric with those of its points, in this order, for which there is room; nothing where there is none for any.
    pub(super) fn add<'a>(
        &mut self,
        name: &str,
        form: Form,
        at: Timestamp,
        points: impl IntoIterator<Item = (f64, Vec<(&'static str, &'a str)>)>,
    ) {
        let mut body = Vec::new();
        let mut room = self.room.saturating_sub(AROUND_POINTS + name.len());
        for (value, labels) in points {
            let mut point = Vec::new();
            if let Form::Sum { start, .. } = form {
                fixed64(&mut point, 2, nanos(start));
            }
            fixed64(&mut point, 3, nanos(at));
            fixed64(&mut point, 4, value.to_bits());
            labels.iter().for_each(|(name, value)| attribute(&mut point, 7, name, value));
            let before = body.len();
            bytes(&mut body, 1, &point);
            let Some(left) = room.checked_sub(body.len() - before) else {
                body.truncate(before);
                break;
            };
            room = left;
        }
        if body.is_empty() {
            return;
        }
        let field = match form {
            Form::Gauge => 5,
            Form::Sum { is_delta, .. } => {
                number(&mut body, 2, if is_delta { 1 } else { 2 });
                number(&mut body, 3, 1);
                7
            }
        };
        let mut metric = Vec::new();
        bytes(&mut metric, 1, name.as_bytes());
        bytes(&mut metric, field, &body);
        let before = self.metrics.len();
        bytes(&mut self.metrics, 2, &metric);
        self.room = self.room.saturating_sub(self.metrics.len() - before);
    }

    /// The message; empty where no metric is in it.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut all = Vec::new();
        if !self.metrics.is_empty() {
            let mut resource_metrics = Vec::new();
            bytes(&mut resource_metrics, 1, &self.resource);
            bytes(&mut resource_metrics, 2, &self.metrics);
            bytes(&mut all, 1, &resource_metrics);
        }
        all
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0).saturating_mul(1_000_000)
}

fn attribute(out: &mut Vec<u8>, field: u8, name: &str, value: &str) {
    let (mut pair, mut any) = (Vec::new(), Vec::new());
    bytes(&mut pair, 1, name.as_bytes());
    bytes(&mut any, 1, value.as_bytes());
    bytes(&mut pair, 2, &any);
    bytes(out, field, &pair);
}

fn key(out: &mut Vec<u8>, field: u8, kind: u8) {
    out.push(field << 3 | kind);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    key(out, field, VARINT);
    varint(out, value);
}

fn fixed64(out: &mut Vec<u8>, field: u8, value: u64) {
    key(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    key(out, field, LENGTH);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}
