//! How a consumer ends: every loop of the README's ends with it, and what could not be done is told.

use std::{
    future::{Future, IntoFuture as _},
    time::Duration,
};

use ottla::{
    Consumer, OffsetReset, Producer, SendError, TransactionalProducer,
    error::{CloseErrorKind, RecvErrorKind},
};
use ottla_broker::Server;

use crate::common::{PATIENCE, produce, server};

const POLL: Duration = Duration::from_millis(200);

async fn consumer(server: &Server) -> Consumer {
    Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe(["t"])
        .build()
        .await
        .unwrap()
}

/// Runs a loop, closes its consumer once it has seen the three records, and waits for its end.
async fn ends<F: Future<Output = u32>>(run: impl FnOnce(Consumer) -> F) {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let consumer = consumer(&server).await;
    let closer = consumer.closer();
    let close = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        closer.close();
    };
    let both = async { tokio::join!(run(consumer), close).0 };
    let seen = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(seen, 3);
}

#[tokio::test]
async fn a_loop_of_recv_ends_when_its_consumer_is_closed() {
    ends(|mut consumer| async move {
        let mut seen = 0;
        while let Some(record) = consumer.recv().await.unwrap() {
            assert_eq!(record.offset(), i64::from(seen));
            seen += 1;
        }
        consumer.close().await.unwrap();
        seen
    })
    .await;
}

#[tokio::test]
async fn a_loop_of_polls_ends_when_its_consumer_is_closed() {
    ends(|mut consumer| async move {
        let mut seen = 0;
        while consumer.is_open() {
            for record in &consumer.poll(POLL).await.unwrap() {
                assert_eq!(record.offset(), i64::from(seen));
                seen += 1;
            }
            consumer.commit().await.unwrap();
        }
        consumer.close().await.unwrap();
        seen
    })
    .await;
}

#[tokio::test]
async fn the_loops_of_several_readers_end_when_their_consumer_is_closed() {
    ends(|consumer| async move {
        let read = |mut reader: ottla::Reader| async move {
            let mut seen = 0;
            while reader.recv().await.unwrap().is_some() {
                seen += 1;
            }
            seen
        };
        let seen = tokio::join!(read(consumer.reader()), read(consumer.reader()));
        consumer.close().await.unwrap();
        seen.0 + seen.1
    })
    .await;
}

#[tokio::test]
async fn a_poll_and_a_close_may_take_for_ever() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let mut consumer = consumer(&server).await;
    let polled = tokio::time::timeout(PATIENCE, consumer.poll(Duration::MAX).into_future()).await.unwrap();
    assert_eq!(polled.unwrap().len(), 3);
    tokio::time::timeout(PATIENCE, consumer.close_within(Duration::MAX)).await.unwrap().unwrap();
    transforms(&server).await;
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    tokio::time::timeout(PATIENCE, producer.close_within(Duration::MAX)).await.unwrap().unwrap();
}

async fn transforms(server: &Server) {
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]).group_id("of-transactions");
    let builder = builder.auto_offset_reset(OffsetReset::Earliest).enable_auto_commit(false);
    let mut consumer = builder.subscribe(["t"]).build().await.unwrap();
    let builder = TransactionalProducer::builder().bootstrap_servers([server.bootstrap()]);
    let mut producer = builder.transactional_id("id").build_transactional().await.unwrap();
    let round = producer.transform(&mut consumer, Duration::MAX, async |_, _| Ok::<_, SendError>(()));
    assert_eq!(tokio::time::timeout(PATIENCE, round).await.unwrap().unwrap(), 3);
}

#[tokio::test]
async fn a_poll_after_the_close_is_no_time_out() {
    let server = server(1);
    let mut consumer = consumer(&server).await;
    assert!(consumer.is_open());
    consumer.closer().close();
    assert!(!consumer.is_open());
    let first = consumer.poll(PATIENCE).await.unwrap();
    assert!(first.is_empty(), "a loop that asks whether the consumer is open ends in order");
    for _ in 0..2 {
        let error = consumer.poll(PATIENCE).await.unwrap_err();
        assert_eq!(error.kind(), RecvErrorKind::Closed, "a loop that does not ask would spin");
    }
    assert!(consumer.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn a_commit_tells_what_it_committed_also_where_nobody_waits_for_it_at_once() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let mut consumer = consumer(&server).await;
    let records = consumer.poll(PATIENCE).await.unwrap();
    let next = records.iter().last().unwrap().next_offset();
    let pending = consumer.commit_async();
    let offsets = |committed: &ottla::Committed| committed[&("t", 0).into()].offset;
    let committed = tokio::spawn(pending).await.unwrap().unwrap();
    assert_eq!(offsets(&committed), next);
    assert_eq!(offsets(&consumer.commit().await.unwrap()), next);
    assert_eq!(offsets(&consumer.commit_offsets([(("t", 0), 1)]).await.unwrap()), 1);
}

#[tokio::test]
async fn a_commit_that_cannot_begin_is_told_when_it_is_awaited() {
    let server = server(1);
    let mut consumer = Consumer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let error = consumer.commit_async().await.unwrap_err();
    assert_eq!(error.kind(), ottla::error::CommitErrorKind::NoGroup);
}

#[tokio::test]
async fn a_close_tells_which_offset_is_not_committed() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let mut consumer = consumer(&server).await;
    while consumer.assignment().is_empty() || consumer.position(("t", 0)).await.unwrap() < 3 {
        consumer.poll(POLL).await.unwrap();
    }
    let admin = ottla::Admin::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    admin.delete_topics(["t"]).await.unwrap();
    let error = consumer.close().await.unwrap_err();
    assert_eq!(error.kind(), CloseErrorKind::NotCommitted);
    assert_eq!(error.context().partition, Some(("t", 0).into()));
    assert_eq!(error.context().group.as_deref(), Some("g"));
    let said = error.to_string();
    assert!(
        said.contains("partition t-0: offset 3 is not committed: there is no such partition any more"),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_sought_back_to_before_a_close_is_read_again() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let mut consumer = consumer(&server).await;
    assert_eq!(consumer.recv().await.unwrap().unwrap().offset(), 0);
    let failed = consumer.recv().await.unwrap().unwrap();
    consumer.seek(failed.topic_partition(), failed.offset()).unwrap();
    consumer.close().await.unwrap();
    let committed = server.with_cluster(|cluster| cluster.committed("g"));
    assert_eq!(committed.get(&("t".to_owned(), 0)), Some(&1));
}
