//! What Prometheus scrapes. The names are in one table, from which the page in docs is checked.

mod table;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeGaugeValue, EncodeLabelValue, GaugeValueEncoder, LabelValueEncoder,
        MetricEncoder, NoLabelSet, text,
    },
    metrics::MetricType,
    registry::Registry,
};

use self::table::METRICS;
use super::board::Board;
use crate::commands::looks::{Look, Storage};

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' own text, 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What somebody takes who says this. Those who say nothing, or do not mind, get the text.
    pub(super) fn wanted<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let (mut open, mut text) = (0.0, 0.0);
        for range in accept.flat_map(|line| line.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse().ok());
            let quality: f32 = quality.unwrap_or(1.0);
            if kind.eq_ignore_ascii_case("application/openmetrics-text") {
                open = quality.max(open);
            } else if kind.eq_ignore_ascii_case("text/plain") {
                text = quality.max(text);
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A metric: its name and labels, what it says, and whose name it is.
pub(super) struct Metric {
    /// In Prometheus' text; a counter's ends with `_total`.
    pub(super) name: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    /// The exporter from which name and labels are, or nothing for our own.
    #[cfg_attr(not(test), expect(dead_code, reason = "docs have it"))]
    pub(super) from: &'static str,
    samples: fn(&Exposition, &mut Samples<'_, '_>) -> fmt::Result,
}

impl Metric {
    fn is_counter(&self) -> bool {
        self.name.ends_with("_total")
    }
}

/// What is exposed at once.
#[derive(Debug, Clone)]
pub(super) struct Exposition {
    look: Option<Arc<Look>>,
    looks: u64,
    failures: u64,
    requests: u64,
    refused: u64,
    readers: usize,
    dropped: u64,
    /// How large the file is that has the history, and when it was written last, in milliseconds since 1970.
    stored: Option<u64>,
    saved: Option<i64>,
}

impl Exposition {
    pub(super) fn of(board: &Board) -> Self {
        let counts = &board.counts;
        let storage = board.storage.as_deref().map(Storage::condition);
        Self {
            stored: storage.as_ref().and_then(|it| it.bytes),
            saved: storage.and_then(|it| it.saved),
            look: board.look(),
            looks: board.looks.looks(),
            failures: board.looks.failures(),
            requests: counts.requests.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            readers: board.events.readers(),
            dropped: board.events.dropped(),
        }
    }
}

/// Writes all of it.
pub(super) fn write(exposition: Exposition, format: Format, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(exposition));
    match format {
        Format::OpenMetrics => text::encode(&mut { out }, &registry),
        Format::Text => text::encode(&mut Plain { line: String::new(), out }, &registry),
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for metric in METRICS {
            let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            let kind = if metric.is_counter() { MetricType::Counter } else { MetricType::Gauge };
            let encoder = encoder.encode_descriptor(name, metric.help, None, kind)?;
            (metric.samples)(self, &mut Samples { metric, encoder })?;
        }
        Ok(())
    }
}

/// Takes the samples of a metric.
struct Samples<'a, 'b> {
    metric: &'a Metric,
    encoder: MetricEncoder<'b>,
}

impl Samples<'_, '_> {
    /// One, under the values of its labels.
    fn put<const N: usize>(&mut self, values: [&str; N], number: impl Into<Number>) -> fmt::Result {
        let number = number.into();
        debug_assert_eq!(N, self.metric.labels.len(), "{}", self.metric.name);
        if N == 0 {
            return encode(&mut self.encoder, number, self.metric.is_counter());
        }
        let labels: Vec<_> = self.metric.labels.iter().copied().zip(values.map(Escaped)).collect();
        encode(&mut self.encoder.encode_family(&labels)?, number, self.metric.is_counter())
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, number: Number, is_counter: bool) -> fmt::Result {
    match number {
        Number::Whole(count) if is_counter => {
            encoder.encode_counter::<NoLabelSet, _, u64>(&u64::try_from(count).unwrap_or_default(), None)
        }
        number => encoder.encode_gauge(&number),
    }
}

/// A value. Offsets stay whole: a float would lose their last digits.
#[derive(Debug, Clone, Copy)]
enum Number {
    Whole(i64),
    Real(f64),
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder) -> fmt::Result {
        match self {
            Self::Whole(number) => EncodeGaugeValue::encode(number, encoder),
            Self::Real(number) => EncodeGaugeValue::encode(number, encoder),
        }
    }
}

/// A label's value. The library writes values as they are; a group may have any name, with quotes and line breaks in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Escaped<'a>(&'a str);

impl EncodeLabelValue for Escaped<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        use fmt::Write;
        let mut rest = self.0;
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            let (plain, special) = rest.split_at(at);
            encoder.write_str(plain)?;
            encoder.write_str(match special.as_bytes().first() {
                Some(b'\n') => "\\n",
                Some(b'"') => "\\\"",
                _ => "\\\\",
            })?;
            rest = special.get(1..).unwrap_or_default();
        }
        encoder.write_str(rest)
    }
}

/// Makes Prometheus' older text of OpenMetrics: there a counter's family has the name of its samples, and nothing ends it.
struct Plain<'a> {
    line: String,
    out: &'a mut dyn fmt::Write,
}

impl fmt::Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') {
                self.end_line()?;
            }
        }
        Ok(())
    }
}

impl Plain<'_> {
    fn end_line(&mut self) -> fmt::Result {
        let line = std::mem::take(&mut self.line);
        if line == "# EOF\n" {
            return Ok(());
        }
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if is_counter(name) => {
                writeln!(self.out, "# {what} {name}_total {}", rest.trim_end())?;
            }
            _ => self.out.write_str(&line)?,
        }
        self.line = line;
        self.line.clear();
        Ok(())
    }
}

/// Whether a family is one of counters.
fn is_counter(family: &str) -> bool {
    METRICS.iter().any(|metric| metric.name.strip_suffix("_total") == Some(family))
}

#[cfg(test)]
mod tests;
