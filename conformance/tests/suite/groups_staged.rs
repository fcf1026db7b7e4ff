//! What `ottla` shows of groups that rebalance, of members that have no partition, of partitions that are gone or have no leader,
//! and of all groups, beside Kafka's own tool on the same cluster.

use std::collections::BTreeSet;

use libtest_mimic::Failed;
use ottla::admin::CommittedOffset;
use ottla::{Admin, Consumer, GroupProtocol, Producer, ProducerRecord};
use ottla_conformance::kafka::{GroupTools, Printed};
use ottla_conformance::targets::{Embedded, Target, unique};
use ottla_conformance::wait::until_some;
use serde_json::Value;

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::doctor_groups::amid_a_rebalance;
use crate::groups_reset;
use crate::groups_shown::{
    Field, OFFSETS, Row, agree, fields, joined, of_members, of_state, ours, shown, text, theirs,
};
use crate::kit::{
    PATIENCE, Seen, admin, consumer, equal, holds, member_by, numbers, poll_all, shares, topic, wait, within,
};

pub(crate) fn cases() -> Vec<Case> {
    let name = "groups_amid_a_change_and_places_that_are_gone_are_shown_as_kafkas_tool_shows_them";
    vec![
        // Its own: one of its partitions has no leader.
        Case::alone(format!("embedded::{name}"), || {
            let broker: &'static Embedded = Box::leak(Box::new(Embedded::start(3)?));
            wait(staged(&Target::Embedded(broker)))
        })
        .with_java(),
        Case::kafka(name, |target| wait(staged(target))).with_java(),
        Case::both("groups_are_listed_as_kafkas_tools_list_them", |target| wait(listed(target))).with_java(),
    ]
}

const PROTOCOLS: [GroupProtocol; 2] = [GroupProtocol::Classic, GroupProtocol::Consumer];

/// A cluster, and all that is asked of it.
struct Stage<'a> {
    target: &'a Target,
    admin: Admin,
    tools: GroupTools,
}

async fn staged(target: &Target) -> Outcome {
    let tools = GroupTools::start(&target.bootstrap())?;
    let mut stage = Stage { target, admin: admin(target).await?, tools };
    stage.rebalancing().await?;
    stage.idle().await?;
    stage.gone().await?;
    stage.marked().await?;
    if let Target::Embedded(broker) = *target {
        let (topic, group) = (topic(target, "deposed", 2).await?, unique("deposed"));
        commit(&stage.admin, &group, [((topic.as_str(), 0), 0), ((topic.as_str(), 1), 0)]).await?;
        let server = broker.server();
        server.with_cluster(|cluster| cluster.depose_leader(&topic, 1, server.now()));
        without_a_leader(target, &group, &topic, 1)?;
    }
    Ok(())
}

