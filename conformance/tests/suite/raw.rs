//! Requests of transactional producers as they are on the wire, each to the broker that it is for: what a broker answers,
//! with no client between. Answers are compared row by row, and all rows that differ are told at once.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::TcpStream;

use libtest_mimic::Failed;
use ottla_conformance::targets::Target;
use ottla_conformance::wait::{until, until_some};
use ottla_protocol::api::RequestMessage;
use ottla_protocol::messages::*;
use ottla_protocol::{ApiKey, ErrorCode, Request, Response, TopicId};

use crate::cases::Outcome;
use crate::kit::{PATIENCE, ask, topic, wait};

/// Which broker a request is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'a> {
    Any,
    Leader(i32),
    Group(&'a str),
    Transactions(&'a str),
}

/// A topic of two partitions, a connection to each broker that is asked, and the rows that differed.
pub(crate) struct Raw {
    bootstrap: String,
    lines: BTreeMap<String, TcpStream>,
    coordinators: BTreeMap<(i8, String), String>,
    leaders: Vec<String>,
    offered: BTreeMap<i16, i16>,
    pub(crate) topic: String,
    pub(crate) topic_id: TopicId,
    wrong: Vec<String>,
}

impl Raw {
    pub(crate) fn new(target: &Target, name: &str) -> Result<Self, Failed> {
        let bootstrap = target.bootstrap().split(',').next().unwrap_or_default().to_owned();
        let mut raw = Self {
            bootstrap,
            lines: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            leaders: Vec::new(),
            offered: BTreeMap::new(),
            topic: wait(topic(target, name, 2))?,
            topic_id: TopicId::default(),
            wrong: Vec::new(),
        };
        let name = || "suite".to_owned();
        let (client_software_name, client_software_version) = (name(), name());
        let request =
            ApiVersionsRequest { client_software_name, client_software_version, ..Default::default() };
        let offered = raw.ask(At::Any, 3, request)?;
        raw.offered = offered.api_keys.iter().map(|api| (api.api_key, api.max_version)).collect();
        let topic = raw.topic.clone();
        (raw.topic_id, raw.leaders) = raw.find(&topic)?;
        raw.await_leaders()?;
        Ok(raw)
    }

    /// Metadata names a leader before that broker has heard of it, and until then it refuses what it is asked.
    fn await_leaders(&mut self) -> Result<(), Failed> {
        for partition in 0..i32::try_from(self.leaders.len())? {
            let mut told = None;
            until(PATIENCE, "a leader that leads", || {
                told = Some(self.list_offsets(partition, -1, false));
                matches!(told, Some(Ok((ErrorCode::None, _))))
            })
            .map_err(|expired| format!("{expired}: partition {partition}: {told:?}"))?;
        }
        Ok(())
    }

    /// A topic's id, and where the leaders of its partitions are.
    pub(crate) fn find(&mut self, topic: &str) -> Result<(TopicId, Vec<String>), Failed> {
        let asked = MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
        let told = self.ask(At::Any, 12, request)?;
        let found = told.topics.first().ok_or("no topic")?;
        let leaders: BTreeMap<i32, i32> =
            found.partitions.iter().map(|it| (it.partition_index, it.leader_id)).collect();
        let address = |leader: i32| {
            let broker = told.brokers.iter().find(|broker| broker.node_id == leader)?;
            Some(format!("{}:{}", broker.host, broker.port))
        };
        let leaders: Option<Vec<String>> = leaders.into_values().map(address).collect();
        Ok((found.topic_id, leaders.ok_or("no leader")?))
    }

    /// Notes a row that is not as it was seen before.
    pub(crate) fn row<T: PartialEq + Debug>(&mut self, situation: &str, told: T, seen: T) {
        if told != seen {
            self.wrong.push(format!("{situation}: {told:?}, not {seen:?}"));
        }
    }

    /// The rows that differed so far.
    pub(crate) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// Fails with all rows that differed.
    pub(crate) fn finish(self) -> Outcome {
        if self.wrong.is_empty() { Ok(()) } else { Err(self.wrong.join("\n").into()) }
    }

    /// The newest version of an API on offer; -1 where there is none.
    pub(crate) fn offered(&self, api: ApiKey) -> i16 {
        self.offered.get(&(api as i16)).copied().unwrap_or(-1)
    }

    pub(crate) fn ask<R>(&mut self, at: At<'_>, version: i16, request: R) -> Result<R::Response, Failed>
    where
        R: RequestMessage,
        Request: From<R>,
        R::Response: Answer,
    {
        let address = match at {
            At::Any => self.bootstrap.clone(),
            // A partition that is not there is asked of any.
            At::Leader(partition) => self.leaders.get(partition as usize).unwrap_or(&self.bootstrap).clone(),
            At::Group(group) => self.coordinator(0, group)?,
            At::Transactions(id) => self.coordinator(1, id)?,
        };
        self.ask_address(&address, version, request)
    }

    pub(crate) fn ask_address<R>(
        &mut self,
        address: &str,
        version: i16,
        request: R,
    ) -> Result<R::Response, Failed>
    where
        R: RequestMessage,
        Request: From<R>,
        R::Response: Answer,
    {
        if !self.lines.contains_key(address) {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.lines.insert(address.to_owned(), stream);
        }
        let line = self.lines.get_mut(address).ok_or("no connection")?;
        let response = ask(line, R::KEY, version, request)?;
        R::Response::from_response(response).ok_or_else(|| format!("not an answer of {:?}", R::KEY).into())
    }

    fn coordinator(&mut self, key_type: i8, key: &str) -> Result<String, Failed> {
        if let Some(known) = self.coordinators.get(&(key_type, key.to_owned())) {
            return Ok(known.clone());
        }
        let found = until_some(PATIENCE, "a coordinator", || {
            let request = FindCoordinatorRequest { key_type, key: key.to_owned(), ..Default::default() };
            let found = self.ask(At::Any, 3, request).ok()?;
            found.error_code.is_ok().then(|| format!("{}:{}", found.host, found.port))
        })?;
        self.coordinators.insert((key_type, key.to_owned()), found.clone());
        Ok(found)
    }

    /// Until a partition's log ends there.
    pub(crate) fn ends_at(&mut self, partition_index: i32, end: i64) -> Outcome {
        let mut last = None;
        until(PATIENCE, "the end of a log", || {
            last = self.list_offsets(partition_index, -1, false).ok();
            last == Some((ErrorCode::None, end))
        })
        .map_err(|expired| format!("{expired}: {last:?}, not {end}").into())
    }

    pub(crate) fn list_offsets(
        &mut self,
        partition_index: i32,
        timestamp: i64,
        committed: bool,
    ) -> Result<(ErrorCode, i64), Failed> {
        let partition = ListOffsetsPartition { partition_index, timestamp, ..Default::default() };
        let topics = vec![ListOffsetsTopic { name: self.topic.clone(), partitions: vec![partition] }];
        let isolation_level = i8::from(committed);
        let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics, timeout_ms: 1000 };
        let version = self.offered(ApiKey::ListOffsets).min(11);
        let answer = self.ask(At::Leader(partition_index), version, request)?;
        let found = &answer.topics[0].partitions[0];
        Ok((found.error_code, found.offset))
    }
}

/// A message that answers.
pub(crate) trait Answer: Sized {
    fn from_response(response: Response) -> Option<Self>;
}

macro_rules! answers {
    ($($api:ident: $ty:ty),* $(,)?) => {$(
        impl Answer for $ty {
            fn from_response(response: Response) -> Option<Self> {
                if let Response::$api(response) = response { Some(response) } else { None }
            }
        }
    )*};
}
answers! {
    AddOffsetsToTxn: AddOffsetsToTxnResponse, AddPartitionsToTxn: AddPartitionsToTxnResponse,
    ApiVersions: ApiVersionsResponse, ConsumerGroupHeartbeat: ConsumerGroupHeartbeatResponse,
    DeleteGroups: DeleteGroupsResponse, WriteTxnMarkers: WriteTxnMarkersResponse,
    DeleteRecords: DeleteRecordsResponse, DescribeTransactions: DescribeTransactionsResponse,
    EndTxn: EndTxnResponse, Fetch: FetchResponse, FindCoordinator: FindCoordinatorResponse,
    InitProducerId: InitProducerIdResponse, JoinGroup: JoinGroupResponse, LeaveGroup: LeaveGroupResponse,
    ListOffsets: ListOffsetsResponse, Metadata: MetadataResponse, OffsetCommit: OffsetCommitResponse,
    OffsetFetch: OffsetFetchResponse, Produce: ProduceResponse, SyncGroup: SyncGroupResponse,
    TxnOffsetCommit: TxnOffsetCommitResponse,
}
