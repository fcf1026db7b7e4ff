//! Questions about offsets, which are asked of the consumer's own brokers, wherever it receives meanwhile.

use std::{collections::BTreeMap, sync::Arc};

use ottla_core::{CommittedOffset, OffsetAndTimestamp, Outcome, SeekTo, TopicPartition};

use super::{
    Core,
    operation::{committed, offsets_op},
};
use crate::{error::OffsetsError, shared::Shared};

/// Asks about offsets.
#[derive(Debug, Clone)]
pub(crate) struct Asking(Arc<Shared<Core>>);

impl Asking {
    pub(super) fn new(shared: &Arc<Shared<Core>>) -> Self {
        Self(shared.clone())
    }

    pub(crate) async fn committed(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Option<CommittedOffset>>, OffsetsError> {
        committed(&self.0, partitions).await
    }

    pub(crate) async fn beginnings(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, i64>, OffsetsError> {
        self.found(partitions.into_iter().map(|at| (at, SeekTo::Beginning))).await
    }

    pub(crate) async fn ends(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, i64>, OffsetsError> {
        self.found(partitions.into_iter().map(|at| (at, SeekTo::End))).await
    }

    async fn found(
        &self,
        wanted: impl Iterator<Item = (TopicPartition, SeekTo)>,
    ) -> Result<BTreeMap<TopicPartition, i64>, OffsetsError> {
        let found = self.offsets(wanted).await?;
        Ok(found.into_iter().filter_map(|(at, found)| Some((at, found?.offset))).collect())
    }

    pub(super) async fn offsets(
        &self,
        wanted: impl Iterator<Item = (TopicPartition, SeekTo)>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>, OffsetsError> {
        let wanted = wanted.collect();
        let op = self.0.with(|core, now| core.offsets(wanted, now));
        match offsets_op(&self.0, Ok(op)).await? {
            Outcome::Offsets(offsets) => Ok(offsets),
            _ => Ok(BTreeMap::new()),
        }
    }
}
