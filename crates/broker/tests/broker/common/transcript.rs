//! Exchanges as text, with whichever broker: what the embedded one answers is compared with what a real Kafka did.
//!
//! What differs from run to run is named by the order of its appearance: member ids that the broker makes, topic ids.
//! Error messages are left out. Answers that a broker may give in any order are sorted.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use ottla_broker::ConnId;
use ottla_protocol::{
    ApiKey, Request, RequestHeader, ResponseHeader, TopicId, api::RequestMessage, messages::*,
};

use super::{TryFromResponse, World};

/// One of the connections of an exchange, and what it is called.
#[derive(Debug, Clone, Copy)]
pub struct Line(usize, char);

/// An exchange that is written down.
pub struct Exchange {
    broker: Broker,
    names: Vec<(String, String)>,
    members: usize,
    lines: u8,
    text: String,
    /// What the names of its groups and topics end with, so that exchanges can share a cluster.
    pub run: String,
}

enum Broker {
    Embedded(Box<World>, Vec<ConnId>),
    Real(String, Vec<Socket>),
}

struct Socket {
    stream: TcpStream,
    asked: VecDeque<(ApiKey, i16, i32)>,
}

impl Exchange {
    /// With the embedded broker.
    pub fn embedded(world: World, name: &str) -> Self {
        Self::new(Broker::Embedded(Box::new(world), Vec::new()), name)
    }

    /// With the broker that listens there.
    pub fn real(address: &str, name: &str) -> Self {
        let mut exchange = Self::new(Broker::Real(address.to_owned(), Vec::new()), name);
        // The first question makes it create what groups are kept in, which takes a while.
        let line = exchange.open();
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut ready = false;
        while !ready {
            assert!(Instant::now() < deadline, "no coordinator");
            let request = FindCoordinatorRequest { key: "g".into(), ..Default::default() };
            exchange.write(line, 3, request.into());
            let found = exchange.read::<FindCoordinatorResponse>(line).error_code.is_ok();
            let request = DescribeGroupsRequest { groups: vec!["g".into()], ..Default::default() };
            exchange.write(line, 5, request.into());
            ready = found & exchange.read::<DescribeGroupsResponse>(line).groups[0].error_code.is_ok();
            exchange.pass(Duration::from_millis(100));
        }
        exchange
    }

    fn new(broker: Broker, name: &str) -> Self {
        let run = format!("-{name}");
        Self { broker, names: Vec::new(), members: 0, lines: 0, text: String::new(), run }
    }

    pub fn connect(&mut self) -> Line {
        let Line(at, _) = self.open();
        self.lines += 1;
        Line(at, (b'@' + self.lines) as char)
    }

    /// A connection that is not written of.
    fn open(&mut self) -> Line {
        match &mut self.broker {
            Broker::Embedded(world, conns) => {
                conns.push(world.connect(1));
                Line(conns.len() - 1, ' ')
            }
            Broker::Real(address, sockets) => {
                let stream = TcpStream::connect(&*address).expect("the broker");
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                sockets.push(Socket { stream, asked: VecDeque::new() });
                Line(sockets.len() - 1, ' ')
            }
        }
    }

    /// Creates a topic; its id goes by its name.
    pub fn create_topic(&mut self, name: &str, partitions: i32) -> TopicId {
        let line = self.open();
        let topic = CreateTopicsCreatableTopic {
            name: format!("{name}{}", self.run),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 5000, ..Default::default() };
        self.write(line, 7, request.into());
        let created: CreateTopicsResponse = self.read(line);
        let id = created.topics[0].topic_id;
        self.names.push((format!("{id:?}"), format!("id of {name}")));
        // A real one tells its parts of it one after the other.
        self.pass(Duration::from_millis(300));
        id
    }

    /// What was going on, in a line of its own.
    pub fn note(&mut self, what: &str) {
        self.text.push_str(&format!("\n# {what}\n"));
    }

    pub fn send<R>(&mut self, line: Line, version: i16, request: R)
    where
        R: RequestMessage + std::fmt::Debug,
        Request: From<R>,
    {
        let said = self.named(&format!("{request:?}"));
        self.text.push_str(&format!("{} {:?} v{version}\n  > {said}\n", line.1, R::KEY));
        self.write(line, version, request.into());
    }

    pub fn reply<R: TryFromResponse + Told>(&mut self, line: Line) -> R {
        let mut response: R = self.read(line);
        if let Some(id) = response.member_id().filter(|id| id.len() > 16)
            && self.named(&id) == id
        {
            self.members += 1;
            self.names.push((id, format!("member id {}", self.members)));
        }
        response.settle(&|text| self.named(text));
        let told = self.named(&format!("{response:?}"));
        self.text.push_str(&format!("{}\n  < {told}\n", line.1));
        response
    }

    pub fn ask<R>(&mut self, line: Line, version: i16, request: R) -> R::Response
    where
        R: RequestMessage + std::fmt::Debug,
        Request: From<R>,
        R::Response: TryFromResponse + Told,
    {
        self.send(line, version, request);
        self.reply(line)
    }

    /// What was asked and answered, in words of the scenario's own.
    pub fn tell(&mut self, what: &str) {
        self.text.push_str(&format!("{what}\n"));
    }

