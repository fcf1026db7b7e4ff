//! `ottla lag`: how far groups are behind the ends of their topics.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{
    Admin, CommittedOffset, OffsetAndTimestamp, TopicPartition,
    admin::{GroupDescription, GroupKind, MemberDescription, OffsetSpec},
    error::{AdminError, AdminErrorKind},
};
use serde_json::Value;

use super::{
    groups::{Found, find},
    topics::with_admin,
};
use crate::{
    args::{Common, GroupFilters, LagArgs},
    failure::{Failure, Failures, tell},
    output::Table,
};

pub(super) async fn run(args: &LagArgs, common: &Common, verbose: bool) -> Result<(), Failure> {
    if args.watch {
        return Err(Failure::not_yet("`lag --watch`"));
    }
    let groups = [args.names.as_slice(), &args.groups].concat();
    let measured = with_admin(common, async |admin| measure(admin, &groups, &args.filters).await);
    let (table, failures) = measured.await?;
    let table = if verbose { table } else { table.without_last(VERBOSE) };
    table.print(common.is_json())?;
    failures.end()
}

/// Where a group is in a partition.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    offset: Option<i64>,
    leader_epoch: Option<i32>,
    /// As the coordinator counts it, who knows what of a share group is done.
    lag: Option<i64>,
}

/// Where a log begins and ends, as far as that is known.
#[derive(Debug, Clone, Copy, Default)]
struct Log {
    begin: Option<i64>,
    end: Option<i64>,
}

type Places = BTreeMap<TopicPartition, Place>;

/// The columns that --verbose adds.
const VERBOSE: usize = 1;

/// Each row stands for itself: what is not known is a dash, and is told.
async fn measure(
    admin: &Admin,
    named: &[String],
    filters: &GroupFilters,
) -> Result<(Table, Failures), Failure> {
    let Found { groups, mut failures } = find(admin, named.to_vec(), filters).await?;
    let places = places(admin, &groups, !named.is_empty(), &mut failures).await?;
    let assigned = groups.values().flat_map(|group| &group.members).flat_map(|member| &member.assignment);
    let all = places.values().flat_map(BTreeMap::keys).chain(assigned);
    let (logs, refused) = logs(admin, all.cloned().collect()).await?;
    for error in refused {
        missed(error, !named.is_empty(), &mut failures);
    }
    let mut table = Table::new(&[
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "TIME-LAG",
        "STATUS",
        "MEMBER",
        "HOST",
        "CLIENT",
        "LOG-START-OFFSET",
        "NOTE",
        "GROUP-STATE",
        "LEADER-EPOCH",
    ]);
    let mut without = Vec::new();
    for (group, description) in &groups {
        let of_group = places.get(group).cloned().unwrap_or_default();
        if !named.is_empty() {
            tell_state(group, description);
        }
        if !add_group(group, description, &of_group, &logs, &mut table) {
            without.push(format!("`{group}` ({})", description.state));
        }
    }
    if !without.is_empty() {
        tell(format!("neither a committed offset nor an assigned partition: {}", without.join(", ")));
    }
    Ok((table, failures))
}

/// What the rows do not show by themselves.
fn tell_state(group: &str, description: &GroupDescription) {
    if description.is_rebalancing() {
        let state = &description.state;
        tell(format!("group `{group}` is rebalancing ({state}): these are the partitions of the moment"));
    } else if description.members.is_empty() {
        tell(format!("group `{group}` has no members"));
    }
}

/// Of what was named it is a failure; what is left out of all is told.
fn missed(error: AdminError, named: bool, failures: &mut Failures) {
    match named {
        true => failures.add(error),
        false => tell(format!("{error:#}")),
    }
}

/// Where each group is. One that cannot be told hides no other.
async fn places(
    admin: &Admin,
    groups: &BTreeMap<String, GroupDescription>,
    named: bool,
    failures: &mut Failures,
) -> Result<BTreeMap<String, Places>, Failure> {
    let mut failed = |error: AdminError| missed(error, named, failures);
    let of = |wanted: fn(GroupKind) -> bool| {
        let of_kind = groups.iter().filter(move |(_, group)| wanted(group.kind));
        of_kind.map(|(name, _)| name.clone()).collect::<Vec<String>>()
    };
    let mut places = BTreeMap::new();
    // Of a group that commits in transactions one is nearly always under way.
    for (group, committed) in admin.committed_offsets_now(of(|kind| kind != GroupKind::Share)).await? {
        let place = |committed: CommittedOffset| Place {
            offset: Some(committed.offset),
            leader_epoch: committed.leader_epoch,
            lag: None,
        };
        match committed {
            Ok(committed) => {
                let each = committed.into_iter().map(|(at, committed)| (at, place(committed)));
                places.insert(group, each.collect());
            }
            Err(error) => failed(error),
        }
    }
    for (group, told) in admin.share_offsets(of(|kind| kind == GroupKind::Share)).await? {
        let mut of_group = Places::new();
        match told {
            Ok(partitions) => {
                for (at, told) in partitions {
                    match told {
                        Ok(told) => {
                            let offset = told.start_offset;
                            // As long as nothing was acquired, the rest means nothing.
                            let lag = told.lag.filter(|_| offset.is_some());
                            let leader_epoch = told.leader_epoch.filter(|_| offset.is_some());
                            of_group.insert(at, Place { offset, leader_epoch, lag });
                        }
                        Err(error) => failed(error),
                    }
                }
            }
            Err(error) => failed(error),
        }
        places.insert(group, of_group);
    }
    Ok(places)
}

