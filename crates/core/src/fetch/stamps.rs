//! When the records of a Fetch response were written, as their batches' headers say.

use ottla_protocol::records::{BatchHeader, TimestampType};

/// How much later than the one before a batch has to be to be kept by itself, in milliseconds, where there are few.
const STEP: i64 = 100;
/// How many are kept of one partition in one response.
const STEPS: usize = 128;

/// A batch that is later than those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    offset: i64,
    /// In milliseconds since 1970.
    at: i64,
}

/// By offset the time of its batch, which counts as never earlier than those before it, as in the log's own index. To 100 ms, or where
/// there are many a 32nd of the time between the first and the last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stamps(Vec<Step>);

impl Stamps {
    /// The time of the batch that has this offset; `None` where no batch so far has one.
    pub(crate) fn at(&self, offset: i64) -> Option<i64> {
        let before = self.0.partition_point(|step| step.offset <= offset);
        Some(self.0.get(before.checked_sub(1)?)?.at)
    }

    /// Those of what comes behind.
    pub(crate) fn append(&mut self, more: &mut Self) {
        self.0.append(&mut more.0);
        if self.0.len() > 2 * STEPS {
            self.thin(self.span() / STEPS as i64);
        }
    }

    /// Nobody asks for an offset before this one any more.
    pub(crate) fn forget_before(&mut self, offset: i64) {
        let before = self.0.partition_point(|step| step.offset <= offset);
        self.0.drain(..before.saturating_sub(1));
    }

    fn span(&self) -> i64 {
        let (first, last) = (self.0.first(), self.0.last());
        first.zip(last).map_or(0, |(first, last)| last.at.saturating_sub(first.at))
    }

    /// Leaves out what is no more than that later than what is left before it.
    fn thin(&mut self, every: i64) {
        let mut last: Option<i64> = None;
        self.0.retain(|step| {
            let is_step = last.is_none_or(|last| step.at.saturating_sub(last) > every);
            if is_step {
                last = Some(step.at);
            }
            is_step
        });
    }
}

/// The walk over headers that makes them.
#[derive(Debug)]
pub(super) struct Stamping {
    stamps: Stamps,
    every: i64,
    latest: Option<i64>,
}

impl Stamping {
    pub(super) fn new() -> Self {
        Self { stamps: Stamps::default(), every: STEP, latest: None }
    }

    pub(super) fn see(&mut self, header: &BatchHeader) {
        let at = match header.timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp,
            _ => header.base_timestamp,
        };
        self.is_of(header.base_offset, at);
    }

    fn is_of(&mut self, offset: i64, at: i64) {
        // A negative one is none.
        if at < 0 || self.latest.is_some_and(|latest| at <= latest.saturating_add(self.every)) {
            return;
        }
        let steps = &mut self.stamps;
        if steps.0.len() == STEPS {
            self.every = self.every.saturating_mul(2).max(steps.span() / (STEPS / 2) as i64);
            steps.thin(self.every);
        } else if steps.0.is_empty() {
            // Most have one, and of very many partitions all may have.
            steps.0.reserve_exact(1);
        }
        self.latest = Some(at);
        steps.0.push(Step { offset, at });
    }

    pub(super) fn found(self) -> Stamps {
        self.stamps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(batches: impl IntoIterator<Item = (i64, i64)>) -> Stamps {
        let mut stamping = Stamping::new();
        batches.into_iter().for_each(|(offset, at)| stamping.is_of(offset, at));
        stamping.found()
    }

    #[test]
    fn a_record_has_the_time_of_its_batch() {
        let stamps = stamps([(10, 1_000), (20, 1_050), (30, 61_000), (40, 60_000)]);
        assert_eq!(stamps.at(9), None);
        assert_eq!(
            [10, 19, 29, 30, 45].map(|offset| stamps.at(offset).unwrap()),
            [1_000, 1_000, 1_000, 61_000, 61_000]
        );
    }

    #[test]
    fn a_batch_without_a_time_has_that_of_the_one_before() {
        let stamps = stamps([(0, -1), (10, 5), (20, -1)]);
        assert_eq!([5, 15, 25].map(|offset| stamps.at(offset)), [None, Some(5), Some(5)]);
    }

    #[test]
    fn of_very_many_batches_few_are_kept_and_each_is_told_to_a_thirtieth_of_their_time() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut at = 0;
        let mut next = || {
            at += if rng.u32(0..1_000) == 0 { rng.i64(0..1_000_000) } else { rng.i64(0..2_000) };
            at
        };
        let batches: Vec<(i64, i64)> = (0..20_000).map(|offset| (offset, next())).collect();
        let stamps = stamps(batches.iter().copied());
        assert!(stamps.0.len() <= STEPS, "{}", stamps.0.len());
        let whole = batches.last().unwrap().1;
        for (offset, truth) in batches {
            let off = truth - stamps.at(offset).unwrap();
            assert!((0..=whole / 30).contains(&off), "{offset}: {off} of {whole}");
        }
    }

    #[test]
    fn what_was_read_is_forgotten_and_what_follows_is_bounded_too() {
        let mut all = Stamps::default();
        for slice in 0..1_000 {
            let begin = slice * 10;
            all.append(&mut stamps((0..10).map(|n| (begin + n, (begin + n) * 1_000))));
            assert!(all.0.len() <= 2 * STEPS);
        }
        assert!(all.at(5_000).unwrap().abs_diff(5_000_000) < 10_000_000 / 30);
        all.forget_before(9_995);
        assert_eq!((all.at(9_000), all.0.len() < 8), (None, true));
        assert!(all.at(9_995).is_some());
    }
}
