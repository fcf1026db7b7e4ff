//! What transactional producers say in a transcript, and how their answers are written down.

use std::time::{Duration, SystemTime};

use crate::common::{
    batch_at, fetch, produce, produced,
    transaction::{Flow, Member, Producer, bytes, transactional},
    transcript::{Exchange, Line},
};
use ottla_protocol::{
    ErrorCode,
    messages::*,
    records::{Compression, walk_headers},
};

/// How long markers may take, and what is done behind a time-out.
pub(crate) const MOMENT: Duration = Duration::from_millis(700);

/// An exchange of transactional producers, which go by the names of their transactional ids.
pub(crate) struct Stage<'a> {
    pub(crate) x: &'a mut Exchange,
    line: Line,
    known: Vec<(i64, &'static str)>,
    /// The timestamp of all records: a while ago, so that those of markers are larger. A real broker begins another segment
    /// where they are far apart, and no fetch reads beyond one.
    time: i64,
}

impl<'a> Stage<'a> {
    /// With a topic `t` of two partitions, and coordinators that are ready.
    pub(crate) fn new(x: &'a mut Exchange) -> Self {
        x.create_topic("t", 2);
        let line = x.connect();
        let real = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
        let now = if std::env::var("OTTLA_RECORD").is_ok() { real() } else { 1_700_000_000_000 };
        let mut stage = Self { x, line, known: Vec::new(), time: now - 10_000 };
        for (key_type, key) in [(0, "g"), (1, "warm")] {
            let request = FindCoordinatorRequest { key_type, key: stage.name(key), ..Default::default() };
            stage.until(|stage| stage.x.quietly(stage.line, 3, request.clone()).error_code);
        }
        stage.until(|stage| stage.ask_init(5, "warm", None, 60_000).err().unwrap_or_default());
        stage
    }

    pub(crate) fn until(&mut self, ask: impl Fn(&mut Self) -> ErrorCode) {
        for _ in 0..100 {
            if ask(self).is_ok() {
                return;
            }
            self.x.pass(Duration::from_millis(100));
        }
        panic!("the coordinator is not ready");
    }

    pub(crate) fn name(&self, of: &str) -> String {
        format!("{of}{}", self.x.run)
    }

    pub(crate) fn ask_init(
        &mut self,
        version: i16,
        id: &'static str,
        was: Option<Producer>,
        transaction_timeout_ms: i32,
    ) -> Result<Producer, ErrorCode> {
        let request = InitProducerIdRequest {
            transactional_id: Some(if id.is_empty() { String::new() } else { self.name(id) }),
            transaction_timeout_ms,
            producer_id: was.map_or(-1, |was| was.id),
            producer_epoch: was.map_or(-1, |was| was.epoch),
            ..Default::default()
        };
        let answer = self.x.quietly(self.line, version, request);
        let producer =
            Producer { transactional_id: id, id: answer.producer_id, epoch: answer.producer_epoch };
        answer.error_code.ok().map(|()| producer)
    }

    pub(crate) fn init_for(
        &mut self,
        version: i16,
        id: &'static str,
        was: Option<Producer>,
        timeout_ms: i32,
    ) -> Option<Producer> {
        let told = self.ask_init(version, id, was, timeout_ms);
        let said = was.map_or("nothing".to_owned(), |was| format!("epoch {}", was.epoch));
        self.x.tell(&format!(
            "InitProducerId {version}, {id:?} with {said}, {timeout_ms} ms: {:?}",
            told.map(|told| told.epoch)
        ));
        let producer = told.ok()?;
        self.known.push((producer.id, id));
        Some(producer)
    }

    pub(crate) fn init(&mut self, version: i16, id: &'static str, was: Option<Producer>) -> Option<Producer> {
        self.init_for(version, id, was, 60_000)
    }

    /// A producer that has its epoch, whatever it takes.
    pub(crate) fn producer(&mut self, id: &'static str) -> Producer {
        if let Some(producer) = self.init(5, id, None) {
            return producer;
        }
        self.x.pass(MOMENT);
        self.init(5, id, None).expect("a producer")
    }

