//! What `ottla doctor` says of a group, and does not say, where looks at it are few or not answered.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ottla::{Admin, Consumer, ConsumerBuilder, Producer, ProducerRecord};
use ottla_broker::{ApiKey, Config, ErrorCode, Fault, Server, TopicSpec};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::{
    doctor::{findings, found},
    support::{DEADLINE, Done, Process, ottla, until},
};

/// A topic `t` with a partition of ten records, and a member of the group `g` that has it and does nothing with it.
struct Stage {
    server: Server,
    runtime: Runtime,
    _member: Consumer,
}

async fn write(servers: &str, count: usize) {
    let producer = Producer::builder().bootstrap_servers([servers]).build().await.unwrap();
    for _ in 0..count {
        let record = ProducerRecord::to("t").partition(0).value(b"v".as_slice());
        producer.send(record).await.unwrap().await.unwrap();
    }
}

async fn member(servers: &str, explains: Option<&Path>) -> Consumer {
    let builder = Consumer::builder().bootstrap_servers([servers]).group_id("g").enable_auto_commit(false);
    #[cfg(unix)]
    let builder = explains.into_iter().fold(builder, ConsumerBuilder::explain_socket);
    let mut member = builder.subscribe(["t"]).build().await.unwrap();
    while member.assignment().is_empty() {
        member.poll(Duration::from_millis(20)).await.unwrap();
    }
    member
}

impl Stage {
    /// With this commit, where there is one.
    fn set(committed: Option<i64>) -> Self {
        Self::explaining(committed, None)
    }

    /// The same, and the member says at a socket what it waits for.
    fn explaining(committed: Option<i64>, explains: Option<&Path>) -> Self {
        let config = Config { topics: vec![TopicSpec::new("t", 1)], ..Config::default() };
        let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let servers = server.bootstrap();
        let set = async {
            write(&servers, 10).await;
            let admin = Admin::builder().bootstrap_servers([servers.as_str()]).build().await.unwrap();
            if let Some(offset) = committed {
                let told = admin.alter_offsets("g", [(("t", 0), offset)]).await.unwrap();
                assert!(told.values().all(Result::is_ok), "{told:?}");
            }
            admin.close().await;
            member(&servers, explains).await
        };
        let member = runtime.block_on(async { tokio::time::timeout(DEADLINE, set).await.unwrap() });
        Self { server, runtime, _member: member }
    }

    fn start(&self, looks: &str, more: &[&str]) -> Process {
        let servers = self.server.bootstrap();
        let args =
            ["doctor", "-b", &servers, "-G", "g", "--looks", looks, "--interval", "20ms", "--output", "json"];
        Process::start(&mut ottla(&[&args[..], more].concat()))
    }

    fn doctor(&self, looks: &str) -> (Done, Vec<Value>) {
        self.asking(looks, &[])
    }

    fn asking(&self, looks: &str, more: &[&str]) -> (Done, Vec<Value>) {
        let done = self.start(looks, more).wait();
        let rows = findings(&done);
        (done, rows)
    }
}

fn is_found(rows: &[Value], name: &str) -> bool {
    rows.iter().any(|row| row["finding"] == name)
}

#[test]
fn a_look_that_was_not_answered_is_no_look_at_a_group_without_commits() {
    let stage = Stage::set(Some(1));
    let refused = Fault::Error(ErrorCode::GroupAuthorizationFailed);
    stage
        .server
        .with_cluster(|cluster| cluster.faults().on(ApiKey::OffsetFetch).after(4).times(1).then(refused));
    let (done, rows) = stage.doctor("10");
    assert_eq!(done.status, Some(0), "{rows:#?}");
    for wrong in ["lag-grows", "not-committing", "rewound"] {
        assert!(!is_found(&rows, wrong), "{rows:#?}");
    }
    let seen = found(&rows, "group")["seen"].as_str().unwrap();
    assert!(seen.contains("lag 9") && seen.contains("1 of 10 told nothing"), "{seen}");
    let (_, rows) = stage.doctor("11");
    assert_eq!(found(&rows, "member-stuck")["group"], "g");
}

#[test]
fn a_group_whose_offsets_are_refused_is_neither_well_nor_one_that_commits_nothing() {
    let stage = Stage::set(None);
    let refused = Fault::Error(ErrorCode::GroupAuthorizationFailed);
    stage.server.with_cluster(|cluster| cluster.faults().on(ApiKey::OffsetFetch).always().then(refused));
    let (stop, servers) = (Arc::new(AtomicBool::new(false)), stage.server.bootstrap());
    let stopped = stop.clone();
    let writes = stage.runtime.spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            write(&servers, 1).await;
        }
    });
    let (done, rows) = stage.doctor("10");
    stop.store(true, Ordering::Relaxed);
    stage.runtime.block_on(writes).unwrap();
    assert_eq!(found(&rows, "permission")["group"], "g");
    for wrong in ["group", "not-committing", "member-stuck"] {
        assert!(!is_found(&rows, wrong), "{rows:#?}");
    }
    done.failed(1);
}

