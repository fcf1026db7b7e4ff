//! `ottla groups reset-offsets`, and what `ottla serve` resets: what is to be moved, where to, and the move.

mod csv;
mod mode;
mod time;

use std::collections::{BTreeMap, BTreeSet};

use ottla::{
    Admin, CommittedOffset, ErrorCode, OffsetAndTimestamp, TopicPartition,
    admin::{GroupDescription, GroupKind, OffsetSpec},
    error::{AdminError, AdminErrorKind},
};

use self::mode::{Known, Mode};
use crate::{
    args::{Common, ResetOffsetsArgs},
    commands::{
        scope::Scope,
        topics::{begins_and_ends, with_admin},
    },
    failure::{Failure, Failures, tell},
    output::{Table, print},
};

pub(super) async fn run(args: &ResetOffsetsArgs, common: &Common) -> Result<(), Failure> {
    let reset = Reset {
        mode: Mode::of(args)?,
        scopes: Scope::parse_all(&args.topics)?,
        groups: args.groups.clone(),
        all_topics: args.all_topics,
    };
    let (rows, failures) = with_admin(common, async |admin| {
        let (rows, mut failures) = reset.plan(admin).await?;
        let rows = if args.execute { execute(admin, rows, &mut failures).await } else { rows };
        Ok((rows, failures))
    })
    .await?;
    match args.export {
        true => {
            // By what was asked for: what could not be moved may have left one of several.
            let with_group = args.groups.iter().collect::<BTreeSet<_>>().len() > 1;
            print(&csv::write(&plans(&rows), with_group))?;
        }
        false => table(&rows).print(common.is_json())?,
    }
    if !args.execute && !args.dry_run && !rows.is_empty() {
        tell("a dry run: nothing was changed; --execute does it");
    }
    failures.end()
}

fn plans(rows: &[Row]) -> csv::Plans {
    let mut plans = csv::Plans::new();
    for row in rows {
        plans.entry(row.group.clone()).or_default().insert(row.at.clone(), row.new);
    }
    plans
}

/// A partition of a group, and where it goes.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Row {
    group: String,
    pub(in crate::commands) at: TopicPartition,
    pub(in crate::commands) new: i64,
    known: Known,
    note: Option<&'static str>,
}

impl Row {
    pub(in crate::commands) fn committed(&self) -> Option<i64> {
        self.known.committed
    }
}

pub(in crate::commands) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "GROUP",
        "TOPIC",
        "PARTITION",
        "NEW-OFFSET",
        "CURRENT-OFFSET",
        "LOG-START-OFFSET",
        "LOG-END-OFFSET",
        "NOTE",
    ]);
    for row in rows {
        table.push([
            row.group.as_str().into(),
            row.at.topic.as_str().into(),
            row.at.partition.into(),
            row.new.into(),
            row.known.committed.into(),
            row.known.begin.into(),
            row.known.end.into(),
            row.note.into(),
        ]);
    }
    table
}

/// What is to be moved, and where to.
#[derive(Debug)]
pub(in crate::commands) struct Reset {
    mode: Mode,
    /// Which partitions, where not all are meant that are committed, or those of a file.
    scopes: Vec<Scope>,
    groups: Vec<String>,
    all_topics: bool,
}

type Committed = BTreeMap<TopicPartition, CommittedOffset>;

impl Reset {
    /// Of one group, by the name of a flag, what it is given, and what `--topic` is given; all that it has committed, where that is
    /// nothing.
    pub(in crate::commands) fn named(
        group: &str,
        flag: &str,
        text: Option<&str>,
        topics: &[String],
    ) -> Result<Self, Failure> {
        let groups = vec![group.to_owned()];
        let mode = Mode::named(flag, text, &groups)?;
        if matches!(mode, Mode::File(_)) && !topics.is_empty() {
            return Err(Failure::usage("the file says which partitions; leave the topics out"));
        }
        Ok(Self { mode, scopes: Scope::parse_all(topics)?, groups, all_topics: topics.is_empty() })
    }

    /// To where these say, in a group that is theirs.
    pub(in crate::commands) fn to(group: &str, rows: &[Row]) -> Self {
        let mode = Mode::File(plans(rows));
        Self { mode, scopes: Vec::new(), groups: vec![group.to_owned()], all_topics: false }
    }

