//! What was found: how bad it is, where, what was seen, and what to do about it.

use std::fmt::Write as _;

use ottla::{TopicPartition, admin::NodeId};
use serde_json::Value;

use crate::{
    failure::Failure,
    output::{Table, harmless, print},
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It was looked at, and nothing is wrong.
    Ok,
    /// Worth knowing.
    Info,
    /// It may be wrong, or soon be.
    Warning,
    /// Something does not work.
    Error,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! kinds {
    ($( $kind:ident = $name:literal, $severity:ident, $todo:literal; )*) => {
        /// What kind of finding it is. Its name is a contract: scripts look for it, and docs/doctor.md has its row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Kind { $( $kind, )* }

        impl Kind {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$( Self::$kind, )*];

            pub(super) const fn name(self) -> &'static str {
                match self { $( Self::$kind => $name, )* }
            }

            pub(super) const fn severity(self) -> Severity {
                match self { $( Self::$kind => Severity::$severity, )* }
            }

            /// What to do, where nothing that was seen says it better.
            const fn todo(self) -> &'static str {
                match self { $( Self::$kind => $todo, )* }
            }
        }
    };
}

kinds! {
    Bootstrap = "bootstrap", Ok, "";
    Broker = "broker", Ok, "";
    Unresolved = "unresolved", Error, "check the name in bootstrap.servers, and this machine's name service";
    Unreachable = "unreachable", Error,
        "check host and port in bootstrap.servers, that the broker runs and listens there, and that no firewall is between";
    PartlyUnreachable = "partly-unreachable", Info,
        "clients try each address of a name in turn: have the name resolve to those where the broker listens";
    Silent = "silent", Error,
        "something takes connections there and says nothing: a broker that hangs or starts up, a proxy without a broker behind it, or no broker";
    Closed = "closed", Error,
        "check the port, and security.protocol: a listener for TLS or SASL closes who speaks plainly";
    NotKafka = "not-kafka", Error, "check the port, and security.protocol";
    Tls = "tls", Error, "check the certificates, and the ssl.* properties";
    Sasl = "sasl", Error, "check sasl.mechanism, the user and the password";
    Refused = "refused", Error, "look at the broker's log";
    Slow = "slow", Warning,
        "a quota of this user or client (request_percentage), a busy broker, or a long way to it: look at the broker's request times and quotas";
    OtherCluster = "other-cluster", Error, "name brokers of one cluster only in bootstrap.servers";
    AdvertisedLoopback = "advertised-loopback", Error,
        "set advertised.listeners of this broker to a name or address by which clients reach it: `localhost` is every client's own machine";
    AdvertisedUnresolved = "advertised-unresolved", Error,
        "set advertised.listeners of this broker to a name that clients can resolve, or have the name resolve here";
    AdvertisedUnreachable = "advertised-unreachable", Error,
        "start this broker; if it runs, set its advertised.listeners to where clients reach it, and let them through";
    AdvertisedOther = "advertised-other", Error,
        "set advertised.listeners so that each broker has an address of its own, and mend proxies and port mappings";
    Versions = "versions", Ok, "";
    VersionsDiffer = "versions-differ", Info,
        "as it should be while brokers are being upgraded, one by one; else upgrade those that are behind";
    VersionsMissing = "versions-missing", Error,
        "upgrade the brokers, or use a client of their time: no version of these APIs is spoken by both";
    Features = "features", Ok, "";
    NotAsked = "not-asked", Info, "";
    Permission = "permission", Error, "have it granted, as by kafka-acls --add";
    NotAnswered = "not-answered", Error, "look at this broker: its log, its disks, its load";
    Clock = "clock", Ok, "";
    ClockSkew = "clock-skew", Warning,
        "have both machines keep the time (NTP): retention, timestamps, tokens and certificates go by it";
    ClockUnknown = "clock-unknown", Info, "";
    NoLeader = "no-leader", Error,
        "start a broker that has a replica in sync; what only others have is lost by an unclean election";
    UnderMinIsr = "under-min-isr", Error,
        "start the brokers that are missing in the ISR, or lower min.insync.replicas where it is more than the replicas: until then producers with acks=all are refused";
    UnderReplicated = "under-replicated", Warning,
        "start the brokers that are missing in the ISR, or look why they do not keep up";
    Topics = "topics", Ok, "";
    Group = "group", Ok, "";
    GroupMissing = "group-missing", Error,
        "check its name: `ottla groups list` shows those that there are. One without members and commits is removed in time";
    Rebalancing = "rebalancing", Warning, "look again: partitions are changing hands";
    RebalanceStuck = "rebalance-stuck", Error,
        "look at these members: one that is in its handler, or hangs, keeps all others waiting until max.poll.interval.ms is over";
    MembersComeAndGo = "members-come-and-go", Warning,
        "look why: crashes, session.timeout.ms or max.poll.interval.ms that are too short for what handlers do, or a deployment that is under way";
    NoMembers = "no-members", Warning,
        "start its consumers, or delete the group if nobody wants it any more";
    MemberStuck = "member-stuck", Error,
        "look at its process: a handler that hangs or fails again and again, records that cannot be read, or commits that are never made; `Consumer::explain` tells what it waits for";
    NotCommitting = "not-committing", Error,
        "look at its process: it has the partition and commits nothing. enable.auto.commit may be off, or its handler fails at the first record";
    MemberIdle = "member-idle", Info, "give the topic more partitions, or run fewer members";
    PartitionUnowned = "partition-unowned", Error,
        "nobody reads it: members that were there before the partition see it within metadata.max.age.ms; else restart them one by one, and look at the assignor";
    LagGrows = "lag-grows", Warning,
        "it is read more slowly than it is written: more members, more partitions or a faster handler; where one partition has most of it, look at how its keys are spread";
    Rewound = "rewound", Warning,
        "somebody reset the group, or a member began behind: what was done in between is done again";
    BeforeBegin = "before-begin", Error,
        "records were deleted before they were read, as by retention.ms: members go on by auto.offset.reset. Move it on purpose: `ottla groups reset-offsets`";
    BeyondEnd = "beyond-end", Error,
        "the topic was made anew or its log was cut: members go on by auto.offset.reset. Move it on purpose: `ottla groups reset-offsets`";
    TopicGone = "topic-gone", Error, "create the topic, or mend its name in the subscription";
    CommitOfGone = "commit-of-gone", Info,
        "nobody reads it: `ottla groups delete-offsets` removes what is left";
    OpenTransaction = "open-transaction", Warning,
        "end it in its producer, which may hang in the midst of its work; its coordinator aborts it at the latest when transaction.timeout.ms is over";
    HangingTransaction = "hanging-transaction", Error,
        "no coordinator knows of it, so nothing ends it: abort it, as by `kafka-transactions.sh abort --topic T --partition P --start-offset N`, or `Admin::abort_transaction`";
    LogUnknown = "log-unknown", Error, "look at the partition's leader";
}

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
        Err(Failure::failed(harmless(&format!("{told}; the first: {name}: {place}{seen}; {todo}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_each_finding_with_its_severity_and_no_other() {
        let page = include_str!("../../../../../docs/doctor.md");
        let rows: Vec<(&str, &str)> = page
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| `")?.split(" | ");
                let name = cells.next()?.strip_suffix('`')?;
                Some((name, cells.next()?.split([' ', ',']).next()?))
            })
            .collect();
        let expected: Vec<(&str, &str)> =
            Kind::ALL.iter().map(|kind| (kind.name(), kind.severity().name())).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn whatever_is_wrong_says_what_to_do() {
        for kind in Kind::ALL.iter().filter(|kind| kind.severity() >= Severity::Warning) {
            assert!(!kind.todo().is_empty(), "{}", kind.name());
        }
    }

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
