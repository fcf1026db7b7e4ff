//! Where `ottla groups reset-offsets` moves a group to, beside Kafka's own tool on the same topics.

use std::collections::BTreeMap;

use libtest_mimic::Failed;
use ottla::admin::CommittedOffset;
use ottla::{GroupProtocol, ProducerRecord, Timestamp};
use ottla_conformance::kafka::{GroupTools, Printed};
use ottla_conformance::process::run;
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::groups_shown::shown;
use crate::kit::{PATIENCE, admin, equal, holds, member_by, poll_until, producer, topic, wait};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("offsets_are_moved_to_where_kafkas_tool_moves_them", |target| wait(moved(target)))
            .with_java(),
    ]
}

pub(crate) type Offsets = BTreeMap<(String, i64), i64>;

pub(crate) fn theirs(printed: &Printed) -> Offsets {
    let row = |row: BTreeMap<String, String>| {
        let number = |title: &str| row.get(title)?.parse().ok();
        Some(((row.get("TOPIC")?.clone(), number("PARTITION")?), number("NEW-OFFSET")?))
    };
    printed.rows().into_iter().filter_map(row).collect()
}

pub(crate) fn ours(target: &Target, args: &[&str]) -> Result<Offsets, Failed> {
    let row = |row: &serde_json::Value| {
        Some(((row["topic"].as_str()?.to_owned(), row["partition"].as_i64()?), row["new_offset"].as_i64()?))
    };
    Ok(shown(target, &[&["groups", "reset-offsets"], args].concat())?.iter().filter_map(row).collect())
}

/// The time of the first record of each partition, in milliseconds: 2026-11-29T00:00:00.
pub(crate) const FIRST: i64 = 1_795_910_400_000;

async fn moved(target: &Target) -> Outcome {
    let (name, beside) = (topic(target, "moved", 4).await?, topic(target, "moved-beside", 1).await?);
    let producer = producer(target).await?;
    // A second apart. Partition 3 stays empty.
    for n in 0..10 {
        for partition in 0..3 {
            let record = ProducerRecord::to(name.as_str()).partition(partition).value(b"v".as_slice());
            drop(producer.send(record.timestamp(Timestamp(FIRST + n * 1000))).await?);
        }
    }
    producer.close().await?;
    let admin = admin(target).await?;
    admin.delete_records([((name.as_str(), 1), 6)]).await?.into_values().collect::<Result<Vec<_>, _>>()?;
    let group = unique("moved");
    let place = async || -> Outcome {
        let offsets =
            [(0, 25), (1, 2), (2, 4)].map(|(at, offset)| ((name.as_str(), at), CommittedOffset::new(offset)));
        admin.alter_offsets(group.as_str(), offsets).await?.into_values().collect::<Result<Vec<_>, _>>()?;
        Ok(())
    };
    place().await?;
    let mut tools = GroupTools::start(&target.bootstrap())?;
    let some = format!("{name}:0,2");
    let scopes: [&[&str]; 4] = [
        &["--topic", &name],
        &["--topic", &some, "--topic", &beside],
        &["--all-topics"],
        &["--topic", &beside],
    ];
    let modes: [&[&str]; 12] = [
        &["--to-earliest"],
        &["--to-latest"],
        &["--to-current"],
        &["--to-offset", "7"],
        &["--to-offset", "3"],
        &["--to-offset", "100"],
        &["--to-offset", "-1"],
        &["--to-datetime", "2026-11-29T00:00:04.000"],
        &["--to-datetime", "2026-11-29T02:00:04.001+02:00"],
        &["--to-datetime", "2026-11-30T00:00:00.000Z"],
        &["--by-duration", "P4000D"],
        &["--by-duration", "-PT1H"],
    ];
    let shifts: [&[&str]; 3] = [&["--shift-by", "3"], &["--shift-by", "-1"], &["--shift-by", "-100"]];
    let everywhere = scopes.iter().flat_map(|scope| modes.iter().map(move |mode| (*scope, *mode)));
    // Only what was committed can be shifted.
    let committed = shifts.iter().map(|mode| (scopes[2], *mode));
    // All of one scope, one mode of the others: each call is an admin client of Java's.
    let asked =
        everywhere.enumerate().filter(|(n, _)| n / modes.len() == 0 || n % 4 == 2).map(|(_, asked)| asked);
    for (scope, mode) in asked.chain(committed) {
        let kafka = [&["--reset-offsets", "--dry-run", "--group", &group], scope, mode].concat();
        let printed = tools.ask("consumer", &kafka)?;
        let of_kafka = theirs(&printed);
        holds(&format!("rows: {kafka:?}: {}", printed.all()), !of_kafka.is_empty())?;
        let mine = [&["-G", group.as_str()], scope, mode].concat();
        equal(&format!("{mine:?}"), ours(target, &mine)?, of_kafka)?;
    }
    let unplaced = tools
        .ask("consumer", &["--reset-offsets", "--group", &group, "--topic", &name, "--shift-by", "1"])?;
    equal("status of a shift without a commit", unplaced.status, 1)?;
    let refused = ottla(target, &["groups", "reset-offsets", "-G", &group, "-t", &name, "--shift-by", "1"])?
        .output()?;
    equal("ours", refused.status.code(), Some(1))?;

    files(target, &mut tools, &group, &name)?;
    // What was executed is there, as the other sees it.
    ours(target, &["-G", &group, "-t", &name, "--to-offset", "7", "--execute"])?;
    let current = tools.ask(
        "consumer",
        &["--reset-offsets", "--dry-run", "--group", &group, "--all-topics", "--to-current"],
    )?;
    equal("moved", ours(target, &["-G", &group, "--all-topics", "--to-current"])?, theirs(&current))?;
    live(target, &mut tools, &name).await
}

