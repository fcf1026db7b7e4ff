//! Ottla with very many partitions, as a user would write it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ottla::{
    Consumer, CooperativeStickyAssignor, GroupProtocol, OffsetReset, Rebalance, RebalanceListener,
    TopicPartition,
};
use ottla_bench_child::{Holding, Told, Way};

use crate::consumer::runtime;

const PATIENCE: Duration = Duration::from_secs(1);

struct Telling(Arc<Told>);

impl RebalanceListener for Telling {
    async fn on_assigned(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        self.0.moved(partitions.len() as i64);
    }

    async fn on_revoked(&self, _: &Rebalance, partitions: &[TopicPartition]) {
        self.0.moved(-(partitions.len() as i64));
    }
}

pub(crate) fn run(holding: &Holding) -> Result<()> {
    let told = Arc::new(Told::begin(holding.records));
    let builder = Consumer::builder()
        .bootstrap_servers(holding.bootstrap.split(','))
        .auto_offset_reset(OffsetReset::Earliest);
    let member = |builder: ottla::ConsumerBuilder| {
        builder.group_id(&holding.group).rebalance_listener(Telling(Arc::clone(&told)))
    };
    let builder = match holding.way {
        Way::Assigned => builder,
        Way::Classic => member(builder)
            .assignor(CooperativeStickyAssignor)
            .heartbeat_interval(Duration::from_millis(holding.heartbeat_millis)),
        Way::Consumer => member(builder).group_protocol(GroupProtocol::Consumer),
    };
    runtime()?.block_on(async {
        let mut consumer = builder.build().await?;
        match holding.way {
            Way::Assigned => {
                let partitions = 0..holding.partitions as i32;
                consumer.assign(partitions.map(|partition| (holding.topic.as_str(), partition)))?;
            }
            Way::Classic | Way::Consumer => consumer.subscribe([&holding.topic])?,
        }
        loop {
            for _ in &consumer.poll(PATIENCE).await? {
                told.record();
            }
        }
    })
}
