//! What is drawn: lines of groups, partitions and members, made of one look.

use std::collections::{BTreeMap, VecDeque};

use ottla::{TopicPartition, admin::MemberDescription};

use super::text;
use crate::{
    commands::{
        lag::Row,
        looks::{Group, Look},
    },
    history::Status,
};

/// How many looks a sparkline can show.
pub(super) const LOOKS: usize = 64;
/// And the chart of the group that is opened.
pub(super) const CHART: usize = 256;

/// What is said of an opened group that is not there any more.
pub(super) const GONE: &str = "gone: as it was last seen";
/// And of one that is, and that `--state` leaves out.
pub(super) const HIDDEN: &str = "in a state that was not asked for: as it was last seen";

/// The lag at each of the last looks, the oldest first.
pub(super) type Trend = Vec<Option<f32>>;

/// By what lines are in order. The most urgent stand first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Status,
    Lag,
    Age,
    /// As they came: by their names.
    Name,
    /// How many members a group has, or partitions a member.
    Size,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Status,
    State,
    Lag,
    Age,
    Members,
    Partitions,
    Trend,
    Reason,
    Committed,
    End,
    Owner,
    Client,
    Host,
}

/// A line of a table.
pub(super) trait Line {
    /// By what such lines can be in order: first by what they are.
    const SORTS: &'static [Sort];
    /// What no other line of the table has.
    fn name(&self) -> &str;
    /// Where a filter looks beside the name.
    fn words(&self) -> [&str; 2];
    fn pace(&self) -> Pace;
    fn size(&self) -> usize;
    /// What stands in a column of this width.
    fn field(&self, field: Field, width: usize) -> String;
}

/// How far behind something is, as far as that is known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    pub(super) status: Option<Status>,
    pub(super) lag: Option<i64>,
    pub(super) age: Option<f64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct GroupLine {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) state: String,
    pub(super) pace: Pace,
    pub(super) reason: Option<String>,
    pub(super) members: usize,
    pub(super) partitions: usize,
    pub(super) rebalances: u64,
    pub(super) trend: Trend,
}

#[derive(Debug, Clone, Default)]
pub(super) struct PartitionLine {
    pub(super) name: String,
    pub(super) pace: Pace,
    pub(super) committed: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) reason: Option<&'static str>,
    /// The clients that have it, and their hosts.
    pub(super) owner: String,
    pub(super) host: String,
    pub(super) trend: Trend,
}

#[derive(Debug, Clone, Default)]
pub(super) struct MemberLine {
    pub(super) id: String,
    pub(super) client: String,
    pub(super) host: String,
    /// Of all its partitions of which it is known.
    pub(super) pace: Pace,
    pub(super) partitions: usize,
}

/// The group that is opened.
#[derive(Debug, Clone, Default)]
pub(super) struct Details {
    pub(super) group: GroupLine,
    pub(super) assignor: String,
    pub(super) epoch: Option<i32>,
    pub(super) coordinator: i32,
    pub(super) partitions: Vec<PartitionLine>,
    pub(super) members: Vec<MemberLine>,
    /// Why the last look did not see it.
    pub(super) absent: Option<&'static str>,
}

impl GroupLine {
    pub(super) fn of(name: &str, group: &Group, trend: Trend) -> Self {
        let description = &group.description;
        Self {
            name: name.to_owned(),
            kind: description.kind.name(),
            state: description.state.clone(),
            pace: Pace { status: group.status, lag: group.lag, age: group.age },
            reason: group.reason(),
            members: description.members.len(),
            partitions: group.rows.len(),
            rebalances: group.rebalances,
            trend,
        }
    }
}

impl Details {
    pub(super) fn of(look: &Look, name: &str, trend: Trend, lags: &Lags) -> Option<Self> {
        let group = look.groups.get(name)?;
        let description = &group.description;
        let partitions = group.rows.iter().map(|row| partition(group, row, lags.of(name, &row.at)));
        let mut members: Vec<MemberLine> = description.members.iter().map(member).collect();
        for row in &group.rows {
            for at in &row.owners {
                if let Some(member) = members.get_mut(*at as usize) {
                    member.pace = member.pace.with(row);
                }
            }
        }
        members.sort_by(|a, b| (&a.client, &a.id).cmp(&(&b.client, &b.id)));
        Some(Self {
            group: GroupLine::of(name, group, trend),
            assignor: description.protocol.clone(),
            epoch: description.group_epoch,
            coordinator: description.coordinator.0,
            partitions: partitions.collect(),
            members,
            absent: None,
        })
    }
}

impl Pace {
    /// With this partition, too.
    fn with(self, row: &Row) -> Self {
        Self {
            status: self.status.max(row.status),
            // As the group's is counted.
            lag: match row.lag {
                Some(lag) => Some(self.lag.unwrap_or(0).saturating_add(lag.max(0))),
                None => self.lag,
            },
            age: match (self.age, row.age) {
                (Some(before), Some(age)) => Some(before.max(age)),
                (before, age) => before.or(age),
            },
        }
    }
}