/// As an admin does it.
pub(crate) async fn commit<'a>(
    admin: &Admin,
    group: &str,
    offsets: impl IntoIterator<Item = ((&'a str, i32), i64)>,
) -> Outcome {
    let offsets = offsets.into_iter().map(|(at, offset)| (at, CommittedOffset::new(offset)));
    admin.alter_offsets(group, offsets).await?.into_values().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

/// How `ottla` ends, what it prints, and what it says.
pub(crate) fn said(target: &Target, args: &[&str]) -> Result<(Option<i32>, String, String), Failed> {
    let output = ottla(target, args)?.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

/// Both refuse a dry run, with these words, and have no row.
pub(crate) fn refused(
    target: &Target,
    tools: &mut GroupTools,
    (group, args): (&str, &[&str]),
    (kafka, ottla): (&str, &str),
) -> Outcome {
    let printed =
        tools.ask("consumer", &[&["--reset-offsets", "--dry-run", "--group", group], args].concat())?;
    let is_told = printed.all().contains(kafka) && groups_reset::theirs(&printed).is_empty();
    holds(&format!("`{kafka}` and no row: {args:?}: {}", printed.all()), is_told)?;
    let told = said(target, &[&["groups", "reset-offsets", "-G", group, "--output", "json"], args].concat())?;
    let is_told = told.0.is_some_and(|status| status > 0) && told.1.is_empty() && told.2.contains(ottla);
    holds(&format!("`{ottla}` and no row: {args:?}: {told:?}"), is_told)
}

/// Asks both of the partitions of a group.
fn offsets(target: &Target, tools: &mut GroupTools, group: &str, least: usize) -> Outcome {
    let kafka = ["--describe", "--verbose", "--offsets", "--group", group];
    agree(target, tools, ("consumer", &kafka), &["lag", "--verbose", group], &OFFSETS, least)
}

/// A partition that was committed has no leader: its row has no end and no lag, and nobody waits for it; nothing is moved.
pub(crate) fn without_a_leader(target: &Target, group: &str, topic: &str, partition: i32) -> Outcome {
    let mut tools = GroupTools::start(&target.bootstrap())?;
    offsets(target, &mut tools, group, 2)?;
    let rows = shown(target, &["lag", group])?;
    let row = rows.iter().find(|row| row["topic"] == topic && row["partition"] == partition);
    let row = row.ok_or("no row of it")?;
    equal("its end and its lag", (&row["log_end_offset"], &row["lag"]), (&Value::Null, &Value::Null))?;
    let why = format!("{topic}-{partition} has no leader");
    for mode in ["--to-earliest", "--to-current"] {
        refused(target, &mut tools, (group, &["--topic", topic, mode]), ("have no leader", &why))?;
    }
    Ok(())
}

impl Stage<'_> {
    /// What members have now, and that it changes; nothing is moved meanwhile.
    async fn rebalancing(&mut self) -> Outcome {
        let topic = topic(self.target, "moving", 4).await?;
        numbers(self.target, &topic, 4, 0..40).await?;
        for (protocol, state) in PROTOCOLS.into_iter().zip(["PreparingRebalance", "Reconciling"]) {
            let group = unique("moving");
            commit(&self.admin, &group, (0..4).map(|at| ((topic.as_str(), at), 2))).await?;
            let members = amid_a_rebalance(self.target, &self.admin, &group, &topic, protocol, 40).await?;
            // It is Assigning first, until a member's heartbeat has the coordinator assign.
            until_some(PATIENCE, state, || {
                let rows = shown(self.target, &["groups", "describe", &group]).ok()?;
                rows.first().filter(|row| row["state"] == state).map(drop)
            })?;
            offsets(self.target, &mut self.tools, &group, 4)?;
            let args = ["groups", "describe", "--verbose", group.as_str()];
            for (what, fields, least) in [("--members", of_members(), 2), ("--state", of_state(), 1)] {
                let kafka = ["--describe", "--verbose", what, "--group", &group];
                agree(self.target, &mut self.tools, ("consumer", &kafka), &args, &fields, least)?;
            }
            let printed = self.tools.ask("consumer", &["--describe", "--group", &group])?;
            let warned = format!("Warning: Consumer group '{group}' is rebalancing.");
            holds(&printed.all(), printed.err.contains(&warned))?;
            let (status, _, noted) = said(self.target, &["lag", &group])?;
            let note = format!("group `{group}` is rebalancing ({state})");
            holds(&format!("{note}: `{noted}`"), status == Some(0) && noted.contains(&note))?;
            let says = (format!("the current state is {state}"), format!("it is {state}, with members"));
            let reset = (group.as_str(), &["--topic", topic.as_str(), "--to-earliest"][..]);
            refused(self.target, &mut self.tools, reset, (&says.0, &says.1))?;
            drop(members);
        }
        Ok(())
    }

    /// A member without a partition is among the members, and has no row of offsets.
    async fn idle(&mut self) -> Outcome {
        let topic = topic(self.target, "narrow", 1).await?;
        for protocol in PROTOCOLS {
            let group = unique("idle");
            let mut members = Vec::new();
            for _ in 0..2 {
                members.push(member_by(self.target, &group, &topic, protocol).build().await?);
            }
            // One has the partition, and both know of each other.
            let settled = |members: &[Consumer], _: &[Seen]| {
                let of = |member: &Consumer| member.group_metadata().map(|group| group.generation_id);
                let all: BTreeSet<Option<i32>> = members.iter().map(of).collect();
                let is_one = all.len() == 1 && all.iter().all(|generation| *generation > Some(0));
                is_one && shares(members).iter().sum::<usize>() == 1
            };
            poll_all(&mut members, &mut Vec::new(), "one generation", settled).await?;
            offsets(self.target, &mut self.tools, &group, 1)?;
            equal("rows", shown(self.target, &["lag", &group])?.len(), 1)?;
            let kafka = ["--describe", "--verbose", "--members", "--group", &group];
            let args = ["groups", "describe", "--verbose", group.as_str()];
            agree(self.target, &mut self.tools, ("consumer", &kafka), &args, &of_members(), 2)?;
        }
        Ok(())
    }

    /// Commits of a topic go with it, and those of others stay. What is left is in order, partitions as numbers.
    async fn gone(&mut self) -> Outcome {
        let (kept, gone) = (topic(self.target, "kept", 12).await?, topic(self.target, "gone", 1).await?);
        let groups = ["gone-b", "gone-a"].map(unique);
        for group in &groups {
            let kept = (0..12).map(|at| ((kept.as_str(), at), 0));
            commit(&self.admin, group, kept.chain([((gone.as_str(), 0), 0)])).await?;
        }
        within("a topic that goes", self.admin.delete_topic(gone.as_str())).await??;
        let mut sorted = groups.clone();
        sorted.sort();
        let kafka = ["--describe", "--group", &groups[0], "--group", &groups[1]];
        let args = ["lag", groups[0].as_str(), groups[1].as_str()];
        let rows = until_some(PATIENCE, "the commits go with the topic", || {
            let printed = self.tools.ask("consumer", &kafka).ok()?;
            let rows = in_order(&printed);
            // One that asks while the topic goes is refused, and has none.
            (!rows.is_empty() && rows.iter().all(|row| row[1] != gone)).then_some(rows)
        })?;
        let at = |row: &Value| ["group", "topic", "partition"].map(|key| text(&row[key]).unwrap_or_default());
        let mine: Vec<[String; 3]> = shown(self.target, &args)?.iter().map(at).collect();
        let of = |group: &String| {
            (0..12).map(|at: i32| [group.clone(), kept.clone(), at.to_string()]).collect::<Vec<_>>()
        };
        let expected: Vec<[String; 3]> = sorted.iter().flat_map(of).collect();
        equal("ours, in order", &mine, &expected)?;
        equal("theirs", &rows, &expected)
    }

    /// The marker of a transaction is an offset of the log.
    async fn marked(&mut self) -> Outcome {
        let (topic, group) = (topic(self.target, "marked", 1).await?, unique("marked"));
        let builder = Producer::builder().bootstrap_servers([self.target.bootstrap()]);
        let mut producer = builder.transactional_id(unique("marked")).build_transactional().await?;
        let transaction = producer.begin().await?;
        transaction.send(ProducerRecord::to(topic.as_str()).value(b"v".as_slice())).await?.await?;
        within("a commit", transaction.commit()).await??;
        commit(&self.admin, &group, [((topic.as_str(), 0), 1)]).await?;
        offsets(self.target, &mut self.tools, &group, 1)?;
        let rows = shown(self.target, &["lag", &group])?;
        equal("its end and its lag", (&rows[0]["log_end_offset"], &rows[0]["lag"]), (&2.into(), &1.into()))?;
        let latest = ["--all-topics", "--to-latest"];
        let kafka = [&["--reset-offsets", "--dry-run", "--group", &group], &latest[..]].concat();
        let of_kafka = groups_reset::theirs(&self.tools.ask("consumer", &kafka)?);
        equal("its end", of_kafka.values().copied().collect(), vec![2])?;
        let mine = groups_reset::ours(self.target, &[&["-G", group.as_str()], &latest[..]].concat())?;
        equal("to its end", mine, of_kafka)
    }
}

/// Which partition of which group, row by row.
fn in_order(printed: &Printed) -> Vec<[String; 3]> {
    let at = |mut row: std::collections::BTreeMap<String, String>| {
        ["GROUP", "TOPIC", "PARTITION"].map(|title| row.remove(title).unwrap_or_default())
    };
    printed.rows().into_iter().map(at).collect()
}

/// Groups by their names, with these columns of both lists. Types are small letters: Kafka's tool writes them with a capital.
fn lists(
    target: &Target,
    (printed, args): (&Printed, &[&str]),
    fields: &[Field],
    groups: &[String],
) -> Outcome {
    let of_case = |rows: BTreeSet<Row>| -> BTreeSet<Row> {
        let small = |mut row: Row| {
            row.entry("TYPE").and_modify(|kind| *kind = kind.to_lowercase());
            row
        };
        let mine = |row: &Row| row.get("GROUP").is_some_and(|group| groups.contains(group));
        rows.into_iter().filter(mine).map(small).collect()
    };
    let mine = of_case(ours(&shown(target, &[&["groups", "list"], args].concat())?, fields));
    holds(&format!("there are rows: {args:?}: {}", printed.all()), !mine.is_empty())?;
    equal(&format!("{args:?}"), mine, of_case(theirs(printed, fields)))
}

async fn listed(target: &Target) -> Outcome {
    let name = topic(target, "listed", 1).await?;
    let admin = admin(target).await?;
    let groups: [String; 5] =
        ["classic", "consumer", "left", "placed", "hand"].map(|group| unique(&format!("listed-{group}")));
    let [classic, modern, left, placed, hand] = &groups;
    let members = [
        joined(target, classic, &name, GroupProtocol::Classic).await?,
        joined(target, modern, &name, GroupProtocol::Consumer).await?,
    ];
    joined(target, left, &name, GroupProtocol::Consumer).await?.close().await?;
    commit(&admin, placed, [((name.as_str(), 0), 0)]).await?;
    // It commits, and is no member.
    let mut by_hand = consumer(target).group_id(hand.as_str()).build().await?;
    by_hand.assign([(name.as_str(), 0)])?;
    within("a commit", by_hand.commit_offsets([((name.as_str(), 0), 0)])).await??;

    let mut tools = GroupTools::start(&target.bootstrap())?;
    let fields = fields! { "GROUP": "group", "TYPE": "type", "STATE": "state" };
    // The member that has left may be on its way out yet.
    for wanted in ["Empty", "stable,EMPTY", "Reconciling,Stable"] {
        let ask = |tools: &mut GroupTools| -> Outcome {
            let printed = tools.ask("consumer", &["--list", "--type", "--state", wanted])?;
            lists(target, (&printed, &["--state", wanted]), &fields, &groups)
        };
        let mut last = None;
        let agreed = until_some(PATIENCE, "both list the same", || {
            last = ask(&mut tools).err();
            last.is_none().then_some(())
        });
        agreed.map_err(|late| format!("{late}: {last:?}"))?;
    }
    let all = shown(target, &["groups", "list"])?;
    let of = |group: &str, key: &str| {
        all.iter().find(|row| row["group"] == group).and_then(|row| text(&row[key])).unwrap_or_default()
    };
    equal("what an admin has made", (of(placed, "type"), of(placed, "protocol_type")), {
        (of(classic, "type"), String::new())
    })?;
    let empty = "Empty".to_owned();
    equal("whose partitions are assigned by hand", of(hand, "state"), empty.clone())?;
    equal("whose member has left", of(left, "state"), empty)?;
    for wanted in ["classic", "Consumer", "consumer,CLASSIC"] {
        let printed = tools.ask("consumer", &["--list", "--state", "--type", wanted])?;
        lists(target, (&printed, &["--type", wanted]), &fields, &groups)?;
    }
    let printed = tools.ask("consumer", &["--list"])?;
    let theirs: BTreeSet<&str> = printed.out.iter().map(String::as_str).collect();
    holds(&printed.all(), groups.iter().all(|group| theirs.contains(group.as_str())))?;
    let names: Vec<Option<String>> = all.iter().map(|row| text(&row["group"])).collect();
    holds(&format!("ours is by name: {names:?}"), names.is_sorted())?;
    let printed = tools.ask("groups", &["--list"])?;
    let fields = fields! { "GROUP": "group", "TYPE": "type", "PROTOCOL": "protocol_type" };
    lists(target, (&printed, &[]), &fields, &groups)?;

    for (flag, word) in [("--state", "Foo"), ("--type", "foo")] {
        let printed = tools.ask("consumer", &["--list", flag, word])?;
        let status = said(target, &["groups", "list", flag, word])?.0;
        equal(&format!("{flag} {word}: {}", printed.all()), (printed.status, status), (1, Some(2)))?;
    }
    // The name of no group; to split off the last of Java's arguments, it must not be empty.
    let printed = tools.ask("consumer", &["--describe", "--group", "", "--offsets"])?;
    holds(&printed.all(), printed.all().contains("InvalidGroupIdException"))?;
    let told = said(target, &["lag", ""])?;
    holds(&format!("{told:?}"), told.0 == Some(1) && told.2.contains("INVALID_GROUP_ID"))?;
    drop(members);
    by_hand.close().await?;
    Ok(())
}
