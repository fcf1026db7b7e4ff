//! The state of all logical brokers, and the way of a request through it.
//!
//! The world comes in by `handle_*`, effects go out by `poll_*`; time is an argument. A request is served at once, or
//! held by what it waits for: records (`api/fetch.rs`) or members (`groups/`). Each connection has one request served
//! at a time, so whoever holds one remembers its connection only.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use fastrand::Rng;
use ottla_protocol::{ApiKey, Now, RequestHeader, Response, ResponseHeader, TopicId, codec::RecordData};

use crate::{
    Config, ConnId, Fault, Faults, Refusal, TopicSpec,
    api::{self, Outcome, fetch::Fetching},
    client_metrics::Received,
    connections::{Asked, Connections, Doing},
    faults::Forced,
    groups::Groups,
    nodes::Nodes,
    planted::Plot,
    security::{ANONYMOUS, Credentials, Session},
    storage::{Entry, Journal},
    topics::Topics,
    transactions::Transactions,
};

/// One or several logical brokers: see the crate's documentation.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) config: Config,
    pub(crate) id: String,
    pub(crate) rng: Rng,
    pub(crate) nodes: Nodes,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    pub(crate) plot: Plot,
    /// Fetches that wait for records.
    pub(crate) waiting: BTreeMap<ConnId, Fetching>,
    /// Whether waiting fetches may have something to read, or to fail on.
    pub(crate) logs_changed: bool,
    pub(crate) connections: Connections,
    /// On a cluster with SASL.
    pub(crate) credentials: Option<Credentials>,
    faults: Faults,
    pub(crate) pushed: Received,
    /// How many processes have had the data directory, this one included.
    pub(crate) times_opened: i32,
    /// Where everything is kept, if anywhere.
    pub(crate) journal: Option<Journal>,
    pub(crate) output: VecDeque<Output>,
}

/// What the cluster wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes, a whole frame with its length in front.
    Reply {
        /// Where.
        conn: ConnId,
        /// The bytes.
        frame: Vec<u8>,
    },
    /// Close this connection. No word of it is expected back.
    Close {
        /// Which.
        conn: ConnId,
    },
}

impl Cluster {
    /// Brokers with the node ids `1..=config.brokers`, and the topics of the configuration.
    ///
    /// Everything is in memory: [`Cluster::open`] has it survive the process.
    pub fn new(config: Config) -> Self {
        let mut cluster = Self::empty(config);
        cluster.create_configured();
        cluster
    }

    /// Without topics.
    pub(crate) fn empty(mut config: Config) -> Self {
        let mut rng = Rng::with_seed(config.seed);
        Self {
            id: (0..22).map(|_| rng.alphanumeric()).collect(),
            rng,
            nodes: Nodes::new(config.brokers),
            topics: Topics::default(),
            groups: Groups::new(&config),
            transactions: Transactions::default(),
            plot: Plot::default(),
            waiting: BTreeMap::new(),
            logs_changed: false,
            connections: Connections::default(),
            credentials: config.sasl.take().map(|sasl| Credentials::new(sasl, config.seed)),
            faults: Faults::default(),
            pushed: Received::default(),
            times_opened: 0,
            journal: None,
            output: VecDeque::new(),
            config,
        }
    }

    /// Creates the topics of the configuration that are not there.
    pub(crate) fn create_configured(&mut self) {
        for spec in self.config.topics.clone() {
            if self.topics.find(&spec.name).is_some() {
                continue;
            }
            if let Err(refusal) = self.create_topic(&spec) {
                tracing::warn!(topic = spec.name, %refusal, "topic not created");
            }
        }
    }

    /// Sets what Metadata tells clients of where a broker is.
    pub fn set_address(&mut self, node: i32, host: String, port: u16) {
        if let Some(node) = self.nodes.find_mut(node) {
            (node.host, node.port) = (host, port);
        }
    }

    /// Creates a topic.
    ///
    /// # Errors
    ///
    /// [`Refusal`], as to a client: a name that is taken or not allowed, more replicas than brokers that are up, or a data
    /// directory that cannot be written to.
    pub fn create_topic(&mut self, spec: &TopicSpec) -> Result<TopicId, Refusal> {
        self.topics.check(spec, self.nodes.up_ids().len())?;
        self.add_topic(spec, Vec::new())
    }

