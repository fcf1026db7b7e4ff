//! What can go wrong, one type an operation.
//!
//! Each has a `kind()` to match on, says whose [`Fault`] it is, where it happened ([`Context`]), and what to do next:
//! its text reads `where: what (detail); next action`. The table below is the one place of these texts.

use std::{error::Error as StdError, fmt, time::Duration};

use ottla_core::{Address, Disconnected, NodeId, TopicPartition};
use ottla_protocol::{ApiKey, ErrorCode};

use crate::driver::Ended;

/// Who can do something about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The program: a value, or a call out of place.
    Caller,
    /// The cluster, or the network to it.
    Cluster,
    /// The bytes that somebody produced.
    Data,
    /// This library, or the machine that it runs on.
    Client,
}

/// Where a failure happened, as far as it is known and matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The configuration property.
    pub property: Option<String>,
    /// The group.
    pub group: Option<String>,
    /// The topic, where no partition says it.
    pub topic: Option<String>,
    /// The partition.
    pub partition: Option<TopicPartition>,
    /// The offset in the partition.
    pub offset: Option<i64>,
    /// What was asked of a broker.
    pub api: Option<ApiKey>,
    /// The broker.
    pub node: Option<NodeId>,
    /// The broker's address.
    pub address: Option<Address>,
    /// The broker's answer.
    pub code: Option<ErrorCode>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.property.as_ref().map(|key| format!("`{key}`")),
            self.group.as_ref().map(|group| format!("group `{group}`")),
            self.topic.as_ref().map(|topic| format!("topic `{topic}`")),
            self.partition.as_ref().map(|partition| format!("partition {partition}")),
            self.offset.map(|offset| format!("offset {offset}")),
            self.api.map(|api| format!("{api:?}")),
            self.node.map(|node| format!("broker {node}")),
            self.address.as_ref().map(Address::to_string),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// What every error holds.
#[derive(Debug)]
struct Failure<K> {
    kind: K,
    context: Context,
    detail: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

macro_rules! errors {
    ($( $(#[$doc:meta])* $error:ident, $kind:ident {
        $( $(#[$variant_doc:meta])* $variant:ident = $fault:ident: $what:literal, $advice:literal; )*
    } )*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $error(Box<Failure<$kind>>);

        #[doc = concat!("What kind of [`", stringify!($error), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $kind {
            $( $(#[$variant_doc])* $variant, )*
        }

        impl $kind {
            /// Who can do something about it.
            pub const fn fault(self) -> Fault {
                match self { $( Self::$variant => Fault::$fault, )* }
            }

            const fn what(self) -> &'static str {
                match self { $( Self::$variant => $what, )* }
            }

            const fn advice(self) -> &'static str {
                match self { $( Self::$variant => $advice, )* }
            }
        }

        #[allow(dead_code, reason = "not every error has every kind of context")]
        impl $error {
            /// What to match on.
            pub fn kind(&self) -> $kind {
                self.0.kind
            }

            /// Where it happened.
            pub fn context(&self) -> &Context {
                &self.0.context
            }

            /// The broker's answer, where it was one.
            pub fn code(&self) -> Option<ErrorCode> {
                self.0.context.code
            }

            pub(crate) fn new(kind: $kind) -> Self {
                let (context, detail) = (Context::default(), String::new());
                Self(Box::new(Failure { kind, context, detail, source: None }))
            }

            pub(crate) fn property(mut self, key: impl Into<String>) -> Self {
                self.0.context.property = Some(key.into());
                self
            }

            pub(crate) fn group(mut self, group: impl Into<String>) -> Self {
                self.0.context.group = Some(group.into());
                self
            }

            pub(crate) fn topic(mut self, topic: impl Into<String>) -> Self {
                self.0.context.topic = Some(topic.into());
                self
            }

            pub(crate) fn partition(mut self, partition: impl Into<TopicPartition>) -> Self {
                self.0.context.partition = Some(partition.into());
                self
            }

            pub(crate) fn offset(mut self, offset: i64) -> Self {
                self.0.context.offset = Some(offset);
                self
            }

            pub(crate) fn api(mut self, api: ApiKey) -> Self {
                self.0.context.api = Some(api);
                self
            }

            pub(crate) fn node(mut self, node: NodeId) -> Self {
                self.0.context.node = Some(node);
                self
            }

            pub(crate) fn address(mut self, address: Address) -> Self {
                self.0.context.address = Some(address);
                self
            }

            pub(crate) fn broker(mut self, code: ErrorCode) -> Self {
                self.0.context.code = Some(code);
                self
            }

            pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
                self.0.detail = detail.into();
                self
            }

            /// The detail, with this before it.
            pub(crate) fn detail_before(mut self, text: impl fmt::Display) -> Self {
                self.0.detail = match self.0.detail.is_empty() {
                    true => text.to_string(),
                    false => format!("{text}: {}", self.0.detail),
                };
                self
            }

            pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
                self.0.source = Some(source.into());
                self
            }
        }

        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                display(&self.0, self.0.kind.what(), self.0.kind.advice(), f)
            }
        }

        impl StdError for $error {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                self.0.source.as_deref().map(|source| source as _)
            }
        }
    )*};
}

