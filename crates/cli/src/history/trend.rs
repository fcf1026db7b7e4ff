//! A group's lag over time: look by look for the last while, and by its worst in five minutes for the time before.

use std::collections::{BTreeMap, VecDeque};

use super::kept;

/// How many looks are kept, and how many spans of time before them: 6 KB of a group in all.
const FINE: usize = 256;
const COARSE: usize = 256;
/// How long a span is, in milliseconds.
pub(crate) const SPAN: i64 = 300_000;

/// The lag of a group at a time, or the largest in a span that begins there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// In milliseconds since 1970.
    pub(crate) at: i64,
    /// In records, of all partitions. Charts need no more than seven digits, and no more are kept.
    pub(crate) lag: Option<f32>,
    /// In seconds, of the partition that is furthest behind.
    pub(crate) age: Option<f32>,
}

/// As it is kept. What is not known is not a number.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Tenths of seconds since the first look.
    since: u32,
    lag: f32,
    age: f32,
}

/// What is kept of one group.
#[derive(Debug, Clone)]
pub(crate) struct Trend {
    /// When the first look was.
    begin: i64,
    fine: VecDeque<Kept>,
    coarse: VecDeque<Kept>,
    /// The span that is not over yet.
    span: Option<Kept>,
}

impl Trend {
    pub(crate) fn begin(at: i64) -> Self {
        Self { begin: at, fine: VecDeque::new(), coarse: VecDeque::new(), span: None }
    }

    pub(crate) fn saw(&mut self, at: i64, lag: Option<i64>, age: Option<f64>) {
        let since = u32::try_from((at - self.begin).max(0) / 100).unwrap_or(u32::MAX);
        let number = |number: Option<f64>| number.map_or(f32::NAN, |number| number as f32);
        let kept = Kept { since, lag: number(lag.map(|lag| lag as f64)), age: number(age) };
        self.forget_what_lies_ahead(since);
        let begin = self.begin;
        let span = |kept: Kept| (begin + i64::from(kept.since) * 100).div_euclid(SPAN);
        match self.span.as_mut().filter(|begun| span(**begun) == span(kept)) {
            // `max` prefers a number to none.
            Some(begun) => (begun.lag, begun.age) = (begun.lag.max(kept.lag), begun.age.max(kept.age)),
            None => {
                if let Some(over) = self.span.replace(kept) {
                    push(&mut self.coarse, over, COARSE);
                }
            }
        }
        push(&mut self.fine, kept, FINE);
    }

    /// What another has seen since.
    pub(crate) fn follow(&mut self, other: &Self) {
        for point in other.points() {
            self.saw(point.at, point.lag.map(|lag| lag as i64), point.age.map(f64::from));
        }
    }

    /// Of a clock that was put back, what lies ahead is of another time.
    fn forget_what_lies_ahead(&mut self, since: u32) {
        let is_ahead = |kept: &mut Kept| kept.since > since;
        while self.fine.pop_back_if(is_ahead).is_some() {}
        while self.coarse.pop_back_if(is_ahead).is_some() {}
        self.span.take_if(is_ahead);
    }

    /// Nobody looks from here on, for a while, which may be less than the tenth of a second that times are kept by.
    fn pause(&mut self) {
        if let Some(last) = self.fine.back().copied() {
            push(&mut self.fine, Kept { lag: f32::NAN, age: f32::NAN, ..last }, FINE);
        }
    }

    /// The looks, as they are kept on disk.
    pub(crate) fn kept(&self) -> Vec<u8> {
        let mut bytes = kept::Kept::default();
        bytes.long(self.begin).count(self.fine.len());
        self.fine.iter().for_each(|kept| _ = bytes.short(kept.since).real(kept.lag).real(kept.age));
        bytes.end()
    }

    /// What was kept of looks at that time or before, and that nobody has looked since; nothing, where there is none, or looks could not
    /// have left it.
    pub(crate) fn found(bytes: &[u8], now: i64) -> Option<Self> {
        let mut found = kept::Found::new(bytes);
        let begin = found.long()?;
        let each =
            |it: &mut kept::Found<'_>| Some(Kept { since: it.short()?, lag: it.real()?, age: it.real()? });
        let fine = found.list(FINE, each)?;
        found.end()?;
        let is_in_order = fine.is_sorted_by(|a, b| a.since <= b.since);
        let mut trend = Self { fine: fine.into(), ..Self::begin(begin) };
        trend.forget_what_lies_ahead(u32::try_from((now - begin).max(0) / 100).unwrap_or(u32::MAX));
        trend.pause();
        (is_in_order && begin <= now && !trend.fine.is_empty()).then_some(trend)
    }

    /// The spans that were not over at that time, the oldest first.
    pub(crate) fn spans(&self, since: i64) -> impl Iterator<Item = Point> {
        let spans = self.coarse.iter().chain(&self.span).map(|kept| self.point(kept));
        spans.filter(move |span| span.at.div_euclid(SPAN) >= since.div_euclid(SPAN))
    }

    /// All of it, the oldest first: spans as far as no look is kept of them, then looks.
    pub(crate) fn points(&self) -> impl Iterator<Item = Point> {
        self.behind(Vec::new())
    }

