//! Where all is well `ottla doctor` accuses nobody: groups of each kind that read what is written while it looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::admin::CommittedOffset;
use ottla::{Consumer, GroupProtocol, IsolationLevel, Producer, ProducerRecord};
use ottla_conformance::kafka::GroupTools;
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::doctor::Told;
use crate::kit::{admin, equal, member_by, numbers, poll_until, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::both("doctor_accuses_nobody_where_all_is_well", well)]
}

const PARTITIONS: i32 = 2;

fn well(target: &Target) -> Outcome {
    let (plain, written) =
        (wait(topic(target, "plain", PARTITIONS))?, wait(topic(target, "written", PARTITIONS))?);
    let mut groups = Vec::new();
    let mut group = |name: &str| {
        groups.push(unique(name));
        groups.last().cloned().unwrap_or_default()
    };
    let (classic, consumer, committed) = (group("classic"), group("consumer"), group("committed"));
    let idle = group("idle");
    let readers = wait(async {
        let classic = member_by(target, &classic, &plain, GroupProtocol::Classic);
        let consumer = member_by(target, &consumer, &plain, GroupProtocol::Consumer);
        let committed = member_by(target, &committed, &written, GroupProtocol::Classic);
        let committed = committed.isolation_level(IsolationLevel::ReadCommitted);
        let mut readers = Vec::new();
        for builder in [classic, consumer, committed] {
            let builder = builder.enable_auto_commit(true).auto_commit_interval(Duration::from_millis(50));
            let mut reader = builder.build().await?;
            poll_until(&mut reader, "a share", |reader| !reader.assignment().is_empty()).await?;
            readers.push(reader);
        }
        Ok(readers)
    })?;
    // A member that has read all, of a topic to which nobody writes any more.
    let still = wait(topic(target, "still", PARTITIONS))?;
    let _idle = wait(async {
        numbers(target, &still, PARTITIONS, 0..10).await?;
        let all = (0..PARTITIONS).map(|partition| ((still.as_str(), partition), CommittedOffset::new(5)));
        let told = admin(target).await?.alter_offsets(&idle, all).await?;
        told.into_values().collect::<Result<Vec<_>, _>>()?;
        let mut member = member_by(target, &idle, &still, GroupProtocol::Classic).build().await?;
        poll_until(&mut member, "a share", |member| !member.assignment().is_empty()).await?;
        Ok(member)
    })?;
    let mut others = Others::start(target, &plain, &still, &mut group)?;
    let flow = Flow::start(target.bootstrap(), [plain, written], readers);
    let bootstrap = target.bootstrap();
    let mut args = vec!["-b", &bootstrap, "--interval", "600ms"];
    args.extend(groups.iter().flat_map(|group| ["-G", group.as_str()]));
    let told = Told::by(&args);
    flow.stop()?;
    others.end();
    let told = told?;
    told.is_well()?;
    equal("the groups that are told to be well", told.count("group"), groups.len())
}

/// Members of the kinds that only a Kafka has, by its own clients.
struct Others(Option<GroupTools>);

impl Others {
    fn start(
        target: &Target,
        plain: &str,
        still: &str,
        group: &mut impl FnMut(&str) -> String,
    ) -> Result<Self, Failed> {
        let Target::Kafka(_) = target else { return Ok(Self(None)) };
        let mut tools = GroupTools::start(&target.bootstrap())?;
        let (share, streams) = (group("share"), group("streams"));
        let told = tools.ask("share-member", &[plain, &share])?;
        equal("the share group's member", told.status, 0).map_err(|_| told.all())?;
        let coordinator =
            wait(async { Ok(admin(target).await?.find_coordinator(streams.as_str()).await?.address) })?;
        // It has tasks, and commits nothing: nothing is written to what it reads.
        let (host, port) = (coordinator.host, coordinator.port.to_string());
        let told = tools.ask("streams-member", &[&host, &port, still, &streams])?;
        equal("the streams group's member", told.status, 0).map_err(|_| told.all())?;
        Ok(Self(Some(tools)))
    }

    /// Its members live as long as it does.
    fn end(&mut self) {
        self.0 = None;
    }
}

/// Records and transactions that are written, and read, until it is stopped.
struct Flow {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

impl Flow {
    fn start(bootstrap: String, topics: [String; 2], readers: Vec<Consumer>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = spawn(move || wait(go_on(&bootstrap, &topics, readers, &stopped)));
        Self { stop, thread }
    }

    fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the flow has panicked")?
    }
}

async fn go_on(
    bootstrap: &str,
    [plain, written]: &[String; 2],
    mut readers: Vec<Consumer>,
    stop: &AtomicBool,
) -> Outcome {
    let producer = Producer::builder().bootstrap_servers([bootstrap]).build().await?;
    let id = unique("healthy");
    let builder = Producer::builder().bootstrap_servers([bootstrap]).transactional_id(id.as_str());
    let mut transactional = builder.build_transactional().await?;
    while !stop.load(Ordering::Relaxed) {
        let transaction = transactional.begin().await?;
        for partition in 0..PARTITIONS {
            producer.send(record(plain, partition)).await?.await?;
            transaction.send(record(written, partition)).await?.await?;
        }
        within("a commit", transaction.commit()).await??;
        for reader in &mut readers {
            reader.poll(Duration::from_millis(20)).await?;
        }
    }
    Ok(())
}

fn record(topic: &str, partition: i32) -> ProducerRecord<'_> {
    ProducerRecord::to(topic).partition(partition).value(b"v".as_slice())
}