fn display<K>(failure: &Failure<K>, what: &str, advice: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let context = failure.context.to_string();
    if !context.is_empty() {
        write!(f, "{context}: ")?;
    }
    f.write_str(what)?;
    let code = failure.context.code.map(|code| format!("the broker says {code}"));
    let source = failure.source.as_ref().map(|source| source.to_string());
    let detail = Some(failure.detail.clone()).filter(|detail| !detail.is_empty());
    let reasons: Vec<String> = [detail, code, source].into_iter().flatten().collect();
    if !reasons.is_empty() {
        write!(f, " ({})", reasons.join("; "))?;
    }
    if !advice.is_empty() {
        write!(f, "; {advice}")?;
    }
    Ok(())
}

errors! {
    /// Why a client could not be built.
    BuildError, BuildErrorKind {
        /// Not a property of Kafka's, nor of this client.
        UnknownProperty = Caller: "unknown property", "";
        /// A property of another kind of client.
        ForeignProperty = Caller: "not this client's property", "leave it out";
        /// A property, or a value of one, that Kafka knows and this client does not support yet.
        UnsupportedProperty = Caller: "known to Kafka, not supported yet", "leave it out";
        /// A value that is not allowed, by itself or next to another.
        InvalidValue = Caller: "invalid value", "";
        /// A property without which there is nothing to build.
        MissingProperty = Caller: "not set", "";
        /// A properties file that cannot be read.
        InvalidFile = Caller: "cannot read the properties", "";
        /// No broker answered.
        Unreachable = Cluster: "no broker can be reached", "check bootstrap.servers, and that the brokers run";
        /// A broker refused.
        Broker = Cluster: "refused", "";
        /// The system gave no thread or socket to work with.
        Driver = Client: "the client cannot be started", "check the limits of the process";
    }

    /// Why no record could be received.
    RecvError, RecvErrorKind {
        /// There is nothing to receive from.
        NotSubscribed = Caller: "nothing is subscribed to or assigned", "subscribe or assign first";
        /// The partition to receive from is not this consumer's.
        NotAssigned = Caller: "not assigned to this consumer", "assign it, or wait for the group to do so";
        /// There is no committed offset, and the reset policy is `none`.
        NoOffset = Caller: "no committed offset, and auto.offset.reset is none", "seek to where to begin";
        /// The position is outside the log, and the reset policy is `none`.
        OutOfRange = Caller: "the position is outside the log, and auto.offset.reset is none",
            "seek to where to go on";
        /// A batch is damaged, and was still so when it was fetched again.
        Corrupt = Data: "a damaged batch", "seek past it, or have the topic's log repaired";
        /// A batch decompresses to more than is allowed.
        TooLarge = Data: "a batch beyond ottla.max.decompressed.batch.bytes",
            "raise it, or seek past the batch";
        /// The topic was deleted, or never was.
        UnknownTopic = Cluster: "no such topic", "create it, or check its name";
        /// The user stayed away longer than `max.poll.interval.ms`: the membership is lost.
        MaxPollExceeded = Caller: "not a member any more: max.poll.interval passed",
            "call again to rejoin; raise max_poll_interval or take fewer records at once";
        /// The coordinator refuses the consumer, and would again.
        Group = Cluster: "the group cannot be joined", "";
        /// A broker refused.
        Broker = Cluster: "refused", "";
        /// The consumer is closed.
        Closed = Caller: "the consumer is closed", "build another";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client: "the consumer's driver has ended", "build another consumer";
    }

    /// Why offsets could not be committed.
    CommitError, CommitErrorKind {
        /// There is no group to commit to.
        NoGroup = Caller: "no group to commit to", "set group.id";
        /// Other members own the partitions by now, or the group rebalances.
        NotMember = Cluster: "not a member of this generation any more",
            "receive again to rejoin; what was not committed is delivered again, perhaps to another member";
        /// Another member came with this `group.instance.id`: this one is out for good.
        Fenced = Caller: "another member came with this group.instance.id", "give each member an id of its own";
        /// The partition is not this consumer's.
        NotAssigned = Caller: "not assigned to this consumer", "commit only what it owns";
        /// Its topic, or the partition itself, is gone: its offset with it. What else was to be committed is.
        Gone = Caller: "there is no such partition any more", "commit what is left";
        /// No offset can be that.
        InvalidOffset = Caller: "not an offset", "commit the next offset to read, 0 or more";
        /// `default.api.timeout.ms` passed.
        TimedOut = Cluster: "no answer within default.api.timeout", "commit again";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker refused.
        Broker = Cluster: "refused", "";
        /// The consumer is closed.
        Closed = Caller: "the consumer is closed", "commit before the close";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client: "the consumer's driver has ended", "build another consumer";
    }

    /// Why a position could not be moved.
    SeekError, SeekErrorKind {
        /// The partition is not this consumer's.
        NotAssigned = Caller: "not assigned to this consumer", "assign it, or wait for the group to do so";
        /// No offset can be that.
        InvalidOffset = Caller: "not an offset", "seek to 0 or more";
        /// `default.api.timeout.ms` passed.
        TimedOut = Cluster: "no answer within default.api.timeout", "seek again";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker refused.
        Broker = Cluster: "refused", "";
        /// The consumer is closed.
        Closed = Caller: "the consumer is closed", "build another";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client: "the consumer's driver has ended", "build another consumer";
    }

    /// Why positions, or offsets of the log or the group, could not be told.
    OffsetsError, OffsetsErrorKind {
        /// The partition is not this consumer's.
        NotAssigned = Caller: "not assigned to this consumer", "assign it, or wait for the group to do so";
        /// There is no group whose offsets could be asked for.
        NoGroup = Caller: "no group whose offsets could be told", "set group.id";
        /// Other members own the partitions by now, or the group rebalances.
        NotMember = Cluster: "not a member of this generation any more", "receive again to rejoin";
        /// Another member came with this `group.instance.id`: this one is out for good.
        Fenced = Caller: "another member came with this group.instance.id", "give each member an id of its own";
        /// The topic or the partition does not exist.
        UnknownPartition = Caller: "no such partition", "create it, or check its name";
        /// `default.api.timeout.ms` passed.
        TimedOut = Cluster: "no answer within default.api.timeout", "ask again";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker refused.
        Broker = Cluster: "refused", "";
        /// The consumer is closed.
        Closed = Caller: "the consumer is closed", "build another";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client: "the consumer's driver has ended", "build another consumer";
    }

    /// Why a record was not sent.
    SendError, SendErrorKind {
        /// The record is larger than `max.request.size`, or than the topic takes.
        TooLarge = Caller: "the record is too large", "send a smaller one, or raise the limits of producer and topic";
        /// The topic does not exist, and was not created on asking.
        UnknownTopic = Cluster: "no such topic", "create it, or check its name";
        /// The topic has no partition of that number.
        UnknownPartition = Caller: "no such partition", "choose one that the topic has";
        /// No room came free in the buffer in time.
        BufferFull = Cluster: "no room in the buffer within max.block", "send more slowly, or raise buffer_memory";
        /// `delivery.timeout.ms` passed: the record may or may not be in the log.
        TimedOut = Cluster: "not acknowledged within delivery.timeout", "send again; it may be in the log already";
        /// `delivery.timeout.ms` passed before the record could be sent: it is not in the log.
        NotSent = Cluster: "not sent within delivery.timeout", "send again";
        /// The topic does not take the record as it is.
        InvalidRecord = Caller: "the topic does not take the record",
            "a compacted topic wants keys, and a topic may bound timestamps (message.timestamp.*.max.ms) and, from \
             Kafka 4.4 on, the size after decompression (max.decompressed.message.bytes)";
        /// No broker told about the topic in time.
        MetadataTimeout = Cluster: "no broker told about the topic within max.block", "check that the brokers run";
        /// No broker gives the producer an identity.
        Identity = Cluster: "no producer id", "";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker refused.
        Broker = Cluster: "refused", "";
        /// The producer is closed.
        Closed = Caller: "the producer is closed", "build another";
        /// The thread, or the runtime, that served the producer is gone.
        DriverEnded = Client: "the producer's driver has ended", "build another producer";
    }

    /// Why the cluster could not be asked or changed.
    AdminError, AdminErrorKind {
        /// The topic is there already.
        TopicExists = Caller: "the topic exists", "choose another name, or use it";
        /// The topic does not exist.
        UnknownTopic = Caller: "no such topic", "check its name";
        /// The group does not exist.
        UnknownGroup = Caller: "no such group", "check its name";
        /// A value that the broker does not take.
        InvalidRequest = Caller: "not a valid request", "";
        /// `default.api.timeout.ms` passed; what was asked for may be done all the same.
        TimedOut = Cluster: "no answer within default.api.timeout", "look whether it is done, and ask again";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker refused.
        Broker = Cluster: "refused", "";
        /// The client is closed.
        Closed = Caller: "the admin client is closed", "build another";
        /// The thread, or the runtime, that served the client is gone.
        DriverEnded = Client: "the admin client's driver has ended", "build another";
    }
}

