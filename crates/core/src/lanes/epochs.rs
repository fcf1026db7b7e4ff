//! Which leader appended the records that a lane has handed out.

/// Leader epochs by offset. A partition's leader changes rarely, so that there are few; where the user has come back from all, there is one.
#[derive(Debug, Default)]
pub(crate) struct LeaderEpochs {
    /// Of the record before the offset at which reading began, as whoever told that offset said; later, of the record before the offset
    /// that the user came back to.
    begin: Option<i32>,
    /// From each of these offsets on the records are of this epoch.
    changes: Vec<(i64, Option<i32>)>,
}

impl LeaderEpochs {
    /// Reading begins behind a record of this epoch.
    pub(super) fn beginning(begin: Option<i32>) -> Self {
        Self { begin, changes: Vec::new() }
    }

    /// Records from this offset on are of this epoch.
    pub(super) fn enter(&mut self, from: i64, epoch: Option<i32>) {
        // What was fetched once more counts anew.
        self.changes.retain(|(before, _)| *before < from);
        if self.changes.last().map_or(self.begin, |(_, epoch)| *epoch) != epoch {
            // There are more only where the leader changes.
            self.changes.reserve_exact(1);
            self.changes.push((from, epoch));
        }
    }

    /// Nobody asks for an offset before this one any more.
    pub(super) fn forget_before(&mut self, offset: i64) {
        let passed = self.changes.partition_point(|(from, _)| *from < offset);
        let holds = self.changes.drain(..passed).next_back();
        if let Some((_, epoch)) = holds {
            self.begin = epoch;
            self.changes.shrink_to_fit();
        }
    }

    /// The epoch of the record before this offset.
    pub(super) fn before(&self, offset: i64) -> Option<i32> {
        let known = self.changes.iter().rev().find(|(from, _)| *from < offset);
        known.map_or(self.begin, |(_, epoch)| *epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_before_an_offset_is_that_of_the_record_before_it() {
        let mut epochs = LeaderEpochs::beginning(Some(3));
        epochs.enter(10, Some(3));
        epochs.enter(20, Some(3));
        epochs.enter(30, Some(5));
        assert_eq!([10, 11, 30, 31].map(|offset| epochs.before(offset)), [3, 3, 3, 5].map(Some));
    }

    #[test]
    fn what_is_before_the_users_return_is_forgotten_but_for_the_epoch_that_holds_there() {
        let mut epochs = LeaderEpochs::default();
        for n in 0..100 {
            epochs.enter(n * 10, Some(n as i32));
            epochs.forget_before(n * 10);
        }
        assert_eq!(epochs.changes.len(), 1);
        assert_eq!((epochs.before(990), epochs.before(991)), (Some(98), Some(99)));
        epochs.forget_before(991);
        epochs.enter(1_000, Some(99));
        assert_eq!((epochs.before(991), epochs.before(1_001)), (Some(99), Some(99)));
        assert_eq!(epochs.changes.capacity(), 0);
    }
}
