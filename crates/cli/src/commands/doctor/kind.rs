//! The table of what can be found: how bad it is, and what to do about it.

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
    pub(super) const fn name(self) -> &'static str {
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
            pub(super) const fn todo(self) -> &'static str {
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
        "look at its process: a handler that hangs or fails again and again, records that cannot be read, or commits that are never made; `Consumer::explain` tells what it waits for (here, where it offers a socket: --explain PATH)";
    Explained = "explained", Info, "";
    NotCommitting = "not-committing", Error,
        "look at its process: it has the partition and commits nothing. enable.auto.commit may be off, or its handler fails at the first record";
    MemberIdle = "member-idle", Info, "give the topic more partitions, or run fewer members";
    PartitionUnowned = "partition-unowned", Warning,
        "nobody reads it: members that were there before the partition see it within metadata.max.age.ms; else restart them one by one, and look at the assignor";
    LagGrows = "lag-grows", Warning,
        "it is read more slowly than it is written: more members, more partitions or a faster handler; where one partition has most of it, look at how its keys are spread; a quota (consumer_byte_rate) may hold its members back";
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
}
