//! Java's console producer, consumer and tools, unchanged, on the embedded broker.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::admin::GroupDescription;
use ottla::config::JavaDefault;
use ottla::{
    AdminBuilder, BigEndian, Compression, ConsumerBuilder, Deserializer, ErrorCode, ProducerBuilder, UuidText,
};
use ottla_conformance::kafka::{Consume, Consumed, Java};
use ottla_conformance::process::{Process, run};
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::{until, until_some};

use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, describe, equal, holds, is_settled, numbers, one_batch, topic, wait};

const JAVAS_ASSIGNORS: &str = "class org.apache.kafka.clients.consumer.RangeAssignor,\
    class org.apache.kafka.clients.consumer.CooperativeStickyAssignor";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::embedded("java_members_share_commit_and_resume", share_commit_and_resume).with_java(),
        Case::embedded("java_starts_in_the_middle_of_a_batch_and_finds_times", middle_and_times).with_java(),
        Case::embedded("java_groups_are_independent_and_a_third_member_is_idle", independent_and_idle)
            .with_java(),
        Case::alone("the_defaults_that_are_said_to_be_javas_are_javas", defaults).with_java(),
        Case::alone("what_javas_serializers_write_is_read", serializers).with_java(),
        Case::alone("the_error_codes_are_javas_and_as_retriable", error_codes).with_java(),
    ]
}

fn defaults() -> Outcome {
    let told = [
        ("consumer.ConsumerConfig", ConsumerBuilder::known_properties().collect::<Vec<_>>()),
        ("producer.ProducerConfig", ProducerBuilder::known_properties().collect()),
        ("admin.AdminClientConfig", AdminBuilder::known_properties().collect()),
    ];
    for (class, properties) in told {
        let javas = Java::get()?.defaults(class)?;
        for property in properties {
            let told = match property.java {
                JavaDefault::Same => Some(property.default),
                JavaDefault::Other(default) => Some(default),
                _ => None,
            };
            // Ours go by their names in JoinGroup.
            let told = match told {
                Some("range,cooperative-sticky") => Some(JAVAS_ASSIGNORS),
                told => told,
            };
            let java = javas.get(property.name).map(String::as_str);
            equal(&format!("{class}: {}", property.name), java, told)?;
        }
    }
    Ok(())
}

fn serializers() -> Outcome {
    let printed = run(&Java::get()?.program("Serializers.java"), PATIENCE)?.stdout;
    let mut seen = BTreeSet::new();
    for line in printed.lines() {
        let [kind, value, bytes] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(line.into()) };
        let digits = (0..bytes.len()).step_by(2).filter_map(|at| bytes.get(at..at + 2));
        let bytes = digits.map(|two| u8::from_str_radix(two, 16)).collect::<Result<Vec<_>, _>>()?;
        match kind {
            "short" => reads(BigEndian::<i16>::new(), &bytes, value)?,
            "int" => reads(BigEndian::<i32>::new(), &bytes, value)?,
            "long" => reads(BigEndian::<i64>::new(), &bytes, value)?,
            "float" => reads(BigEndian::<f32>::new(), &bytes, &value.replace("Infinity", "inf"))?,
            "double" => reads(BigEndian::<f64>::new(), &bytes, &value.replace("Infinity", "inf"))?,
            "boolean" => reads(BigEndian::<bool>::new(), &bytes, value)?,
            "uuid" => reads(UuidText, &bytes, value)?,
            _ => return Err(line.into()),
        }
        seen.insert(kind);
    }
    equal("kinds", seen.len(), 7)
}

/// That the bytes are read as the value that Java's text says.
fn reads<D, T>(deserializer: D, bytes: &[u8], value: &str) -> Outcome
where
    D: Deserializer<Output = Option<T>>,
    T: FromStr<Err: std::fmt::Debug> + PartialEq + std::fmt::Debug,
{
    let read = deserializer.deserialize("topic", Some(bytes)).map_err(|error| error.into().to_string())?;
    let told = value.parse().map_err(|error| format!("{value}: {error:?}"))?;
    equal(value, read, Some(told))
}

fn error_codes() -> Outcome {
    let ours =
        ErrorCode::ALL.iter().map(|error| (error.name().to_owned(), error.code(), error.is_retriable()));
    let javas = Java::get()?.errors()?;
    equal("the table of error codes", javas, ours.collect::<Vec<_>>())?;
    Ok(())
}

