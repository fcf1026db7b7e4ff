//! The `ottla` command, with files of properties that were written for others' tools.

use std::process::Command;

use libtest_mimic::Failed;
use ottla_conformance::binary;
use ottla_conformance::kafka::{Access, Consume, Listener, Mechanism, OPEN, Scope, Secured, User};
use ottla_conformance::process::{Process, run};
use ottla_conformance::targets::unique;

use crate::cases::{Case, Outcome};
use crate::cli::{ended, feed};
use crate::kit::{PATIENCE, equal, holds};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::secured("ottla_takes_a_file_that_was_written_for_javas_tools", |secured| {
            does_all(secured, &javas(secured)?)
        })
        .and_secured_3_9(),
        Case::secured("ottla_takes_a_file_that_was_written_for_kcat", |secured| {
            let access = secured.librdkafka(Listener::SaslTls, Some((Mechanism::Scram256, User::Alice)))?;
            does_all(secured, &access.set("statistics.interval.ms", 1000).set("log.connection.close", false))
        }),
        Case::secured("ottla_and_javas_tools_take_the_same_file_for_an_openid_provider", one_file)
            .with_openid()
            .and_secured_3_9(),
        Case::secured("ottla_tells_a_wrong_password_in_one_line", wrong_password),
        Case::secured("ottla_tells_a_topic_that_is_forbidden_in_one_line", forbidden),
    ]
}

/// With what a console consumer is told beside.
fn javas(secured: &Secured) -> Result<Access, Failed> {
    let text = "org.apache.kafka.common.serialization.StringDeserializer";
    let access = secured.java(Listener::SaslTls, Some((Mechanism::Scram512, User::Alice)))?;
    Ok(access.set("key.deserializer", text).set("value.deserializer", text))
}

/// `ottla` with a file of these properties.
fn ottla(secured: &Secured, args: &[&str], access: &Access) -> Result<Command, Failed> {
    let mut command = Command::new(binary::ottla()?);
    command.args(args).arg("--config").arg(access.file(secured.certificates())?);
    command.env_remove("OTTLA_BOOTSTRAP_SERVERS").env_remove("OTTLA_CONFIG");
    Ok(command)
}

/// The same, started.
pub(crate) fn spawn(secured: &Secured, args: &[&str], access: &Access) -> Result<Process, Failed> {
    Ok(Process::spawn(&ottla(secured, args, access)?)?)
}

fn does_all(secured: &Secured, access: &Access) -> Outcome {
    let topic = unique(OPEN);
    let printed = |args: &[&str]| -> Result<String, Failed> {
        Ok(run(&ottla(secured, args, access)?, PATIENCE)?.stdout)
    };
    printed(&["topics", "create", &topic, "-p", "2"])?;
    holds("the topic is listed", printed(&["topics", "list"])?.contains(&topic))?;
    let lines: Vec<String> = (0..10).map(|n| format!("value {n}")).collect();
    feed(&ottla(secured, &["produce", &topic], access)?, &lines)?;
    let read = printed(&["consume", &topic, "-G", &topic, "-o", "beginning", "-e"])?;
    let mut read: Vec<String> = read.lines().map(str::to_owned).collect();
    read.sort_unstable();
    equal("what was read", read, lines)?;
    holds("the group is listed", printed(&["groups", "list"])?.contains(&topic))?;
    holds("its lag is told", printed(&["lag", &topic])?.contains(&topic))
}

/// What the one writes the other reads, and the other way round.
fn one_file(secured: &Secured) -> Outcome {
    let access = secured.signed(Listener::SignedTls, User::Alice, Scope::Kafka)?;
    let (topic, tools) = (unique(OPEN), secured.tools_with(&access)?);
    tools.create_topic(&topic, 1, 1, &[])?;
    tools.console_produce(&topic, &["of Java"], None, &[])?;
    feed(&ottla(secured, &["produce", &topic], &access)?, &["of Ottla".to_owned()])?;
    let read =
        run(&ottla(secured, &["consume", &topic, "-o", "beginning", "-e"], &access)?, PATIENCE)?.stdout;
    equal("what Ottla read", read.lines().collect::<Vec<_>>(), vec!["of Java", "of Ottla"])?;
    let read = tools.console_consume(&Consume::group(&topic, &topic).messages(2))?;
    let read: Vec<_> = read.iter().filter_map(|record| record.value.as_deref()).collect();
    equal("what Java read", read, vec!["of Java", "of Ottla"])
}

fn wrong_password(secured: &Secured) -> Outcome {
    let access = javas(secured)?.sasl(Mechanism::Scram512, User::Alice.name(), "not-the-secret");
    let address = secured.address(Listener::SaslTls)?.to_string();
    for args in [&["consume", "any"][..], &["topics", "list"], &["groups", "list"], &["lag"]] {
        let output =
            spawn(secured, args, &access.clone().without("key.deserializer").without("value.deserializer"))?
                .end(PATIENCE)?;
        ended(&output, 1, &[&address, "invalid credentials"])?;
        holds("no secret is told", !output.stderr.contains("not-the-secret"))?;
    }
    Ok(())
}

fn forbidden(secured: &Secured) -> Outcome {
    let topic = unique("forbidden");
    secured.tools(User::Admin)?.create_topic(&topic, 1, 1, &[])?;
    let access = secured.java(Listener::Sasl, Some((Mechanism::Plain, User::Alice)))?;
    let output = spawn(secured, &["consume", &topic, "-G", &unique(OPEN)], &access)?.end(PATIENCE)?;
    holds(&format!("exit status 1: {}", output.stderr), output.status.code() == Some(1))?;
    holds(&format!("it names the topic: {}", output.stderr), output.stderr.contains(&topic))
}