    /// What would be moved. A group that cannot be is told, and hides no other; of one group all is moved, or nothing.
    pub(in crate::commands) async fn plan(&self, admin: &Admin) -> Result<(Vec<Row>, Failures), Failure> {
        let mut failures = Failures::default();
        let named = self.of_topics(admin).await?;
        let groups = self.idle(admin, &mut failures).await?;
        let mut wanted: BTreeMap<String, (BTreeSet<TopicPartition>, Committed)> = BTreeMap::new();
        for (group, committed) in admin.committed_offsets_of(groups).await? {
            let told = match committed {
                Ok(committed) => {
                    self.wanted(&group, &named, &committed).map(|partitions| (partitions, committed))
                }
                Err(error) => Err(error.into()),
            };
            match told {
                Ok(told) => drop(wanted.insert(group, told)),
                Err(failure) => failures.add(failure),
            }
        }
        let all = wanted.values().flat_map(|(partitions, _)| partitions).cloned().collect();
        let logs = logs(admin, all, self.mode.spec()).await?;
        let mut rows = Vec::new();
        for (group, (partitions, committed)) in wanted {
            match self.rows(&group, partitions, &committed, &logs).end() {
                Ok(of_group) => rows.extend(of_group),
                Err(failure) => failures.add(failure),
            }
        }
        Ok((rows, failures))
    }

    /// The partitions that `--topic` names.
    async fn of_topics(&self, admin: &Admin) -> Result<BTreeSet<TopicPartition>, Failure> {
        match self.scopes.is_empty() {
            true => Ok(BTreeSet::new()),
            false => Scope::partitions(&self.scopes, admin).await,
        }
    }

    /// The groups that may be moved: those without members, and those that are not there yet.
    async fn idle(&self, admin: &Admin, failures: &mut Failures) -> Result<Vec<String>, Failure> {
        let mut idle = Vec::new();
        for (name, described) in admin.describe_groups(self.groups.clone()).await? {
            match described {
                Ok(group) if group.kind == GroupKind::Share => failures.add(Failure::failed(format!(
                    "group `{name}`: it is a share group, which has no committed offsets; see kafka-share-groups"
                ))),
                Ok(group) if !group.is_inactive() => failures.add(is_live(&name, &group)),
                Err(error) if error.kind() != AdminErrorKind::UnknownGroup => failures.add(error),
                Ok(_) | Err(_) => idle.push(name),
            }
        }
        Ok(idle)
    }

    fn wanted(
        &self,
        group: &str,
        named: &BTreeSet<TopicPartition>,
        committed: &Committed,
    ) -> Result<BTreeSet<TopicPartition>, Failure> {
        let (wanted, none): (BTreeSet<_>, _) = match &self.mode {
            Mode::File(plans) => {
                let plan = plans.get(group).into_iter().flat_map(BTreeMap::keys);
                (plan.cloned().collect(), "the file has no line for it")
            }
            _ if self.all_topics => (committed.keys().cloned().collect(), "it has committed nothing"),
            _ => (named.clone(), "no partition is named"),
        };
        match wanted.is_empty() {
            true => Err(Failure::failed(format!("group `{group}`: {none}; nothing is moved"))),
            false => Ok(wanted),
        }
    }

    fn rows(
        &self,
        group: &str,
        partitions: BTreeSet<TopicPartition>,
        committed: &Committed,
        logs: &BTreeMap<TopicPartition, Result<Known, String>>,
    ) -> All {
        let mut all = All::default();
        for at in partitions {
            let known = match logs.get(&at) {
                Some(Ok(known)) => Known { committed: committed.get(&at).map(|at| at.offset), ..*known },
                Some(Err(why)) => {
                    all.failures.add(Failure::failed(format!("group `{group}`: {why}; nothing is moved")));
                    continue;
                }
                None => continue,
            };
            let of_file = match &self.mode {
                Mode::File(plans) => plans.get(group).and_then(|plan| plan.get(&at)).copied(),
                _ => None,
            };
            match self.mode.target(known, of_file) {
                Ok((new, note)) => all.rows.push(Row { group: group.to_owned(), at, new, known, note }),
                Err(why) => {
                    let what = format!("group `{group}`, partition {at}: {why}; nothing is moved");
                    all.failures.add(Failure::failed(what));
                }
            }
        }
        all
    }
}

/// All partitions of a group, or why it is not moved.
#[derive(Default)]
struct All {
    rows: Vec<Row>,
    failures: Failures,
}

impl All {
    fn end(self) -> Result<Vec<Row>, Failure> {
        self.failures.end().map(|()| self.rows)
    }
}

