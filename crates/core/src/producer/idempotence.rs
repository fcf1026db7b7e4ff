//! A producer's identity at brokers (KIP-98): the id and epoch that a broker gave it, and sequence numbers per
//! partition. By these a broker drops batches that it has appended already, and refuses those that would leave a gap.
//!
//! As in Java, a producer without transactions bumps its epoch by itself: no other can have the same id.

use crate::log;

/// A producer's id, and the epoch in which its sequence numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// How it stands with the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdentityState {
    /// The producer is not idempotent, and has none.
    Absent,
    /// The identity is to be asked for.
    Needed,
    /// The identity has been asked for.
    Asked,
    Known(Identity),
}

impl IdentityState {
    pub(super) const fn known(self) -> Option<Identity> {
        match self {
            Self::Known(identity) => Some(identity),
            _ => None,
        }
    }

    /// Leaves `stale` behind, unless that has happened already. The next epoch follows it, or a new id after the
    /// last epoch.
    pub(super) fn leave(&mut self, stale: Option<Identity>) {
        let Some(current) = self.known().filter(|current| Some(*current) == stale) else { return };
        *self = match current.epoch.checked_add(1) {
            Some(epoch) => {
                tracing::info!(target: log::PRODUCER, producer_id = current.id, epoch, "identity bumped");
                Self::Known(Identity { epoch, ..current })
            }
            None => Self::Needed,
        };
    }
}

/// The sequence number that follows `count` records after `sequence`: from 2^31 - 1 it goes on with 0.
pub(super) const fn sequence_after(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_on_with_zero_after_the_largest() {
        assert_eq!(sequence_after(5, 3), 8);
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        assert_eq!(sequence_after(i32::MAX - 1, 4), 2);
    }

    #[test]
    fn after_the_last_epoch_a_new_id_is_needed() {
        let identity = Identity { id: 7, epoch: i16::MAX - 1 };
        let mut state = IdentityState::Known(identity);
        state.leave(Some(identity));
        let last = Identity { id: 7, epoch: i16::MAX };
        assert_eq!(state.known(), Some(last));
        state.leave(Some(identity));
        assert_eq!(state.known(), Some(last), "left already");
        state.leave(Some(last));
        assert_eq!(state.known(), None);
    }
}