/// Each reads what the other has written.
fn files(target: &Target, tools: &mut GroupTools, group: &str, topic: &str) -> Outcome {
    let file = std::env::temp_dir().join(unique("offsets.csv"));
    let path = file.to_str().ok_or("a path")?;
    let scope = ["--all-topics", "--to-current"];
    let exported = tools.ask(
        "consumer",
        &[&["--reset-offsets", "--export", "--dry-run", "--group", group], &scope[..]].concat(),
    )?;
    let lines = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let mine = run(
        &ottla(target, &[&["groups", "reset-offsets", "--export", "-G", group], &scope[..]].concat())?,
        PATIENCE,
    )?;
    equal("the same file", lines(&mine.stdout), lines(&exported.out.join("\n")))?;
    for text in [mine.stdout, exported.out.join("\n"), format!("{topic},0,3\n\"{topic}\",1,99\n")] {
        std::fs::write(&file, text)?;
        let kafka = ["--reset-offsets", "--dry-run", "--group", group, "--from-file", path];
        let (printed, ours) =
            (tools.ask("consumer", &kafka)?, ours(target, &["-G", group, "--from-file", path])?);
        holds(&format!("rows: {}", printed.all()), !ours.is_empty())?;
        equal("from the file", ours, theirs(&printed))?;
    }
    Ok(std::fs::remove_file(&file)?)
}

/// A group with members: refused by both, and ours names them.
async fn live(target: &Target, tools: &mut GroupTools, topic: &str) -> Outcome {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let group = unique("moved-live");
        let mut consumer = member_by(target, &group, topic, protocol).build().await?;
        poll_until(&mut consumer, "a share", |consumer| !consumer.assignment().is_empty()).await?;
        let kafka = tools
            .ask("consumer", &["--reset-offsets", "--group", &group, "--topic", topic, "--to-earliest"])?;
        holds(&kafka.all(), kafka.all().contains("can only be reset if the group"))?;
        let args = ["groups", "reset-offsets", "-G", &group, "-t", topic, "--to-earliest", "--execute"];
        let refused = ottla(target, &args)?.output()?;
        let told = String::from_utf8_lossy(&refused.stderr);
        let id = consumer.group_metadata().ok_or("no member")?.member_id;
        holds(&told, refused.status.code() == Some(1) && told.contains(&id))?;
        consumer.close().await?;
    }
    Ok(())
}
