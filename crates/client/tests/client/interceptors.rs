//! Interceptors of consumers are told of records and commits, and those of producers of records that are sent, against the
//! embedded broker.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ottla::{
    Committed, Consumer, ConsumerBuilder, ConsumerInterceptor, Delivered, OffsetReset, OwnedRecord, Producer,
    ProducerBuilder, ProducerInterceptor, ProducerRecord, Record, RecordParts, SendError,
    TransactionalProducer, error::SendErrorKind, producer::TrySendError,
};
use ottla_broker::Server;

use crate::common::{PATIENCE, produce, server};

/// What it was told: offsets of records, and committed offsets of partition 0.
#[derive(Debug, Clone, Default)]
struct Told {
    records: Arc<Mutex<Vec<i64>>>,
    commits: Arc<Mutex<Vec<i64>>>,
}

impl ConsumerInterceptor for Told {
    fn on_consume(&self, record: Record<'_>) {
        self.records.lock().unwrap().push(record.offset());
    }

    fn on_commit(&self, offsets: &Committed) {
        self.commits.lock().unwrap().extend(offsets.values().map(|committed| committed.offset));
    }
}

impl Told {
    fn records(&self) -> Vec<i64> {
        self.records.lock().unwrap().clone()
    }

    fn commits(&self) -> Vec<i64> {
        self.commits.lock().unwrap().clone()
    }
}

/// It fails each time.
struct Panics;

impl ConsumerInterceptor for Panics {
    fn on_consume(&self, record: Record<'_>) {
        panic!("not at {}", record.offset());
    }

    fn on_commit(&self, _: &Committed) {
        panic!("not here");
    }
}

fn builder(server: &Server) -> ConsumerBuilder {
    Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .auto_commit_interval(Duration::from_secs(3600))
        .subscribe(["t"])
}

async fn next(consumer: &mut Consumer) -> OwnedRecord {
    tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn each_record_is_told_once_before_it_is_handed_out_however_that_is() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let told = Told::default();
    let mut consumer = builder(&server).interceptor(told.clone()).build().await.unwrap();
    for offset in 0..3 {
        assert_eq!(next(&mut consumer).await.offset(), offset);
        assert_eq!(told.records(), (0..=offset).collect::<Vec<_>>());
    }
    let polled = consumer.poll(PATIENCE).max_records(4).await.unwrap();
    assert_eq!((polled.len(), told.records().len()), (4, 7));
    let streamed = tokio::time::timeout(PATIENCE, consumer.stream().next()).await.unwrap().unwrap().unwrap();
    assert_eq!((streamed.offset(), told.records()), (7, (0..8).collect()));
    let mut other = consumer.reader();
    drop(consumer.poll(Duration::from_millis(1)).max_records(1).await.unwrap());
    consumer.pause([("t", 0)]);
    drop(tokio::time::timeout(Duration::from_millis(20), other.recv()).await);
    assert_eq!(told.records(), (0..9).collect::<Vec<_>>(), "what is not handed out is not told");
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn commits_are_told_whoever_asked_for_them() {
    let server = server(1);
    produce(&server, 0, 0..10).await;
    let told = Told::default();
    let builder = builder(&server).auto_commit_records(3).interceptor(told.clone());
    let mut consumer = builder.build().await.unwrap();
    next(&mut consumer).await;
    consumer.commit().await.unwrap();
    assert_eq!(told.commits(), [1], "before the call returns");
    for _ in 0..4 {
        next(&mut consumer).await;
    }
    // Whoever waits for records is told of a commit in the background.
    let waiting = async {
        while told.commits().len() < 2 {
            drop(tokio::time::timeout(Duration::from_millis(5), consumer.recv_from([("t", 9)])).await);
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok());
    next(&mut consumer).await;
    consumer.close().await.unwrap();
    assert_eq!(told.commits().last(), Some(&6), "the close's own: {:?}", told.commits());
}

#[tokio::test]
async fn a_consumer_goes_on_though_an_interceptor_panics_and_others_are_told() {
    let server = server(1);
    produce(&server, 0, 0..3).await;
    let told = Told::default();
    let builder = builder(&server).interceptor(Panics).interceptor(told.clone());
    let mut consumer = builder.build().await.unwrap();
    for offset in 0..3 {
        assert_eq!(next(&mut consumer).await.offset(), offset);
    }
    consumer.close().await.unwrap();
    assert_eq!((told.records(), told.commits()), (vec![0, 1, 2], vec![3]));
}

/// A value with its headers, and the offset or what went wrong.
type Seen = (String, Result<i64, SendErrorKind>);

/// Writes its mark into a header, and down what it is told.
#[derive(Debug, Clone)]
struct Marks {
    mark: &'static str,
    told: Arc<Mutex<Vec<Seen>>>,
}

impl Marks {
    fn new(mark: &'static str) -> Self {
        Self { mark, told: Arc::default() }
    }

    fn told(&self) -> Vec<Seen> {
        self.told.lock().unwrap().clone()
    }
}

impl ProducerInterceptor for Marks {
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        record.header(self.mark, "")
    }

    fn on_acknowledgement(&self, record: &RecordParts<'_>, outcome: Result<&Delivered, &SendError>) {
        assert_eq!((record.topic, record.partition), ("t", Some(0)));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut seen = text(record.value.unwrap().get(..1).unwrap());
        record.headers.iter().for_each(|header| seen += &text(header.key));
        let outcome = outcome.map(|delivered| delivered.offset.unwrap()).map_err(SendError::kind);
        self.told.lock().unwrap().push((seen, outcome));
    }
}

impl ProducerInterceptor for Panics {
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        panic!("not to {}", record.topic());
    }

    fn on_acknowledgement(&self, _: &RecordParts<'_>, _: Result<&Delivered, &SendError>) {
        panic!("not here");
    }
}

