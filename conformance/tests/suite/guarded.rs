//! Java's tools and librdkafka, unchanged, on embedded brokers with TLS and SASL.

use std::time::Instant;

use libtest_mimic::Failed;
use ottla::{Admin, admin::NewTopic};
use ottla_conformance::guarded::Guarded;
use ottla_conformance::kafka::{Access, Consume, Mechanism, User};
use ottla_conformance::targets::unique;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, equal, holds, wait, within};

const RECORDS: usize = 10;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("java_does_all_with_an_embedded_broker_over_tls_with_each_mechanism", || {
            Mechanism::ALL.iter().try_for_each(|one| java(&Guarded::start(false)?, *one))
        })
        .with_java(),
        Case::alone("java_does_all_with_an_embedded_broker_over_mutual_tls", || {
            java(&Guarded::start(true)?, Mechanism::Scram512)
        })
        .with_java(),
        Case::alone("librdkafka_does_all_with_an_embedded_broker_over_tls_with_each_mechanism", || {
            Mechanism::ALL.iter().try_for_each(|one| librdkafka(&Guarded::start(false)?, *one))
        }),
        Case::alone("librdkafka_does_all_with_an_embedded_broker_over_mutual_tls", || {
            librdkafka(&Guarded::start(true)?, Mechanism::Scram256)
        }),
        Case::alone("java_is_told_of_a_wrong_password_by_an_embedded_broker", java_is_refused).with_java(),
        Case::alone("librdkafka_is_told_of_a_wrong_password_by_an_embedded_broker", librdkafka_is_refused),
    ]
}

fn values() -> Vec<String> {
    (0..RECORDS).map(|n| format!("value {n}")).collect()
}

fn java(broker: &Guarded, mechanism: Mechanism) -> Outcome {
    let (tools, topic) = (broker.tools(&broker.java(mechanism))?, unique("guarded"));
    tools.create_topic(&topic, 2, 1, &[])?;
    tools.console_produce(&topic, &values(), None, &[])?;
    let read = tools.console_consume(&Consume::group(&topic, &topic).messages(RECORDS))?;
    let mut read: Vec<String> = read.into_iter().filter_map(|record| record.value).collect();
    read.sort_unstable();
    equal(mechanism.name(), read, values())?;
    let lag: Option<i64> = tools.describe_group(&topic)?.iter().map(|row| row.lag).sum();
    equal("lag", lag, Some(0))
}

async fn create(access: &Access, topic: &str) -> Outcome {
    let admin = Admin::builder().properties(access.pairs())?.build().await?;
    within("a topic", admin.create_topic(NewTopic::new(topic).partitions(2))).await??;
    admin.close().await;
    Ok(())
}

fn config(access: &Access) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in access.pairs() {
        config.set(key, value);
    }
    config
}

fn librdkafka(broker: &Guarded, mechanism: Mechanism) -> Outcome {
    let (access, topic) = (broker.librdkafka(mechanism), unique("guarded"));
    wait(create(&broker.java(mechanism), &topic))?;
    let producer: BaseProducer = config(&access).create()?;
    for value in values() {
        let record = BaseRecord::<(), str>::to(&topic).payload(&value);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    let mut config = config(&access);
    config.set("group.id", &topic).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[&topic])?;
    let mut read = polled(&consumer)?;
    read.sort_unstable();
    equal(mechanism.name(), read, values())?;
    consumer.commit_consumer_state(CommitMode::Sync)?;
    let committed: i64 = consumer
        .committed(PATIENCE)?
        .elements_for_topic(&topic)
        .iter()
        .filter_map(|at| at.offset().to_raw())
        .filter(|offset| *offset >= 0)
        .sum();
    equal("committed", committed, RECORDS as i64)
}

fn polled(consumer: &BaseConsumer) -> Result<Vec<String>, Failed> {
    let (mut read, start) = (Vec::new(), Instant::now());
    while read.len() < RECORDS {
        let Some(left) = PATIENCE.checked_sub(start.elapsed()) else {
            return Err(format!("only {} of {RECORDS} records", read.len()).into());
        };
        if let Some(message) = consumer.poll(left) {
            let message = message?;
            read.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
        }
    }
    Ok(read)
}

fn java_is_refused() -> Outcome {
    let broker = Guarded::start(false)?;
    for mechanism in [Mechanism::Plain, Mechanism::Scram512] {
        let access = broker.java(mechanism).sasl(mechanism, User::Alice.name(), "wrong");
        let told = match broker.tools(&access)?.describe_topic("any") {
            Ok(rows) => return Err(format!("not refused: {rows:?}").into()),
            Err(error) => error.to_string(),
        };
        holds(&format!("it is told: {told}"), told.contains("SaslAuthenticationException"))?;
    }
    Ok(())
}

/// It goes on trying, which is why its error is read.
fn librdkafka_is_refused() -> Outcome {
    let broker = Guarded::start(false)?;
    for mechanism in [Mechanism::Plain, Mechanism::Scram256] {
        let access = broker.librdkafka(mechanism).set("sasl.password", "wrong").set("group.id", "any");
        let consumer: BaseConsumer = config(&access).create()?;
        consumer.subscribe(&["any"])?;
        let told = match consumer.poll(PATIENCE) {
            Some(Err(error)) => format!("{error:?}"),
            other => return Err(format!("not refused: {other:?}").into()),
        };
        holds(&format!("it is told: {told}"), told.contains("Authentication"))?;
    }
    Ok(())
}