    /// The same behind spans that were kept elsewhere. Of one that is in both it is the largest.
    pub(crate) fn behind(&self, kept: Vec<Point>) -> impl Iterator<Item = Point> {
        let first = self.fine.front().map_or(u32::MAX, |first| first.since);
        // A span is told of as a whole where a part of it lies before the looks. Before the very first one none does.
        let end = match self.fine.front() {
            Some(first) if first.since > 0 => self.point(first).at,
            _ => self.begin.div_euclid(SPAN).saturating_mul(SPAN),
        };
        let before = kept.into_iter().filter(|span| span.at < end);
        let mut spans: BTreeMap<i64, Point> = before.map(|span| (span.at.div_euclid(SPAN), span)).collect();
        for own in self.coarse.iter().take_while(|own| own.since < first).map(|own| self.point(own)) {
            let span = spans.entry(own.at.div_euclid(SPAN)).or_insert(own);
            (span.lag, span.age) = (larger(span.lag, own.lag), larger(span.age, own.age));
        }
        spans.into_values().chain(self.fine.iter().map(|look| self.point(look)))
    }

    fn point(&self, kept: &Kept) -> Point {
        let number = |number: f32| Some(number).filter(|number| !number.is_nan());
        Point { at: self.begin + i64::from(kept.since) * 100, lag: number(kept.lag), age: number(kept.age) }
    }

    /// The lag at no more than so many of the last looks, the oldest first.
    pub(crate) fn last(&self, looks: usize) -> impl Iterator<Item = Option<f32>> {
        let kept = self.fine.iter().skip(self.fine.len().saturating_sub(looks));
        kept.map(|kept| Some(kept.lag).filter(|lag| !lag.is_nan()))
    }
}

/// A number is more than none.
fn larger(a: Option<f32>, b: Option<f32>) -> Option<f32> {
    if a < b { b } else { a }
}

fn push(kept: &mut VecDeque<Kept>, point: Kept, limit: usize) {
    if kept.len() == limit {
        kept.pop_front();
    }
    kept.push_back(point);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_kept_as_they_were_and_what_is_not_known_has_no_number() {
        let mut trend = Trend::begin(1_000);
        trend.saw(1_000, Some(5), None);
        trend.saw(6_000, None, Some(1.5));
        let points: Vec<Point> = trend.points().collect();
        assert_eq!(points[0], Point { at: 1_000, lag: Some(5.0), age: None });
        assert_eq!(points[1], Point { at: 6_000, lag: None, age: Some(1.5) });
        assert_eq!(trend.last(9).collect::<Vec<_>>(), [Some(5.0), None]);
        assert_eq!(trend.last(1).collect::<Vec<_>>(), [None]);
    }

    #[test]
    fn of_the_time_before_the_worst_of_each_five_minutes_is_kept() {
        let mut trend = Trend::begin(0);
        for look in 0..1_000 {
            // One spike, in the second span.
            let lag = if look == 70 { 9_999 } else { 3 };
            trend.saw(look * 5_000, Some(lag), Some(look as f64));
        }
        let points: Vec<Point> = trend.points().collect();
        assert!(points.is_sorted_by(|a, b| a.at < b.at), "{points:?}");
        let spike = points.iter().find(|point| point.lag == Some(9_999.0)).unwrap();
        assert_eq!((spike.at, spike.age), (300_000, Some(119.0)));
        assert_eq!(points.last().unwrap().at, 999 * 5_000);
        assert_eq!(points.iter().filter(|point| point.at >= (1_000 - FINE as i64) * 5_000).count(), FINE);
    }

    #[test]
    fn behind_spans_that_were_kept_elsewhere_nothing_is_missing_and_nothing_is_there_twice() {
        let mut trend = Trend::begin(60_000);
        let look = |trend: &mut Trend, number: i64| trend.saw(60_000 + number * 5_000, Some(number), None);
        let kept = |trend: &Trend| -> Vec<Point> {
            trend.spans(0).map(|span| Point { at: span.at.div_euclid(SPAN) * SPAN, ..span }).collect()
        };
        (0..100).for_each(|number| look(&mut trend, number));
        assert!(trend.behind(kept(&trend)).eq(trend.points()), "before the first look there is nothing");
        (100..400).for_each(|number| look(&mut trend, number));
        // The next process has the looks alone.
        let next = Trend::found(&trend.kept(), 10_000_000).unwrap();
        let points: Vec<Point> = next.behind(kept(&trend)).collect();
        let (pause, looks) = points.split_last().unwrap();
        assert_eq!(*pause, Point { lag: None, age: None, ..*looks.last().unwrap() });
        assert!(looks.is_sorted_by(|a, b| a.at < b.at && b.at - a.at <= SPAN), "{points:?}");
        assert_eq!(points[0].at, 0);
        assert_eq!(
            points[2],
            Point { at: 600_000, lag: Some(167.0), age: None },
            "up to 785 s no look is left"
        );
        assert_eq!(points[3].at, 785_000, "the pause took the place of one");
        // Of a span that went on since it was kept there is more in memory.
        let mut other = kept(&trend);
        other[1].lag = Some(3.0);
        assert_eq!(trend.behind(other).nth(1).unwrap().lag, Some(107.0));
    }

    #[test]
    fn nobody_looked_between_two_processes_however_soon_the_second_follows() {
        let mut trend = Trend::begin(1_000);
        trend.saw(1_000, Some(7), None);
        trend.saw(1_190, Some(7), None);
        let mut next = Trend::found(&trend.kept(), 1_195).unwrap();
        next.saw(1_199, Some(8), None);
        let lags: Vec<_> = next.points().map(|point| point.lag).collect();
        assert_eq!(lags, [Some(7.0), Some(7.0), None, Some(8.0)]);
    }

    #[test]
    fn what_is_kept_does_not_grow() {
        let mut trend = Trend::begin(0);
        for look in 0..100_000 {
            trend.saw(look * 60_000, Some(look), None);
        }
        assert_eq!((trend.fine.len(), trend.coarse.len()), (FINE, COARSE));
        assert!(trend.fine.capacity() <= FINE && trend.coarse.capacity() <= COARSE);
        assert!(size_of::<Kept>() * (FINE + COARSE) <= 6 * 1_024);
    }
}