macro_rules! from_ended {
    ($( $error:ident: $kind:ident; )*) => {$(
        impl From<Ended> for $error {
            fn from(_: Ended) -> Self {
                Self::new($kind::DriverEnded)
            }
        }
    )*};
}

from_ended! {
    RecvError: RecvErrorKind;
    CommitError: CommitErrorKind;
    SeekError: SeekErrorKind;
    OffsetsError: OffsetsErrorKind;
    SendError: SendErrorKind;
    AdminError: AdminErrorKind;
}

impl From<Ended> for BuildError {
    fn from(_: Ended) -> Self {
        Self::new(BuildErrorKind::Driver).detail("its driver ended")
    }
}

impl BuildError {
    /// The property that is wrong, where it is one.
    pub fn key(&self) -> Option<&str> {
        self.0.context.property.as_deref()
    }

    pub(crate) fn invalid(key: &str, value: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::new(BuildErrorKind::InvalidValue)
            .property(key)
            .detail(format!("`{value}`; expected {expected}"))
    }

    /// No broker answered: where it was tried, how long, and what came of the last attempt.
    pub(crate) fn unreachable(
        tried: &[Address],
        waited: Duration,
        last: Option<&(Address, Disconnected)>,
    ) -> Self {
        let tried: Vec<String> = tried.iter().map(Address::to_string).collect();
        let mut detail = format!("tried {} for {waited:.1?}", tried.join(", "));
        match last {
            Some((address, why)) => detail.push_str(&format!("; last {address}: {why}")),
            None => detail.push_str("; no answer"),
        }
        Self::new(BuildErrorKind::Unreachable).detail(detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_where_what_why_and_what_next() {
        let error = RecvError::new(RecvErrorKind::MaxPollExceeded).group("billing").detail("300 s");
        assert_eq!(
            error.to_string(),
            "group `billing`: not a member any more: max.poll.interval passed (300 s); call again to rejoin; raise \
             max_poll_interval or take fewer records at once"
        );
        assert_eq!(error.kind().fault(), Fault::Caller);
        let error = CommitError::new(CommitErrorKind::Broker)
            .group("billing")
            .partition(("orders", 3))
            .broker(ErrorCode::OffsetMetadataTooLarge);
        assert_eq!(
            error.to_string(),
            "group `billing`, partition orders-3: refused (the broker says OFFSET_METADATA_TOO_LARGE (12))"
        );
        assert_eq!(error.code(), Some(ErrorCode::OffsetMetadataTooLarge));
    }

    #[test]
    fn unreachable_names_every_address_the_time_and_the_last_failure() {
        let address = |port| Address { host: "localhost".to_owned(), port };
        let last = (address(1), Disconnected::Closed);
        let error = BuildError::unreachable(&[address(1), address(2)], Duration::from_secs(30), Some(&last));
        assert_eq!(
            error.to_string(),
            "no broker can be reached (tried localhost:1, localhost:2 for 30.0s; last localhost:1: the broker closed \
             the connection); check bootstrap.servers, and that the brokers run"
        );
    }

    #[test]
    fn a_source_is_kept_and_told() {
        let error = RecvError::new(RecvErrorKind::Corrupt).because(ErrorCode::CorruptMessage);
        assert!(error.source().is_some_and(|source| source.is::<ErrorCode>()));
        assert_eq!(
            error.to_string(),
            "a damaged batch (CORRUPT_MESSAGE (2)); seek past it, or have the topic's log repaired"
        );
    }
}