fn member(member: &MemberDescription) -> MemberLine {
    MemberLine {
        id: member.member_id.clone(),
        client: member.client_id.clone(),
        host: member.host.clone(),
        partitions: member.assignment.len(),
        ..MemberLine::default()
    }
}

fn partition(group: &Group, row: &Row, trend: Trend) -> PartitionLine {
    let members = &group.description.members;
    let owners = || row.owners.iter().filter_map(|at| members.get(*at as usize));
    PartitionLine {
        name: row.at.to_string(),
        pace: Pace { status: row.status, lag: row.lag, age: row.age },
        committed: row.place.offset,
        end: row.log.end,
        reason: row.note().or(row.status.filter(|status| *status != Status::Ok).map(Status::reason)),
        owner: owners().map(|member| member.client_id.as_str()).collect::<Vec<_>>().join(","),
        host: owners().map(|member| member.host.as_str()).collect::<Vec<_>>().join(","),
        trend,
    }
}

impl Line for GroupLine {
    const SORTS: &'static [Sort] = &[Sort::Status, Sort::Lag, Sort::Age, Sort::Name, Sort::Size];

    fn name(&self) -> &str {
        &self.name
    }

    fn words(&self) -> [&str; 2] {
        [&self.state, self.kind]
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn size(&self) -> usize {
        self.members
    }

    fn field(&self, field: Field, width: usize) -> String {
        match field {
            Field::Name => self.name.clone(),
            Field::State => self.state.clone(),
            Field::Members => self.members.to_string(),
            Field::Partitions => self.partitions.to_string(),
            Field::Reason => self.reason.clone().unwrap_or_default(),
            Field::Trend => text::sparkline(&self.trend, width),
            field => common(self, field),
        }
    }
}

impl Line for PartitionLine {
    const SORTS: &'static [Sort] = &[Sort::Status, Sort::Lag, Sort::Age, Sort::Name];

    fn name(&self) -> &str {
        &self.name
    }

    fn words(&self) -> [&str; 2] {
        [&self.owner, &self.host]
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn size(&self) -> usize {
        0
    }

    fn field(&self, field: Field, width: usize) -> String {
        let offset = |offset: Option<i64>| offset.map_or("-".to_owned(), |offset| offset.to_string());
        let or_none = |text: &String| if text.is_empty() { "-".to_owned() } else { text.clone() };
        match field {
            Field::Name => self.name.clone(),
            Field::Committed => offset(self.committed),
            Field::End => offset(self.end),
            Field::Owner => or_none(&self.owner),
            Field::Host => or_none(&self.host),
            Field::Reason => self.reason.unwrap_or_default().to_owned(),
            Field::Trend => text::sparkline(&self.trend, width),
            field => common(self, field),
        }
    }
}

impl Line for MemberLine {
    const SORTS: &'static [Sort] = &[Sort::Name, Sort::Lag, Sort::Age, Sort::Size, Sort::Status];

    fn name(&self) -> &str {
        &self.id
    }

    fn words(&self) -> [&str; 2] {
        [&self.client, &self.host]
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn size(&self) -> usize {
        self.partitions
    }

    fn field(&self, field: Field, _: usize) -> String {
        match field {
            Field::Name => self.id.clone(),
            Field::Client => self.client.clone(),
            Field::Host => self.host.clone(),
            Field::Partitions => self.partitions.to_string(),
            field => common(self, field),
        }
    }
}

fn common(line: &impl Line, field: Field) -> String {
    let Pace { status, lag, age } = line.pace();
    match field {
        Field::Status => status.map_or("-", Status::name).to_owned(),
        Field::Lag => text::count(lag),
        Field::Age => text::time(age),
        _ => String::new(),
    }
}

/// The lag of each partition at the last looks.
#[derive(Debug, Default)]
pub(super) struct Lags(BTreeMap<String, BTreeMap<TopicPartition, VecDeque<f32>>>);

impl Lags {
    /// What is not seen any more is forgotten.
    pub(super) fn saw(&mut self, look: &Look) {
        self.0.retain(|name, _| look.groups.contains_key(name) || look.hidden.contains(name));
        for (name, group) in &look.groups {
            let of_group = self.0.entry(name.clone()).or_default();
            let mut before = std::mem::take(of_group);
            for row in &group.rows {
                let mut lags = before.remove(&row.at).unwrap_or_default();
                if lags.len() == LOOKS {
                    lags.pop_front();
                }
                // What is not known is not a number.
                lags.push_back(row.lag.map_or(f32::NAN, |lag| lag as f32));
                of_group.insert(row.at.clone(), lags);
            }
        }
    }

    fn of(&self, group: &str, at: &TopicPartition) -> Trend {
        let lags = self.0.get(group).and_then(|of_group| of_group.get(at));
        lags.into_iter().flatten().map(|lag| Some(*lag).filter(|lag| !lag.is_nan())).collect()
    }
}
