//! The spans of a group on a day, as they are kept: ten bytes each.

use std::collections::BTreeMap;

use crate::history::{Point, SPAN};

/// A day, in milliseconds.
pub(super) const DAY: i64 = 86_400_000;
/// How many spans it has.
const OF_DAY: i64 = DAY / SPAN;

/// By their places in the day. What is not known is not a number.
#[derive(Debug, Default)]
pub(super) struct Spans(BTreeMap<u16, (f32, f32)>);

impl Spans {
    /// A span that is there already is added to.
    pub(super) fn add(&mut self, point: &Point) {
        let Ok(place) = u16::try_from(point.at.rem_euclid(DAY) / SPAN) else { return };
        let number = |number: Option<f32>| number.unwrap_or(f32::NAN);
        let span = self.0.entry(place).or_insert((f32::NAN, f32::NAN));
        // `max` prefers a number to none.
        *span = (span.0.max(number(point.lag)), span.1.max(number(point.age)));
    }

    pub(super) fn kept(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 10);
        for (place, (lag, age)) in &self.0 {
            bytes.extend(place.to_le_bytes());
            bytes.extend(lag.to_le_bytes());
            bytes.extend(age.to_le_bytes());
        }
        bytes
    }

    pub(super) fn found(bytes: &[u8]) -> Self {
        let (spans, _) = bytes.as_chunks();
        let span = |[p, q, a, b, c, d, e, f, g, h]: &[u8; 10]| {
            let place = u16::from_le_bytes([*p, *q]);
            (place, (f32::from_le_bytes([*a, *b, *c, *d]), f32::from_le_bytes([*e, *f, *g, *h])))
        };
        Self(spans.iter().map(span).filter(|(place, _)| i64::from(*place) < OF_DAY).collect())
    }

    pub(super) fn points(&self, day: i64) -> impl Iterator<Item = Point> {
        let number = |number: f32| Some(number).filter(|number| !number.is_nan());
        self.0.iter().map(move |(place, (lag, age))| Point {
            at: day * DAY + i64::from(*place) * SPAN,
            lag: number(*lag),
            age: number(*age),
        })
    }
}
