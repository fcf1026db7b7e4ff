//! confluent-kafka, which is Confluent's translation of the Java client, as the bench measures it: all partitions by
//! hand, from the beginning, every default but the sizes that the floor has too.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use confluent_kafka::common::TopicPartition;
use confluent_kafka::common::serialization::BytesDeserializer;
use confluent_kafka::consumer::{Consumer, ConsumerConfig, KafkaConsumer};
use ottla_bench_child::{Course, Lap, Meter};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    ottla_bench_child::lap(read)
}

async fn read(course: &Course) -> Result<Lap> {
    let settings = [
        ("bootstrap.servers", course.bootstrap.clone()),
        ("group.protocol", "consumer".to_owned()),
        ("enable.auto.commit", "false".to_owned()),
        ("auto.offset.reset", "earliest".to_owned()),
        ("isolation.level", "read_uncommitted".to_owned()),
        ("check.crcs", "true".to_owned()),
        ("fetch.max.bytes", course.fetch_max_bytes.to_string()),
        ("max.partition.fetch.bytes", (1 << 20).to_string()),
    ];
    let settings = settings.into_iter().chain(course.tls());
    let settings: HashMap<String, String> = settings.map(|(key, value)| (key.to_owned(), value)).collect();
    let config = ConsumerConfig::new(&settings)?;
    let mut consumer = KafkaConsumer::new(config, BytesDeserializer::new(), BytesDeserializer::new())?;
    let partition = |partition| TopicPartition::new(course.topic.as_str(), partition);
    consumer.assign((0..course.partitions as i32).map(partition).collect()).await?;
    let mut meter = Meter::new();
    while meter.records < course.records {
        let records = consumer.poll(PATIENCE).await?;
        meter.begin()?;
        for record in &records {
            meter.add(record.key().map(|key| &key[..]), record.value().map(|value| &value[..]));
        }
    }
    let lap = meter.end()?;
    consumer.close().await?;
    Ok(lap)
}
