//! `ottla broker --data-dir`: what it finds again, however it ended.

use std::{
    collections::BTreeMap,
    env, fs,
    net::TcpListener,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use ottla::{Admin, Consumer, OffsetReset, Producer, ProducerRecord};

use crate::support::{Broker, DEADLINE, Dir, numbers, ottla, run, until};

/// A port that no client's own end of a connection is given, so that the broker can have it again.
fn port(rng: &mut fastrand::Rng) -> u16 {
    until("a free port", || {
        let port = rng.u16(10_000..30_000);
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    })
}

fn broker(port: u16, dir: &Dir) -> Broker {
    let listen = format!("127.0.0.1:{port}");
    Broker::of(&mut ottla(&["broker", "--listen", &listen, "--data-dir", dir.path(), "--topic", "t:3"]))
}

const PARTITIONS: i32 = 3;

/// What clients are at, and what they were told.
#[derive(Default)]
struct Load {
    stops: AtomicBool,
    acknowledged: AtomicUsize,
    /// The newest commit that was acknowledged, by partition.
    committed: Mutex<BTreeMap<i32, i64>>,
    commits: AtomicUsize,
}

const QUICK: [(&str, &str); 2] = [("reconnect.backoff.ms", "10"), ("reconnect.backoff.max.ms", "50")];

/// Writes numbers until it is to stop. Returns how many; each is acknowledged.
async fn write(load: Arc<Load>, servers: String) -> usize {
    let builder = Producer::builder().properties(QUICK).unwrap().bootstrap_servers([servers]);
    let builder = builder.linger(Duration::ZERO).delivery_timeout(DEADLINE);
    let producer = builder.build().await.unwrap();
    let mut number = 0;
    while !load.stops.load(Ordering::Relaxed) {
        let mut sent = Vec::new();
        for _ in 0..20 {
            let record = ProducerRecord::to("t").partition(number as i32 % PARTITIONS);
            sent.push(producer.send(record.value(number.to_string().into_bytes())).await.unwrap());
            number += 1;
        }
        for delivery in sent {
            delivery.await.expect("delivered");
            load.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
    producer.close().await.unwrap();
    number
}

/// Reads in a group, and commits what it read.
async fn read(load: Arc<Load>, servers: String) {
    let builder = Consumer::builder().properties(QUICK).unwrap().bootstrap_servers([servers]);
    let builder = builder.group_id("g").subscribe(["t"]).enable_auto_commit(false);
    let mut consumer = builder.auto_offset_reset(OffsetReset::Earliest).build().await.unwrap();
    while !load.stops.load(Ordering::Relaxed) {
        let next = consumer.poll(Duration::from_millis(50)).await.map(|records| records.next_offsets());
        if next.is_ok_and(|next| next.is_empty()) {
            continue;
        }
        // One that fails may have been written or not.
        if let Ok(committed) = consumer.commit().await {
            let mut known = load.committed.lock().unwrap();
            for (at, offset) in committed {
                known.insert(at.partition, offset.offset);
            }
            load.commits.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the group has committed, as an administrator is told.
async fn committed(servers: &str) -> BTreeMap<i32, i64> {
    let admin = Admin::builder().bootstrap_servers([servers]).build().await.unwrap();
    let committed = admin.committed_offsets("g").await.unwrap();
    admin.close().await;
    committed.into_iter().map(|(at, offset)| (at.partition, offset.offset)).collect()
}

/// How often the broker is killed; `OTTLA_KILLS` says otherwise, `OTTLA_SEED` when.
const KILLS: usize = 5;

#[test]
fn a_broker_that_is_killed_at_any_time_loses_nothing_that_it_acknowledged() {
    let number = |name: &str| env::var(name).ok().and_then(|number| number.parse().ok());
    let kills = number("OTTLA_KILLS").map_or(KILLS, |kills| kills as usize);
    let seed = number("OTTLA_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{kills} kills; again with OTTLA_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let (dir, port) = (Dir::new("killed"), port(&mut rng));
    let mut broker = self::broker(port, &dir);
    let servers = broker.servers.clone();
    let load = Arc::new(Load::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let writing = runtime.spawn(write(load.clone(), servers.clone()));
    let reading = runtime.spawn(read(load.clone(), servers.clone()));
    for kill in 1..=kills {
        // There is load before each, of both kinds.
        let told = || (load.acknowledged.load(Ordering::Relaxed), load.commits.load(Ordering::Relaxed));
        let (records, commits) = told();
        until("records and commits that are acknowledged", || {
            assert!(!writing.is_finished() && !reading.is_finished(), "a client gave up");
            let now = told();
            (now.0 > records && now.1 > commits).then_some(())
        });
        thread::sleep(Duration::from_micros(rng.u64(0..50_000)));
        broker.kill();
        let promised = load.committed.lock().unwrap().clone();
        broker = self::broker(port, &dir);
        let found = runtime.block_on(committed(&servers));
        for (partition, offset) in promised {
            assert!(found.get(&partition).is_some_and(|found| *found >= offset), "kill {kill}: commits fell");
        }
    }
    load.stops.store(true, Ordering::Relaxed);
    let written = runtime.block_on(writing).unwrap();
    runtime.block_on(reading).unwrap();
    let mut seen = vec![0; written];
    let mut last = BTreeMap::new();
    for line in broker.run(&["consume", "t", "-e", "-f", "%p %s\n"]).ok().lines() {
        let (partition, number) = line.split_once(' ').unwrap();
        let (partition, number): (i32, usize) = (partition.parse().unwrap(), number.parse().unwrap());
        seen[number] += 1;
        assert!(last.insert(partition, number).is_none_or(|last| last < number), "{number} is out of order");
    }
    let lost = seen.iter().filter(|times| **times == 0).count();
    let doubled = seen.iter().filter(|times| **times > 1).count();
    let commits = load.commits.load(Ordering::Relaxed);
    println!(
        "{kills} kills: {written} records and {commits} commits acknowledged; {lost} lost, {doubled} doubled"
    );
    assert_eq!((lost, doubled), (0, 0));
}

#[test]
fn a_second_broker_on_a_directory_is_refused_with_its_name() {
    let dir = Dir::new("second");
    let args = ["broker", "--listen", "127.0.0.1:0", "--data-dir", dir.path()];
    let first = Broker::of(&mut ottla(&args));
    let refused = run(&args).failed(1);
    assert!(refused.contains(dir.path()) && refused.contains("another broker"), "{refused}");
    first.kill();
    Broker::of(&mut ottla(&args)).stop().ok();
}

#[test]
fn a_flipped_byte_ends_the_start_with_the_file_and_the_offset() {
    let dir = Dir::new("flipped");
    let args = ["broker", "--listen", "127.0.0.1:0", "--data-dir", dir.path(), "--topic", "t:1"];
    let broker = Broker::of(&mut ottla(&args));
    broker.produce(&["t"], &numbers(0..100)).ok();
    broker.kill();
    let mut journal = fs::read(dir.0.join("journal")).unwrap();
    let middle = journal.len() / 2;
    journal[middle] ^= 1;
    fs::write(dir.0.join("journal"), &journal).unwrap();
    let refused = run(&args).failed(1);
    let named = format!("{}: damaged at offset ", dir.0.join("journal").display());
    assert!(refused.contains(&named), "{refused}");
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_an_error_to_the_producer_and_what_is_there_is_read() {
    let dir = Dir::new("full");
    let args = ["broker", "--listen", "127.0.0.1:0", "--data-dir", dir.path(), "--topic", "t:1"];
    // No file grows beyond some kilobytes, and the signal that tells of that is ignored.
    let limited = || {
        let mut limited = Command::new("/bin/sh");
        limited.args(["-c", r#"trap "" XFSZ; ulimit -f 64; exec "$0" "$@""#]).arg(ottla(&args).get_program());
        Broker::of(limited.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()))
    };
    let broker = limited();
    let line = format!("{}\n", "x".repeat(999));
    let mut taken = 0;
    let refused = loop {
        let impatient = ["t", "-X", "request.timeout.ms=1000", "-X", "delivery.timeout.ms=1500"];
        let produced = broker.produce(&impatient, &line);
        match produced.status {
            Some(0) => taken += 1,
            _ => break produced.failed(1),
        }
    };
    assert!(refused.contains("KAFKA_STORAGE_ERROR"), "{refused}");
    assert!(taken > 10, "{taken}");
    let read = |broker: &Broker| broker.run(&["consume", "t", "-e"]).ok().lines().count();
    assert_eq!(read(&broker), taken, "the broker serves reads");
    broker.kill();
    let broker = limited();
    assert_eq!(read(&broker), taken, "one that begins with a full disk does, too");
    broker.kill();
    let broker = Broker::of(&mut ottla(&args));
    assert_eq!(read(&broker), taken, "what was refused is not there");
    broker.produce(&["t"], &line).ok();
    assert_eq!(read(&broker), taken + 1);
}
