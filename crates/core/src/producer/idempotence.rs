//! A producer's identity at brokers (KIP-98): the id and epoch that a broker gave it, and sequence numbers per
//! partition. By these a broker drops batches that it has appended already, and refuses those that would leave a gap.
//!
//! As in Java, a producer without transactions bumps its epoch by itself: no other can have the same id.

use ottla_protocol::{
    ApiKey, ErrorCode, Now,
    messages::{InitProducerIdRequest, InitProducerIdResponse},
};

use super::{Producer, SendFailure, machine::Pending};
use crate::{
    cause::Cause,
    connections::Kind,
    log::{self, refused},
};

/// A producer's id, and the epoch in which its sequence numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

impl Identity {
    /// What a broker gives. Batches with less would be taken for those of a producer that is not idempotent, whose records may be
    /// there twice.
    pub(super) fn given(id: i64, epoch: i16) -> Result<Self, ErrorCode> {
        match id >= 0 && epoch >= 0 {
            true => Ok(Self { id, epoch }),
            false => Err(ErrorCode::UnknownServerError),
        }
    }
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

impl<F> Producer<F> {
    pub(super) fn ask_identity(&mut self, now: Now) {
        if self.identity != IdentityState::Needed
            || !self.identity_attempts.is_due(now)
            || self.active.is_empty()
        {
            return;
        }
        let Some(target) = self.hub.metadata.any_ready(&mut self.hub.connections, now) else {
            if let Some(refused) = self.hub.refusal(now) {
                self.fail_refused(self.all_active(), &refused, now);
            }
            return;
        };
        match self.hub.connections.version(target, Kind::Main, ApiKey::InitProducerId, i16::MAX) {
            Ok(version) => {
                let request =
                    InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..Default::default() };
                self.hub.send((target, Kind::Main), version, request, Pending::Identity, now);
                self.identity = IdentityState::Asked;
            }
            Err(unsupported) => {
                let cause = Cause::Unsupported(unsupported.0);
                self.fail_queues(self.all_active(), |at| SendFailure::Unsupported {
                    at,
                    cause: cause.clone(),
                });
            }
        }
    }

    pub(super) fn handle_identity(&mut self, response: &InitProducerIdResponse, now: Now) {
        let given = response.error_code.ok();
        let error = match given.and_then(|()| Identity::given(response.producer_id, response.producer_epoch))
        {
            Ok(identity) => {
                self.identity = IdentityState::Known(identity);
                self.identity_attempts.reset();
                let Identity { id, epoch } = identity;
                tracing::info!(target: log::PRODUCER, producer_id = id, epoch, "identity obtained");
                return;
            }
            Err(error) => error,
        };
        if self.identity_attempts.is_first() {
            refused!(log::PRODUCER, ApiKey::InitProducerId, error);
        }
        self.retry_identity(Some(error), now);
        if !error.is_retriable() {
            self.fail_queues(self.all_active(), |_| SendFailure::Identity { error });
        }
    }

    pub(super) fn retry_identity(&mut self, error: Option<ErrorCode>, now: Now) {
        self.identity_attempts.failed(error, now);
        self.identity = IdentityState::Needed;
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