    /// Creates a topic that passed [`Topics::check`], with its partitions where `placed` says, or on brokers in turn.
    pub(crate) fn add_topic(&mut self, spec: &TopicSpec, placed: Vec<Vec<i32>>) -> Result<TopicId, Refusal> {
        let id = TopicId(self.rng.u128(1..).to_be_bytes());
        let (shift, in_turn) = self.topics.lay_out(spec, &self.nodes.up_ids());
        self.keep(Entry::TopicCreated {
            name: spec.name.clone(),
            id,
            log_append_time: spec.log_append_time,
            replication_factor: spec.replication_factor.into(),
            shift: shift as i64,
            replicas: if placed.is_empty() { in_turn } else { placed },
        })?;
        Ok(id)
    }

    /// Deletes a topic, and the offsets that groups committed for it. Returns whether there was one, and it is gone.
    pub fn delete_topic(&mut self, name: &str) -> bool {
        let there = self.topics.find(name).is_some();
        there && self.keep(Entry::TopicDeleted { name: name.to_owned() }).is_ok()
    }

    /// Makes a topic wider, up to `total` partitions.
    ///
    /// # Errors
    ///
    /// [`Refusal`], as to a client: no such topic, or it has so many already.
    pub fn create_partitions(&mut self, topic: &str, total: u32) -> Result<(), Refusal> {
        self.widen(topic, i32::try_from(total).unwrap_or(i32::MAX), None, false)
    }

