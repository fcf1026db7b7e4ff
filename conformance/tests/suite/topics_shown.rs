//! What `ottla topics` and `ottla cluster` show, beside Kafka's own tools on the same cluster.

use std::collections::{BTreeMap, BTreeSet};

use libtest_mimic::Failed;
use ottla::admin::NewTopic;
use ottla_conformance::kafka::GroupTools;
use ottla_conformance::targets::{Target, unique};
use serde_json::Value;

use crate::cases::{Case, Outcome};
use crate::groups_shown::shown;
use crate::kit::{admin, create_as, equal, holds, numbers, topic, wait};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kafka("topics_and_the_cluster_are_shown_as_kafkas_tools_show_them", |target| {
            wait(topics(target))
        })
        .with_java(),
        Case::both("offsets_are_those_of_kafkas_tool", |target| wait(offsets(target))).with_java(),
        Case::kafka("bytes_that_are_ahead_are_a_share_of_the_log_that_kafkas_tool_measures", |target| {
            wait(bytes_ahead(target))
        })
        .with_java(),
    ]
}

/// `key: value` with tabs between, of a line.
fn fields(line: &str) -> BTreeMap<&str, &str> {
    line.split('\t')
        .filter_map(|field| field.trim().split_once(':'))
        .map(|(key, value)| (key, value.trim()))
        .collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "N/A".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

async fn topics(target: &Target) -> Outcome {
    let name = unique("described");
    let new = NewTopic::new(&name)
        .partitions(3)
        .config("retention.ms", "86400000")
        .config("min.insync.replicas", "2");
    create_as(target, new).await?;
    let mut tools = GroupTools::start(&target.bootstrap())?;
    let told = tools.ask("topics", &["--describe", "--topic", &name])?;
    let ours = shown(target, &["topics", "describe", &name])?;
    equal("rows", (ours.len(), told.out.len()), (3, 4)).map_err(|_| told.all())?;
    let head = told.out.first().map(|line| fields(line)).ok_or_else(|| told.all())?;
    equal("the id", text(&ours[0]["topic_id"]).as_str(), head["TopicId"])?;
    let sorted = |configs: &str| configs.split(',').map(str::to_owned).collect::<BTreeSet<_>>();
    equal("configurations", sorted(&text(&ours[0]["configs"])), sorted(head["Configs"]))?;
    holds("what was set is there", text(&ours[0]["configs"]).contains("retention.ms=86400000"))?;
    for (line, row) in told.out.iter().skip(1).zip(&ours) {
        let theirs = fields(line);
        for (title, key) in [
            ("Partition", "partition"),
            ("Leader", "leader"),
            ("Replicas", "replicas"),
            ("Isr", "isr"),
            ("Elr", "elr"),
            ("LastKnownElr", "last_known_elr"),
        ] {
            let theirs = theirs.get(title).copied().ok_or_else(|| told.all())?;
            equal(&format!("{title} in `{line}`"), text(&row[key]).as_str(), theirs)?;
        }
    }
    for (all, kafka) in [(&[][..], &[][..]), (&["--all"], &["--all"])] {
        let args = [&["--describe", "--entity-type", "topics", "--entity-name", &name], kafka].concat();
        let told = tools.ask("configs", &args)?;
        // `  key=value sensitive=false synonyms={..}`
        let setting = |line: &String| {
            let (pair, rest) = line.strip_prefix("  ")?.split_once(" sensitive=")?;
            let (key, value) = pair.split_once('=')?;
            let sensitive = rest.split(' ').next()?.to_owned();
            Some((key.to_owned(), value.to_owned(), sensitive))
        };
        let theirs: BTreeSet<_> = told.out.iter().filter_map(setting).collect();
        let ours = shown(target, &[&["topics", "configs", &name], all].concat())?;
        let ours: BTreeSet<_> = ours
            .iter()
            .map(|row| {
                let value = row["value"].as_str().unwrap_or("null").to_owned();
                (text(&row["config"]), value, text(&row["sensitive"]))
            })
            .collect();
        holds("there are some", !theirs.is_empty()).map_err(|_| told.all())?;
        equal(&format!("settings {all:?}"), ours, theirs)?;
    }
    features(target, &mut tools)
}

/// Of each broker the levels that the tool tells.
fn features(target: &Target, tools: &mut GroupTools) -> Outcome {
    let told = tools.ask("features", &["describe"])?;
    let level = |line: &String| {
        // `Feature: NAME  SupportedMinVersion: N  ..`, with any number of blanks.
        let words: Vec<&str> = line.split_whitespace().collect();
        let behind = |title| words.iter().skip_while(|word| **word != title).nth(1);
        Some(((*behind("Feature:")?).to_owned(), (*behind("FinalizedVersionLevel:")?).to_owned()))
    };
    // metadata.version is told by its release's name.
    let theirs: BTreeMap<String, String> = told
        .out
        .iter()
        .filter_map(level)
        .filter(|(name, level)| name != "metadata.version" && level != "0")
        .collect();
    holds("there are some", !theirs.is_empty()).map_err(|_| told.all())?;
    for row in shown(target, &["cluster"])? {
        let ours = row["features"].as_array().into_iter().flatten().filter_map(|feature| {
            let (name, level) = feature.as_str()?.split_once('=')?;
            Some((name.to_owned(), level.to_owned()))
        });
        let ours: BTreeMap<String, String> = ours.filter(|(name, _)| name != "metadata.version").collect();
        equal("features", &ours, &theirs)?;
    }
    Ok(())
}

async fn offsets(target: &Target) -> Outcome {
    let name = topic(target, "offsets", 12).await?;
    numbers(target, &name, 11, 0..30).await?;
    admin(target)
        .await?
        .delete_records([((name.as_str(), 1), 2)])
        .await?
        .into_values()
        .collect::<Result<Vec<_>, _>>()?;
    let mut tools = GroupTools::start(&target.bootstrap())?;
    for time in [
        "latest",
        "earliest",
        "max-timestamp",
        "-1",
        "-2",
        "-3",
        "-4",
        "earliest-local",
        "latest-tiered",
        "-6",
        "1",
        "99999999999999",
    ] {
        let told = tools.ask("offsets", &["--topic", &name, "--time", time])?;
        let theirs: BTreeMap<i64, i64> = told
            .out
            .iter()
            .filter_map(|line| {
                let mut parts = line.rsplitn(3, ':');
                let offset = parts.next()?.parse().ok()?;
                Some((parts.next()?.parse().ok()?, offset))
            })
            .collect();
        let rows = shown(target, &["topics", "offsets", "-t", &name, "--time", time])?;
        equal("a row a partition", rows.len(), 12)?;
        // Where there is none Kafka's tool has no line.
        let ours: BTreeMap<i64, i64> = rows
            .iter()
            .filter_map(|row| Some((row["partition"].as_i64()?, row["offset"].as_i64()?)))
            .collect();
        equal(&format!("{time}: {}", told.all()), ours, theirs)?;
    }
    Ok::<(), Failed>(())
}

/// Of three partitions with as many records each, all, half and none of them are ahead.
async fn bytes_ahead(target: &Target) -> Outcome {
    const RECORDS: i32 = 40;
    let name = topic(target, "sizes", 3).await?;
    numbers(target, &name, 3, 0..3 * RECORDS).await?;
    let group = unique("ahead");
    let at = [0, RECORDS / 2, RECORDS];
    let places = (0..).zip(at).map(|(partition, offset)| ((name.as_str(), partition), i64::from(offset)));
    admin(target).await?.alter_offsets(&group, places).await?.into_values().collect::<Result<Vec<_>, _>>()?;
    let rows = shown(target, &["lag", &group, "--bytes"])?;
    let ours: Vec<Option<i64>> = rows.iter().map(|row| row["lag_bytes"].as_i64()).collect();
    let mut tools = GroupTools::start(&target.bootstrap())?;
    let told = tools.ask("log-dirs", &["--describe", "--topic-list", &name])?;
    let json = told.out.iter().find(|line| line.starts_with('{')).ok_or_else(|| told.all())?;
    let json: Value = serde_json::from_str(json)?;
    let items = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut sizes = BTreeMap::new();
    for directory in items(&json, "brokers").iter().flat_map(|broker| items(broker, "logDirs")) {
        for log in items(&directory, "partitions") {
            sizes.insert(text(&log["partition"]), log["size"].as_i64());
        }
    }
    let size = |partition: i32| sizes.get(&format!("{name}-{partition}")).copied().flatten();
    holds("the logs have a size", (0..3).all(|partition| size(partition) > Some(0)))?;
    equal("bytes ahead", ours, vec![size(0), size(1).map(|all| all / 2), Some(0)]).map_err(|_| told.all())?;
    let without = shown(target, &["lag", &group])?;
    holds("only where they are asked for", without.iter().all(|row| row.get("lag_bytes").is_none()))
}
