//! Ottla reads what others have written in transactions: as `transactions.rs` has it, where each log comes from.

use std::process::Command;
use std::time::{Duration, Instant};

use ottla::{Admin, Consumer, IsolationLevel, Reason, admin::OffsetSpec};
use ottla_conformance::binary;
use ottla_conformance::process::run;
use ottla_conformance::targets::{Target, unique};
use serde_json::Value;

use crate::cases::Outcome;
use crate::groups_shown::shown;
use crate::kit::{PATIENCE, admin, consumer, equal, holds, next, text, wait, within};

/// How long a record that is not to come is waited for.
const MOMENT: Duration = Duration::from_millis(100);

/// A log of partition 0: what of it is committed, where it is stable to, and where it ends.
pub(crate) struct Stable<'a> {
    pub(crate) topic: &'a str,
    pub(crate) committed: &'a [(i64, String)],
    pub(crate) stable: i64,
    pub(crate) end: i64,
}

/// From each offset of it, a consumer sees what is committed, and nothing else; the command ends where it is stable to.
pub(crate) fn is_read(target: &Target, log: &Stable<'_>) -> Outcome {
    for from in 0..=log.stable {
        wait(reads_from(target, log, from))
            .map_err(|failed| format!("from offset {from}: {}", failed.message().unwrap_or_default()))?;
    }
    wait(ends(target, log))?;
    let mut command = Command::new(binary::ottla()?);
    command.args(["consume", log.topic, "-e", "-f", "%o %s\n", "--isolation", "read_committed"]);
    command.args(["-b", &target.bootstrap()]);
    let printed = run(&command, PATIENCE)?.stdout;
    let expected: String =
        log.committed.iter().map(|(offset, value)| format!("{offset} {value}\n")).collect();
    equal("what the command prints before it ends", printed, expected)
}

async fn reads_from(target: &Target, log: &Stable<'_>, from: i64) -> Outcome {
    let builder = consumer(target).isolation_level(IsolationLevel::ReadCommitted);
    let mut consumer: Consumer = builder.build().await?;
    consumer.assign([(log.topic, 0)])?;
    consumer.seek((log.topic, 0), from)?;
    for (offset, value) in log.committed.iter().filter(|(offset, _)| *offset >= from) {
        let record = next(&mut consumer).await?;
        equal("the next record", (record.offset(), text(&record)), (*offset, value.clone()))?;
    }
    // Nothing more may be read; what is behind is told as held back. A marker is passed by who reads on, once it is fetched.
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(record) = tokio::time::timeout(MOMENT, consumer.recv()).await {
            return Err(format!("there is more: {record:?}").into());
        }
        if consumer.lag().values().all(|lag| *lag == Some(0)) {
            break;
        }
        holds("the position comes to the end of what is stable", Instant::now() < deadline)?;
    }
    let told = consumer.explain().partitions.first().map(|(_, reason)| reason.clone());
    let position = within("the position", consumer.position((log.topic, 0))).await??;
    equal("the position", position, log.stable)?;
    let held_back = log.end - log.stable;
    let told = told.filter(|_| held_back > 0).map(|reason| match reason {
        Reason::OpenTransaction { held_back, .. } => Ok(held_back),
        other => Err(other),
    });
    equal("what holds it back", told, (held_back > 0).then_some(Ok(held_back)))?;
    within("a close", consumer.close()).await??;
    Ok(())
}

async fn ends(target: &Target, log: &Stable<'_>) -> Outcome {
    let admin: Admin = admin(target).await?;
    for (isolation, end) in
        [(IsolationLevel::ReadCommitted, log.stable), (IsolationLevel::ReadUncommitted, log.end)]
    {
        let asked = [((log.topic, 0), OffsetSpec::Latest)];
        let found = within("the end", admin.list_offsets_for(isolation, asked)).await??;
        let found = found.into_values().next().ok_or("no answer")??;
        equal(isolation.name(), found.map(|found| found.offset), Some(end))?;
        for at in [0, log.end] {
            let group = unique("isolated");
            let moved = within("a commit", admin.alter_offsets(&group, [((log.topic, 0), at)])).await??;
            moved.into_values().collect::<Result<Vec<_>, _>>()?;
            let rows = shown(target, &["lag", &group, "--isolation", isolation.name()])?;
            let told: Vec<_> = rows.iter().map(|row| (&row["log_end_offset"], &row["lag"])).collect();
            let (end, lag) = (Value::from(end), Value::from((end - at).max(0)));
            equal("`ottla lag`", told, vec![(&end, &lag)])?;
        }
    }
    admin.close().await;
    Ok(())
}