#[test]
fn a_partition_that_is_nobodys_is_told_after_two_looks_and_is_a_warning() {
    let stage = Stage::set(Some(10));
    let servers = stage.server.bootstrap();
    stage.runtime.block_on(async {
        let admin = Admin::builder().bootstrap_servers([servers]).build().await.unwrap();
        admin.create_partitions("t", 2).await.unwrap();
        admin.close().await;
    });
    let (once, rows) = stage.doctor("1");
    assert!(!is_found(&rows, "partition-unowned"), "it may be new: {rows:#?}");
    assert_eq!(once.status, Some(0), "{rows:#?}");
    let (twice, rows) = stage.doctor("2");
    let unowned = found(&rows, "partition-unowned");
    assert_eq!((&unowned["severity"], &unowned["partition"]), (&"warning".into(), &1.into()));
    assert_eq!(twice.status, Some(0), "{rows:#?}");
}

#[test]
fn a_transaction_that_ends_while_coordinators_are_asked_does_not_hang() {
    let stage = Stage::set(Some(10));
    let mut producer = stage.runtime.block_on(async {
        let builder = Producer::builder().bootstrap_servers([stage.server.bootstrap()]);
        builder.transactional_id("open").build_transactional().await.unwrap()
    });
    let transaction = stage.runtime.block_on(async {
        let transaction = producer.begin().await.unwrap();
        let record = ProducerRecord::to("t").partition(0).value(b"v".as_slice());
        transaction.send(record).await.unwrap().await.unwrap();
        transaction
    });
    // Producers are asked before: theirs is open. Coordinators are asked while it ends.
    let delay = Fault::Delay(Duration::from_secs(5));
    let happened = |cluster: &mut ottla_broker::Cluster| cluster.faults().happened();
    let before = stage.server.with_cluster(happened);
    stage.server.with_cluster(|cluster| cluster.faults().on(ApiKey::ListTransactions).then(delay));
    let doctor = stage.start("2", &[]);
    until("a question to coordinators", || (stage.server.with_cluster(happened) > before).then_some(()));
    stage.runtime.block_on(transaction.commit()).unwrap();
    let done = doctor.wait();
    let rows = findings(&done);
    assert!(!is_found(&rows, "hanging-transaction"), "{rows:#?}");
    let ended = found(&rows, "open-transaction");
    assert_eq!(ended["severity"], "info");
    assert!(ended["seen"].as_str().unwrap().contains("has ended since"), "{ended}");
    assert_eq!(done.status, Some(0), "{rows:#?}");
}

#[test]
fn a_group_that_stands_before_a_marker_has_read_all() {
    let stage = Stage::set(Some(11));
    stage.runtime.block_on(async {
        let builder = Producer::builder().bootstrap_servers([stage.server.bootstrap()]);
        let mut producer = builder.transactional_id("ends").build_transactional().await.unwrap();
        let transaction = producer.begin().await.unwrap();
        let record = ProducerRecord::to("t").partition(0).value(b"v".as_slice());
        transaction.send(record).await.unwrap().await.unwrap();
        transaction.commit().await.unwrap();
    });
    let (done, rows) = stage.doctor("10");
    assert!(!is_found(&rows, "member-stuck"), "{rows:#?}");
    let seen = found(&rows, "group")["seen"].as_str().unwrap();
    assert!(seen.contains("lag 1"), "{seen}");
    assert_eq!(done.status, Some(0), "{rows:#?}");
    // What a record is behind is another matter.
    stage.runtime.block_on(write(&stage.server.bootstrap(), 1));
    let (_, rows) = stage.doctor("10");
    assert!(found(&rows, "member-stuck")["seen"].as_str().unwrap().contains("2 records wait"), "{rows:#?}");
}

#[cfg(unix)]
#[test]
fn a_member_that_stands_is_told_with_what_its_own_process_waits_for() {
    let folder = std::env::temp_dir().join(format!("ottla-doctor-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (socket, nobody) = (folder.join("sock"), folder.join("nobody"));
    let stage = Stage::explaining(Some(1), Some(&socket));
    // For a second nobody is away: everybody is, between two calls.
    let begun = std::time::Instant::now();
    let mut said = String::new();
    while !said.contains("program: ") {
        assert!(begun.elapsed() < DEADLINE, "{said}");
        said.clear();
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        std::io::Read::read_to_string(&mut stream, &mut said).unwrap();
    }
    let asked = ["--explain", socket.to_str().unwrap(), "--explain", nobody.to_str().unwrap()];
    let (done, rows) = stage.asking("10", &asked);
    done.failed(1);
    let seen = found(&rows, "member-stuck")["seen"].as_str().unwrap();
    let says = format!("its process ({}) says: program: has not come back for", std::process::id());
    assert!(seen.contains("has not moved") && seen.contains(&says) && seen.contains("; t-0: "), "{seen}");
    let seen = found(&rows, "not-asked")["seen"].as_str().unwrap();
    assert!(seen.contains("nobody: "), "{seen}");
    // At a single look nobody is known to stand.
    let (_, rows) = stage.asking("1", &asked[..2]);
    let told = found(&rows, "explained");
    assert!(told["group"] == "g" && told["seen"].as_str().unwrap().contains(&says), "{told}");
    drop(stage);
    std::fs::remove_dir_all(&folder).unwrap();
}