    /// Asks, and writes nothing.
    pub fn quietly<R: RequestMessage>(&mut self, line: Line, version: i16, request: R) -> R::Response
    where
        Request: From<R>,
        R::Response: TryFromResponse,
    {
        self.write(line, version, request.into());
        self.read(line)
    }

    /// Lets time pass.
    pub fn pass(&mut self, by: Duration) {
        match &mut self.broker {
            Broker::Embedded(world, _) => world.pass(by),
            Broker::Real(..) => std::thread::sleep(by),
        }
    }

    /// What was said.
    pub fn text(self) -> String {
        self.text
    }

    fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (raw, name)| text.replace(raw, name))
    }

    fn write(&mut self, line: Line, version: i16, request: Request) {
        match &mut self.broker {
            Broker::Embedded(world, conns) => world.send_request(conns[line.0], version, request),
            Broker::Real(_, sockets) => {
                let socket = &mut sockets[line.0];
                let (key, correlation_id) = (request.key(), socket.asked.len() as i32);
                let client_id = Some("test".to_owned());
                let header = RequestHeader { key, version, correlation_id, client_id };
                socket.stream.write_all(&header.encode(&request)).unwrap();
                socket.asked.push_back((key, version, correlation_id));
            }
        }
    }

    fn read<R: TryFromResponse>(&mut self, line: Line) -> R {
        match &mut self.broker {
            Broker::Embedded(world, conns) => {
                let reply = world.reply(conns[line.0]);
                reply
                    .or_else(|| {
                        // It is a fetch that waits.
                        world.pass(Duration::from_secs(1));
                        world.reply(conns[line.0])
                    })
                    .expect("an answer")
            }
            Broker::Real(_, sockets) => {
                let socket = &mut sockets[line.0];
                let mut length = [0; 4];
                socket.stream.read_exact(&mut length).unwrap();
                let mut frame = vec![0; u32::from_be_bytes(length) as usize];
                socket.stream.read_exact(&mut frame).unwrap();
                let (key, version, _) = socket.asked.pop_front().expect("a question");
                R::from_response(super::own(ResponseHeader::decode(key, version, &frame).unwrap().1, &frame))
            }
        }
    }
}

/// How an answer is made comparable.
pub trait Told: std::fmt::Debug {
    /// A member id that the broker made.
    fn member_id(&self) -> Option<String> {
        None
    }

    /// Leaves out what differs.
    fn settle(&mut self, _named: &dyn Fn(&str) -> String) {}
}

impl Told for ConsumerGroupHeartbeatResponse {
    fn member_id(&self) -> Option<String> {
        self.member_id.clone()
    }

    fn settle(&mut self, named: &dyn Fn(&str) -> String) {
        self.error_message = None;
        if let Some(assignment) = &mut self.assignment {
            assignment.topic_partitions.iter_mut().for_each(|topic| topic.partitions.sort_unstable());
            assignment.topic_partitions.sort_by_key(|topic| named(&format!("{:?}", topic.topic_id)));
        }
    }
}

impl Told for JoinGroupResponse {
    fn member_id(&self) -> Option<String> {
        Some(self.member_id.clone())
    }

    fn settle(&mut self, named: &dyn Fn(&str) -> String) {
        self.members.sort_by_key(|member| named(&member.member_id));
    }
}

impl Told for ConsumerGroupDescribeResponse {
    fn settle(&mut self, named: &dyn Fn(&str) -> String) {
        for group in &mut self.groups {
            group.error_message = None;
            group.members.sort_by_key(|member| named(&member.member_id));
            for member in &mut group.members {
                let assignments = [&mut member.assignment, &mut member.target_assignment];
                for assignment in assignments {
                    assignment.topic_partitions.iter_mut().for_each(|topic| topic.partitions.sort_unstable());
                    assignment.topic_partitions.sort_by_key(|topic| topic.topic_name.clone());
                }
            }
        }
    }
}

impl Told for DescribeGroupsResponse {
    fn settle(&mut self, _named: &dyn Fn(&str) -> String) {
        self.groups.iter_mut().for_each(|group| group.error_message = None);
    }
}

impl Told for SyncGroupResponse {}
impl Told for HeartbeatResponse {}
impl Told for LeaveGroupResponse {}
impl Told for OffsetCommitResponse {}
impl Told for OffsetFetchResponse {}

/// Compares a scenario on the embedded broker with its transcript; or, where `OTTLA_RECORD` says at which address a
/// real Kafka listens, writes the transcript.
pub fn check(name: &str, world: World, scenario: impl FnOnce(&mut Exchange)) {
    let path = format!("{}/tests/broker/transcripts/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if let Ok(address) = std::env::var("OTTLA_RECORD") {
        let mut exchange = Exchange::real(&address, name);
        scenario(&mut exchange);
        return std::fs::write(path, exchange.text()).unwrap();
    }
    let mut exchange = Exchange::embedded(world, name);
    scenario(&mut exchange);
    let (ours, real) = (exchange.text(), std::fs::read_to_string(path).expect("a transcript"));
    let differs = |(number, (ours, real)): (usize, (&str, &str))| {
        (ours != real).then(|| format!("line {}:\n ours {ours}\n real {real}\n", number + 1))
    };
    let differences: Vec<String> = ours.lines().zip(real.lines()).enumerate().filter_map(differs).collect();
    assert!(differences.is_empty(), "{name}.txt, {}", differences.concat());
    assert_eq!(ours.lines().count(), real.lines().count());
}