    pub(crate) fn add(&mut self, version: i16, who: Producer, partitions: &[(&str, i32)]) {
        let topic = |&(name, index): &(&str, i32)| AddPartitionsToTxnTopic {
            name: self.name(name),
            partitions: vec![index],
        };
        let topics: Vec<_> = partitions.iter().map(topic).collect();
        let id = self.name(who.transactional_id);
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: id,
            v3_and_below_producer_id: who.id,
            v3_and_below_producer_epoch: who.epoch,
            v3_and_below_topics: topics,
            ..Default::default()
        };
        let answer = self.x.quietly(self.line, version, request);
        let topics = answer.results_by_topic_v3_and_below.iter();
        let mut codes: Vec<_> = topics
            .flat_map(|it| {
                it.results_by_partition
                    .iter()
                    .map(|p| (it.name.clone(), p.partition_index, p.partition_error_code))
            })
            .collect();
        codes.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let codes: Vec<_> = codes.into_iter().map(|(_, index, code)| (index, code)).collect();
        self.tell(&format!("AddPartitionsToTxn {version}, {partitions:?}"), who, &format!("{codes:?}"));
    }

    /// As brokers ask each other.
    pub(crate) fn add_batched(&mut self, version: i16, who: Producer, verify_only: bool, index: i32) {
        let topics = vec![AddPartitionsToTxnTopic { name: self.name("t"), partitions: vec![index] }];
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: self.name(who.transactional_id),
            producer_id: who.id,
            producer_epoch: who.epoch,
            verify_only,
            topics,
        };
        let request = AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() };
        let answer = self.x.quietly(self.line, version, request);
        let results = answer.results_by_transaction.iter().flat_map(|it| &it.topic_results);
        let codes: Vec<_> =
            results.flat_map(|it| &it.results_by_partition).map(|it| it.partition_error_code).collect();
        let what = if verify_only { "verify" } else { "add" };
        let told = format!("{}, {codes:?}", answer.error_code);
        self.tell(&format!("AddPartitionsToTxn {version}, {what} {index}"), who, &told);
    }

    pub(crate) fn add_offsets(&mut self, version: i16, who: Producer) {
        let request = AddOffsetsToTxnRequest {
            transactional_id: self.name(who.transactional_id),
            producer_id: who.id,
            producer_epoch: who.epoch,
            group_id: self.name("g"),
        };
        let code = self.x.quietly(self.line, version, request).error_code;
        self.tell(&format!("AddOffsetsToTxn {version}"), who, &format!("{code:?}"));
    }

    pub(crate) fn write(&mut self, version: i16, who: Producer, partition: i32, sequence: i32) {
        let batch = transactional(1, who, sequence, self.time);
        let request = ProduceRequest {
            transactional_id: Some(self.name(who.transactional_id)),
            ..produce(&self.name("t"), partition, batch)
        };
        let (code, offset) = produced(&self.x.quietly(self.line, version, request));
        let what = format!("Produce {version}, partition {partition}, sequence {sequence}");
        self.tell(&what, who, &format!("{code:?}, {offset}"));
    }

    pub(crate) fn plain(&mut self, partition: i32) {
        let request = produce(&self.name("t"), partition, batch_at(&[self.time], Compression::None));
        let (code, offset) = produced(&self.x.quietly(self.line, 9, request));
        self.x.tell(&format!("Produce 9, partition {partition}, in no transaction: {code:?}, {offset}"));
    }

    /// Adds the partition where the flow asks for that, and writes to it.
    pub(crate) fn transact(&mut self, flow: Flow, who: Producer, partition: i32, sequence: i32) {
        if flow == Flow::V1 {
            self.add(3, who, &[("t", partition)]);
        }
        self.write(flow.produce(), who, partition, sequence);
    }

    /// Returns the producer as it is from then on.
    pub(crate) fn end(&mut self, version: i16, who: Producer, committed: bool) -> Producer {
        let request = EndTxnRequest {
            transactional_id: self.name(who.transactional_id),
            producer_id: who.id,
            producer_epoch: who.epoch,
            committed,
        };
        let answer = self.x.quietly(self.line, version, request);
        let what = if committed { "commit" } else { "abort" };
        let is_same = answer.producer_id == who.id;
        let told = format!("{:?}, {}, same id: {is_same}", answer.error_code, answer.producer_epoch);
        self.tell(&format!("EndTxn {version}, {what}"), who, &told);
        self.x.pass(MOMENT);
        if version >= 5 && answer.error_code.is_ok() { who.in_epoch(answer.producer_epoch) } else { who }
    }

    pub(crate) fn commit(
        &mut self,
        version: i16,
        who: Producer,
        member: Member<'_>,
        partition: i32,
        offset: i64,
    ) {
        let partition_index = partition;
        let partition =
            TxnOffsetCommitPartition { partition_index, committed_offset: offset, ..Default::default() };
        let topics = vec![TxnOffsetCommitTopic {
            name: self.name("t"),
            partitions: vec![partition],
            ..Default::default()
        }];
        let request = TxnOffsetCommitRequest {
            transactional_id: self.name(who.transactional_id),
            group_id: self.name("g"),
            producer_id: who.id,
            producer_epoch: who.epoch,
            generation_id_or_member_epoch: member.generation,
            member_id: member.id.to_owned(),
            group_instance_id: member.instance.map(str::to_owned),
            topics,
        };
        let answer = self.x.quietly(self.line, version, request);
        let code = answer.topics[0].partitions[0].error_code;
        let generation = member.generation;
        let what = format!(
            "TxnOffsetCommit {version}, partition {partition_index} to {offset}, generation {generation}"
        );
        self.tell(&what, who, &format!("{code:?}"));
    }

    pub(crate) fn plain_commit(&mut self, offset: i64) {
        let partitions =
            vec![OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() }];
        let topics =
            vec![OffsetCommitRequestTopic { name: self.name("t"), partitions, ..Default::default() }];
        let request = OffsetCommitRequest {
            group_id: self.name("g"),
            generation_id_or_member_epoch: -1,
            topics,
            ..Default::default()
        };
        let answer = self.x.quietly(self.line, 8, request);
        let code = answer.topics[0].partitions[0].error_code;
        self.x.tell(&format!("OffsetCommit 8, partition 0 to {offset}: {code:?}"));
    }

    pub(crate) fn committed(&mut self, require_stable: bool, all: bool) {
        let topic = OffsetFetchRequestTopics {
            name: self.name("t"),
            partition_indexes: vec![0, 1],
            ..Default::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: self.name("g"),
            topics: (!all).then(|| vec![topic]),
            ..Default::default()
        };
        let request = OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() };
        let answer = self.x.quietly(self.line, 8, request);
        let group = &answer.groups[0];
        let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
        let partitions: Vec<_> = partitions
            .map(|it| (it.partition_index, it.error_code, it.committed_offset, &it.metadata))
            .collect();
        let told = format!("{:?}, {partitions:?}", group.error_code);
        self.x.tell(&format!("OffsetFetch 8, stable: {require_stable}, all: {all}: {told}"));
    }

    pub(crate) fn fetch(&mut self, partition: i32, offset: i64, committed: bool, max_bytes: i32) {
        let mut request = fetch(&[(&self.name("t"), partition, offset)]);
        (request.isolation_level, request.min_bytes, request.max_wait_ms) = (i8::from(committed), 1, 300);
        request.topics[0].partitions[0].partition_max_bytes = max_bytes;
        let answer = self.x.quietly(self.line, 12, request);
        let part = &answer.responses[0].partitions[0];
        let batches: Vec<_> = walk_headers(bytes(part))
            .map(Result::unwrap)
            .map(|(at, header)| {
                let control = if header.is_control() { " control" } else { "" };
                format!(
                    "{}{control} in epoch {}, {} bytes",
                    header.base_offset,
                    header.producer_epoch,
                    at.len()
                )
            })
            .collect();
        let aborted = part.aborted_transactions.as_ref().map(|list| {
            list.iter().map(|it| (self.known_as(it.producer_id), it.first_offset)).collect::<Vec<_>>()
        });
        let offsets = (part.high_watermark, part.last_stable_offset, part.log_start_offset);
        self.x.tell(&format!(
            "Fetch 12, partition {partition} from {offset}, committed: {committed}, {max_bytes} bytes: {:?}, (high, stable, \
             start) {offsets:?}, {batches:?}, aborted {aborted:?}",
            part.error_code
        ));
    }

    pub(crate) fn known_as(&self, id: i64) -> &'static str {
        self.known.iter().find(|(known, _)| *known == id).map_or("?", |(_, name)| name)
    }

    pub(crate) fn list_offsets(&mut self, partition_index: i32, committed: bool) {
        let mut found = Vec::new();
        for (what, timestamp) in [-1, -2, -3, -4, -5, -6]
            .map(|special| (special, special))
            .into_iter()
            .chain([(0, self.time), (1, self.time + 1)])
        {
            let partition = ListOffsetsPartition { partition_index, timestamp, ..Default::default() };
            let topics = vec![ListOffsetsTopic { name: self.name("t"), partitions: vec![partition] }];
            let isolation_level = i8::from(committed);
            let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics, timeout_ms: 1000 };
            let answer = self.x.quietly(self.line, 11, request);
            let partition = &answer.topics[0].partitions[0];
            found.push((what, partition.error_code, partition.offset, partition.leader_epoch));
        }
        let told = format!("{found:?}");
        self.x.tell(&format!("ListOffsets 11, partition {partition_index}, committed: {committed}: {told}"));
    }

    pub(crate) fn delete_records(&mut self, partition_index: i32, offset: i64) {
        let partitions = vec![DeleteRecordsPartition { partition_index, offset }];
        let topics = vec![DeleteRecordsTopic { name: self.name("t"), partitions }];
        let answer = self.x.quietly(self.line, 2, DeleteRecordsRequest { topics, timeout_ms: 5000 });
        let partition = &answer.topics[0].partitions[0];
        let told = (partition.error_code, partition.low_watermark);
        self.x.tell(&format!("DeleteRecords 2, partition {partition_index} before {offset}: {told:?}"));
    }

    pub(crate) fn epoch_end(&mut self, partition: i32, current_leader_epoch: i32, leader_epoch: i32) {
        let asked = OffsetForLeaderEpochPartition { partition, current_leader_epoch, leader_epoch };
        let topics = vec![OffsetForLeaderEpochTopic { topic: self.name("t"), partitions: vec![asked] }];
        let request = OffsetForLeaderEpochRequest { replica_id: -1, topics };
        let answer = self.x.quietly(self.line, 4, request);
        let end = &answer.topics[0].partitions[0];
        let told = (end.error_code, end.leader_epoch, end.end_offset);
        let what = format!("partition {partition}, epoch {leader_epoch}, believes in {current_leader_epoch}");
        self.x.tell(&format!("OffsetForLeaderEpoch 4, {what}: {told:?}"));
    }

    pub(crate) fn describe_producers(&mut self, partition: i32) {
        let topics =
            vec![DescribeProducersTopic { name: self.name("t"), partition_indexes: vec![partition] }];
        let answer = self.x.quietly(self.line, 0, DescribeProducersRequest { topics });
        let described = &answer.topics[0].partitions[0];
        let mut producers: Vec<_> = (described.active_producers.iter())
            .map(|it| {
                let (name, epoch) = (self.known_as(it.producer_id), it.producer_epoch);
                (name, epoch, it.last_sequence, it.coordinator_epoch, it.current_txn_start_offset)
            })
            .collect();
        producers.sort_unstable();
        let told = format!("{:?}, {producers:?}", described.error_code);
        self.x.tell(&format!("DescribeProducers 0, partition {partition}: {told}"));
    }

    pub(crate) fn describe(&mut self, id: &str) {
        let asked = if id.is_empty() { String::new() } else { self.name(id) };
        let request = DescribeTransactionsRequest { transactional_ids: vec![asked] };
        let answer = self.x.quietly(self.line, 0, request);
        let state = &answer.transaction_states[0];
        let topics: Vec<_> = (state.topics.iter())
            .map(|topic| {
                let mut partitions = topic.partitions.clone();
                partitions.sort_unstable();
                (topic.topic.replace(&self.x.run, ""), partitions)
            })
            // How many partitions the topic of the offsets has is configured.
            .filter(|(topic, _)| topic != "__consumer_offsets")
            .collect();
        let started = state.transaction_start_time_ms > 0;
        let told = format!(
            "{:?}, {:?}, {} ms, started: {started}, epoch {}, {topics:?}",
            state.error_code, state.transaction_state, state.transaction_timeout_ms, state.producer_epoch
        );
        self.x.tell(&format!("DescribeTransactions 0, {id:?}: {told}"));
    }

    pub(crate) fn list(&mut self, state_filters: &[&str], pattern: Option<&str>) {
        let run = self.x.run.clone();
        let request = ListTransactionsRequest {
            state_filters: state_filters.iter().map(|&state| state.to_owned()).collect(),
            duration_filter: -1,
            transactional_id_pattern: pattern.map(str::to_owned),
            ..Default::default()
        };
        let answer = self.x.quietly(self.line, 2, request);
        let ours = answer.transaction_states.iter().filter(|state| state.transactional_id.ends_with(&run));
        let mut states: Vec<_> = ours
            .map(|state| (state.transactional_id.replace(&run, ""), state.transaction_state.clone()))
            .collect();
        states.sort_unstable();
        let told = format!("{:?}, unknown {:?}, {states:?}", answer.error_code, answer.unknown_state_filters);
        self.x.tell(&format!("ListTransactions 2, {state_filters:?}, {pattern:?}: {told}"));
    }

    pub(crate) fn delete_offsets(&mut self, group: &str, topic: &str) {
        let partitions = vec![OffsetDeletePartition { partition_index: 0 }];
        let topics = vec![OffsetDeleteTopic { name: self.name(topic), partitions }];
        let request = OffsetDeleteRequest { group_id: self.name(group), topics };
        let answer = self.x.quietly(self.line, 0, request);
        let codes: Vec<_> =
            answer.topics.iter().flat_map(|it| &it.partitions).map(|it| it.error_code).collect();
        self.x.tell(&format!("OffsetDelete 0, {group} {topic}: {:?}, {codes:?}", answer.error_code));
    }

    pub(crate) fn tell(&mut self, what: &str, who: Producer, told: &str) {
        self.x.tell(&format!("{what}, {:?} in epoch {}: {told}", who.transactional_id, who.epoch));
    }

    pub(crate) fn note(&mut self, what: &str) {
        self.x.note(what);
    }
}