/// Until the group is stable, with so many partitions for each of its members.
fn settled(target: &Target, group: &str, shares: &[usize]) -> Result<GroupDescription, Failed> {
    let described = until_some(PATIENCE, "a stable group", || {
        describe(target, group).ok().filter(|group| is_settled(group, shares))
    })?;
    Ok(described)
}

/// Where the records were that these consumers have printed, and their values.
fn printed(consumers: &[Process]) -> BTreeSet<(i32, String)> {
    let records = consumers.iter().flat_map(|consumer| Consumed::parse(&consumer.stdout()));
    records.filter_map(|record| Some((record.partition, record.value?))).collect()
}

fn every(partitions: i32, numbers: std::ops::Range<i32>) -> BTreeSet<(i32, String)> {
    numbers.map(|n| (n % partitions, n.to_string())).collect()
}

/// SIGTERM: they commit and leave.
fn end(members: Vec<Process>) -> Outcome {
    for mut member in members {
        member.signal("TERM")?;
        member.wait(PATIENCE)?;
    }
    Ok(())
}

fn share_commit_and_resume(target: &Target) -> Outcome {
    let tools = target.tools()?;
    let topic = wait(topic(target, "java-shared", 4))?;
    let consume = Consume::group(&topic, &topic).forever();
    let members = vec![tools.spawn_console_consumer(&consume)?, tools.spawn_console_consumer(&consume)?];
    settled(target, &topic, &[2, 2])?;
    wait(numbers(target, &topic, 4, 0..400))?;
    until(PATIENCE, "all records", || members.iter().map(Process::line_count).sum::<usize>() == 400)?;
    equal("what both read", printed(&members), every(4, 0..400))?;
    holds("each its share", members.iter().all(|member| member.line_count() == 200))?;
    end(members)?;
    let rows = tools.describe_group(&topic)?;
    equal("as Kafka's tool shows it", rows.iter().map(|row| row.lag).collect(), vec![Some(0); 4])?;
    let lines: Vec<String> = (0..50).map(|n| format!("key {n}:later {n}")).collect();
    tools.console_produce(&topic, &lines, Some(":"), &[("compression.type", "zstd")])?;
    let later = tools.console_consume(&Consume::group(&topic, &topic).messages(50))?;
    let values: BTreeSet<String> = later.into_iter().filter_map(|record| record.value).collect();
    equal("after the restart", values, (0..50).map(|n| format!("later {n}")).collect())
}

fn middle_and_times(target: &Target) -> Outcome {
    let tools = target.tools()?;
    let topic = wait(topic(target, "java-middle", 1))?;
    let first = wait(one_batch(target, &topic, 100, Compression::Zstd))?;
    let consumed = tools.console_consume(&Consume::at(&topic, 0, 37).messages(63))?;
    equal("offsets", consumed.iter().map(|record| record.offset).collect(), (37..100).collect::<Vec<_>>())?;
    equal("the first's time", consumed.first().and_then(|record| record.timestamp), Some(first + 37_000))?;
    for (time, offset) in [(first + 20_000, 20), (first + 20_001, 21), (-1, 100), (-2, 0)] {
        equal("by time", tools.offsets(&topic, time)?, [(0, Some(offset))].into())?;
    }
    Ok(())
}

fn independent_and_idle(target: &Target) -> Outcome {
    let tools = target.tools()?;
    let topic = wait(topic(target, "java-apart", 2))?;
    let other = unique("other");
    let mut members = Vec::new();
    for group in [&topic, &topic, &topic, &other] {
        members.push(tools.spawn_console_consumer(&Consume::group(&topic, group).forever())?);
    }
    let before = settled(target, &topic, &[0, 1, 1])?;
    settled(target, &other, &[2])?;
    wait(numbers(target, &topic, 2, 0..100))?;
    let (group, apart) = members.split_at(3);
    until(PATIENCE, "all records, in both groups", || {
        let lines = |members: &[Process]| members.iter().map(Process::line_count).sum::<usize>();
        lines(group) == 100 && lines(apart) == 100
    })?;
    // A heartbeat of Java's is 3 s: a rebalance would have begun.
    std::thread::sleep(Duration::from_secs(4));
    equal("what the one read", printed(group), every(2, 0..100))?;
    equal("what the other read", printed(apart), every(2, 0..100))?;
    equal("readers of the one", group.iter().filter(|member| member.line_count() > 0).count(), 2)?;
    equal("no rebalance since", describe(target, &topic)?, before)?;
    end(members)
}
