//! `ottla topics delete-records`: where logs are to begin from now on.

use std::collections::BTreeMap;

use ottla::{Admin, OffsetAndTimestamp, TopicPartition, admin::RecordsBefore};
use serde_json::Value;

use super::{begins_and_ends, each, with_admin};
use crate::{
    args::{Common, DeleteRecordsArgs},
    commands::scope::Scope,
    failure::{Failure, Failures, tell},
    output::Table,
};

/// A partition, and where its log begins and ends.
struct Log {
    at: TopicPartition,
    begin: i64,
    end: i64,
    /// Where it is to begin.
    before: i64,
}

pub(super) async fn delete(args: &DeleteRecordsArgs, common: &Common) -> Result<(), Failure> {
    let scopes = Scope::parse_all(&args.topics)?;
    let (logs, deleted) = with_admin(common, async |admin| {
        let logs = logs(admin, &scopes, args.before).await?;
        let deleted = match args.execute {
            false => None,
            true => {
                // Not what the end is by now: nothing goes that was not shown.
                let before = logs.iter().map(|log| (log.at.clone(), RecordsBefore::Offset(log.before)));
                Some(admin.delete_records(before).await?)
            }
        };
        Ok((logs, deleted))
    })
    .await?;
    let is_dry = deleted.is_none();
    let mut failures = Failures::default();
    let begins = failures.take_from(deleted.into_iter().flatten());
    let mut table = Table::new(&[
        "TOPIC",
        "PARTITION",
        "LOG-START-OFFSET",
        "LOG-END-OFFSET",
        "RECORDS",
        "NEW-LOG-START-OFFSET",
    ]);
    for log in &logs {
        let new: Value = match is_dry {
            true => log.before.into(),
            false => begins.get(&log.at).copied().into(),
        };
        table.push([
            log.at.topic.as_str().into(),
            log.at.partition.into(),
            log.begin.into(),
            log.end.into(),
            (log.before - log.begin).into(),
            new,
        ]);
    }
    table.print(common.is_json())?;
    if is_dry {
        tell(
            "nothing is deleted: this is a dry run; --execute deletes these records, and there is no way back",
        );
    }
    failures.end()
}

/// All of the partitions, whose logs reach as far as is asked for.
async fn logs(admin: &Admin, scopes: &[Scope], before: Option<i64>) -> Result<Vec<Log>, Failure> {
    let partitions = Scope::partitions(scopes, admin).await?;
    let (begins, ends) = begins_and_ends(admin, &partitions).await?;
    let (begins, ends) = (each(begins)?, each(ends)?);
    let (mut logs, mut failures) = (Vec::new(), Failures::default());
    for at in partitions.iter().cloned() {
        let (begin, end) = (offset_of(&begins, &at), offset_of(&ends, &at));
        let before = before.unwrap_or(end);
        if before > end {
            let what = format!(
                "partition {at}: its log ends at {end}; records before {before} are none of it; nothing is deleted"
            );
            failures.add(Failure::failed(what));
        }
        logs.push(Log { at, begin, end, before: before.max(begin) });
    }
    failures.end().map(|()| logs)
}

fn offset_of(listed: &BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>, at: &TopicPartition) -> i64 {
    listed.get(at).copied().flatten().map_or(0, |told| told.offset)
}
