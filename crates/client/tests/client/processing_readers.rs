//! A processor with several readers, against the embedded broker.

use std::{collections::BTreeMap, time::Duration};

use ottla::{ApiKey, ErrorCode, HandlerError, Order, Processor, processor::EachMessage};
use ottla_broker::{Fault, Server};

use crate::{
    common::{produce, server},
    listener::{KINDS, Kind, builder},
    processing::{Done, MILLI, Running, committed, until},
};

const PARTITIONS: i32 = 6;
const EACH: i64 = 1000;

async fn filled() -> Server {
    let server = server(PARTITIONS.unsigned_abs());
    for partition in 0..PARTITIONS {
        produce(&server, partition, 0..EACH as u32).await;
    }
    server
}

fn process(server: &Server, kind: Kind, takes: Duration, done: &Done) -> EachMessage {
    let done = done.clone();
    Processor::new(builder(server, kind))
        .order(Order::Partition)
        .readers(4)
        .in_flight(600, 1 << 20)
        .commit_interval(20 * MILLI)
        .each_message(move |message| {
            let done = done.clone();
            async move {
                if !takes.is_zero() {
                    tokio::time::sleep(takes).await;
                }
                done.note(&message);
                Ok::<_, HandlerError>(())
            }
        })
}

/// The next member that tells that it is there has lost its partitions, and may join again as who it is.
fn lose(server: &Server, kind: Kind) {
    let (api, error) = match kind {
        Kind::Consumer => (ApiKey::ConsumerGroupHeartbeat, ErrorCode::FencedMemberEpoch),
        Kind::Eager | Kind::Cooperative => (ApiKey::Heartbeat, ErrorCode::IllegalGeneration),
    };
    server.with_cluster(|cluster| cluster.faults().on(api).then(Fault::Error(error)));
}

/// Of each partition the offsets in the order in which they were handled.
fn by_partition(done: &Done) -> BTreeMap<i32, Vec<i64>> {
    let mut offsets = BTreeMap::<_, Vec<_>>::new();
    done.all().into_iter().for_each(|(partition, offset)| offsets.entry(partition).or_default().push(offset));
    offsets
}

fn is_all_handled(done: &Done) -> bool {
    done.counts().len() as i64 == i64::from(PARTITIONS) * EACH
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_readers_have_each_record_handled_once_and_in_order() {
    let server = filled().await;
    let done = Done::default();
    let running = Running::new(process(&server, Kind::Cooperative, Duration::ZERO, &done));
    until("all are handled", || is_all_handled(&done)).await;
    running.stop().await;
    let in_order: Vec<i64> = (0..EACH).collect();
    assert!(by_partition(&done).values().all(|offsets| *offsets == in_order));
    for partition in 0..PARTITIONS {
        assert_eq!(committed(&server, partition), Some(EACH));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_several_readers_nothing_is_lost_while_members_come_and_go_and_lose_their_partitions() {
    for kind in KINDS {
        let server = filled().await;
        let (first, second) = (Done::default(), Done::default());
        let running = Running::new(process(&server, kind, MILLI, &first));
        until("the first has begun", || first.len() > 300).await;
        let other = Running::new(process(&server, kind, MILLI, &second));
        until("the second has begun", || second.len() > 300).await;
        let all = || {
            let mut counts = first.counts();
            counts.extend(second.counts());
            counts.len() as i64 == i64::from(PARTITIONS) * EACH
        };
        for _ in 0..3 {
            lose(&server, kind);
            until("it is told", || server.with_cluster(|cluster| cluster.faults().is_empty())).await;
            let so_far = first.len();
            until("it goes on", || first.len() > so_far + 200 || all()).await;
        }
        other.stop().await;
        until("all are handled", all).await;
        running.stop().await;
        for partition in 0..PARTITIONS {
            assert_eq!(committed(&server, partition), Some(EACH), "{kind:?}");
        }
    }
}