/// The logs that can be asked for now: nobody waits for a leader, which is told. With them what was refused.
async fn logs(
    admin: &Admin,
    mut partitions: BTreeSet<TopicPartition>,
) -> Result<(BTreeMap<TopicPartition, Log>, Vec<AdminError>), Failure> {
    let names: BTreeSet<&str> = partitions.iter().map(|at| at.topic.as_str()).collect();
    let topics = admin.describe_topics(names).await?;
    partitions.retain(|at| {
        let Some(Ok(topic)) = topics.get(&at.topic) else { return false };
        let known = topic.partitions.get(&at.partition);
        if known.is_some_and(|known| known.leader.is_none()) {
            tell(format!("partition {at} has no leader: its end is not known"));
        }
        known.is_some_and(|known| known.leader.is_some())
    });
    // The topic may be gone, and its offsets not yet.
    let is_gone = |error: &AdminError| error.kind() == AdminErrorKind::UnknownTopic;
    let mut refused: Vec<AdminError> =
        topics.into_values().filter_map(Result::err).filter(|error| !is_gone(error)).collect();
    let all = |spec| partitions.iter().map(move |at| (at.clone(), spec));
    let (begins, ends) = tokio::join!(
        admin.list_offsets(all(OffsetSpec::Earliest)),
        admin.list_offsets(all(OffsetSpec::Latest))
    );
    let (mut begins, ends) = (begins?, ends?);
    let mut logs = BTreeMap::new();
    for (at, end) in ends {
        let begin = begins.remove(&at).unwrap_or(Ok(None));
        let offset = |told: &Result<Option<OffsetAndTimestamp>, AdminError>| {
            told.as_ref().ok().copied().flatten().map(|told| told.offset)
        };
        let log = Log { begin: offset(&begin), end: offset(&end) };
        // Both are of one leader: what is wrong there is told once.
        refused.extend(end.err().or(begin.err()));
        logs.insert(at, log);
    }
    Ok((logs, refused))
}

/// Whether it has any row.
fn add_group(
    group: &str,
    description: &GroupDescription,
    places: &Places,
    logs: &BTreeMap<TopicPartition, Log>,
    table: &mut Table,
) -> bool {
    // Several members of a share group have a partition.
    let mut owners: BTreeMap<&TopicPartition, Vec<&MemberDescription>> = BTreeMap::new();
    for member in &description.members {
        for at in &member.assignment {
            owners.entry(at).or_default().push(member);
        }
    }
    let partitions: BTreeSet<&TopicPartition> = places.keys().chain(owners.keys().copied()).collect();
    for at in &partitions {
        let place = places.get(*at).copied().unwrap_or_default();
        let log = logs.get(*at).copied().unwrap_or_default();
        let owners = owners.get(*at).map(Vec::as_slice).unwrap_or_default();
        table.push([
            group.into(),
            at.topic.as_str().into(),
            at.partition.into(),
            place.offset.into(),
            log.end.into(),
            lag(description.kind, place, log).into(),
            Value::Null,
            Value::Null,
            all_of(owners, |member| &member.member_id),
            all_of(owners, |member| &member.host),
            all_of(owners, |member| &member.client_id),
            log.begin.into(),
            note(place, log).into(),
            description.state.as_str().into(),
            place.leader_epoch.into(),
        ]);
    }
    !partitions.is_empty()
}

/// A commit beyond the end gives a negative one: the log is shorter than what was read of it.
fn lag(kind: GroupKind, place: Place, log: Log) -> Option<i64> {
    match (kind, place.offset) {
        (GroupKind::Share, _) => place.lag,
        (_, Some(offset)) => Some(log.end? - offset),
        // It reads from the begin.
        (GroupKind::Streams, None) => Some(log.end? - log.begin?),
        _ => None,
    }
}

fn note(place: Place, log: Log) -> Option<&'static str> {
    let offset = place.offset?;
    match (log.begin, log.end) {
        (Some(begin), _) if offset < begin => Some("before the log's begin"),
        (_, Some(end)) if offset > end => Some("beyond the log's end"),
        (_, None) => Some("log not known"),
        _ => None,
    }
}

/// One, as nearly always; those of several with commas between.
fn all_of(owners: &[&MemberDescription], of: fn(&MemberDescription) -> &String) -> Value {
    let values: Vec<&str> = owners.iter().map(|member| of(member).as_str()).collect();
    Some(values.join(",")).filter(|_| !values.is_empty()).into()
}
