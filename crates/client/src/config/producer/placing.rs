//! Which partition a record goes to: setters and properties.

use std::{sync::Arc, time::Duration};

use ottla_core::producer::{Partitioner, Partitioning};

use super::ProducerBuilder;
use crate::error::BuildError;

/// librdkafka's names, in its order.
const NAMES: &[(&str, Partitioning)] = &[
    ("consistent_random", Partitioning::ConsistentRandom),
    ("consistent", Partitioning::Consistent),
    ("murmur2", Partitioning::Murmur2),
    ("murmur2_random", Partitioning::Murmur2Random),
    ("random", Partitioning::Random),
    ("fnv1a", Partitioning::Fnv1a),
    ("fnv1a_random", Partitioning::Fnv1aRandom),
];

pub(super) fn partitioner(key: &str, value: &str) -> Result<Partitioning, BuildError> {
    let known = NAMES.iter().find(|(name, _)| *name == value.trim());
    known.map(|(_, partitioning)| partitioning.clone()).ok_or_else(|| {
        let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
        BuildError::invalid(key, value, names.join(", "))
    })
}

pub(super) fn class(key: &str, value: &str) -> Result<Partitioning, BuildError> {
    let value = value.trim();
    match value.strip_prefix("org.apache.kafka.clients.producer.").unwrap_or(value) {
        "" => Ok(Partitioning::default()),
        "RoundRobinPartitioner" => Ok(Partitioning::RoundRobin),
        _ => {
            let expected =
                "RoundRobinPartitioner, or nothing; a class of your own is a Partitioner, by partitioner(..)";
            Err(BuildError::invalid(key, value, expected))
        }
    }
}

impl ProducerBuilder {
    /// Which partition a record goes to that names none (`partitioner.class`, or librdkafka's `partitioner`). Default by its
    /// key as Java does, and without a key where little waits.
    #[must_use]
    pub fn partitioning(mut self, partitioning: Partitioning) -> Self {
        self.partitioning = partitioning;
        self
    }

    /// A partitioner of your own, in place of [`partitioning`](Self::partitioning). It is asked for each record that names no
    /// partition.
    #[must_use]
    pub fn partitioner(self, partitioner: impl Partitioner + 'static) -> Self {
        self.partitioning(Partitioning::Own(Arc::new(partitioner)))
    }

    /// Whether records without a key go where little waits to be sent (`partitioner.adaptive.partitioning.enable`, KIP-794).
    /// Default true, as Java's. They go to another partition when a batch is closed; Java's when `batch_size` bytes were sent.
    #[must_use]
    pub fn partitioner_adaptive_partitioning(mut self, enable: bool) -> Self {
        self.adaptive = enable;
        self
    }

    /// How long a broker may take nothing of what waits for it before records without a key go to others
    /// (`partitioner.availability.timeout.ms`). Default zero, as Java's: they go there all the same. Only with adaptive
    /// partitioning.
    #[must_use]
    pub fn partitioner_availability_timeout(mut self, timeout: Duration) -> Self {
        self.availability_timeout = timeout;
        self
    }

    /// Whether records with a key go where those without one do (`partitioner.ignore.keys`). Default false, as Java's. Only
    /// with the default partitioning.
    #[must_use]
    pub fn partitioner_ignore_keys(mut self, ignore: bool) -> Self {
        self.ignore_keys = ignore;
        self
    }
}