fn producer(server: &Server) -> ProducerBuilder {
    Producer::builder().bootstrap_servers([server.bootstrap()])
}

fn value(value: &str) -> ProducerRecord<'_> {
    ProducerRecord::to("t").partition(0).value(value)
}

#[tokio::test]
async fn a_record_is_sent_as_each_interceptor_returns_it_though_one_panics_and_all_are_told_its_offset() {
    let server = server(1);
    let [first, second] = ["+", "-"].map(Marks::new);
    let builder_of =
        producer(&server).interceptor(first.clone()).interceptor(Panics).interceptor(second.clone());
    let producer = builder_of.build().await.unwrap();
    for n in ["a", "b"] {
        drop(producer.send(value(n)).await.unwrap());
    }
    drop(producer.try_send(value("c")).unwrap());
    producer.close().await.unwrap();
    let expected: Vec<_> =
        ["a+-", "b+-", "c+-"].into_iter().zip(0..).map(|(seen, at)| (seen.to_owned(), Ok(at))).collect();
    assert_eq!((first.told(), second.told()), (expected.clone(), expected), "before the close returns");
    let mut consumer = builder(&server).build().await.unwrap();
    let record = next(&mut consumer).await;
    let keys: Vec<_> = record.headers().map(|header| header.unwrap().key_lossy().into_owned()).collect();
    assert_eq!((record.value(), keys), (Some(b"a".as_slice()), vec!["+".to_owned(), "-".to_owned()]));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn interceptors_are_told_why_a_record_is_not_delivered_wherever_that_came_about() {
    let server = server(1);
    let marks = Marks::new("+");
    let builder = producer(&server).linger(Duration::from_secs(10)).max_request_size(1000);
    let producer = builder.interceptor(marks.clone()).build().await.unwrap();
    drop(producer.send(value("a")).await.unwrap());
    let large = "b".repeat(1000);
    producer.send(value(&large)).await.unwrap_err();
    assert!(matches!(producer.try_send(value(&large)), Err(TrySendError::Failed(_))));
    let refused = ("b+".to_owned(), Err(SendErrorKind::TooLarge));
    assert_eq!(marks.told(), [refused.clone(), refused.clone()]);
    producer.close_within(Duration::ZERO).await.unwrap_err();
    assert_eq!(marks.told(), [refused.clone(), refused, ("a+".to_owned(), Err(SendErrorKind::Closed))]);
}

#[tokio::test]
async fn a_record_that_is_given_back_is_as_it_was() {
    let server = server(1);
    let marks = Marks::new("+");
    let producer = producer(&server).interceptor(marks.clone()).build().await.unwrap();
    // The topic is not known yet.
    let Err(TrySendError::NotNow(record)) = producer.try_send(value("a")) else { panic!("it was taken") };
    assert_eq!(record, value("a"));
    producer.send(record).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
    assert_eq!(marks.told(), [("a+".to_owned(), Ok(0))]);
}

#[tokio::test]
async fn interceptors_see_the_records_of_transactions() {
    let server = server(1);
    let marks = Marks::new("+");
    let builder = TransactionalProducer::builder().bootstrap_servers([server.bootstrap()]);
    let builder = builder.transactional_id("id").interceptor(marks.clone());
    let mut producer = builder.build_transactional().await.unwrap();
    let transaction = producer.begin().await.unwrap();
    drop(transaction.send(value("a")).await.unwrap());
    drop(transaction.sender().send(value("b")).await.unwrap());
    transaction.commit().await.unwrap();
    producer.close().await.unwrap();
    assert_eq!(marks.told(), [("a+".to_owned(), Ok(0)), ("b+".to_owned(), Ok(1))]);
}
