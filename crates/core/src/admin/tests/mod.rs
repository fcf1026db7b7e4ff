//! An admin client against answers given by hand, in a time moved by hand.

mod brokers;
mod groups;
mod limits;
mod offsets;
mod topics;

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::{ApiKey, ErrorCode, Request, Response, Timestamp, messages::*};

use super::*;
use crate::{
    group::embedded::Assignment,
    ids::{NodeId, RequestId, TopicPartition},
    offsets::{CommittedOffset, IsolationLevel},
};

/// Two brokers; topic `t` has a partition on each. Metadata is answered here, everything else by the test.
struct World {
    admin: Admin<()>,
    now: Now,
    unreachable: bool,
    /// Which brokers metadata tells.
    brokers: Vec<i32>,
    links: BTreeMap<ConnId, u16>,
    asked: Vec<Asked>,
}

struct Asked {
    conn: ConnId,
    id: RequestId,
    port: u16,
    request: Request,
}

impl World {
    fn new() -> Self {
        let now = Now { mono: Instant::now(), wall: Timestamp(0) };
        let seeds = vec![Address { host: "seed".to_owned(), port: 9 }];
        Self {
            admin: Admin::new(AdminConfig::default(), seeds, 1, now),
            now,
            unreachable: false,
            brokers: vec![1, 2],
            links: BTreeMap::new(),
            asked: Vec::new(),
        }
    }

    fn start<O: Operation>(&mut self, operation: O) -> Begun<O::Outcome> {
        let op = self.admin.start(operation, self.now);
        self.pass(Duration::from_secs(1));
        op
    }

    fn pass(&mut self, by: Duration) {
        let end = self.now.after(by);
        self.pump();
        while let Some(at) = self.admin.poll_timeout().filter(|at| *at <= end.mono) {
            self.now = self.now.after(at - self.now.mono);
            self.admin.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
    }

    fn pump(&mut self) {
        while let Some(outbound) = self.admin.poll_send(self.now) {
            match outbound {
                Outbound::Connect { conn, .. } if self.unreachable => {
                    let why = Disconnected::Refused("nobody".to_owned());
                    self.admin.handle_disconnected(conn, why, self.now);
                }
                Outbound::Connect { conn, port, .. } => {
                    self.links.insert(conn, port);
                    self.admin.handle_connected(conn, self.now);
                }
                Outbound::Send { conn, id, request, .. } => {
                    let asked = Asked { conn, id, port: self.links[&conn], request };
                    match &asked.request {
                        Request::ApiVersions(_) => self.answer(&asked, versions()),
                        Request::Metadata(request) => {
                            let answer = metadata(request.topics.as_deref(), &self.brokers);
                            self.answer(&asked, answer);
                        }
                        _ => self.asked.push(asked),
                    }
                }
                Outbound::Run { .. } => unreachable!("nobody authenticates"),
                Outbound::Close { conn } => _ = self.links.remove(&conn),
            }
        }
    }

    fn answer(&mut self, asked: &Asked, response: impl Into<Response>) {
        let reply = Reply { id: asked.id, response: response.into(), fetched: None };
        self.admin.handle_reply(asked.conn, reply, self.now);
        self.pump();
    }

    fn take(&mut self) -> Asked {
        assert!(!self.asked.is_empty(), "nothing was asked");
        self.asked.remove(0)
    }

    fn outcome<T: 'static>(&mut self, op: &Begun<T>) -> T {
        self.admin.take_result(op).expect("not done").expect("failed")
    }

    fn find_coordinator(&mut self, node_id: i32) {
        let asked = self.take();
        let Request::FindCoordinator(request) = &asked.request else { panic!("{:?}", asked.request) };
        let found = |key: &String| FindCoordinatorCoordinator {
            key: key.clone(),
            // One that bears a broker's number is with that.
            node_id: key.parse().unwrap_or(node_id),
            host: "broker".to_owned(),
            port: key.parse().unwrap_or(node_id),
            ..Default::default()
        };
        let coordinators = request.coordinator_keys.iter().map(found).collect();
        self.answer(&asked, FindCoordinatorResponse { coordinators, ..Default::default() });
    }
}

fn versions() -> ApiVersionsResponse {
    let api = |key: &ApiKey| ApiVersionsApiVersion {
        api_key: *key as i16,
        min_version: key.versions().min,
        max_version: key.versions().max,
    };
    ApiVersionsResponse { api_keys: ApiKey::ALL.iter().map(api).collect(), ..Default::default() }
}

fn metadata(asked: Option<&[MetadataRequestTopic]>, brokers: &[i32]) -> MetadataResponse {
    let broker = |node_id: i32| MetadataResponseBroker {
        node_id,
        host: "broker".to_owned(),
        port: node_id,
        ..Default::default()
    };
    let partition = |partition_index: i32| MetadataResponsePartition {
        partition_index,
        leader_id: partition_index + 1,
        ..Default::default()
    };
    let named = |name: &str| MetadataResponseTopic {
        name: Some(name.to_owned()),
        error_code: if name == "missing" { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::None },
        partitions: match name {
            "t" => (0..2).map(partition).collect(),
            "leaderless" => vec![MetadataResponsePartition { leader_id: -1, ..Default::default() }],
            _ => Vec::new(),
        },
        ..Default::default()
    };
    let topics = match asked {
        Some(asked) => asked.iter().map(|topic| named(topic.name.as_ref().unwrap())).collect(),
        None => vec![named("t")],
    };
    let cluster_id = Some("c".to_owned());
    MetadataResponse {
        brokers: brokers.iter().copied().map(broker).collect(),
        controller_id: 2,
        cluster_id,
        topics,
        ..Default::default()
    }
}
