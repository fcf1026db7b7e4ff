//! What can go wrong, one type an operation.
//!
//! Each has a `kind()` to match on, says whose [`Fault`] it is, where it happened ([`Context`]), and what to do next: its
//! text reads `where: what (detail); next action`. `is_retriable()` and `is_final()` tell what to do without knowing the
//! kinds:
//!
//! ```no_run
//! # async fn run(mut consumer: ottla::Consumer) -> Result<(), ottla::RecvError> {
//! loop {
//!     match consumer.recv().await {
//!         Ok(Some(record)) => println!("{:?}", record.value()),
//!         Ok(None) => return Ok(()),
//!         Err(error) if error.is_retriable() => eprintln!("{error:#}; going on"),
//!         Err(error) => return Err(error),
//!     }
//! }
//! # }
//! ```
//!
//! An error's text leaves out that of its `source()`, so that a report of the whole chain says each thing once; the
//! alternate form, `{error:#}`, is such a report in one line.
//!
//! Each kind's page tells whose fault it is, whether it is retriable or final, and what it says:
//! [`BuildErrorKind`], [`RecvErrorKind`], [`CommitErrorKind`], [`SeekErrorKind`], [`OffsetsErrorKind`], [`CloseErrorKind`],
//! [`ClientInstanceIdErrorKind`], [`ProcessErrorKind`], [`SendErrorKind`], [`AbortedErrorKind`], [`FatalErrorKind`], [`AdminErrorKind`]. Retriable: the same call may succeed later though nobody changes anything. Final: no
//! later call can; the client is to be built anew. Neither: it stands until somebody changes something.

// The table in this file is the one place of these texts.
mod define;
mod failure;
mod permission;
#[cfg(test)]
mod tests;

use std::{error::Error as StdError, fmt, time::Duration};

use ottla_core::{Address, Disconnected, RefusedConnection, TopicPartition};
use ottla_protocol::{ApiKey, ErrorCode};

pub(crate) use self::failure::Details;
pub use self::permission::{AclOperation, Permission, Resource};
use self::{
    define::{course, errors, told},
    failure::{Course, Facts, Failure},
};
use crate::shared::Ended;

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
    /// The broker's address.
    pub address: Option<Address>,
    /// The broker's answer.
    pub code: Option<ErrorCode>,
}

