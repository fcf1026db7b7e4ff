//! Who may not do something is told what is missing, as `kafka-acls` would name it.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use ottla::admin::{NewTopic, OffsetSpec};
use ottla::{Admin, Consumer, Producer, ProducerRecord};
use ottla_conformance::kafka::{Access, Listener, Mechanism, OPEN, Secured, User};
use ottla_conformance::targets::unique;

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, equal, holds, text, wait, within};

/// How soon what is forbidden is told.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A value in each topic.
const VALUE: &str = "a value";

const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for protocol in PROTOCOLS {
        let name = format!("a_forbidden_topic_fails_alone_in_a_group_of_the_{protocol}_protocol");
        cases.push(case(name, move |secured| wait(topic_alone(secured, protocol))));
        let name = format!("a_forbidden_group_of_the_{protocol}_protocol_is_told_at_recv");
        cases.push(case(name, move |secured| wait(group_at_recv(secured, protocol))));
    }
    cases.push(case("a_forbidden_topic_is_told_at_recv", |secured| wait(topic_at_recv(secured))));
    cases.push(case("an_assigned_forbidden_topic_holds_no_other_up", |secured| wait(topic_beside(secured))));
    cases.push(case("a_forbidden_group_is_told_at_commit", |secured| wait(group_at_commit(secured))));
    cases.push(case("a_forbidden_topic_is_told_at_send", |secured| wait(topic_at_send(secured))));
    cases.push(case("a_user_without_any_right_is_told_at_send", |secured| wait(nothing_at_send(secured))));
    cases.push(case("a_forbidden_topic_is_told_by_each_call_of_the_admin_client", |secured| {
        wait(topic_at_admin(secured))
    }));
    cases.push(case("a_forbidden_group_is_told_by_each_call_of_the_admin_client", |secured| {
        wait(group_at_admin(secured))
    }));
    cases
}

fn case(name: impl Into<String>, run: impl Fn(&Secured) -> Outcome + Send + Sync + 'static) -> Case {
    // It says how soon a call fails.
    Case::secured(name, run).timed()
}

fn access(secured: &Secured, user: User) -> Result<Access, Failed> {
    Ok(secured.java(Listener::Sasl, Some((Mechanism::Plain, user)))?)
}

async fn admin(secured: &Secured, user: User) -> Result<Admin, Failed> {
    Ok(Admin::builder().properties(access(secured, user)?.pairs())?.build().await?)
}

async fn producer(secured: &Secured, user: User) -> Result<Producer, Failed> {
    Ok(Producer::builder().properties(access(secured, user)?.pairs())?.build().await?)
}

/// Alice's consumer, of a group.
async fn consumer(secured: &Secured, protocol: &str, group: &str) -> Result<Consumer, Failed> {
    let builder = Consumer::builder().properties(access(secured, User::Alice)?.pairs())?;
    let own = [("group.id", group), ("group.protocol", protocol), ("auto.offset.reset", "earliest")];
    Ok(builder.properties(own)?.build().await?)
}

/// A topic with a value in it, made by the super user.
async fn topic(secured: &Secured, prefix: &str) -> Result<String, Failed> {
    let topic = unique(prefix);
    let admin = admin(secured, User::Admin).await?;
    within("a topic", admin.create_topic(NewTopic::new(&topic).partitions(1))).await??;
    let producer = producer(secured, User::Admin).await?;
    let record = ProducerRecord::to(&topic).value(VALUE.as_bytes().to_vec());
    drop(within("room for a record", producer.send(record)).await??);
    within("a record that is acknowledged", producer.close()).await??;
    Ok(topic)
}

/// That it fails, in time, with all of this in its text.
async fn told<T, E: std::fmt::Display>(
    what: &str,
    parts: &[&str],
    call: impl IntoFuture<Output = Result<T, E>>,
) -> Outcome {
    let start = Instant::now();
    let Err(error) = within(what, call).await? else { return Err(format!("{what} is allowed").into()) };
    let took = start.elapsed();
    says(what, parts, &error)?;
    holds(&format!("{what} fails at once, not after {took:?}"), took < AT_ONCE)
}

/// That all of this is in an error's text, with the causes that it names.
fn says(what: &str, parts: &[&str], error: &impl std::fmt::Display) -> Outcome {
    let error = format!("{error:#}");
    for part in parts {
        let is_there = error.to_lowercase().contains(&part.to_lowercase());
        holds(&format!("{what}: `{part}` is in `{error}`"), is_there)?;
    }
    Ok(())
}

/// Receives until a value has come, and something was told of the forbidden topic; neither holds the other up.
async fn both_come(consumer: &mut Consumer, forbidden: &str) -> Outcome {
    let (mut values, mut errors, start) = (Vec::new(), Vec::new(), Instant::now());
    while values.is_empty() || errors.is_empty() {
        if start.elapsed() > PATIENCE {
            let explained = consumer.explain();
            return Err(format!("only {values:?} and {errors:?} came:\n{explained}").into());
        }
        match tokio::time::timeout(AT_ONCE, consumer.recv()).await {
            Ok(Ok(record)) => values.push(text(&record.ok_or("the consumer is closed")?)),
            Ok(Err(error)) => {
                says("recv", &["READ", "topic", forbidden], &error)?;
                errors.push(error.to_string());
            }
            Err(_) => {}
        }
    }
    equal("values", values, vec![VALUE.to_owned()])
}

