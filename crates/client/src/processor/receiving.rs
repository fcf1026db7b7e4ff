//! Readers beside the pump: each receives records of other partitions, so that several are decompressed and copied at once.

use std::{future::IntoFuture as _, pin::pin, sync::Arc};

use tokio::task::JoinSet;

use super::{
    engine::Engine,
    pump::{IDLE, asked, or, received},
};
use crate::{consumer::Consumer, error::ProcessError};

/// The tasks of so many readers. Dropped, they end, and what they have not handed over goes to the others.
pub(super) fn receive(
    consumer: &Consumer,
    engine: &Arc<Engine>,
    readers: usize,
) -> JoinSet<Result<(), ProcessError>> {
    let mut receiving = JoinSet::new();
    for _ in 0..readers {
        let (mut reader, engine) = (consumer.own_reader().silent(), engine.clone());
        receiving.spawn(async move {
            loop {
                let mut stirred = pin!(engine.readers.notified());
                stirred.as_mut().enable();
                let Some(room) = engine.asks() else { break };
                // Also without room it is in a call: so what it had is handed over, and no rebalance waits for it.
                let polled = asked(&mut reader, room, IDLE).into_future();
                let records = match room {
                    Some(_) => polled.await,
                    None => match or(stirred, polled).await {
                        Some(records) => records,
                        None => continue,
                    },
                };
                // From here to the next call nothing waits: what is received is handed over, or was not.
                match received(records)? {
                    Some(records) if records.is_empty() && !reader.is_open() => break,
                    Some(records) => engine.feed(&records, &reader),
                    None => {}
                }
            }
            Ok(())
        });
    }
    receiving
}
