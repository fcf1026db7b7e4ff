//! What was found: how bad it is, where, what was seen, and what to do about it.

use std::fmt::Write as _;

use ottla::{TopicPartition, admin::NodeId};
use serde_json::Value;

pub(super) use super::kind::{Kind, Severity};
use crate::{
    failure::Failure,
    output::{Table, harmless, print},
};

/// What a finding is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) group: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) partition: Option<i32>,
    pub(super) member: Option<String>,
    pub(super) broker: Option<NodeId>,
    pub(super) address: Option<String>,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    pub(super) severity: Severity,
    pub(super) place: Place,
    pub(super) seen: String,
    pub(super) todo: String,
    /// How long it took, where that was measured.
    pub(super) millis: Option<f64>,
}

impl Finding {
    pub(super) fn new(kind: Kind, seen: impl Into<String>) -> Self {
        Self {
            kind,
            severity: kind.severity(),
            place: Place::default(),
            seen: seen.into(),
            todo: kind.todo().to_owned(),
            millis: None,
        }
    }

    pub(super) fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// In place of what is usually to be done.
    pub(super) fn todo(self, todo: impl Into<String>) -> Self {
        Self { todo: todo.into(), ..self }
    }

    pub(super) fn took(self, time: std::time::Duration) -> Self {
        Self { millis: Some((time.as_secs_f64() * 1e6).round() / 1e3), ..self }
    }

    pub(super) fn group(mut self, group: &str) -> Self {
        self.place.group = Some(group.to_owned());
        self
    }

    pub(super) fn topic(mut self, topic: &str) -> Self {
        self.place.topic = Some(topic.to_owned());
        self
    }

    pub(super) fn partition(mut self, at: &TopicPartition) -> Self {
        (self.place.topic, self.place.partition) = (Some(at.topic.clone()), Some(at.partition));
        self
    }

    pub(super) fn member(mut self, member: &str) -> Self {
        self.place.member = Some(member.to_owned());
        self
    }

    pub(super) fn broker(mut self, broker: NodeId) -> Self {
        self.place.broker = Some(broker);
        self
    }

    pub(super) fn address(mut self, address: impl ToString) -> Self {
        self.place.address = Some(address.to_string());
        self
    }

    /// What to do, where anything is to be done.
    fn advice(&self) -> Option<&str> {
        Some(self.todo.as_str()).filter(|todo| !todo.is_empty() && self.severity > Severity::Ok)
    }

    fn text(&self) -> String {
        let (severity, name, seen) = (self.severity.name(), self.kind.name(), harmless(&self.seen));
        let mut text = format!("{severity:<7}  {name}: ");
        let place = self.place.to_string();
        if !place.is_empty() {
            // A String takes all that is written to it.
            _ = write!(text, "{}: ", harmless(&place));
        }
        text.push_str(&seen);
        if let Some(advice) = self.advice() {
            _ = write!(text, "\n         -> {}", harmless(advice));
        }
        text.push('\n');
        text
    }

    fn row(&self) -> Table {
        let mut table = Table::new(COLUMNS);
        let place = &self.place;
        table.push([
            self.severity.name().into(),
            self.kind.name().into(),
            place.group.as_deref().into(),
            place.topic.as_deref().into(),
            place.partition.into(),
            place.member.as_deref().into(),
            place.broker.map_or(Value::Null, |broker| broker.0.into()),
            place.address.as_deref().into(),
            self.seen.as_str().into(),
            self.advice().into(),
            self.millis.into(),
        ]);
        table
    }
}

const COLUMNS: &[&str] = &[
    "SEVERITY",
    "FINDING",
    "GROUP",
    "TOPIC",
    "PARTITION",
    "MEMBER",
    "BROKER",
    "ADDRESS",
    "SEEN",
    "DO",
    "MILLIS",
];

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = match (&self.topic, self.partition) {
            (Some(topic), Some(partition)) => Some(format!("{topic}-{partition}")),
            (Some(topic), None) => Some(format!("topic `{topic}`")),
            (None, _) => None,
        };
        let broker = match (self.broker, &self.address) {
            (Some(broker), Some(address)) => Some(format!("broker {} at {address}", broker.0)),
            (Some(broker), None) => Some(format!("broker {}", broker.0)),
            (None, address) => address.clone(),
        };
        let group = self.group.as_ref().map(|group| format!("group `{group}`"));
        let member = self.member.as_ref().map(|member| format!("member `{member}`"));
        let parts: Vec<String> = [group, member, at, broker].into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// Tells findings as they come, and in the end what they come to.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    errors: usize,
    warnings: usize,
    /// The first error.
    first: Option<Finding>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, errors: 0, warnings: 0, first: None }
    }

    pub(super) fn add(&mut self, finding: Finding) -> Result<(), Failure> {
        match self.json {
            true => finding.row().print(true)?,
            false => print(&finding.text())?,
        }
        match finding.severity {
            Severity::Error => {
                self.errors += 1;
                self.first.get_or_insert(finding);
            }
            Severity::Warning => self.warnings += 1,
            Severity::Ok | Severity::Info => {}
        }
        Ok(())
    }

    pub(super) fn add_all(&mut self, findings: impl IntoIterator<Item = Finding>) -> Result<(), Failure> {
        findings.into_iter().try_for_each(|finding| self.add(finding))
    }

    /// A failure, where there was any error.
    pub(super) fn end(self) -> Result<(), Failure> {
        let Some(first) = self.first else { return Ok(()) };
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let mut told = counted(self.errors, "error");
        if self.warnings > 0 {
            told = format!("{told}, {}", counted(self.warnings, "warning"));
        }
        let (name, place, seen, todo) = (first.kind.name(), first.place, first.seen, first.todo);
        let place = Some(place.to_string()).filter(|place| !place.is_empty());
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        Err(Failure::failed(format!("{told}; the first: {name}: {place}{seen}; {todo}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_told_with_its_place_and_what_would_move_a_cursor_is_shown() {
        let finding = Finding::new(Kind::MemberStuck, "stands").group("a\u{1b}[2J").member("m");
        let text = finding.text();
        assert!(
            text.starts_with("error    member-stuck: group `a\\u{1b}[2J`, member `m`: stands\n"),
            "{text}"
        );
        assert!(text.contains("\n         -> look at its process"), "{text}");
        let at = Finding::new(Kind::Broker, "answers").broker(NodeId(2)).address("h:1");
        assert_eq!(at.text(), "ok       broker: broker 2 at h:1: answers\n");
    }

    #[test]
    fn the_end_is_a_failure_where_there_was_an_error() {
        let mut report = Report::new(true);
        report.add(Finding::new(Kind::Slow, "slow")).unwrap();
        assert!(report.end().is_ok());
        let mut report = Report::new(true);
        report.add(Finding::new(Kind::Slow, "slow")).unwrap();
        report.add(Finding::new(Kind::Closed, "closed").address("h:1")).unwrap();
        let told = report.end().unwrap_err().to_string();
        assert!(told.starts_with("1 error, 1 warning; the first: closed: h:1: closed; check"), "{told}");
    }
}
