//! A consumer: the machines of this crate put together, and the operations that users call.
//!
//! The parts are plain structures, and know nothing of the consumer: it calls each of them with the other parts that it
//! needs. That is all it does, in four files. `calls.rs` has the calls of users, `reading.rs` those of readers; answers
//! come in through the [`Machine`](crate::Machine) in `machine.rs`; everything that is due is done in one place,
//! [`Consumer::step`] in `step.rs`.

mod callbacks;
mod calls;
mod closing;
mod commits;
mod config;
mod explain;
mod group_side;
mod handover;
mod health;
mod machine;
mod ops;
mod positions;
mod readers;
mod reading;
mod reasons;
mod rebalances;
mod refusals;
mod stats;
mod step;
mod subscription;
mod telemetry;
#[cfg(test)]
mod tests;
mod wanted;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_protocol::{Now, Timestamp};

use crate::{
    backoff::Backoff,
    event::Events,
    fetch::Fetcher,
    group::GroupFailure,
    hub::Hub,
    ids::{NodeId, OpId, TopicPartition},
    lanes::Lanes,
    offsets::{AutoCommit, CommittedOffset, Lookups, OffsetAndTimestamp, ResetPolicy, ResetTo},
    telemetry::Telemetry,
};

pub use callbacks::Callback;
pub use closing::{CloseKind, Farewell};
pub use config::ConsumerConfig;
pub use health::{Health, Stall, StallReason, health_of_nobody, stall_of_handlers};
pub use ops::{OpFailure, Outcome};
pub use reading::ReadFailure;
pub use reasons::{CommitReason, Explanation, GroupReason, Reason};
pub use stats::{BufferStats, ConsumerStats, PartitionStats, PollStats, RebalanceStats, RecordStats};
pub use subscription::{Subscription, SubscriptionError};
pub use telemetry::MetricsPushIsOff;

use group_side::GroupSide;
use ops::Ops;

/// Where to go on reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekTo {
    /// At this offset.
    Offset(i64),
    /// At the log's start.
    Beginning,
    /// At the log's end.
    End,
    /// At the first record that is no older than this; at the log's end if there is none.
    Timestamp(Timestamp),
}

impl SeekTo {
    /// What the log is to be asked; the offset itself where it need not be.
    fn search(self) -> Result<ResetTo, i64> {
        match self {
            Self::Offset(offset) => Err(offset),
            Self::Beginning => Ok(ResetTo::Earliest),
            Self::End => Ok(ResetTo::Latest),
            Self::Timestamp(at) => Ok(ResetTo::Timestamp(at)),
        }
    }
}

/// A consumer's state. `F` keeps the bytes of fetched records alive.
#[derive(Debug)]
pub struct Consumer<F> {
    hub: Hub<Pending>,
    group: Option<GroupSide>,
    lanes: Lanes<F>,
    fetcher: Fetcher,
    lookups: Lookups,
    ops: Ops,
    /// The commits whose outcomes are told in this order.
    commits_asked: BTreeSet<OpId>,
    /// Topics whose partitions this member reads by itself: those of the same numbers of these topics make them its own.
    behind: BTreeMap<String, String>,
    /// What was committed and nobody has taken yet; `None` where nobody does.
    committed: Option<BTreeMap<TopicPartition, CommittedOffset>>,
    events: Events,
    /// Of an assignment it names no partitions: they are the lanes that are assigned.
    subscription: Subscription,
    manual_topics: BTreeSet<String>,
    wanted: wanted::WantedTopics,
    reset: ResetPolicy,
    api_timeout: Duration,
    retry_backoff: Backoff,
    readers: readers::Readers,
    /// The revision of the metadata in which the topics' ids were looked at last.
    topics_seen: Option<u64>,
    /// The failure that the user's next call is to return.
    failure: Option<GroupFailure>,
    /// The refused connection that the next call that reads is to tell.
    refused: Option<refusals::Untold>,
    /// No record is handed out any more.
    stopped: bool,
    closing: Option<closing::Closing>,
    troubles: health::Troubles,
    /// `None` where the user wants no metrics pushed.
    telemetry: Option<Telemetry>,
}

/// Which part of the consumer waits for the answer to a request.
#[derive(Debug, Clone, Copy)]
enum Pending {
    Lookup,
    Fetch(NodeId),
    Validation(NodeId),
    OpenTransactions(NodeId),
    Group(group_side::Asked),
    Telemetry,
}

impl<F: Clone> Consumer<F> {
    /// A consumer that has connected to nothing, and reads nothing yet.
    pub fn new(config: ConsumerConfig, now: Now) -> Self {
        let mut seeds = fastrand::Rng::with_seed(config.seed);
        let backoff = config.retry_backoff;
        let auto_commit = config.auto_commit;
        let auto_commit = auto_commit.map(|every| AutoCommit::new(every, config.auto_commit_records, now));
        let group = config
            .group
            .map(|group| GroupSide::new(group, auto_commit, config.listener, backoff, seeds.u64(..), now));
        let hub = Hub::new(config.connections, config.metadata, config.seeds, &mut seeds, now);
        let lanes = Lanes::new(backoff, seeds.u64(..));
        Self {
            hub,
            group,
            lanes,
            lookups: Lookups::new(backoff, config.fetch.isolation, config.fetch.at_first, seeds.u64(..)),
            fetcher: Fetcher::new(config.fetch),
            ops: Ops::default(),
            commits_asked: BTreeSet::new(),
            behind: BTreeMap::new(),
            committed: None,
            events: Events::default(),
            subscription: Subscription::None,
            manual_topics: BTreeSet::new(),
            wanted: wanted::WantedTopics::new(),
            reset: config.reset,
            api_timeout: config.api_timeout,
            retry_backoff: backoff,
            readers: readers::Readers::new(),
            topics_seen: None,
            failure: None,
            refused: None,
            stopped: false,
            closing: None,
            troubles: health::Troubles::default(),
            telemetry: config.metrics_push.then(|| Telemetry::new(seeds.u64(..), now)),
        }
    }

    /// Switches a bug on.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: crate::Planted) {
        let plot = crate::planted::Plot(Some(bug));
        self.lanes.plot = plot;
        self.fetcher.plot = plot;
        (self.lookups.plot, self.hub.metadata.plot) = (plot, plot);
        if let Some(group) = &mut self.group {
            group.plant(plot);
        }
    }
}

fn add_offset(so_far: &mut Outcome, at: TopicPartition, found: Option<OffsetAndTimestamp>) {
    if let Outcome::Offsets(offsets) = so_far {
        offsets.insert(at, found);
    }
}