    /// The faults that are to happen.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Switches a bug on, and any other off.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: crate::Planted) {
        self.plot = Plot(Some(bug));
        self.groups.rules.plot = self.plot;
    }

    /// A client connects to a broker. Where that is not up, an [`Output::Close`] follows at once.
    pub fn handle_connect(&mut self, node: i32, now: Now) -> ConnId {
        self.handle_connect_as(node, ANONYMOUS, now)
    }

    /// The same, where the transport has told who it is, as by a certificate: `User:CN=alice,O=Test`. On a cluster with SASL
    /// that does not count, as in Kafka.
    pub fn handle_connect_as(&mut self, node: i32, principal: &str, _now: Now) -> ConnId {
        let session = match self.credentials {
            Some(_) => Session::New { knows_versions: false },
            None => Session::Open,
        };
        let conn = self.connections.open(node, session, principal);
        if !self.nodes.is_up(node) {
            self.close(conn);
        }
        conn
    }

    /// A connection is gone. What it asked is still done; nobody is told.
    pub fn handle_disconnect(&mut self, conn: ConnId, _now: Now) {
        self.connections.close(conn);
        self.waiting.remove(&conn);
    }

    /// A request arrives, its length cut off already.
    pub fn handle_frame(&mut self, conn: ConnId, frame: Vec<u8>, now: Now) {
        if frame.len() > self.request_limit(conn) {
            return self.handle_oversized(conn, now);
        }
        if !self.connections.enqueue(conn, frame) {
            tracing::debug!(?conn, "closed: too many requests behind one that is held");
            self.close(conn);
        }
        self.run(now);
    }

    /// How many requests of this connection wait behind the one that is served.
    pub(crate) fn queued(&self, conn: ConnId) -> usize {
        self.connections.queued(conn)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        for (conn, node, frame) in self.connections.take_delayed(now.mono) {
            self.serve(conn, node, frame, None, now);
        }
        self.connections.unmute(now.mono);
        self.tell_refused(now);
        self.groups.handle_timeout(&self.topics, now);
        self.handle_transactions_timeout(now);
        self.logs_changed |= self.waiting.values().any(|fetching| fetching.until <= now.mono);
        self.run(now);
    }

    /// When [`Cluster::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let fetches = self.waiting.values().map(|fetching| fetching.until).min();
        let deadlines = [
            fetches,
            self.groups.next_timeout(),
            self.transactions.next_timeout(),
            self.connections.next_delayed(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// Serves what can be served.
    pub(crate) fn run(&mut self, now: Now) {
        loop {
            for (conn, response) in self.groups.take_replies() {
                self.answer(conn, response, now);
            }
            if std::mem::take(&mut self.logs_changed) {
                for (conn, response) in api::fetch::retry(self, now) {
                    self.answer(conn, response, now);
                }
            }
            let Some((conn, node, frame)) = self.connections.next_request() else { break };
            let fault =
                peek(&frame).and_then(|(key, ..)| self.faults.at_request(ApiKey::from_key(key)?, node));
            self.serve(conn, node, frame, fault, now);
        }
    }

    fn serve(&mut self, conn: ConnId, node: i32, frame: Vec<u8>, fault: Option<Fault>, now: Now) {
        let Some(connection) = self.connections.find(conn) else { return };
        let (mut forced, mut dropped, mut throttle) = (None, false, None);
        match fault {
            Some(Fault::Disconnect) => return self.close(conn),
            Some(Fault::Silence) => {
                connection.doing = Doing::Silenced;
                return;
            }
            Some(Fault::Delay(by)) => {
                connection.doing = Doing::Delayed(now.mono + by, frame);
                return;
            }
            Some(Fault::ApplyThenDisconnect) => dropped = true,
            Some(Fault::Throttle(time)) => throttle = Some(time),
            Some(Fault::Error(code)) => forced = Some(Forced::all(code)),
            Some(Fault::ErrorInSome(code)) => forced = Some(Forced::some(code)),
            Some(Fault::Corrupt) | None => {}
        }
        let Some((key, version, correlation_id)) = peek(&frame) else { return self.close(conn) };
        let spoken = ApiKey::from_key(key)
            .filter(|key| self.config.spoken(*key).is_some_and(|spoken| spoken.contains(version)));
        if spoken.is_none() && key == ApiKey::ApiVersions as i16 && connection.session.tells_versions(now) {
            // The one API that is answered whatever the version: how else would the asker learn them (KIP-511)?
            let header = ResponseHeader { key: ApiKey::ApiVersions, version: 0, correlation_id };
            let frame = header.encode(&api::api_versions::unsupported(self));
            self.output.push_back(Output::Reply { conn, frame });
            self.connections.finish(conn);
            return;
        }
        let (header, request) = match RequestHeader::decode(&frame) {
            Ok(decoded) if spoken.is_some() => decoded,
            Ok(_) => {
                tracing::debug!(?conn, key, version, "closed: this version is not spoken");
                return self.close(conn);
            }
            Err(error) => {
                tracing::debug!(?conn, key, version, %error, "closed: not a request");
                return self.close(conn);
            }
        };
        let gated = self.credentials.as_mut().and_then(|credentials| {
            let forced = forced.and_then(Forced::whole);
            credentials.gate(connection, &request, version, forced, now)
        });
        let principal = Arc::clone(&connection.principal);
        let asked = Asked { conn, node, header, principal, dropped, throttle };
        connection.doing = Doing::Serving(asked.clone());
        match gated.unwrap_or_else(|| api::handle(self, &asked, request, &frame, forced, now)) {
            Outcome::Reply(response) => self.answer(conn, response, now),
            Outcome::Held => {}
            Outcome::Nothing if dropped => self.close(conn),
            Outcome::Nothing => drop(self.connections.finish(conn)),
            Outcome::Close => self.close(conn),
            Outcome::Refuse(_) if dropped => self.close(conn),
            Outcome::Refuse(response) => {
                let RequestHeader { key, version, correlation_id, .. } = asked.header;
                let header = ResponseHeader { key, version, correlation_id };
                self.refuse(conn, response.map(|response| header.encode(&response)), now);
            }
        }
    }

    /// Answers the request that a connection has open.
    fn answer(&mut self, conn: ConnId, mut response: Response, now: Now) {
        let Some(Doing::Serving(asked)) = self.connections.finish(conn) else { return };
        if asked.dropped {
            return self.close(conn);
        }
        if let Some(time) = asked.throttle {
            response.set_throttle_time_ms(i32::try_from(time.as_millis()).unwrap_or(i32::MAX));
            self.connections.mute(conn, now.mono + time);
        }
        let RequestHeader { key, version, correlation_id, .. } = asked.header;
        let records = match &mut response {
            Response::Fetch(fetch) => Some(api::fetch::first_records(fetch)),
            _ => None,
        };
        let corrupt = !matches!(records, Some(None)) && self.faults.corrupts(key, asked.node);
        if corrupt && let Some(RecordData::Owned(bytes)) = records.flatten() {
            bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
        }
        let mut frame = ResponseHeader { key, version, correlation_id }.encode(&response);
        if corrupt && key != ApiKey::Fetch {
            frame.last_mut().into_iter().for_each(|byte| *byte ^= 1);
        }
        self.output.push_back(Output::Reply { conn, frame });
    }

    pub(crate) fn close(&mut self, conn: ConnId) {
        self.waiting.remove(&conn);
        if self.connections.close(conn) {
            self.output.push_back(Output::Close { conn });
        }
    }
}

/// Key, version and correlation id of a request, whether or not they are known here.
fn peek(frame: &[u8]) -> Option<(i16, i16, i32)> {
    let (head, rest) = frame.split_first_chunk::<4>()?;
    let [a, b, c, d] = *head;
    let correlation_id = i32::from_be_bytes(*rest.first_chunk()?);
    Some((i16::from_be_bytes([a, b]), i16::from_be_bytes([c, d]), correlation_id))
}
