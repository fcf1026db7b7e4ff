//! A reading handle: the core's reader, and what waits for it.

use std::{fmt, sync::Arc, time::Duration};

use ottla_core::{
    Filter, GroupFailure, LaneFailure, Look, ReadFailure, ReaderConfig, TopicPartition, bounded,
};
use ottla_protocol::{ErrorCode, codec::DecodeErrorKind};

use super::{Committed, Core, Interceptors, OwnedRecord, Records, listener::Listening, parking::Parking};
use crate::{
    config::ConsumerConfig,
    error::{Details as _, RecvError, RecvErrorKind},
    net::frame_pool::Frame,
    shared::Shared,
};

/// One of several handles that read for one consumer: what [`Consumer::reader`](super::Consumer::reader) returns.
///
/// A consumer and its readers share its partitions among themselves as records come, and may run in different tasks and
/// threads. A partition is with one of them at a time, from the records that it takes until its user comes back for more,
/// so that each partition is handled in order. A rebalance waits for the readers that have records of what is revoked, and
/// for no others. Each reader that has records must be asked for more within
/// [`max_poll_interval`](crate::ConsumerBuilder::max_poll_interval).
///
/// A reader that is dropped gives back what its user has not come back from: others are handed it again
/// ([`close`](Self::close) says that it is done). Readers that are left when the consumer closes are told that this is the
/// end; what they have in hand then is not committed: close them first.
pub struct Reader {
    pub(super) shared: Arc<Shared<Core>>,
    pub(super) reading: ottla_core::Reader<Arc<Frame>>,
    pub(super) listening: Arc<Listening>,
    pub(super) settings: Arc<Settings>,
    /// A poll has returned nothing because the consumer is closed.
    told_closed: bool,
}

/// What all readers of a consumer have in common.
#[derive(Debug)]
pub(super) struct Settings {
    group: Option<String>,
    reading: ReaderConfig,
    pub(super) max_poll_records: usize,
    pub(super) api_timeout: Duration,
    interceptors: Interceptors,
}

impl Settings {
    pub(super) fn new(config: &ConsumerConfig) -> Self {
        Self {
            group: config.group.as_ref().map(|group| group.id.clone()),
            reading: ReaderConfig {
                check_crcs: config.check_crcs,
                max_decompressed: config.max_decompressed_batch_bytes,
            },
            max_poll_records: config.max_poll_records,
            api_timeout: config.common.default_api_timeout,
            interceptors: config.interceptors.clone(),
        }
    }
}

/// What came of a wait.
enum Step {
    /// A call of the listener was given up, and is to go on.
    Listen,
    /// This has been committed.
    Tell(Committed),
    Look(Look),
}

impl Reader {
    pub(super) fn new(
        shared: &Arc<Shared<Core>>,
        listening: Arc<Listening>,
        settings: Arc<Settings>,
    ) -> Self {
        let mut reading = shared.with(|core, now| ottla_core::Reader::new(core, settings.reading, now));
        if !settings.interceptors.is_empty() {
            reading.look_at_each();
        }
        Self { shared: shared.clone(), reading, listening, settings, told_closed: false }
    }

    /// One more reader of the same consumer, in whose calls no listener is told.
    pub(crate) fn silent(&self) -> Self {
        let mut reader = self.reader();
        reader.reading.leave_callbacks();
        reader
    }

    /// Whether the consumer still has a partition that it has handed out records of: it was not taken away meanwhile.
    pub(crate) fn has(&self, partition: &TopicPartition) -> bool {
        self.shared.inspect(|core| self.reading.has(partition, core))
    }

