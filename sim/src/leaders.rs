//! Who leads each partition, and in which leader epoch.

use std::collections::BTreeMap;

use ottla_broker::Cluster;
use ottla_core::TopicPartition;

use crate::stage::Stage;

#[derive(Debug, Default)]
pub(super) struct Leaders(BTreeMap<TopicPartition, (i32, i32)>);

impl Leaders {
    /// Who leads anew does so in a new leader epoch.
    pub(super) fn look(&mut self, cluster: &Cluster, partitions: &[TopicPartition], stage: &mut Stage) {
        for at in partitions {
            let Some((node, epoch)) = cluster.leader(&at.topic, at.partition) else { continue };
            if let Some((before, last)) = self.0.insert(at.clone(), (node, epoch))
                && before != node
                && last >= epoch
            {
                stage.violate("each leader of a partition has a leader epoch of its own", || {
                    format!("{at}: {before} in epoch {last}, {node} in {epoch}")
                });
            }
        }
    }
}
