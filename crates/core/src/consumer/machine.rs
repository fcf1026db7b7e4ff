//! The consumer as a [`Machine`]: answers in, requests out.

use std::{sync::Arc, time::Instant};

use ottla_protocol::{Now, Response};

use super::{Consumer, Pending, add_offset, group_side::Brought, ops::OpFailure};
use crate::{
    connections::{Address, RefusedConnection, SetupStage},
    disconnected::Disconnected,
    event::Event,
    group::GroupNews,
    hub::Lost,
    ids::{ConnId, RequestId},
    lanes::{FetchState, Lane, LaneFailure, Search, Searched},
    log,
    machine::{Machine, Outbound, Reply},
    offsets::{Position, Purpose, ResetTo},
    sasl::Done,
};

impl<F: Clone> Machine for Consumer<F> {
    type Frame = F;

    fn handle_connected(&mut self, conn: ConnId, now: Now) {
        self.hub.handle_connected(conn, now);
    }

    fn handle_disconnected(&mut self, conn: ConnId, why: Disconnected, now: Now) {
        let lost = self.hub.handle_disconnected(conn, why, now);
        self.handle_lost(lost, now);
    }

    fn handle_reply(&mut self, conn: ConnId, reply: Reply<F>, now: Now) {
        let Some((pending, reply)) = self.hub.handle_reply(conn, reply, now) else { return };
        match (pending, reply.response) {
            (Pending::Lookup, Response::ListOffsets(response)) => {
                let found = self.lookups.handle_response(reply.id, response, &mut self.hub.metadata, now);
                for (at, purpose, result) in found {
                    self.handle_found(at, purpose, result, now);
                }
            }
            (Pending::Fetch(node), Response::Fetch(response)) => {
                if let Some(fetched) = reply.fetched {
                    self.fetcher.is_awaited = self.readers.is_any_polling();
                    let (lanes, metadata) = (&mut self.lanes, &mut self.hub.metadata);
                    self.fetcher.handle_response(node, reply.id, response, fetched, lanes, metadata, now);
                    self.hub.wake = true;
                }
            }
            (Pending::Validation(node), Response::OffsetForLeaderEpoch(response)) => {
                let (lanes, metadata) = (&mut self.lanes, &mut self.hub.metadata);
                let cuts = self.fetcher.handle_validated(node, reply.id, response, lanes, metadata, now);
                cuts.into_iter().for_each(|cut| self.truncated(cut, now));
            }
            (Pending::OpenTransactions(node), Response::DescribeProducers(response)) => {
                self.fetcher.handle_open_transactions(node, reply.id, response);
            }
            (Pending::Telemetry, response) => self.handle_telemetry(reply.id, &response, now),
            (Pending::Group(_), response) => self.handle_group_response(reply.id, response, now),
            _ => debug_assert!(false, "the answer is of another API than the request"),
        }
    }

    fn handle_done(&mut self, conn: ConnId, done: Done, now: Now) {
        self.hub.handle_done(conn, done, now);
    }

    fn handle_timeout(&mut self, now: Now) {
        let lost = self.hub.handle_timeout(now);
        self.handle_lost(lost, now);
    }

