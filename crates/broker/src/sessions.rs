//! Fetch sessions (KIP-227): what a client fetches, remembered between its requests, so that it sends only what changed
//! and is answered only what is new.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ottla_protocol::{
    ErrorCode,
    messages::{FetchPartition, FetchPartitionResponse, FetchRequest},
};

use crate::{
    planted::{Planted, Plot},
    topics::TopicKey,
};

/// The epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that wants none.
const FINAL_EPOCH: i32 = -1;
/// Kafka's `min.incremental.fetch.session.eviction.ms`: a session not used for so long may give way to a new one.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

/// One partition in a fetch.
#[derive(Debug, Clone)]
pub(crate) struct FetchPart {
    pub(crate) topic: TopicKey,
    pub(crate) index: i32,
    pub(crate) fetch_offset: i64,
    pub(crate) max_bytes: usize,
    pub(crate) leader_epoch: i32,
    /// Of the record before the offset; -1 where the client does not know it.
    pub(crate) last_fetched_epoch: i32,
    /// The high watermark that the client was told last; -1 for none.
    told_high_watermark: i64,
    told_log_start: i64,
}

/// The sessions of one broker.
#[derive(Debug, Default)]
pub(crate) struct FetchSessions {
    open: BTreeMap<i32, Session>,
}

#[derive(Debug)]
pub(crate) struct Session {
    epoch: i32,
    by_id: bool,
    last_used: Instant,
    /// In the order in which they are read; what returned records goes to the end.
    pub(crate) parts: Vec<FetchPart>,
}

/// What a fetch is about.
#[derive(Debug)]
pub(crate) enum Plan {
    /// The partitions that the request lists; then, perhaps, a session of them is opened.
    Full { parts: Vec<FetchPart>, opens: bool },
    /// What has changed in a session.
    Incremental(i32),
}

impl FetchSessions {
    /// Reads a request's part about sessions.
    pub(crate) fn plan(
        &mut self,
        request: &FetchRequest,
        by_id: bool,
        plot: Plot,
        now: Instant,
    ) -> Result<Plan, ErrorCode> {
        let (id, epoch) = (request.session_id, request.session_epoch);
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.open.remove(&id);
            let mut seen = BTreeSet::new();
            let parts = parts(request, by_id).filter(|part| seen.insert((part.topic.clone(), part.index)));
            return Ok(Plan::Full { parts: parts.collect(), opens: epoch == INITIAL_EPOCH });
        }
        let session = self.open.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.update(request, plot);
        if session.parts.is_empty() {
            self.open.remove(&id);
            return Ok(Plan::Full { parts: Vec::new(), opens: false });
        }
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        session.last_used = now;
        Ok(Plan::Incremental(id))
    }

    pub(crate) fn find(&mut self, id: i32) -> Option<&mut Session> {
        self.open.get_mut(&id)
    }

    /// Opens a session that was asked for. Returns its id: 0 where there is no room.
    pub(crate) fn open(
        &mut self,
        parts: Vec<FetchPart>,
        by_id: bool,
        limit: usize,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> i32 {
        if self.open.len() >= limit && !self.evict(now) {
            return 0;
        }
        let mut id = rng.i32(1..);
        while self.open.contains_key(&id) {
            id = rng.i32(1..);
        }
        self.open.insert(id, Session { epoch: INITIAL_EPOCH + 1, by_id, last_used: now, parts });
        id
    }

    /// Closes the session that was not used for the longest time, if that was long enough.
    fn evict(&mut self, now: Instant) -> bool {
        let oldest = self.open.iter().min_by_key(|(_, session)| session.last_used);
        let Some(id) = oldest
            .filter(|(_, session)| now.saturating_duration_since(session.last_used) > EVICTABLE_AFTER)
            .map(|(&id, _)| id)
        else {
            return false;
        };
        self.open.remove(&id).is_some()
    }
}

impl Session {
    fn update(&mut self, request: &FetchRequest, plot: Plot) {
        if !request.forgotten_topics_data.is_empty() {
            let forgotten: BTreeSet<(TopicKey, i32)> = (request.forgotten_topics_data.iter())
                .flat_map(|topic| {
                    let key = TopicKey::of(&topic.topic, topic.topic_id, self.by_id);
                    topic.partitions.iter().map(move |&index| (key.clone(), index))
                })
                .collect();
            self.parts.retain(|part| !forgotten.contains(&(part.topic.clone(), part.index)));
        }
        if request.topics.is_empty() {
            return;
        }
        let mut changed: BTreeMap<(TopicKey, i32), FetchPart> =
            parts(request, self.by_id).map(|part| ((part.topic.clone(), part.index), part)).collect();
        for part in &mut self.parts {
            if let Some(asked) = changed.remove(&(part.topic.clone(), part.index)) {
                if !plot.has(Planted::SessionKeepsOldPosition) {
                    part.fetch_offset = asked.fetch_offset;
                }
                part.max_bytes = asked.max_bytes;
                part.leader_epoch = asked.leader_epoch;
                part.last_fetched_epoch = asked.last_fetched_epoch;
            }
        }
        let added =
            parts(request, self.by_id).filter_map(|part| changed.remove(&(part.topic.clone(), part.index)));
        self.parts.extend(added);
    }
}

/// The partitions that a request lists.
fn parts(request: &FetchRequest, by_id: bool) -> impl Iterator<Item = FetchPart> {
    request.topics.iter().flat_map(move |topic| {
        let key = TopicKey::of(&topic.topic, topic.topic_id, by_id);
        topic.partitions.iter().map(move |asked| FetchPart::new(key.clone(), asked))
    })
}

impl FetchPart {
    fn new(topic: TopicKey, asked: &FetchPartition) -> Self {
        Self {
            topic,
            index: asked.partition,
            fetch_offset: asked.fetch_offset,
            max_bytes: usize::try_from(asked.partition_max_bytes).unwrap_or(0),
            leader_epoch: asked.current_leader_epoch,
            last_fetched_epoch: asked.last_fetched_epoch,
            told_high_watermark: -1,
            told_log_start: -1,
        }
    }

    /// Whether an answer tells the client anything new; it is remembered as told.
    pub(crate) fn tell(&mut self, answer: &FetchPartitionResponse) -> bool {
        let failed = !answer.error_code.is_ok();
        let news = failed
            || answer.preferred_read_replica >= 0
            || answer.records.as_ref().is_some_and(|records| !records.is_empty())
            || answer.diverging_epoch.epoch >= 0
            || self.told_high_watermark != answer.high_watermark
            || self.told_log_start != answer.log_start_offset;
        // After an error the next good answer is news.
        self.told_high_watermark = if failed { -1 } else { answer.high_watermark };
        self.told_log_start = answer.log_start_offset;
        news
    }
}
