//! What goes wrong is told in one line, with the right status.

use std::time::{Duration, Instant};

use ottla::error::BuildErrorKind;
use ottla::{Admin, Consumer, Producer};
use ottla_conformance::bad_server::{BadServer, Garbage};
use ottla_conformance::process::{Process, run};
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;

use crate::cases::{Case, Outcome};
use crate::cli::{ended, feed, ottla};
use crate::groups::group_of_workers;
use crate::kit::{PATIENCE, admin, equal, holds, numbers, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("a_builder_tells_which_address_answered_what", || wait(builders_tell())),
        Case::kafka("the_command_line_ends_at_an_unknown_topic", unknown_topic),
        Case::kafka("the_command_line_ends_when_its_topic_is_deleted", deleted_topic),
        Case::kafka("the_command_line_ends_at_a_group_of_another_protocol_type", another_protocol_type),
        Case::kafka(
            "a_share_group_is_shown_beside_a_group_of_consumers_and_neither_hides_the_other",
            share_group,
        ),
    ]
}

/// What is to be said of each kind of garbage.
fn said_of(garbage: Garbage) -> &'static str {
    match garbage {
        Garbage::Http => "HTTP",
        Garbage::TlsAlert => "TLS",
        Garbage::HugeLength => "2147483647",
        Garbage::Silence => "no answer",
        Garbage::Close => "closed",
    }
}

const TRIED: Duration = Duration::from_secs(2);

async fn builders_tell() -> Outcome {
    // Five times three clients that are being built are more than a thread's stack has room for.
    let [http, tls, length, silence, close] = Garbage::ALL.map(|garbage| Box::pin(builders_tell_of(garbage)));
    tokio::try_join!(http, tls, length, silence, close)?;
    Ok(())
}

async fn builders_tell_of(garbage: Garbage) -> Outcome {
    let server = BadServer::start(garbage)?;
    let address = server.address().to_string();
    macro_rules! build {
        ($client:ident) => {
            $client::builder()
                .bootstrap_servers([address.as_str()])
                .default_api_timeout(TRIED)
                .request_timeout(TRIED / 3)
                .build()
        };
    }
    let start = Instant::now();
    let built = async { tokio::join!(build!(Consumer), build!(Producer), build!(Admin)) };
    let (consumer, producer, admin) = within("errors", built).await?;
    // What was heard shows that no broker will ever answer there; so does what is closed three times.
    let stranger = garbage != Garbage::Silence;
    let within = if stranger { TRIED } else { TRIED * 2 };
    let kind = if stranger { BuildErrorKind::Connection } else { BuildErrorKind::Unreachable };
    holds("soon after the time that was given, or at once", start.elapsed() < within)?;
    for error in [consumer.err(), producer.err(), admin.err()] {
        let error = error.ok_or("not an error")?;
        equal(&format!("{garbage:?}"), error.kind(), kind)?;
        let text = error.to_string();
        for part in [address.as_str(), if stranger { "refused" } else { "2.0s" }, said_of(garbage)] {
            holds(&format!("`{part}` is in `{text}`"), text.contains(part))?;
        }
    }
    Ok(())
}

fn unknown_topic(target: &Target) -> Outcome {
    let topic = unique("nowhere");
    let started = [
        &["consume", &topic][..],
        &["consume", &topic, "-G", &topic],
        &["topics", "describe", &topic],
        &["topics", "delete", &topic],
    ]
    .map(|args| Ok::<_, libtest_mimic::Failed>(Process::spawn(&ottla(target, args)?)?));
    for process in started {
        ended(&process?.end(PATIENCE)?, 1, &[&topic, "no such topic"])?;
    }
    let produced = feed(&ottla(target, &["produce", &topic])?, &["a record".to_owned()]);
    let error = produced.err().ok_or("produce went well")?;
    equal("the status", error.status().and_then(|status| status.code()), Some(1))?;
    holds("what produce says", error.stderr().contains(&topic) && error.stderr().contains("no such topic"))
}

fn deleted_topic(target: &Target) -> Outcome {
    for group in [false, true] {
        let topic = wait(topic(target, "vanishing", 1))?;
        wait(numbers(target, &topic, 1, 0..10))?;
        let mut consume = ottla(target, &["consume", &topic, "-o", "beginning"])?;
        if group {
            consume.args(["-G", &topic]);
        }
        let mut process = Process::spawn(&consume)?;
        until(PATIENCE, "the records", || process.line_count() == 10)?;
        wait(async { Ok(admin(target).await?.delete_topic(topic.as_str()).await?) })?;
        let output = process.end(PATIENCE)?;
        ended(&output, 1, &[&topic, "not there any more"])?;
    }
    Ok(())
}

fn another_protocol_type(target: &Target) -> Outcome {
    let topic = wait(topic(target, "held", 1))?;
    let (group, _stream) = wait(group_of_workers(target))?;
    let output = Process::spawn(&ottla(target, &["consume", &topic, "-G", &group])?)?.end(PATIENCE)?;
    ended(&output, 1, &[&group, "INCONSISTENT_GROUP_PROTOCOL"])?;
    // Looking at it is another matter.
    let described = run(&ottla(target, &["groups", "describe", &group])?, PATIENCE)?;
    holds("it is described", described.stdout.contains(&group))
}

fn share_group(target: &Target) -> Outcome {
    let topic = wait(topic(target, "shared", 1))?;
    wait(numbers(target, &topic, 1, 0..3))?;
    let (readers, sharers) = (unique("readers"), unique("sharers"));
    run(&ottla(target, &["consume", &topic, "-G", &readers, "-e", "-o", "beginning"])?, PATIENCE)?;
    let _member = target.tools()?.spawn_console_share_consumer(&topic, &sharers)?;
    until(PATIENCE, "the share group", || {
        let listed = ottla(target, &["groups", "list"]).ok().and_then(|list| run(&list, PATIENCE).ok());
        listed.is_some_and(|listed| listed.stdout.contains(&sharers))
    })?;
    for verb in [&["lag"][..], &["groups", "describe"]] {
        for named in [&[][..], &["-G", &readers, "-G", &sharers]] {
            // The member may be there, and its partition not yet.
            let mut told = String::new();
            until(PATIENCE, "a row of each", || {
                let run =
                    ottla(target, &[verb, named].concat()).ok().and_then(|ottla| run(&ottla, PATIENCE).ok());
                told = run.map(|run| run.stdout).unwrap_or_default();
                let has_row = |group: &&String| told.lines().any(|line| line.starts_with(group.as_str()));
                [&readers, &sharers].iter().all(has_row)
            })
            .map_err(|expired| format!("{expired} by {verb:?}:\n{told}"))?;
        }
    }
    Ok(())
}
