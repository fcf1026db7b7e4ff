//! What drives one machine, as the client's driver does: frames in, frames out, one alarm.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use ottla_core::{
    ConnId, Disconnected, Fetched, HoldsBytes, Machine, Outbound, Reply, RequestId, Spans, spans,
};
use ottla_protocol::{ApiKey, Request, RequestHeader, Response, ResponseHeader};

use crate::{
    dice::secs,
    journal::{describe, describe_response},
    stage::{Event, LinkId, Stage, Who},
};

/// Bytes of a Fetch response, counted as long as somebody refers to them.
#[derive(Debug, Clone)]
pub(crate) struct Frame(Rc<Bytes>);

#[derive(Debug)]
struct Bytes {
    bytes: Vec<u8>,
    records: usize,
    memory: Rc<Memory>,
}

/// What a client's frames hold.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Bytes of record batches.
    pub(crate) records: Cell<usize>,
    /// Bytes that were dropped, and the machine not told yet.
    released: Cell<usize>,
}

impl Frame {
    fn new(bytes: Vec<u8>, records: usize, memory: &Rc<Memory>) -> Self {
        memory.records.set(memory.records.get() + records);
        Self(Rc::new(Bytes { bytes, records, memory: memory.clone() }))
    }
}

impl HoldsBytes for Frame {
    fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.memory.records.set(self.memory.records.get() - self.records);
        self.memory.released.set(self.memory.released.get() + self.bytes.len());
    }
}

/// A request that an answer is awaited to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    pub(crate) id: RequestId,
    pub(crate) key: ApiKey,
    pub(crate) sent: Duration,
    version: i16,
    /// Of a heartbeat or a commit.
    pub(crate) generation_id: i32,
}

#[derive(Debug)]
struct HostLink {
    link: LinkId,
    awaited: VecDeque<Awaited>,
}

/// How often a machine does something in one second of virtual time.
#[derive(Debug, Default)]
struct Rate {
    second: u64,
    turns: u32,
    sent: BTreeMap<ApiKey, u32>,
    connects: u32,
}

/// More than this in one second is a busy loop.
const MOST_TURNS: u32 = 10_000;
const MOST_OF_DATA: u32 = 2_000;
const MOST_REQUESTS: u32 = 150;

#[derive(Debug)]
pub(crate) struct Host<M> {
    pub(crate) who: Who,
    pub(crate) machine: M,
    pub(crate) memory: Rc<Memory>,
    links: BTreeMap<ConnId, HostLink>,
    alarm: Option<Duration>,
    rate: Rate,
    /// When a broker last refused its login.
    pub(crate) refused_at: Option<Duration>,
}

impl<M: Machine<Frame = Frame>> Host<M> {
    pub(crate) fn new(who: Who, machine: M) -> Self {
        let memory = Rc::default();
        let (links, rate) = (BTreeMap::new(), Rate::default());
        Self { who, machine, memory, links, alarm: None, rate, refused_at: None }
    }

    /// The beginning of a turn: what memory and the time bring in.
    pub(crate) fn begin(&mut self, stage: &mut Stage) {
        let now = stage.now();
        match self.memory.released.take() {
            0 => {}
            bytes => self.machine.handle_released(bytes),
        }
        if self.machine.poll_timeout().is_some_and(|deadline| deadline <= now.mono) {
            self.machine.handle_timeout(now);
        }
        let rate = self.rate(stage.time);
        rate.turns += 1;
        if rate.turns > MOST_TURNS {
            let who = self.who;
            stage.violate("no busy loop", || format!("{who} took {MOST_TURNS} turns in a second"));
        }
    }

    fn rate(&mut self, time: Duration) -> &mut Rate {
        if self.rate.second != time.as_secs() {
            self.rate = Rate { second: time.as_secs(), ..Rate::default() };
        }
        &mut self.rate
    }

    /// Carries out an effect.
    pub(crate) fn act(&mut self, effect: Outbound, stage: &mut Stage) {
        let who = self.who;
        match effect {
            Outbound::Connect { conn, host, .. } => {
                self.rate(stage.time).connects += 1;
                if self.rate.connects > MOST_REQUESTS {
                    stage.violate("no busy loop", || format!("{who} connects without a pause"));
                }
                stage.note(|| format!("{who} connects to {host} ({conn})"));
                let link = stage.connect(who, conn, &host);
                self.links.insert(conn, HostLink { link, awaited: VecDeque::new() });
            }
            Outbound::Send { conn, id, version, request } => {
                let key = request.key();
                let sent = self.rate(stage.time).sent.entry(key).or_default();
                *sent += 1;
                let most = match key {
                    // As often as the user reads, writes or commits.
                    ApiKey::Fetch | ApiKey::Produce | ApiKey::OffsetCommit => MOST_OF_DATA,
                    // Every few milliseconds while the end of the transaction before is being written.
                    ApiKey::AddPartitionsToTxn
                    | ApiKey::AddOffsetsToTxn
                    | ApiKey::TxnOffsetCommit
                    | ApiKey::EndTxn
                    | ApiKey::InitProducerId => MOST_OF_DATA,
                    _ => MOST_REQUESTS,
                };
                if *sent > most {
                    stage.violate("no busy loop", || format!("{who} sends {key:?} without a pause"));
                }
                let Some(link) = self.links.get_mut(&conn) else { return };
                stage.note(|| format!("{who} -> {conn} {}", describe(&request)));
                let generation_id = match &request {
                    Request::Heartbeat(heartbeat) => heartbeat.generation_id,
                    Request::ConsumerGroupHeartbeat(heartbeat) => heartbeat.member_epoch,
                    Request::OffsetCommit(commit) => commit.generation_id_or_member_epoch,
                    _ => -1,
                };
                let is_answered = request.is_answered();
                if is_answered {
                    link.awaited.push_back(Awaited { id, key, sent: stage.time, version, generation_id });
                }
                let client_id = Some(who.to_string());
                let header = RequestHeader { key, version, correlation_id: id.0, client_id };
                let mut frame = header.encode(&request);
                frame.drain(..4);
                stage.send_up(link.link, frame);
                if !is_answered {
                    self.machine.handle_written(conn, id, stage.now());
                }
            }
            Outbound::Run { conn, errand } => {
                stage.note(|| format!("{who} runs {errand:?}"));
                let now = stage.now();
                if let Some(security) = &mut stage.security {
                    let (takes, done) = security.run(errand, now);
                    stage.after(takes, Event::Done(who, conn, done));
                }
            }
            Outbound::Close { conn } => {
                stage.note(|| format!("{who} closes {conn}"));
                if let Some(link) = self.links.remove(&conn) {
                    stage.close_from_client(link.link);
                }
            }
        }
    }

