//! A member's driver: its turns, and what is looked at of all that the machine sends and hears.

use ottla_core::{ConnId, Consumer, Machine as _, Outbound, Reply, RequestId};
use ottla_protocol::{Request, Response};

use crate::{
    client::Client,
    host::{Awaited, Frame, Host},
    member::Member,
    stage::Stage,
    truth::Truth,
};

/// More than this at one moment is a busy loop.
const MOST_ROUNDS: u32 = 200;

impl Member {
    /// The user's calls are over: the driver takes a turn only if they have stirred the machine.
    pub(crate) fn called(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if self.user.is_gone() {
            return;
        }
        self.drain_events(stage);
        self.look_at_positions(stage, truth);
        if self.host.is_stirred() || self.users_look(stage, truth) {
            self.turn(stage, truth);
        }
    }

    /// Those who wait look again, as often as they are woken. Returns whether that leaves something to the driver.
    fn users_look(&mut self, stage: &mut Stage, truth: &mut Truth) -> bool {
        for _ in 0..MOST_ROUNDS {
            if !self.host.machine.take_wake() || !self.woken(stage, truth) {
                return self.host.is_stirred();
            }
            if self.host.is_stirred() {
                return true;
            }
        }
        let who = self.who;
        stage.violate("no busy loop", || format!("the users of {who} wake each other for ever"));
        false
    }

    fn sends(&mut self, id: RequestId, request: &Request, stage: &mut Stage, truth: &mut Truth) {
        match request {
            Request::Fetch(fetch) => self.check_leader_epochs(fetch, stage),
            Request::OffsetForLeaderEpoch(asked) => self.check_validated_epochs(asked, stage),
            Request::OffsetCommit(commit) => self.check_commit(commit, stage, truth),
            _ => self.membership.sends(id, request, stage, truth),
        }
    }
}

impl Client for Member {
    type Machine = Consumer<Frame>;

    fn host(&mut self) -> &mut Host<Consumer<Frame>> {
        &mut self.host
    }

    fn turn(&mut self, stage: &mut Stage, truth: &mut Truth) {
        if self.user.is_gone() {
            return;
        }
        for round in 0.. {
            if round > MOST_ROUNDS || stage.violation.is_some() {
                let who = self.who;
                stage.violate("no busy loop", || format!("{who} and its user wake each other for ever"));
                return;
            }
            let now = stage.now();
            self.host.begin(stage);
            self.drain_events(stage);
            while let Some(effect) = self.host.machine.poll_send(now) {
                self.drain_events(stage);
                self.look_at_positions(stage, truth);
                if let Outbound::Send { id, request, .. } = &effect {
                    self.sends(*id, request, stage, truth);
                }
                self.host.act(effect, stage);
            }
            self.drain_events(stage);
            self.look_at_positions(stage, truth);
            if self.host.machine.is_closed() {
                return self.gone(stage);
            }
            // What was stirred by now has been carried out.
            _ = self.host.machine.take_stir();
            if !self.users_look(stage, truth) {
                break;
            }
        }
        self.host.end(stage);
        self.volume.holds(self.host.memory.records.get(), stage);
    }

    fn hear(
        &mut self,
        conn: ConnId,
        awaited: Awaited,
        reply: Reply<Frame>,
        stage: &mut Stage,
        truth: &mut Truth,
    ) {
        if let Response::OffsetCommit(commit) = &reply.response {
            self.commits.settle(commit, truth);
        }
        let user = (&self.owned, self.user.closed);
        self.membership.observe(awaited, &reply.response, user, stage.time, truth);
        if let Response::Fetch(fetch) = &reply.response {
            self.check_turns(conn, fetch, stage, truth);
        }
        let spans = reply.fetched.iter().flat_map(|fetched| fetched.spans.iter().flatten());
        self.volume.receives(spans.map(ottla_core::Spans::size).sum(), stage);
        self.host.machine.handle_reply(conn, reply, stage.now());
        if self.host.machine.take_wake() {
            self.drain_events(stage);
            self.woken(stage, truth);
        }
    }
}