async fn topic_alone(secured: &Secured, protocol: &str) -> Outcome {
    let (open, forbidden) = (topic(secured, OPEN).await?, topic(secured, "forbidden").await?);
    let mut consumer = consumer(secured, protocol, &unique(OPEN)).await?;
    consumer.subscribe([open.as_str(), forbidden.as_str()])?;
    both_come(&mut consumer, &forbidden).await
}

async fn topic_beside(secured: &Secured) -> Outcome {
    let (open, forbidden) = (topic(secured, OPEN).await?, topic(secured, "forbidden").await?);
    let mut consumer = consumer(secured, "classic", &unique(OPEN)).await?;
    consumer.assign([(forbidden.as_str(), 0), (open.as_str(), 0)])?;
    both_come(&mut consumer, &forbidden).await
}

async fn topic_at_recv(secured: &Secured) -> Outcome {
    let forbidden = topic(secured, "forbidden").await?;
    let mut consumer = consumer(secured, "classic", &unique(OPEN)).await?;
    consumer.assign([(forbidden.as_str(), 0)])?;
    told("recv", &["READ", "topic", &forbidden], consumer.recv()).await
}

async fn group_at_recv(secured: &Secured, protocol: &str) -> Outcome {
    let (open, group) = (topic(secured, OPEN).await?, unique("forbidden-group"));
    let mut consumer = consumer(secured, protocol, &group).await?;
    consumer.subscribe([open.as_str()])?;
    told("recv", &["READ", "group", &group], consumer.recv()).await
}

async fn group_at_commit(secured: &Secured) -> Outcome {
    let (open, group) = (topic(secured, OPEN).await?, unique("forbidden-group"));
    let mut consumer = consumer(secured, "classic", &group).await?;
    consumer.assign([(open.as_str(), 0)])?;
    let commit = consumer.commit_offsets([((open.as_str(), 0), 1)]);
    told("commit_offsets", &["READ", "group", &group], commit).await
}

async fn topic_at_send(secured: &Secured) -> Outcome {
    let forbidden = topic(secured, "forbidden").await?;
    let producer = producer(secured, User::Alice).await?;
    let sent = async {
        let delivery = producer.send(ProducerRecord::to(&forbidden).value(b"no".to_vec())).await?;
        delivery.await
    };
    told("send", &["WRITE", "topic", &forbidden], sent).await
}

/// He gets no identity for an idempotent producer, or is told of the topic before.
async fn nothing_at_send(secured: &Secured) -> Outcome {
    let open = topic(secured, OPEN).await?;
    let producer = producer(secured, User::Bob).await?;
    let sent = async {
        let delivery = producer.send(ProducerRecord::to(&open).value(b"no".to_vec())).await?;
        delivery.await
    };
    told("send", &["WRITE"], sent).await
}

async fn topic_at_admin(secured: &Secured) -> Outcome {
    let forbidden = topic(secured, "forbidden").await?;
    let name = forbidden.as_str();
    let bob = admin(secured, User::Bob).await?;
    let new = unique("forbidden");
    told("create_topic", &["CREATE", "topic", &new], bob.create_topic(NewTopic::new(&new).partitions(1)))
        .await?;
    told("delete_topic", &["DELETE", "topic", name], bob.delete_topic(name)).await?;
    told("create_partitions", &["ALTER", "topic", name], bob.create_partitions(name, 2)).await?;
    told("describe_topics", &["DESCRIBE", "topic", name], async {
        let each = bob.describe_topics([name]).await?;
        each.into_values().collect::<Result<Vec<_>, _>>()
    })
    .await?;
    told("list_offsets", &["DESCRIBE", "topic", name], async {
        let each = bob.list_offsets([((name, 0), OffsetSpec::Latest)]).await?;
        each.into_values().collect::<Result<Vec<_>, _>>()
    })
    .await?;
    // What may not be seen is left out, and that is no error.
    holds("it is not listed", !within("topics", bob.list_topics()).await??.contains_key(name))
}

async fn group_at_admin(secured: &Secured) -> Outcome {
    let group = unique("forbidden-group");
    let bob = admin(secured, User::Bob).await?;
    told("describe_groups", &["DESCRIBE", "group", &group], async {
        let each = bob.describe_groups([group.as_str()]).await?;
        each.into_values().collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let parts = ["DESCRIBE", "group", &group];
    told("committed_offsets", &parts, bob.committed_offsets(group.as_str())).await?;
    told("find_coordinator", &parts, bob.find_coordinator(group.as_str())).await?;
    holds("no group is listed", within("groups", bob.list_groups()).await??.is_empty())
}