/// How many members are named: a line is to be read.
const NAMED: usize = 10;

fn is_live(name: &str, group: &GroupDescription) -> Failure {
    let members = group.members.iter().take(NAMED);
    let mut members: Vec<String> = members
        .map(|member| format!("{} ({} at {})", member.member_id, member.client_id, member.host))
        .collect();
    if group.members.len() > NAMED {
        members.push(format!("and {} more", group.members.len() - NAMED));
    }
    let (state, members) = (&group.state, members.join(", "));
    Failure::failed(format!(
        "group `{name}`: it is {state}, with members: {members}; offsets are moved once they have stopped"
    ))
}

/// Of each partition where its log begins and ends, and where the time that is asked for lies; or why that is not known.
async fn logs(
    admin: &Admin,
    partitions: BTreeSet<TopicPartition>,
    time: Option<OffsetSpec>,
) -> Result<BTreeMap<TopicPartition, Result<Known, String>>, Failure> {
    let names: BTreeSet<&str> = partitions.iter().map(|at| at.topic.as_str()).collect();
    let topics = admin.describe_topics(names).await?;
    let mut logs = BTreeMap::new();
    let mut led = BTreeSet::new();
    for at in partitions {
        let why = match topics.get(&at.topic) {
            Some(Ok(topic)) => match topic.partitions.get(&at.partition) {
                Some(known) if known.leader.is_some() => None,
                Some(_) => Some(format!("partition {at} has no leader")),
                None => Some(format!("partition {at} does not exist")),
            },
            Some(Err(error)) => Some(format!("{error:#}")),
            None => Some(format!("topic `{}` is not told of", at.topic)),
        };
        match why {
            // Nobody waits for a leader.
            Some(why) => drop(logs.insert(at, Err(why))),
            None => drop(led.insert(at)),
        }
    }
    let ((mut begins, mut ends), mut times) = tokio::try_join!(begins_and_ends(admin, &led), async {
        match time {
            Some(spec) => admin.list_offsets(led.iter().map(|at| (at.clone(), spec))).await,
            None => Ok(BTreeMap::new()),
        }
    })?;
    for at in led {
        let told = [&mut begins, &mut ends, &mut times].map(|of| offset(of.remove(&at)));
        let known = match told {
            [Ok(Some(begin)), Ok(Some(end)), Ok(at_time)] => {
                Ok(Known { committed: None, begin, end, at_time })
            }
            [Err(why), _, _] | [_, Err(why), _] | [_, _, Err(why)] => Err(why),
            _ => Err(format!("partition {at}: its leader does not tell where its log begins and ends")),
        };
        logs.insert(at, known);
    }
    Ok(logs)
}

fn offset(told: Option<Result<Option<OffsetAndTimestamp>, AdminError>>) -> Result<Option<i64>, String> {
    match told {
        Some(Ok(found)) => Ok(found.map(|found| found.offset)),
        Some(Err(error)) => Err(format!("{error:#}")),
        None => Ok(None),
    }
}

/// Moves offsets. Those that were moved are returned.
pub(in crate::commands) async fn execute(admin: &Admin, rows: Vec<Row>, failures: &mut Failures) -> Vec<Row> {
    let mut moved = Vec::new();
    for of_group in rows.chunk_by(|a, b| a.group == b.group) {
        execute_group(admin, of_group, &mut moved, failures).await;
    }
    moved
}

async fn execute_group(admin: &Admin, of_group: &[Row], moved: &mut Vec<Row>, failures: &mut Failures) {
    let Some(group) = of_group.first().map(|row| row.group.clone()) else { return };
    let offsets = of_group.iter().map(|row| (row.at.clone(), row.new));
    let mut altered = match admin.alter_offsets(group.as_str(), offsets).await {
        Ok(altered) => altered,
        Err(error) => return failures.add(error),
    };
    let mut guarded = 0;
    for row in of_group {
        match altered.remove(&row.at) {
            // A member has joined since it was looked.
            Some(Err(error)) if error.code() == Some(ErrorCode::UnknownMemberId) => guarded += 1,
            Some(Err(error)) => failures.add(error),
            _ => moved.push(row.clone()),
        }
    }
    if guarded > 0 {
        failures.add(Failure::failed(format!(
            "group `{group}`: it has members by now, and {guarded} of its partitions are not moved; stop them, and do it again"
        )));
    }
}
