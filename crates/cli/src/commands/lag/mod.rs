//! `ottla lag`: how far groups are behind the ends of their topics.

mod asked;
mod exact;
mod watch;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal, stdout},
    time::Duration,
};

use ottla::{
    Admin, TopicPartition,
    admin::{GroupDescription, GroupKind, MemberDescription},
};
use serde_json::Value;

use self::{
    asked::{Log, Place, Seen},
    exact::Times,
    watch::{Watch, seconds},
};
use super::topics::with_admin;
use crate::{
    args::{Common, LagArgs},
    failure::{Failure, tell},
    history::Status,
    output::{Table, print},
    signals::Stop,
};

/// How often it is looked, where nobody says so.
const INTERVAL: Duration = Duration::from_secs(5);
/// Moves to the screen's corner, and clears it.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(super) async fn run(
    args: &LagArgs,
    common: &Common,
    verbose: bool,
    mut stop: Stop,
) -> Result<(), Failure> {
    let groups = [args.names.as_slice(), &args.groups].concat();
    let lag = Lag { args, common, groups, verbose };
    if args.watch {
        return with_admin(common, async |admin| lag.watch(admin, &mut stop).await).await;
    }
    let mut watch = Watch::default();
    let looked = with_admin(common, async |admin| lag.look(admin, &mut watch).await);
    let (table, seen) = looked.await?;
    table.print(common.is_json())?;
    seen.notes.iter().for_each(tell);
    seen.failures.end()
}

struct Lag<'a> {
    args: &'a LagArgs,
    common: &'a Common,
    groups: Vec<String>,
    verbose: bool,
}

impl Lag<'_> {
    /// Looks once. Each row stands for itself: what is not known is a dash, and is told.
    async fn look(&self, admin: &Admin, watch: &mut Watch) -> Result<(Table, Seen), Failure> {
        let mut seen = Seen::ask(admin, &self.groups, &self.args.filters).await?;
        watch.saw(&seen);
        let times = match self.args.exact {
            true => {
                let (times, missing) = exact::times(&seen, self.common).await?;
                seen.notes.extend(missing);
                Some(times)
            }
            false => None,
        };
        let mut table = Table::new(COLUMNS);
        let mut without = Vec::new();
        for (group, description) in &seen.groups {
            if !add_group(group, description, &seen, watch, times.as_ref(), &mut table) {
                without.push(format!("`{group}` ({})", description.state));
            }
        }
        if !without.is_empty() {
            let without = without.join(", ");
            seen.notes.push(format!("neither a committed offset nor an assigned partition: {without}"));
        }
        if !self.verbose {
            table = table.without(&["LEADER-EPOCH"]);
        }
        if !self.args.watch {
            table = table.without(&["AT"]);
        }
        Ok((table, seen))
    }

    /// Looks again and again, until it is to stop. What goes wrong between is told, and once for as long as it lasts.
    async fn watch(&self, admin: &Admin, stop: &mut Stop) -> Result<(), Failure> {
        let (mut watch, mut told) = (Watch::default(), BTreeSet::new());
        let mut ticks = tokio::time::interval(self.args.interval.unwrap_or(INTERVAL));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut left = self.args.times.unwrap_or(u64::MAX);
        let mut is_first = true;
        while left > 0 {
            let looked = tokio::select! {
                () = stop.requested() => break,
                looked = async {
                    ticks.tick().await;
                    self.look(admin, &mut watch).await
                } => looked,
            };
            let notes: BTreeSet<String> = match looked {
                Ok((table, seen)) => {
                    self.separate(is_first)?;
                    table.print(self.common.is_json())?;
                    seen.failures.into_notes().chain(seen.notes).collect()
                }
                Err(failure) if is_first => return Err(failure),
                Err(failure) => [failure.to_string()].into(),
            };
            notes.difference(&told).for_each(tell);
            told = notes;
            is_first = false;
            left -= 1;
        }
        Ok(())
    }

    /// People see one table at a time.
    fn separate(&self, is_first: bool) -> Result<(), Failure> {
        match (self.common.is_json(), stdout().is_terminal()) {
            (true, _) => Ok(()),
            (false, true) => print(CLEAR),
            (false, false) if is_first => Ok(()),
            (false, false) => print("\n"),
        }
    }
}

const COLUMNS: &[&str] = &[
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
    "AT",
];

/// Whether it has any row.
fn add_group(
    group: &str,
    description: &GroupDescription,
    seen: &Seen,
    watch: &Watch,
    times: Option<&Times>,
    table: &mut Table,
) -> bool {
    let no_places = BTreeMap::new();
    let places = seen.places.get(group).unwrap_or(&no_places);
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
        let log = seen.logs.get(*at).copied().unwrap_or_default();
        let owners = owners.get(*at).map(Vec::as_slice).unwrap_or_default();
        table.push([
            group.into(),
            at.topic.as_str().into(),
            at.partition.into(),
            place.offset.into(),
            log.end.into(),
            lag(description.kind, place, log).into(),
            age(at, place, log, watch, times).into(),
            watch.status(group, at).map(Status::name).into(),
            all_of(owners, |member| &member.member_id),
            all_of(owners, |member| &member.host),
            all_of(owners, |member| &member.client_id),
            log.begin.into(),
            note(place, log).into(),
            description.state.as_str().into(),
            place.leader_epoch.into(),
            watch.at().into(),
        ]);
    }
    !partitions.is_empty()
}

/// How old the record is that is read next, in seconds.
fn age(at: &TopicPartition, place: Place, log: Log, watch: &Watch, times: Option<&Times>) -> Option<f64> {
    let offset = place.offset.filter(|offset| log.begin.is_none_or(|begin| begin <= *offset))?;
    match (log.end?.cmp(&offset), times) {
        (Ordering::Less, _) => None,
        (Ordering::Equal, _) => Some(0.0),
        (Ordering::Greater, None) => watch.age(at, offset),
        (Ordering::Greater, Some(times)) => {
            times.get(&(at.clone(), offset)).map(|written| seconds(watch.at() - written))
        }
    }
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
