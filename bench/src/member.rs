//! Ottla as a member of a group, as a user would write it.

use std::time::Duration;

use anyhow::{Context, Result};
use ottla::{Consumer, CooperativeStickyAssignor, GroupProtocol, OffsetReset};
use ottla_bench_child::{Deliveries, Membership, Orders, Protocol};

use crate::consumer::runtime;

pub(crate) fn run(membership: &Membership) -> Result<()> {
    let builder = Consumer::builder()
        .bootstrap_servers(membership.bootstrap.split(','))
        .group_id(&membership.group)
        .auto_offset_reset(OffsetReset::Earliest)
        .auto_commit_interval(Duration::from_millis(membership.commit_millis));
    let builder = match membership.protocol {
        Protocol::Classic => builder
            .assignor(CooperativeStickyAssignor)
            .session_timeout(Duration::from_millis(membership.session_millis))
            .heartbeat_interval(Duration::from_millis(membership.heartbeat_millis)),
        Protocol::Consumer => builder.group_protocol(GroupProtocol::Consumer),
    };
    runtime()?.block_on(async {
        let mut consumer = builder.build().await?;
        let mut deliveries = Deliveries::new();
        let orders = Orders::begin()?;
        consumer.subscribe([&membership.topic])?;
        while !orders.ended() {
            let records = consumer.poll(Duration::from_millis(100)).await?;
            for record in &records {
                deliveries.add(record.partition(), record.value().context("a record without a number")?)?;
            }
            deliveries.flush()?;
        }
        consumer.close().await?;
        Ok(())
    })
}
