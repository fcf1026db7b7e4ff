//! Commits, automatic and in the background, against the embedded broker.

use std::{collections::BTreeMap, time::Duration};

use ottla::{CommittedOffset, Consumer, ConsumerBuilder, HandedOut as _, OffsetReset, OwnedRecord};
use ottla_broker::{Server, TopicSpec};

use crate::common::{PATIENCE, produce, server};

fn builder(server: &Server) -> ConsumerBuilder {
    Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe(["t"])
}

async fn next(consumer: &mut Consumer) -> OwnedRecord {
    tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap()
}

fn committed(server: &Server) -> Option<i64> {
    server.with_cluster(|cluster| cluster.committed("g").get(&("t".to_owned(), 0)).copied())
}

async fn until_committed(server: &Server, offset: i64) {
    let waiting = async {
        while committed(server) < Some(offset) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let what = format!("{offset} is committed, and not {:?}", committed(server));
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what}");
}

/// The interval alone would commit in an hour.
#[tokio::test]
async fn so_many_records_are_committed_though_they_are_all_at_hand() {
    let server = server(1);
    produce(&server, 0, 0..100).await;
    let builder = builder(&server).auto_commit_interval(Duration::from_secs(3600)).auto_commit_records(10);
    let mut consumer = builder.build().await.unwrap();
    for count in 1..=35 {
        next(&mut consumer).await;
        // The call for the eleventh record says that ten are done.
        if count % 10 == 1 && count > 1 {
            until_committed(&server, count - 1).await;
        }
    }
    assert_eq!(committed(&server), Some(30), "and nothing of what is in hand");
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn commits_in_the_background_end_in_the_order_in_which_they_were_asked_for() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let mut consumer = builder(&server).enable_auto_commit(false).build().await.unwrap();
    let record = next(&mut consumer).await;
    let described = CommittedOffset::new(7).with_leader_epoch(0).with_metadata("of host 7");
    let negative = consumer.commit_offsets_async([(("t", 0), -1)]).await.map_err(|error| error.kind());
    assert_eq!(negative, Err(ottla::error::CommitErrorKind::InvalidOffset));
    let (all, given) = (consumer.commit_async(), consumer.commit_offsets_async([(("t", 0), described)]));
    let last = tokio::time::timeout(PATIENCE, consumer.commit_through_async(&record)).await.unwrap().unwrap();
    for before in [all, given] {
        let ended = tokio::select! { biased; ended = before => Some(ended.is_ok()), () = async {} => None };
        assert_eq!(ended, Some(true));
    }
    assert_eq!(committed(&server), Some(1), "the newest request wins");
    assert_eq!(last, BTreeMap::from([(record.topic_partition().clone(), record.to_commit())]));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_record_of_a_deleted_topic_is_not_committed_to_the_one_made_anew() {
    let server = server(1);
    produce(&server, 0, 0..350).await;
    let builder = builder(&server).enable_auto_commit(false);
    let mut consumer = builder.metadata_max_age(Duration::from_millis(50)).build().await.unwrap();
    let mut old = next(&mut consumer).await;
    while old.offset() < 349 {
        old = next(&mut consumer).await;
    }
    server.with_cluster(|cluster| {
        assert!(cluster.delete_topic("t"));
        cluster.create_topic(&TopicSpec::new("t", 1)).unwrap();
    });
    produce(&server, 0, 0..10).await;
    let refused = consumer.commit_through(&old).await.map_err(|error| error.kind());
    assert_eq!(refused, Err(ottla::error::CommitErrorKind::Gone));
    let new = next(&mut consumer).await;
    assert_eq!(new.offset(), 0, "reading goes on in the new one");
    let refused = consumer.commit_through(&old).await.map_err(|error| error.kind());
    assert_eq!(refused, Err(ottla::error::CommitErrorKind::Gone));
    consumer.commit_through(&new).await.unwrap();
    assert_eq!(committed(&server), Some(1));
}