    /// Whether a user's call, or memory that was given back, has the driver take a turn.
    pub(crate) fn is_stirred(&mut self) -> bool {
        self.machine.take_stir() || self.memory.released.get() > 0
    }

    /// The end of a turn: sets the alarm.
    pub(crate) fn end(&mut self, stage: &mut Stage) {
        let deadline = self.machine.poll_timeout();
        if deadline.is_some_and(|deadline| deadline <= stage.now().mono) {
            let who = self.who;
            stage.violate("no deadline in the past", || {
                format!("{who} has everything done, and wants more time")
            });
        }
        let deadline = deadline.map(|deadline| stage.time_of(deadline));
        if let Some(at) = deadline.filter(|_| deadline != self.alarm) {
            stage.schedule(at, Event::Alarm(self.who));
        }
        self.alarm = deadline;
    }

    /// Whether an alarm is the one that was set last.
    pub(crate) fn is_due(&self, time: Duration) -> bool {
        self.alarm == Some(time)
    }

    /// Reads a frame. A connection whose frames cannot be read is closed, and the machine told.
    pub(crate) fn decode(
        &mut self,
        conn: ConnId,
        frame: Vec<u8>,
        stage: &mut Stage,
    ) -> Option<(Awaited, Reply<Frame>)> {
        let who = self.who;
        let link = self.links.get_mut(&conn)?;
        let Some(awaited) = link.awaited.pop_front() else {
            stage.violate("answers are asked for", || format!("{who} got one on {conn}"));
            return None;
        };
        match ResponseHeader::decode(awaited.key, awaited.version, &frame) {
            Ok((header, response)) if header.correlation_id == awaited.id.0 => {
                stage.note(|| format!("{who} <- {conn} {}", describe_response(&response)));
                if matches!(&response, Response::SaslAuthenticate(answer) if !answer.error_code.is_ok()) {
                    self.refused_at = Some(stage.time);
                }
                let spans = spans(&response, &frame);
                let fetched = matches!(response, Response::Fetch(_)).then(|| {
                    let records = spans.iter().flatten().map(Spans::size).sum();
                    let size = frame.len();
                    Fetched { frame: Frame::new(frame, records, &self.memory), size, spans }
                });
                Some((awaited, Reply { id: awaited.id, response, fetched }))
            }
            Ok((header, _)) => {
                let id = header.correlation_id;
                stage.violate("answers come in order", || format!("{who} awaits {}, not {id}", awaited.id));
                None
            }
            Err(error) => {
                stage.note(|| format!("{who} <- {conn} {:?}: {error}", awaited.key));
                let link = self.links.remove(&conn)?;
                stage.close_from_client(link.link);
                self.machine.handle_disconnected(
                    conn,
                    Disconnected::Undecodable(awaited.key, error),
                    stage.now(),
                );
                None
            }
        }
    }

    /// A connection is over.
    pub(crate) fn disconnected(&mut self, conn: ConnId, why: Disconnected, stage: &mut Stage) {
        if self.links.remove(&conn).is_some() {
            let who = self.who;
            stage.note(|| format!("{who} loses {conn}: {why}"));
            self.machine.handle_disconnected(conn, why, stage.now());
        }
    }

    /// The process is gone: nobody closes anything.
    pub(crate) fn crash(&mut self, stage: &mut Stage) {
        self.alarm = None;
        for link in std::mem::take(&mut self.links).into_values() {
            // The peer of a process that was killed hears of it at once; of a machine that died, late.
            let wait = match stage.dice.chance(0.5) {
                true => Duration::from_millis(5),
                false => stage.dice.time(Duration::ZERO..=secs(10)),
            };
            stage.abandon(link.link, wait);
        }
    }

    /// The broker at the other end of a connection.
    pub(crate) fn node_of(&self, conn: ConnId, stage: &mut Stage) -> Option<i32> {
        let link = self.links.get(&conn)?.link;
        stage.link(link).map(|link| link.node)
    }

    pub(crate) fn is_connected(&self) -> bool {
        !self.links.is_empty()
    }
}