    fn poll_send(&mut self, now: Now) -> Option<Outbound> {
        self.hub.poll_send(now).or_else(|| {
            self.step(now);
            self.hub.poll_send(now)
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let mut earliest = self.hub.deadlines();
        self.lookups.deadlines(&mut earliest);
        self.ops.deadlines(&mut earliest);
        self.lanes.deadlines(&mut earliest);
        if let Some(group) = &self.group {
            group.deadlines(&mut earliest);
        }
        earliest.consider(self.overdue_at());
        if let Some(telemetry) = &self.telemetry {
            telemetry.deadlines(&mut earliest);
        }
        if let Some(closing) = &self.closing {
            closing.deadlines(&mut earliest);
        }
        earliest.get()
    }

    fn handle_released(&mut self, bytes: usize) {
        self.fetcher.released(bytes);
    }

    fn take_wake(&mut self) -> bool {
        let told = self.events.take_fresh();
        let due = self.group.as_mut().is_some_and(|group| group.callbacks.take_fresh());
        self.hub.take_wake() || told || due
    }

    fn take_stir(&mut self) -> bool {
        self.hub.take_stir() | self.readers.take_departure()
    }

    fn refusal(&self, now: Now) -> Option<RefusedConnection> {
        self.hub.refusal(now)
    }

    fn first_contact(&self, now: Now) -> Option<(Address, SetupStage)> {
        self.hub.metadata.first_contact(&self.hub.connections, now)
    }

    fn is_closed(&self) -> bool {
        self.close_is_done()
    }
}

impl<F: Clone> Consumer<F> {
    fn handle_lost(&mut self, lost: Vec<Lost<Pending>>, now: Now) {
        if !lost.is_empty() {
            self.wanted.forget();
        }
        for Lost { id, purpose, .. } in lost {
            match purpose {
                Pending::Lookup => self.lookups.handle_unanswered(id, &mut self.hub.metadata, now),
                Pending::Fetch(node) => {
                    self.fetcher.handle_unanswered(node, id, &mut self.lanes, &mut self.hub.metadata, now);
                }
                Pending::Validation(node) => {
                    let (lanes, metadata) = (&mut self.lanes, &mut self.hub.metadata);
                    self.fetcher.handle_not_validated(node, id, lanes, metadata, now);
                }
                Pending::OpenTransactions(node) => {
                    self.fetcher.handle_open_transactions_unanswered(node, id);
                }
                Pending::Telemetry => {
                    if let Some(telemetry) = &mut self.telemetry {
                        telemetry.handle_unanswered(id, now);
                    }
                }
                Pending::Group(asked) => {
                    if let Some(group) = &mut self.group {
                        if group.membership.is_heartbeat(id) {
                            group.handover.rebalances.failed_heartbeats += 1;
                            self.events.push(Event::HeartbeatFailed { error: None }, now);
                        }
                        group.handle_unanswered(id, asked, now);
                    }
                }
            }
        }
        self.hub.wake = true;
    }

    /// An answer that concerns the group.
    fn handle_group_response(&mut self, id: RequestId, response: Response, now: Now) {
        self.wanted.forget();
        let Some(group) = &mut self.group else { return };
        let of_coordinator = !matches!(response, Response::FindCoordinator(_));
        if let Some(error) = group.membership.refused_heartbeat(id, &response) {
            group.handover.rebalances.failed_heartbeats += 1;
            self.events.push(Event::HeartbeatFailed { error: Some(error) }, now);
        }
        let news = match group.handle_response(id, response, &mut self.hub.metadata, now) {
            Brought::News(news) => {
                self.hub.wake |= of_coordinator;
                news
            }
            Brought::Committed(found) => {
                self.hub.wake = true;
                let (lanes, ops) = (&mut self.lanes, &mut self.ops);
                group.take_committed(found, lanes, ops, self.reset, &self.hub.metadata, now);
                GroupNews::None
            }
            Brought::Settled(settled) => self.settle_commits(settled, now),
        };
        if let Some(group) = self.group.as_mut().filter(|_| of_coordinator) {
            group.coordinator.answered(&self.hub.metadata, now);
        }
        self.handle_group_news(news, now);
    }

    fn handle_found(
        &mut self,
        at: Arc<crate::TopicPartition>,
        purpose: Purpose,
        result: Result<Option<crate::offsets::OffsetAndTimestamp>, ottla_protocol::ErrorCode>,
        now: Now,
    ) {
        self.hub.wake = true;
        match (purpose, result) {
            (Purpose::Op(op), Ok(found)) => {
                self.ops.part(op, |so_far| add_offset(so_far, (*at).clone(), found))
            }
            (Purpose::Op(op), Err(error)) => self.ops.fail(op, OpFailure::Broker(error, Some((*at).clone()))),
            (Purpose::Lane(part, epoch), result) => {
                let counts = |lane: &&Lane<F>| lane.epoch == epoch && lane.phase().is_assigned();
                let Some(lane) = self.lanes.get(part).filter(counts) else { return };
                let FetchState::AwaitsReset(mut search) = lane.state else { return };
                if search.is_for_lost_position() && self.is_in_doubt(now) {
                    // It is asked again when the group has confirmed that the partition is still this member's.
                    self.lanes.change(part, |lane| lane.looking = false);
                    return;
                }
                if let (Search::Start { from }, Ok(found)) = (search, &result) {
                    let log_start = found.map_or(from, |found| found.offset);
                    let Some(to) = self.told_start(part, from, log_start, now) else { return };
                    search = Search::For(to);
                    if to != ResetTo::Earliest {
                        return self.lanes.place(part, FetchState::AwaitsReset(search), None, now.mono);
                    }
                }
                let Some(lane) = self.lanes.get(part) else { return };
                let (state, position, at_end) =
                    match result.map(|found| search.answered(found, self.lanes.plot)) {
                        Err(error) => (FetchState::failed(LaneFailure::Broker(error)), None, false),
                        Ok(Searched::Next(search)) => (FetchState::AwaitsReset(search), None, false),
                        Ok(Searched::Found { offset, leader_epoch, at_end }) => {
                            (FetchState::Fetching, Some(Position { offset, leader_epoch }), at_end)
                        }
                    };
                if let Some(Position { offset, .. }) = position {
                    let (partition, why) = (&lane.at, search.asks());
                    tracing::debug!(target: log::OFFSETS, %partition, offset, ?why, "position");
                }
                self.lanes.place(part, state, position, now.mono);
                self.lanes.bind(part, &self.hub.metadata);
                let began_at_end = position.filter(|_| at_end).map(|at| (at.offset, now.mono));
                // The leader has just told the position.
                let known = self.hub.metadata.partition(&at).map(|partition| partition.leader_epoch);
                self.lanes.change(part, |lane| {
                    (lane.began_at_end, lane.validated_in) = (began_at_end, known);
                });
            }
        }
    }
}
