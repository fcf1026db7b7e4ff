use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use ottla_protocol::{
    Timestamp,
    messages::{ProducePartitionData, ProduceRequest, ProduceTopicData},
    records::{BatchBuilder, Compression, Compressor},
};

use super::*;
use crate::{Cluster, Config, Output, TopicSpec};

/// A disk of few bytes.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Disk {
    fn grow_to(&self, size: usize) {
        self.0.lock().unwrap().1 = size;
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }
}

impl Medium for Disk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let (written, size) = &mut *disk;
        let room = size.saturating_sub(written.len()).min(bytes.len());
        written.extend(&bytes[..room]);
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().0.truncate(length as usize);
        Ok(())
    }
}

fn now() -> Now {
    Now { mono: Instant::now(), wall: Timestamp(1_700_000_000_000) }
}

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None, usize::MAX);
    builder.append(0, None, Some(&[7; 100]), []).unwrap();
    builder.finish(&mut Compressor::new())
}

fn on(disk: &Disk) -> Cluster {
    let mut cluster = Cluster::new(Config::default());
    cluster.journal = Some(Journal::new("disk".into(), Box::new(disk.clone()), 0));
    cluster
}

/// All that is kept, as text.
fn state(cluster: &Cluster) -> String {
    format!("{:?} {:?} {:?}", cluster.topics, cluster.groups, cluster.transactions)
}

/// What is read of a disk.
fn read_back(bytes: &[u8]) -> String {
    let mut again = Cluster::new(Config::default());
    let frames = Frames::new(bytes, bytes.len() as u64);
    let end = replay(Path::new("disk"), frames, now(), |entry| again.apply(entry).is_some()).unwrap();
    assert_eq!(end, bytes.len() as u64, "nothing is torn");
    state(&again)
}

#[test]
fn what_a_full_disk_does_not_take_is_refused_and_changes_nothing_and_what_is_there_can_be_read() {
    // At each size the disk is full at another byte of another entry.
    for size in (0..1500).step_by(7) {
        let disk = Disk::default();
        disk.grow_to(size);
        let mut cluster = on(&disk);
        let created = cluster.create_topic(&TopicSpec::new("t", 1));
        let mut taken = 0;
        let refused = loop {
            let before = state(&cluster);
            match cluster.append("t", 0, &batch(), now()) {
                Ok(offset) => taken = offset + 1,
                Err(refusal) => {
                    assert_eq!(state(&cluster), before, "nothing is applied");
                    break refusal;
                }
            }
        };
        match created {
            Ok(_) => assert_eq!(refused.code, ErrorCode::KafkaStorageError),
            Err(refusal) => assert_eq!(refusal.code, ErrorCode::KafkaStorageError),
        }
        let readable = cluster.log("t", 0).unwrap_or_default();
        assert_eq!(ottla_protocol::records::walk_headers(&readable).count() as i64, taken);
        assert_eq!(read_back(&disk.bytes()), state(&cluster), "the disk has what memory has");
        // There is room again.
        disk.grow_to(usize::MAX);
        let _ = cluster.create_topic(&TopicSpec::new("t", 1));
        assert_eq!(cluster.append("t", 0, &batch(), now()).unwrap(), taken);
        assert_eq!(read_back(&disk.bytes()), state(&cluster));
    }
}

#[test]
fn a_producer_is_told_of_a_full_disk_by_the_error_of_its_partition() {
    let disk = Disk::default();
    disk.grow_to(usize::MAX);
    let mut cluster = on(&disk);
    cluster.create_topic(&TopicSpec::new("t", 1)).unwrap();
    disk.grow_to(0);
    let partition_data = vec![ProducePartitionData {
        records: Some(ottla_protocol::codec::RecordData::Owned(batch())),
        index: 0,
    }];
    let topic_data = vec![ProduceTopicData { name: "t".into(), partition_data, ..Default::default() }];
    let request = ProduceRequest { acks: -1, timeout_ms: 1000, topic_data, ..Default::default() };
    let (key, version) = (ottla_protocol::ApiKey::Produce, 9);
    let header = ottla_protocol::RequestHeader { key, version, correlation_id: 1, client_id: None };
    let conn = cluster.handle_connect(1, now());
    cluster.handle_frame(conn, header.encode(&request.into())[4..].to_vec(), now());
    let Some(Output::Reply { frame, .. }) = cluster.poll_output() else { panic!("an answer") };
    let (_, answer) = ottla_protocol::ResponseHeader::decode(key, version, &frame[4..]).unwrap();
    let ottla_protocol::Response::Produce(answer) = answer else { panic!("{answer:?}") };
    let told = &answer.responses[0].partition_responses[0];
    assert_eq!((told.error_code, told.base_offset), (ErrorCode::KafkaStorageError, -1));
    assert!(told.error_message.as_ref().is_some_and(|why| why.contains("data directory")), "{told:?}");
}

#[test]
fn what_the_broker_decides_while_the_disk_is_full_is_written_in_front_of_what_comes_next() {
    let disk = Disk::default();
    disk.grow_to(usize::MAX);
    let mut cluster = on(&disk);
    cluster.create_topic(&TopicSpec::new("t", 1)).unwrap();
    disk.grow_to(0);
    for _ in 0..3 {
        assert!(cluster.depose_leader("t", 0, now()) && cluster.move_leader("t", 0, 1, now()));
    }
    cluster.append("t", 0, &batch(), now()).unwrap_err();
    disk.grow_to(usize::MAX);
    cluster.append("t", 0, &batch(), now()).unwrap();
    assert_eq!(cluster.leader("t", 0), Some((1, 6)));
    assert_eq!(read_back(&disk.bytes()), state(&cluster));
}

#[test]
fn entries_that_make_no_sense_are_damage_and_no_panic() {
    let nonsense = [
        Entry::Batch { topic: ottla_protocol::TopicId([1; 16]), partition: 0, bytes: batch() },
        Entry::TopicDeleted { name: "t".into() },
        Entry::ProducerIds { next: i64::MAX },
        Entry::ProducerIds { next: -1 },
    ];
    for entry in nonsense {
        let mut bytes = frames::MAGIC.to_vec();
        frames::put(&mut bytes, |out| entry.encode(out));
        let mut cluster = Cluster::new(Config::default());
        let frames = Frames::new(bytes.as_slice(), bytes.len() as u64);
        let error = replay(Path::new("d/journal"), frames, now(), |entry| cluster.apply(entry).is_some());
        assert!(error.unwrap_err().to_string().starts_with("d/journal: damaged at offset 8: "), "{entry:?}");
    }
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..100_000 {
        // Each kind, with any bytes behind it, as a checksum that fits would let them in.
        let mut bytes: Vec<u8> = (0..rng.usize(1..80)).map(|_| rng.u8(..)).collect();
        bytes[0] = rng.u8(0..16);
        if let Ok(Some(entry)) = Entry::decode(&bytes, now()) {
            let _ = Cluster::new(Config::default()).apply(entry);
        }
    }
}