    /// The end of a partition's log when it was last fetched.
    pub(crate) fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.inspect(|core| core.high_watermark(partition))
    }

    /// One more reader of the same consumer.
    pub fn reader(&self) -> Self {
        Self::new(&self.shared, self.listening.clone(), self.settings.clone())
    }

    /// As [`Consumer::recv`](super::Consumer::recv).
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv`](super::Consumer::recv).
    #[inline]
    pub async fn recv(&mut self) -> Result<Option<OwnedRecord>, RecvError> {
        match self.at_hand() {
            Some(record) => Ok(Some(record)),
            None => self.next(&Filter::All).await,
        }
    }

    /// As [`Consumer::recv_from`](super::Consumer::recv_from).
    ///
    /// # Errors
    ///
    /// As [`Consumer::recv`](super::Consumer::recv).
    pub async fn recv_from<P: Into<TopicPartition>>(
        &mut self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<Option<OwnedRecord>, RecvError> {
        let filter = Filter::Only(partitions.into_iter().map(Into::into).collect());
        if self.reading.has_at_hand(&filter)
            && let Some(record) = self.at_hand()
        {
            return Ok(Some(record));
        }
        self.next(&filter).await
    }

    /// Says that the user is done with all that was handed out, and ends the reader. What it has not handed out yet goes to
    /// the others.
    pub fn close(mut self) {
        let reading = &mut self.reading;
        self.shared.with(|core, now| reading.sync(core, true, now));
    }

    /// The next record, if it is at hand.
    #[inline]
    pub(super) fn at_hand(&mut self) -> Option<OwnedRecord> {
        self.reading.next_at_hand().map(OwnedRecord)
    }

    /// The next record, as soon as there is one. `None` when the consumer is closed.
    pub(super) async fn next(&mut self, filter: &Filter) -> Result<Option<OwnedRecord>, RecvError> {
        let shared = self.shared.clone();
        let parking = Parking::new(&shared, self.reading.id());
        let next = loop {
            match self.look(filter).await? {
                Look::Tell(callback) => self.listening.begin(&shared, callback),
                Look::Failed(failure) => break Err(self.error(failure)),
                Look::NotSubscribed => break Err(RecvError::new(RecvErrorKind::NotSubscribed)),
                Look::Closed => break Ok(None),
                Look::Read => {
                    if let Some(record) = self.reading.advance().map(OwnedRecord) {
                        self.settings.interceptors.on_consume(record.borrowed());
                        break Ok(Some(record));
                    }
                }
            }
        };
        parking.leave();
        next
    }

    /// Whether more can come: neither the consumer nor a [`Closer`](super::Closer) of it has closed it.
    pub fn is_open(&self) -> bool {
        self.shared.inspect(|core| !core.is_stopped())
    }

    /// Up to `most` records, as soon as there are any; none when the time is over, and once when the consumer is closed.
    pub(super) async fn gather(
        &mut self,
        filter: &Filter,
        most: usize,
        timeout: Duration,
    ) -> Result<Records, RecvError> {
        let mut records = ottla_core::Records::default();
        let shared = self.shared.clone();
        let parking = Parking::new(&shared, self.reading.id());
        let deadline = tokio::time::Instant::now() + bounded(timeout);
        while self.reading.has_room(&records, most) {
            let look = if records.is_empty() {
                match tokio::time::timeout_at(deadline, self.look(filter)).await {
                    Ok(look) => look?,
                    Err(_) => break,
                }
            } else {
                // What was gathered is in hand: only what can be had at once is added.
                match shared.with(|core, _| self.reading.take_more(core, filter)) {
                    true => Look::Read,
                    false => break,
                }
            };
            match look {
                Look::Tell(callback) => self.listening.begin(&shared, callback),
                Look::Failed(failure) => return Err(self.error(failure)),
                Look::NotSubscribed => return Err(RecvError::new(RecvErrorKind::NotSubscribed)),
                // A loop that does not ask whether the consumer is open would spin; otherwise its first poll ends in order.
                Look::Closed if self.told_closed => return Err(RecvError::new(RecvErrorKind::Closed)),
                Look::Closed => {
                    self.told_closed = records.is_empty();
                    break;
                }
                Look::Read => self.reading.fill(&mut records, most),
            }
        }
        if !records.is_empty() {
            parking.leave();
        }
        let records = Records(records);
        if !self.settings.interceptors.is_empty() {
            records.iter().for_each(|record| self.settings.interceptors.on_consume(record));
        }
        Ok(records)
    }

    /// Tells the interceptors what has been committed.
    pub(super) fn tell_committed(&self) {
        let interceptors = &self.settings.interceptors;
        if !interceptors.is_empty()
            && let Some(committed) = self.shared.with(|core, _| core.take_committed())
        {
            interceptors.on_commit(&committed);
        }
    }

    /// What is next, once the listener has been told what it is to be told.
    async fn look(&mut self, filter: &Filter) -> Result<Look, RecvError> {
        loop {
            let tells = self.reading.tells();
            if tells {
                self.listening.finish(&self.shared, self.reading.id()).await;
            }
            let (reading, listening) = (&mut self.reading, &self.listening);
            let step = self.shared.wait(|core, now| match tells && listening.is_interrupted() {
                true => Some(Step::Listen),
                false => match core.take_committed() {
                    Some(committed) => Some(Step::Tell(committed)),
                    None => reading.look(core, filter, now).map(Step::Look),
                },
            });
            match step.await? {
                Step::Look(look) => return Ok(look),
                Step::Tell(committed) => self.settings.interceptors.on_commit(&committed),
                Step::Listen => {}
            }
        }
    }

    fn error(&self, failure: ReadFailure) -> RecvError {
        let group = |error: RecvError| match &self.settings.group {
            Some(group) => error.group(group.clone()),
            None => error,
        };
        match failure {
            ReadFailure::Group(GroupFailure::MaxPollExceeded(interval)) => {
                group(RecvError::new(RecvErrorKind::MaxPollExceeded)).detail(format!("{interval:.1?}"))
            }
            ReadFailure::Group(GroupFailure::Refused(code)) => {
                group(RecvError::new(RecvErrorKind::Group)).broker(code).detail(refusal(code))
            }
            ReadFailure::Group(_) => group(RecvError::new(RecvErrorKind::Group)),
            ReadFailure::NotAuthorized(topic) => RecvError::new(RecvErrorKind::NotAuthorized)
                .topic(topic)
                .broker(ErrorCode::TopicAuthorizationFailed),
            ReadFailure::Connection(refused) => RecvError::new(RecvErrorKind::Connection).refused_by(refused),
            ReadFailure::Lane(at, failure) => match failure {
                LaneFailure::Corrupt { offset, error } => {
                    let kind = match error.kind {
                        DecodeErrorKind::TooLarge { .. } => RecvErrorKind::TooLarge,
                        _ => RecvErrorKind::Corrupt,
                    };
                    RecvError::new(kind).partition(at).offset(offset).because(error)
                }
                LaneFailure::OutOfRange { offset, log_start } => {
                    let error = RecvError::new(RecvErrorKind::OutOfRange).partition(at).offset(offset);
                    match log_start.saturating_sub(offset) {
                        deleted @ 1.. => error.detail(format!(
                            "the log begins at {log_start}: {deleted} offsets were deleted before they were read"
                        )),
                        _ => error.detail(format!("the log begins at {log_start}")),
                    }
                }
                LaneFailure::Truncated { position, diverged_at } => {
                    let error =
                        RecvError::new(RecvErrorKind::Truncated).partition(at).offset(position.offset);
                    match diverged_at {
                        Some(end) => error.detail(format!(
                            "what was read from offset {} on, {} offsets, is not in the log of the new leader",
                            end.offset,
                            position.offset.saturating_sub(end.offset)
                        )),
                        None => error.detail("the new leader cannot tell where"),
                    }
                }
                LaneFailure::Recreated { offset } => {
                    RecvError::new(RecvErrorKind::TopicRecreated).partition(at).offset(offset)
                }
                LaneFailure::NoOffset => RecvError::new(RecvErrorKind::NoOffset).partition(at),
                LaneFailure::Broker(code) | LaneFailure::NotAuthorized(code) => {
                    group(RecvError::new(RecvErrorKind::Broker)).partition(at).broker(code)
                }
                other => RecvError::new(RecvErrorKind::Broker).partition(at).detail(other.to_string()),
            },
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let reading = &mut self.reading;
        self.shared.with(|core, now| reading.close(core, now));
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("id", &self.reading.id()).finish_non_exhaustive()
    }
}

/// What a coordinator means, where its code alone does not say what to change.
fn refusal(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InconsistentGroupProtocol => {
            "its members are of another kind, or share no assignor with this one: use another group"
        }
        ErrorCode::InvalidSessionTimeout => "session.timeout.ms is outside of what the broker allows",
        ErrorCode::GroupMaxSizeReached => "it has as many members as the broker allows",
        ErrorCode::FencedInstanceId => "another member came with this group.instance.id: each needs its own",
        ErrorCode::UnreleasedInstanceId => {
            "a member with this group.instance.id is there: each needs its own, or let its session end"
        }
        ErrorCode::UnsupportedAssignor => "the broker has no such group.remote.assignor",
        ErrorCode::InvalidRegularExpression => "the broker cannot read the pattern subscribed to (RE2/J)",
        _ => "",
    }
}