errors! {
    /// Why a client could not be built.
    BuildError, BuildErrorKind, needs Describe {
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
        Unreachable = Cluster, Passes: "no broker can be reached", "check bootstrap.servers, and that the brokers run";
        /// A broker and this client do not come together: the password, a certificate, or what listens there. The source tells.
        Connection = Caller: "the connection is refused", "trying again does not help before somebody changes something";
        /// The principal may not do that: [`missing_permission`](BuildError::missing_permission) tells what is to be granted.
        NotAuthorized = Caller: "not authorized", "have it granted, as by kafka-acls --add";
        /// A broker refused.
        Broker = Cluster, AsCoded: "refused", "";
        /// The system gave no thread or socket to work with.
        Driver = Client: "the client cannot be started", "check the limits of the process";
    }

    /// Why no record could be received.
    RecvError, RecvErrorKind, needs Read {
        /// There is nothing to receive from.
        NotSubscribed = Caller: "nothing is subscribed to or assigned", "subscribe or assign first";
        /// The partition to receive from is not this consumer's.
        NotAssigned = Caller: "not assigned to this consumer", "assign it, or wait for the group to do so";
        /// There is no committed offset, and the reset policy is `none`.
        NoOffset = Caller: "no committed offset, and auto.offset.reset is none", "seek to where to begin";
        /// The position is outside the log, and the reset policy is `none`.
        OutOfRange = Caller: "the position is outside the log, and auto.offset.reset is none",
            "seek to where to go on";
        /// The log was cut below the position, as another leader took over without what was read (KIP-320), and the reset policy is
        /// `none`.
        Truncated = Cluster: "the log was cut below the position, and auto.offset.reset is none",
            "undo what was done with the records that are gone, and seek to where the log parts from them";
        /// The topic was deleted and made anew under its name, and the reset policy is `none`.
        TopicRecreated = Caller: "the position is in a topic that was deleted and made anew, and auto.offset.reset is none",
            "seek to where to begin in the new one";
        /// A batch is damaged, and was still so when it was fetched again.
        Corrupt = Data: "a damaged batch", "seek past it, or have the topic's log repaired";
        /// A batch decompresses to more than is allowed.
        TooLarge = Data: "a batch beyond ottla.max.decompressed.batch.bytes",
            "raise it, or seek past the batch";
        /// The topic was deleted, or never was.
        UnknownTopic = Cluster: "no such topic", "create it, or check its name";
        /// The user stayed away longer than `max.poll.interval.ms`: the membership is lost.
        MaxPollExceeded = Caller, Passes: "not a member any more: max.poll.interval passed",
            "call again to rejoin; raise max_poll_interval or take fewer records at once";
        /// The coordinator refuses the consumer, and would again.
        Group = Cluster, Ends: "the group cannot be joined", "";
        /// A broker and this client do not come together: the password, a certificate, or what listens there. The source tells.
        Connection = Caller: "the connection is refused", "trying again does not help before somebody changes something";
        /// The principal may not do that: [`missing_permission`](RecvError::missing_permission) tells what is to be granted.
        NotAuthorized = Caller: "not authorized", "have it granted, as by kafka-acls --add";
        /// A broker refused.
        Broker = Cluster, AsCoded: "refused", "";
        /// The consumer is closed.
        Closed = Caller, Ends: "the consumer is closed", "build another";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client, Ends: "the consumer's driver has ended", "build another consumer";
    }

    /// Why offsets could not be committed.
    CommitError, CommitErrorKind, needs Read {
        /// There is no group to commit to.
        NoGroup = Caller: "no group to commit to", "set group.id";
        /// The member's generation (its epoch, under the consumer protocol) is over: the group rebalances, or took the member
        /// for dead. The next `recv` or `poll` settles it, and the partitions may be another member's by then.
        NotMember = Cluster: "not a member of this generation any more",
            "receive again to rejoin; what was not committed is delivered again, perhaps to another member";
        /// Another member came with this `group.instance.id`: this one is out for good.
        Fenced = Caller, Ends: "another member came with this group.instance.id", "give each member an id of its own";
        /// The partition is not this consumer's.
        NotAssigned = Caller: "not assigned to this consumer", "commit only what it owns";
        /// No topic can have this name.
        InvalidTopic = Caller: "no topic can have this name", "it is up to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`";
        /// Its topic, or the partition itself, is gone: its offset with it. What else was to be committed is.
        Gone = Caller: "there is no such partition any more", "commit what is left";
        /// No offset can be that.
        InvalidOffset = Caller: "not an offset", "commit the next offset to read, 0 or more";
        /// `default.api.timeout.ms` passed.
        TimedOut = Cluster, Passes: "no answer within default.api.timeout", "commit again";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker and this client do not come together: the password, a certificate, or what listens there. The source tells.
        Connection = Caller: "the connection is refused", "trying again does not help before somebody changes something";
        /// The principal may not do that: [`missing_permission`](CommitError::missing_permission) tells what is to be granted.
        NotAuthorized = Caller: "not authorized", "have it granted, as by kafka-acls --add";
        /// A broker refused.
        Broker = Cluster, AsCoded: "refused", "";
        /// The consumer is closed.
        Closed = Caller, Ends: "the consumer is closed", "commit before the close";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client, Ends: "the consumer's driver has ended", "build another consumer";
    }

    /// What a consumer's close could not do. The consumer is closed all the same.
    CloseError, CloseErrorKind, needs Read {
        /// Offsets of records that were done are not committed: the records are read again.
        NotCommitted = Cluster: "closed, but an offset is not committed", "the records since the commit before are read again";
        /// The coordinator was not told in time: it gives the partitions to nobody before the session is over.
        NotLeft = Cluster: "closed, but the group was not left in time", "its session ends by itself";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client, Ends: "the consumer's driver has ended", "its session ends by itself";
    }

    /// Why a processor has stopped although nobody asked it to.
    ProcessError, ProcessErrorKind, needs Read {
        /// The consumer could not be built: the source tells why.
        Build = Caller: "the consumer cannot be built", "";
        /// A record is hopeless: [`hopeless`](ProcessError::hopeless) has it. It is not committed, so it is read again.
        Record = Caller: "a record cannot be handled", "mend what handles it, or have such records skipped";
        /// The service of a `ServiceHandler` says that it takes no calls any more: the source tells why. No record has failed by
        /// that; what it did not take is read again.
        Service = Caller: "the service that handles records takes no calls any more", "build it anew";
        /// No records can be received: the source tells why.
        Receive = Cluster: "records cannot be received", "";
        /// What is done cannot be committed: the source tells why. It is done again.
        Commit = Cluster: "what is done cannot be committed", "what was done since the last commit is done again";
        /// A retry topic, or one for dead letters, is missing and cannot be made, or cannot be asked for: the source tells why.
        Topic = Caller: "a topic for records that are given up cannot be had", "create it, or have Describe and Create granted";
        /// Nothing can be written to retry topics and dead letters any more: the source tells why. What was not written is read again.
        GiveUp = Client: "no record can be given up any more", "";
        /// What is done, and what was written for it, cannot be committed in a transaction: the source tells why. It is done again, unless
        /// a newer producer has the `transactional.id`: its program has the work.
        Transaction = Cluster: "a transaction cannot be committed", "what was done since the last commit is done again";
        /// It was asked to stop, and has, but not in good order: the source tells what is left.
        Close = Cluster: "stopped, but not in good order", "";
    }

    /// Why a position could not be moved.
    SeekError, SeekErrorKind, needs Describe {
        /// The partition is not this consumer's.
        NotAssigned = Caller: "not assigned to this consumer", "assign it, or wait for the group to do so";
        /// No offset can be that.
        InvalidOffset = Caller: "not an offset", "seek to 0 or more";
        /// `default.api.timeout.ms` passed.
        TimedOut = Cluster, Passes: "no answer within default.api.timeout", "seek again";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker and this client do not come together: the password, a certificate, or what listens there. The source tells.
        Connection = Caller: "the connection is refused", "trying again does not help before somebody changes something";
        /// The principal may not do that: [`missing_permission`](SeekError::missing_permission) tells what is to be granted.
        NotAuthorized = Caller: "not authorized", "have it granted, as by kafka-acls --add";
        /// A broker refused.
        Broker = Cluster, AsCoded: "refused", "";
        /// The consumer is closed.
        Closed = Caller, Ends: "the consumer is closed", "build another";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client, Ends: "the consumer's driver has ended", "build another consumer";
    }

    /// Why positions, or offsets of the log or the group, could not be told.
    OffsetsError, OffsetsErrorKind, needs Describe {
        /// The partition is not this consumer's.
        NotAssigned = Caller: "not assigned to this consumer", "assign it, or wait for the group to do so";
        /// There is no group whose offsets could be asked for.
        NoGroup = Caller: "no group whose offsets could be told", "set group.id";
        /// Other members own the partitions by now, or the group rebalances.
        NotMember = Cluster: "not a member of this generation any more", "receive again to rejoin";
        /// Another member came with this `group.instance.id`: this one is out for good.
        Fenced = Caller, Ends: "another member came with this group.instance.id", "give each member an id of its own";
        /// No topic can have this name.
        InvalidTopic = Caller: "no topic can have this name", "it is up to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`";
        /// The topic or the partition does not exist.
        UnknownPartition = Caller: "no such partition", "create it, or check its name";
        /// `default.api.timeout.ms` passed.
        TimedOut = Cluster, Passes: "no answer within default.api.timeout", "ask again";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker and this client do not come together: the password, a certificate, or what listens there. The source tells.
        Connection = Caller: "the connection is refused", "trying again does not help before somebody changes something";
        /// The principal may not do that: [`missing_permission`](OffsetsError::missing_permission) tells what is to be granted.
        NotAuthorized = Caller: "not authorized", "have it granted, as by kafka-acls --add";
        /// A broker refused.
        Broker = Cluster, AsCoded: "refused", "";
        /// The consumer is closed.
        Closed = Caller, Ends: "the consumer is closed", "build another";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client, Ends: "the consumer's driver has ended", "build another consumer";
    }

    /// Why there is no id of the client's for the metrics that it pushes.
    ClientInstanceIdError, ClientInstanceIdErrorKind, needs Describe {
        /// `enable.metrics.push` is false.
        Disabled = Caller: "no metrics are pushed", "set enable.metrics.push";
        /// No broker has given an id in time. Those without a plug-in for clients' metrics give none.
        TimedOut = Cluster, Passes: "no broker has given an id in time", "check that the brokers have a plug-in for clients' metrics";
        /// The thread, or the runtime, that served the consumer is gone.
        DriverEnded = Client, Ends: "the consumer's driver has ended", "build another consumer";
    }

    /// Why a record was not sent.
    SendError, SendErrorKind, needs Write {
        /// The record is larger than `max.request.size`, or by itself larger than the topic takes (`max.message.bytes`).
        TooLarge = Caller: "the record is too large", "send a smaller one, or raise the limits of producer and topic";
        /// No topic can have this name.
        InvalidTopic = Caller: "no topic can have this name", "it is up to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`";
        /// The topic does not exist, and was not created on asking.
        UnknownTopic = Cluster: "no such topic", "create it, or check its name";
        /// The topic has no partition of that number.
        UnknownPartition = Caller: "no such partition", "choose one that the topic has";
        /// The program's partitioner panicked, or chose a partition that the topic does not have.
        NotPlaced = Caller: "the partitioner chose no partition of the topic", "mend it, or name the record's partition";
        /// No room came free in the buffer in time.
        BufferFull = Cluster, Passes: "no room in the buffer within max.block", "send more slowly, or raise buffer_memory";
        /// `delivery.timeout.ms` passed: the record may or may not be in the log.
        TimedOut = Cluster, Passes: "not acknowledged within delivery.timeout", "send again; it may be in the log already";
        /// `delivery.timeout.ms` passed before the record could be sent: it is not in the log.
        NotSent = Cluster, Passes: "not sent within delivery.timeout", "send again";
        /// Sent as often as `retries` allows: the record may or may not be in the log.
        RetriesExhausted = Cluster, Passes: "not acknowledged in the attempts that retries allows",
            "send again; it may be in the log already";
        /// The topic does not take the record as it is.
        InvalidRecord = Caller: "the topic does not take the record",
            "a compacted topic wants keys, and a topic may bound timestamps (message.timestamp.*.max.ms) and, from \
             Kafka 4.4 on, the size after decompression (max.decompressed.message.bytes)";
        /// No broker told about the topic in time.
        MetadataTimeout = Cluster, Passes: "no broker told about the topic within max.block", "check that the brokers run";
        /// The record's transaction was, or can only be, aborted: the source says why, where it was not asked for.
        Aborted = Cluster: "the record's transaction is aborted", "begin another, and do its work again";
        /// The record's transaction has ended.
        NoTransaction = Caller: "the transaction has ended", "begin another";
        /// The producer has no further transaction: the source says why.
        NoFurtherTransaction = Cluster, Ends: "the producer has no further transaction", "build another";
        /// No broker gives the producer an identity.
        Identity = Cluster, AsCoded: "no producer id", "";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker and this client do not come together: the password, a certificate, or what listens there. The source tells.
        Connection = Caller: "the connection is refused", "trying again does not help before somebody changes something";
        /// The principal may not do that: [`missing_permission`](SendError::missing_permission) tells what is to be granted.
        NotAuthorized = Caller: "not authorized", "have it granted, as by kafka-acls --add";
        /// A broker refused.
        Broker = Cluster, AsCoded: "refused", "";
        /// The producer is closed.
        Closed = Caller, Ends: "the producer is closed", "build another";
        /// The thread, or the runtime, that served the producer is gone.
        DriverEnded = Client, Ends: "the producer's driver has ended", "build another producer";
    }

    /// Why a transaction is aborted: none of it will be read by consumers of `read_committed`. Begin another, and do its
    /// work again.
    AbortedError, AbortedErrorKind, needs Write {
        /// A record of it was not delivered: the source says why.
        Record = Cluster, Passes: "a record of the transaction was not delivered", "begin another, and do its work again";
        /// The group has gone on without the member whose offsets these are: others own its partitions by now.
        NotMember = Cluster: "not a member of this generation any more",
            "receive again to rejoin; what was read is delivered again, perhaps to another member";
        /// Another member came with this `group.instance.id`.
        MemberFenced = Caller: "another member came with this group.instance.id", "give each member an id of its own";
        /// The group's coordinator did not take the offsets.
        Offsets = Cluster, AsCoded: "offsets of the transaction were not taken", "begin another, and do its work again";
        /// Offsets are of a topic that is deleted, or was made anew under its name since. They would skip records of that one.
        Gone = Cluster, Passes: "the topic that was read is deleted, or was made anew",
            "begin another without its records; what is there now is read from auto.offset.reset on";
        /// The coordinator does not add this partition to it.
        Partition = Caller: "the partition cannot be in a transaction", "check its name";
        /// Its coordinator has ended it: it was open for longer than `transaction.timeout.ms`, or a newer producer is claiming the
        /// `transactional.id` at this moment, in which case the next call tells that this one is [fenced](FatalErrorKind::Fenced).
        EndedByCoordinator = Caller, Passes: "open for longer than transaction.timeout, or about to be fenced",
            "end it sooner, or raise transaction_timeout; give each instance a transactional.id of its own";
        /// The principal may not do that: [`missing_permission`](AbortedError::missing_permission) tells what is to be granted.
        NotAuthorized = Caller: "not authorized", "have it granted, as by kafka-acls --add";
        /// A broker has it aborted.
        Broker = Cluster, Passes: "a broker has the transaction aborted", "begin another, and do its work again";
        /// It has ended already.
        Ended = Caller: "the transaction has ended", "begin another";
    }

    /// Why a producer has no further transaction: build another, where that makes sense.
    FatalError, FatalErrorKind, needs Write {
        /// A newer producer has the same `transactional.id`. Up to `transaction.version` 1 a transaction that was open for
        /// longer than `transaction.timeout.ms` looks the same.
        Fenced = Caller, Ends: "a newer producer has this transactional.id, or the transaction was open for too long",
            "give each instance an id of its own";
        /// As `Fenced`, and a commit was sent before that nobody has answered: it may have happened.
        FencedInDoubt = Caller, Ends: "a newer producer has this transactional.id, and the commit may have happened",
            "look at what was written; give each instance an id of its own";
        /// The principal may not do that: [`missing_permission`](FatalError::missing_permission) tells what is to be granted.
        NotAuthorized = Caller, Ends: "not authorized", "have it granted, as by kafka-acls --add";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster, Ends: "not supported by the broker", "";
        /// A broker and this client do not come together: the password, a certificate, or what listens there. The source tells.
        Connection = Caller, Ends: "the connection is refused",
            "trying again does not help before somebody changes something";
        /// The coordinator refuses.
        Broker = Cluster, Ends: "refused", "";
        /// The producer is closed.
        Closed = Caller, Ends: "the producer is closed", "build another";
        /// The thread, or the runtime, that served the producer is gone.
        DriverEnded = Client, Ends: "the producer's driver has ended", "build another producer";
    }

    /// What became of a transaction is not known yet. Its end goes on, and the next `begin` waits for it.
    UnansweredError, UnansweredErrorKind, needs Write {
        /// `max.block.ms` passed without an answer.
        TimedOut = Cluster, Passes: "no answer within max.block", "begin another, which waits for it";
    }

    /// Why the cluster could not be asked or changed.
    AdminError, AdminErrorKind, needs Describe {
        /// The topic is there already.
        TopicExists = Caller: "the topic exists", "choose another name, or use it";
        /// The topic does not exist.
        UnknownTopic = Caller: "no such topic", "check its name";
        /// The group does not exist.
        UnknownGroup = Caller: "no such group", "check its name";
        /// A value that the broker does not take.
        InvalidRequest = Caller: "not a valid request", "";
        /// `default.api.timeout.ms` passed; what was asked for may be done all the same.
        TimedOut = Cluster, Passes: "no answer within default.api.timeout", "look whether it is done, and ask again";
        /// No broker speaks a version of the protocol that is known here.
        Unsupported = Cluster: "not supported by the broker", "";
        /// A broker and this client do not come together: the password, a certificate, or what listens there. The source tells.
        Connection = Caller: "the connection is refused", "trying again does not help before somebody changes something";
        /// The principal may not do that: [`missing_permission`](AdminError::missing_permission) tells what is to be granted.
        NotAuthorized = Caller: "not authorized", "have it granted, as by kafka-acls --add";
        /// A broker refused.
        Broker = Cluster, AsCoded: "refused", "";
        /// The client is closed.
        Closed = Caller, Ends: "the admin client is closed", "build another";
        /// The thread, or the runtime, that served the client is gone.
        DriverEnded = Client, Ends: "the admin client's driver has ended", "build another";
    }
}

