//! Where each leader epoch of a partition begins (KIP-101).

use ottla_protocol::{DecodeError, Now, codec::Reader};

use crate::storage::Kept;

/// The epochs and the offsets that they begin at, both rising.
#[derive(Debug, Clone)]
pub(crate) struct LeaderEpochs(Vec<(i32, i64)>);

impl Default for LeaderEpochs {
    fn default() -> Self {
        Self(vec![(0, 0)])
    }
}

impl LeaderEpochs {
    /// An epoch begins at the log's end, whether or not anything is written in it. Where nothing was in the one before, that
    /// is forgotten.
    pub(crate) fn begin(&mut self, epoch: i32, offset: i64) {
        while self.0.last().is_some_and(|(_, begun)| *begun >= offset) {
            self.0.pop();
        }
        self.0.push((epoch, offset));
    }

    /// The newest epoch that is not after `epoch`, and the offset that it ends at. For an epoch before the first: itself, and
    /// where the first begins. None for one that has not begun.
    pub(crate) fn end_of(&self, epoch: i32, log_end: i64) -> Option<(i32, i64)> {
        let after = self.0.partition_point(|(begun, _)| *begun <= epoch);
        let known = after.checked_sub(1).and_then(|at| self.0.get(at)).map_or(epoch, |(known, _)| *known);
        match self.0.get(after) {
            Some((_, offset)) => Some((known, *offset)),
            None => (known == epoch).then_some((epoch, log_end)),
        }
    }

    /// The log ends at `end` now: what began there or later is forgotten.
    pub(crate) fn truncate(&mut self, end: i64) {
        self.0.retain(|(_, begun)| *begun < end);
    }

    /// The log begins at `start` now: what was written before is forgotten, but for the epoch that `start` is of.
    pub(crate) fn delete_before(&mut self, start: i64) {
        let kept = self.0.partition_point(|(_, begun)| *begun <= start).saturating_sub(1);
        self.0.drain(..kept);
        if let Some((_, begun)) = self.0.first_mut() {
            *begun = start.max(*begun);
        }
    }
}

impl Kept for LeaderEpochs {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn read(r: &mut Reader<'_>, now: Now) -> Result<Self, DecodeError> {
        Kept::read(r, now).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_where_the_next_one_that_wrote_begins() {
        let mut epochs = LeaderEpochs::default();
        epochs.begin(2, 10);
        epochs.begin(5, 20);
        for (epoch, end) in [
            (0, Some((0, 10))),
            (1, Some((0, 10))),
            (2, Some((2, 20))),
            (4, Some((2, 20))),
            (5, Some((5, 33))),
            (6, None),
        ] {
            assert_eq!(epochs.end_of(epoch, 33), end, "epoch {epoch}");
        }
    }

    #[test]
    fn an_epoch_in_which_nothing_was_written_is_forgotten_with_the_next() {
        let mut epochs = LeaderEpochs::default();
        epochs.begin(1, 7);
        epochs.begin(2, 7);
        assert_eq!(epochs.end_of(1, 9), Some((0, 7)));
    }

    #[test]
    fn what_was_cut_off_is_of_no_epoch() {
        let mut epochs = LeaderEpochs::default();
        epochs.begin(1, 10);
        epochs.begin(2, 20);
        epochs.truncate(15);
        epochs.begin(3, 15);
        assert_eq!(epochs.end_of(2, 30), Some((1, 15)));
        assert_eq!(epochs.end_of(3, 30), Some((3, 30)));
    }

    #[test]
    fn what_was_deleted_is_of_no_epoch() {
        let mut epochs = LeaderEpochs::default();
        epochs.begin(1, 10);
        epochs.begin(2, 20);
        epochs.delete_before(15);
        assert_eq!(epochs.end_of(0, 30), Some((0, 15)), "from before the log's first epoch");
        assert_eq!(epochs.end_of(1, 30), Some((1, 20)));
    }
}
