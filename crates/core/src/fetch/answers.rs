//! What a broker answers to a fetch, and where it goes.

use std::{num::NonZeroU64, sync::Arc};

use ottla_protocol::{ApiKey, ErrorCode, Now, messages::FetchResponse};

use super::{
    Fetcher, Span,
    refusals::{damaged, diverges, follow, follower_failed, leave, partition_failed, put_off, tell_refused},
    session::Asked,
};
use crate::{
    ids::{NodeId, PartIdx, RequestId},
    lanes::{Lanes, LogEnd, Slice},
    log::{self, ByError, refused},
    machine::Fetched,
    metadata::Metadata,
    offsets::known_epoch,
    planted::Planted,
};

impl Fetcher {
    /// Takes a broker's answer: slices go to their lanes, and errors to the parts that they concern.
    #[expect(clippy::too_many_arguments, reason = "a fetch touches every part that it passes through")]
    pub(crate) fn handle_response<F: Clone>(
        &mut self,
        node: NodeId,
        id: RequestId,
        response: FetchResponse,
        fetched: Fetched<F>,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        now: Now,
    ) {
        self.held += fetched.size;
        self.fetched += fetched.size as u64;
        self.responses += 1;
        let Some(broker) = self.brokers.get_mut(&node) else { return };
        let Some(fetch) = broker.in_flight.take_if(|fetch| fetch.id == id) else { return };
        let first = self.config.read_ahead;
        let took = now.mono.saturating_duration_since(fetch.since);
        self.latency += took;
        self.recent.add(took);
        if self.is_awaited && fetch.reserved >= broker.window.size(first) {
            broker.window.was_awaited(fetched.size, first, took, now);
        }
        broker.session.answered(response.error_code, response.session_id);
        let before = std::mem::replace(&mut broker.refused, response.error_code.ok().err());
        // Of what the fetch before asked in the same way its answer told nothing new.
        let still = broker.told.take();
        broker.told = response.error_code.is_ok().then_some(now.mono);
        if !response.error_code.is_ok() {
            if before != broker.refused {
                tell_refused(node, response.error_code);
            }
            if response.error_code.is_stale_metadata()
                || response.error_code == ErrorCode::FetchSessionTopicIdError
            {
                metadata.request_update();
            }
            // A session that the broker has lost is opened anew at once; anything else would be answered again.
            let lost_session = matches!(
                response.error_code,
                ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch
            );
            if !lost_session {
                leave(&broker.session, node, lanes, now);
                put_off(&broker.session, Some(response.error_code), lanes, now);
            }
            return;
        }
        for hint in &response.node_endpoints {
            metadata.learn_endpoint(hint.node_id, &hint.host, hint.port);
        }
        let mut spans = fetched.spans.into_iter();
        let mut refused = ByError::new(tracing::enabled!(target: log::FETCH, tracing::Level::INFO));
        for topic in response.responses {
            for partition in topic.partitions {
                let spans = spans.next();
                let asked = broker.session.find(topic.topic_id, &topic.topic, partition.partition_index);
                let asked = asked.map(|(part, asked)| (part, Arc::clone(asked)));
                let counts = |(part, asked): &(PartIdx, Arc<Asked>)| {
                    lanes
                        .get(*part)
                        .is_some_and(|lane| lane.epoch == asked.epoch && lane.phase().is_assigned())
                };
                // A partition that was not asked for is the broker's mistake. Its records are dropped.
                let Some((part, asked)) = asked.filter(counts) else {
                    lanes.wasted += partition.records.as_ref().map_or(0, |records| records.len()) as u64;
                    continue;
                };
                let Asked { epoch, offset, topic_id, leader_epoch, .. } = *asked;
                let follower =
                    Some(NodeId(partition.preferred_read_replica)).filter(|id| id.0 >= 0 && *id != node);
                if let (ErrorCode::None, Some(follower)) = (partition.error_code, follower) {
                    follow(part, follower, lanes, metadata, now);
                }
                let diverging = partition.error_code.is_ok() && partition.diverging_epoch.epoch >= 0;
                if diverging && lanes.follows(part, node) {
                    // A follower that lags behind has not heard of the record's epoch: the leader is asked.
                    follower_failed(part, node, ErrorCode::OffsetOutOfRange, lanes, metadata, now);
                } else if diverging {
                    diverges(part, offset, &partition, lanes, now);
                } else if partition.error_code.is_ok() {
                    let of_log = LogEnd::told(&partition, self.config.isolation, now.mono);
                    let slice = |span: Span, aborted, stamps, start| Slice {
                        part,
                        epoch,
                        broker: node,
                        topic_id,
                        frame: fetched.frame.clone(),
                        bytes: span.start..span.end,
                        start,
                        next: span.next,
                        leader_epoch: known_epoch(span.leader_epoch),
                        aborted,
                        stamps,
                    };
                    match spans.map(|spans| spans.and_then(|spans| spans.leading_on(offset))) {
                        Some(Ok(mut spans)) => {
                            let mut stamps = spans.take_stamps();
                            let brings = spans.iter().next().is_some();
                            lanes.change(part, |lane| {
                                lane.see_end(of_log, still.filter(|_| !broker.session.has_named(part)));
                                lane.validated_in = known_epoch(leader_epoch).or(lane.validated_in);
                                if brings {
                                    lane.served = NonZeroU64::new(self.responses);
                                }
                                lane.attempts.reset();
                                lane.looked_up = false;
                                if !brings && of_log.is_passed(offset) {
                                    // The broker does not hold such a fetch: it would be asked again at once.
                                    lane.attempts.put_off_by(self.config.max_wait, now);
                                }
                            });
                            let mut aborted = spans.aborted().filter(|_| self.config.filters(self.plot));
                            let mut start = offset;
                            // Batches that end before the position bring no record.
                            for span in spans.iter().filter(|span| span.next > offset) {
                                let stamps = std::mem::take(&mut stamps);
                                lanes.push(slice(span, aborted.cloned(), stamps, start), now.mono);
                                start = span.next;
                                if self.plot.has(Planted::OnlyTheFirstBatchIsFiltered) {
                                    aborted = None;
                                }
                            }
                        }
                        Some(Err(error)) => damaged(part, epoch, offset, error, lanes, now),
                        None => {}
                    }
                } else {
                    let error = partition.error_code;
                    // OFFSET_OUT_OF_RANGE is told with the reset, which follows when the buffered records are read.
                    if let Some(lane) = lanes.get(part)
                        && lane.attempts.is_news(error)
                        && error != ErrorCode::OffsetOutOfRange
                    {
                        refused.add(error, &lane.at);
                    }
                    if lanes.follows(part, node) {
                        follower_failed(part, node, error, lanes, metadata, now);
                        continue;
                    }
                    partition_failed(part, &partition, lanes, metadata, self.plot, now);
                }
            }
        }
        refused.tell(|error, partitions| {
            refused!(log::FETCH, ApiKey::Fetch, error, node = node.0, %partitions);
        });
    }

    /// A fetch will not be answered.
    pub(crate) fn handle_unanswered<F>(
        &mut self,
        node: NodeId,
        id: RequestId,
        lanes: &mut Lanes<F>,
        metadata: &mut Metadata,
        now: Now,
    ) {
        let Some(broker) = self.brokers.get_mut(&node) else { return };
        if broker.in_flight.take_if(|fetch| fetch.id == id).is_some() {
            broker.session.disconnected();
            metadata.request_update();
            leave(&broker.session, node, lanes, now);
            put_off(&broker.session, None, lanes, now);
        }
    }
}
