//! What a producer guarantees: who has a record, and whether it is there once.

use ottla_core::producer::Acks;

use super::ProducerBuilder;
use crate::{config::value::from_text, error::BuildError};

/// As many as a number of 31 bits can tell, as Java's.
pub(super) const MAX_RETRIES: u32 = i32::MAX.cast_unsigned();
/// A broker remembers so many batches of an idempotent producer.
const REMEMBERED: usize = 5;
/// More requests than this do not wait to be written on a connection.
const QUEUED: usize = 255;

pub(super) fn acks(key: &str, value: &str) -> Result<Acks, BuildError> {
    match value.trim() {
        "all" | "-1" => Ok(Acks::All),
        "1" => Ok(Acks::Leader),
        "0" => Ok(Acks::None),
        _ => Err(BuildError::invalid(key, value, "all, 1 or 0")),
    }
}

pub(super) fn retries(key: &str, value: &str) -> Result<u32, BuildError> {
    from_text(key, value, &format!("a number, from 0 to {MAX_RETRIES}"))
}

impl ProducerBuilder {
    /// A property with which the producer cannot be idempotent, its value, and what it would have to be.
    pub(super) const fn obstacle_to_idempotence(&self) -> Option<(&'static str, &'static str, &'static str)> {
        match (self.acks, self.retries) {
            (Acks::None, _) => Some(("acks", "0", "all")),
            (Acks::Leader, _) => Some(("acks", "1", "all")),
            (Acks::All, 0) => Some(("retries", "0", "1 or more")),
            (Acks::All, _) => None,
        }
    }

    /// What of the configuration needs idempotence.
    const fn wants_idempotence(&self) -> Option<&'static str> {
        match (&self.transactional_id, self.idempotent) {
            (Some(_), _) => Some("a transactional.id"),
            (None, Some(true)) => Some("enable.idempotence=true"),
            (None, _) => None,
        }
    }

    /// Whether the producer is idempotent: it is where nothing stands in the way, and nobody said otherwise.
    pub(super) fn check_idempotence(&self) -> Result<bool, BuildError> {
        let wanted = self.wants_idempotence();
        if let (Some(wants), Some(false)) = (wanted, self.idempotent) {
            return Err(BuildError::invalid("enable.idempotence", "false", format!("true, with {wants}")));
        }
        match (wanted, self.obstacle_to_idempotence()) {
            (Some(wants), Some((key, value, needed))) => {
                Err(BuildError::invalid(key, value, format!("{needed}, with {wants}")))
            }
            (_, obstacle) => Ok(self.idempotent.unwrap_or(obstacle.is_none())),
        }
    }

    pub(super) fn check_in_flight(&self, idempotent: bool) -> Result<usize, BuildError> {
        let most = if idempotent { REMEMBERED } else { QUEUED };
        if (1..=most).contains(&self.max_in_flight) {
            return Ok(self.max_in_flight);
        }
        let with = if idempotent { "enable.idempotence=true" } else { "enable.idempotence=false" };
        let expected = format!("1 to {most}, with {with}");
        Err(BuildError::invalid("max.in.flight.requests.per.connection", self.max_in_flight, expected))
    }
}
