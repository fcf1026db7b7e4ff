//! `ottla topics offsets`: kcat's `-Q`, and Kafka's `kafka-get-offsets`.

use ottla::{OffsetAndTimestamp, Timestamp, TopicPartition, admin::OffsetSpec, error::AdminError};
use serde_json::Value;

use super::with_admin;
use crate::{
    args::{Common, OffsetsArgs},
    commands::scope::Scope,
    common::isolation,
    failure::{Failure, Failures},
    output::Table,
};

type Found = Result<Option<OffsetAndTimestamp>, AdminError>;

pub(super) async fn show(args: &OffsetsArgs, common: &Common) -> Result<(), Failure> {
    let asked = asked(args)?;
    let isolation = isolation(args.isolation.as_deref());
    let mut failures = Failures::default();
    let mut found: Vec<(TopicPartition, Found)> = Vec::new();
    with_admin(common, async |admin| {
        let of_all;
        let asked = match asked.is_empty() {
            false => &asked,
            true => {
                let topics = admin.list_topics().await?;
                let scopes: Vec<Scope> = topics
                    .iter()
                    .filter(|(_, topic)| !topic.internal)
                    .map(|(name, _)| Scope::of_topic(name))
                    .collect();
                of_all = vec![(spec(&args.time)?, scopes)];
                &of_all
            }
        };
        for (spec, scopes) in asked {
            let partitions = Scope::partitions(scopes, admin).await?;
            let queries = partitions.into_iter().map(|at| (at, *spec));
            found.extend(admin.list_offsets_for(isolation, queries).await?);
        }
        Ok(())
    })
    .await?;
    let mut table = Table::new(&["TOPIC", "PARTITION", "OFFSET", "TIMESTAMP", "LEADER-EPOCH"]);
    for (at, result) in found {
        let offset = match result {
            Ok(offset) => offset,
            Err(error) => {
                failures.add(error);
                continue;
            }
        };
        let (time, epoch) = (offset.and_then(|it| it.timestamp), offset.and_then(|it| it.leader_epoch));
        table.push([
            at.topic.as_str().into(),
            at.partition.into(),
            offset.map_or(Value::Null, |it| it.offset.into()),
            time.map(|time| time.0).into(),
            epoch.into(),
        ]);
    }
    table.print(common.is_json())?;
    failures.end()
}

/// What is asked of which partitions, in the order in which it was.
fn asked(args: &OffsetsArgs) -> Result<Vec<(OffsetSpec, Vec<Scope>)>, Failure> {
    let of_all = spec(&args.time)?;
    let mut asked: Vec<(OffsetSpec, Vec<Scope>)> = Vec::new();
    for text in args.topics() {
        let (scope, spec) = match text.rsplit_once(':') {
            Some((scope, time)) if scope.contains(':') => (Scope::parse(scope)?, spec(time)?),
            _ => (Scope::parse(&text)?, of_all),
        };
        match asked.last_mut().filter(|(last, _)| *last == spec) {
            Some((_, scopes)) => scopes.push(scope),
            None => asked.push((spec, vec![scope])),
        }
    }
    Ok(asked)
}

fn spec(text: &str) -> Result<OffsetSpec, Failure> {
    Ok(match text {
        "latest" | "end" | "-1" => OffsetSpec::Latest,
        "earliest" | "beginning" | "-2" => OffsetSpec::Earliest,
        "max-timestamp" | "-3" => OffsetSpec::MaxTimestamp,
        "earliest-local" | "-4" => OffsetSpec::EarliestLocal,
        "latest-tiered" | "-5" => OffsetSpec::LatestTiered,
        "earliest-pending-upload" | "-6" => OffsetSpec::EarliestPendingUpload,
        text => {
            let time = text.parse().ok().filter(|time| *time >= 0);
            let what = "expected latest, earliest, max-timestamp, earliest-local, latest-tiered, \
                        earliest-pending-upload, or milliseconds since 1970";
            let time = time.ok_or_else(|| Failure::usage(format!("--time {text}: {what}")))?;
            OffsetSpec::Timestamp(Timestamp(time))
        }
    })
}