/// Why a transaction did not begin, or did not do what was asked of it. Its variants tell what to do.
#[derive(Debug)]
pub enum TransactionError {
    /// The transaction is aborted: begin another, and do its work again.
    Aborted(AbortedError),
    /// The producer has no further transaction: build another, where that makes sense.
    Fatal(FatalError),
    /// What became of it is not known yet: begin another, which waits for it.
    Unanswered(UnansweredError),
}

impl TransactionError {
    /// The one of the three that it is.
    fn inner(&self) -> &(dyn StdError + 'static) {
        match self {
            Self::Aborted(error) => error,
            Self::Fatal(error) => error,
            Self::Unanswered(error) => error,
        }
    }

    /// Whether the producer has no further transaction.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Fatal(_))
    }

    /// Whether another transaction may succeed although nobody changes anything.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Aborted(error) => error.is_retriable(),
            Self::Fatal(error) => error.is_retriable(),
            Self::Unanswered(error) => error.is_retriable(),
        }
    }
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner(), f)
    }
}

impl StdError for TransactionError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner().source()
    }
}

impl From<FatalError> for TransactionError {
    fn from(error: FatalError) -> Self {
        Self::Fatal(error)
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
    ClientInstanceIdError: ClientInstanceIdErrorKind;
    SendError: SendErrorKind;
    FatalError: FatalErrorKind;
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
        self.context().property.as_deref()
    }

    pub(crate) fn invalid(key: &str, value: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::new(BuildErrorKind::InvalidValue)
            .property(key)
            .detail(format!("`{value}`; expected {expected}"))
    }

    /// A broker that is needed has refused the connection for good.
    pub(crate) fn refused(refused: RefusedConnection) -> Self {
        Self::new(BuildErrorKind::Connection).refused_by(refused)
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
        let error = Self::new(BuildErrorKind::Unreachable).detail(detail);
        match last {
            Some((_, why)) => error.disconnected_by(why.clone()),
            None => error,
        }
    }
}
