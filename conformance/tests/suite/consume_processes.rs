//! `ottla consume` in two processes, on what Kafka's own load generator wrote.
//!
//! `OTTLA_CONFORMANCE_RECORDS` says how many records there are for each codec, 100,000 if it is not set. One command
//! runs it all: `cargo test -p ottla-conformance --test suite -- two_consume_processes`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use libtest_mimic::Failed;
use ottla::TopicPartition;
use ottla_conformance::kafka::{Load, Tools};
use ottla_conformance::process::Process;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::{TimedOut, until};

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::kit::{admin, describe, equal, holds, topic, wait};

const PARTITIONS: i32 = 12;

/// For a million records, beside whatever else the machine does.
const ALL_WITHIN: Duration = Duration::from_secs(180);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kafka("two_consume_processes_read_all_that_java_wrote", |target| read_all(target, "none")),
        Case::kafka("two_consume_processes_read_all_that_java_wrote_in_gzip", |target| {
            read_all(target, "gzip")
        }),
        Case::kafka("two_consume_processes_read_all_that_java_wrote_in_snappy", |target| {
            read_all(target, "snappy")
        }),
        Case::kafka("two_consume_processes_read_all_that_java_wrote_in_lz4", |target| {
            read_all(target, "lz4")
        }),
        Case::kafka("two_consume_processes_read_all_that_java_wrote_in_zstd", |target| {
            read_all(target, "zstd")
        }),
    ]
    .into_iter()
    .map(Case::heavy)
    .collect()
}

fn records() -> Result<usize, Failed> {
    match std::env::var("OTTLA_CONFORMANCE_RECORDS") {
        Ok(records) => Ok(records.parse().map_err(|error| format!("OTTLA_CONFORMANCE_RECORDS: {error}"))?),
        Err(_) => Ok(100_000),
    }
}

/// How often each place was printed.
type Printed = BTreeMap<(i32, i64), usize>;

fn printed(processes: &[Process]) -> Result<Printed, Failed> {
    let mut printed = Printed::new();
    for line in processes.iter().flat_map(Process::lines) {
        let (partition, offset) = line.split_once(' ').ok_or_else(|| format!("`{line}` is no place"))?;
        *printed.entry((partition.parse()?, offset.parse()?)).or_default() += 1;
    }
    Ok(printed)
}

/// A topic's records, and what two processes print of them.
struct Scene<'a> {
    target: &'a Target,
    tools: Tools,
    topic: String,
    records: usize,
    /// The end of each partition.
    ends: BTreeMap<i32, i64>,
}

fn read_all(target: &Target, codec: &str) -> Outcome {
    let (tools, records) = (target.tools()?, records()?);
    let topic = wait(topic(target, &format!("load-{codec}"), PARTITIONS))?;
    tools.produce_load(&Load::new(&topic, records).codec(codec))?;
    let ends: Option<BTreeMap<i32, i64>> =
        tools.offsets(&topic, -1)?.into_iter().map(|(partition, end)| Some((partition, end?))).collect();
    let ends = ends.ok_or("a partition without an end")?;
    equal("records in all partitions", ends.values().sum(), records as i64)?;
    let scene = Scene { target, tools, topic, records, ends };
    scene.without_kills()?;
    scene.with_a_kill()
}

impl Scene<'_> {
    /// Two members of a group, with a half of the partitions each; so many bytes more may each of them print.
    ///
    /// The first is held back by a full pipe until the second has come, and goes on a little at a time until both have
    /// their shares: so both read, and a rebalance finds records in the first one's hands.
    fn start(&self, group: &str, session: Duration, more: usize) -> Result<[Process; 2], Failed> {
        let session = format!("session.timeout.ms={}", session.as_millis());
        let start = |client: &str| -> Result<Process, Failed> {
            let args = ["consume", &self.topic, "-G", group, "-o", "beginning", "-f", "%p %o\\n"];
            let mut command = ottla(self.target, &args)?;
            command.args([
                "-X",
                &session,
                "-X",
                "heartbeat.interval.ms=500",
                "-X",
                "auto.commit.interval.ms=300",
            ]);
            let process = Process::spawn(command.arg("-X").arg(format!("client.id={client}")))?;
            process.read_at_most(1);
            Ok(process)
        };
        let first = start("first")?;
        until(ALL_WITHIN, "the first line", || first.bytes_read() > 0)
            .map_err(|late| self.late(&late, std::slice::from_ref(&first)))?;
        let processes = [first, start("second")?];
        let half = PARTITIONS as usize / 2;
        let shared = until(ALL_WITHIN, "a half for each", || {
            let shares = self.members(group).unwrap_or_default();
            let [first, _] = &processes;
            if shares.len() == 2 {
                first.read_at_most(first.bytes_read() + 1024);
            }
            shares.values().map(BTreeSet::len).eq([half, half])
        });
        shared.map_err(|late| self.late(&late, &processes))?;
        for process in &processes {
            process.read_at_most(process.bytes_read().saturating_add(more));
        }
        Ok(processes)
    }

    /// The partitions of each member, by its client id.
    fn members(&self, group: &str) -> Result<BTreeMap<String, BTreeSet<i32>>, Failed> {
        let members = describe(self.target, group)?.members.into_iter();
        let partitions =
            |assigned: Vec<TopicPartition>| assigned.into_iter().map(|at| at.partition).collect();
        Ok(members.map(|member| (member.client_id, partitions(member.assignment))).collect())
    }

    /// What is known when something took too long.
    fn late(&self, late: &TimedOut, processes: &[Process]) -> String {
        let mut text = format!("{late}; of {} records", self.records);
        for process in processes {
            let _ = write!(text, "\n{} lines, {}", process.line_count(), process.bytes_read());
            let _ = write!(text, " bytes; {}", process.stderr());
        }
        text
    }

    /// Until all records are printed; then both end as they should.
    fn finish(&self, mut processes: [Process; 2], killed: bool) -> Result<Printed, Failed> {
        let lines = || processes.iter().map(Process::line_count).sum::<usize>();
        let all = until(ALL_WITHIN, "all records", || {
            // To tell repeats from records takes a while: not before there are enough lines.
            lines() >= self.records && printed(&processes).is_ok_and(|printed| printed.len() >= self.records)
        });
        if let Err(late) = all {
            let distinct = printed(&processes)?.len();
            let [first, second] = &processes;
            return Err(format!(
                "{late}: {distinct} of {}\n{}{}",
                self.records,
                first.stderr(),
                second.stderr()
            )
            .into());
        }
        for process in processes.iter_mut().skip(usize::from(killed)) {
            process.signal("TERM")?;
            let output = process.end(ALL_WITHIN)?;
            equal("the status", (output.status.code(), output.complaints()), (Some(0), Vec::new()))?;
        }
        let printed = printed(&processes)?;
        let expected =
            self.ends.iter().flat_map(|(partition, end)| (0..*end).map(|offset| (*partition, offset)));
        let missing: Vec<_> = expected.filter(|place| !printed.contains_key(place)).take(10).collect();
        equal("missing", missing, Vec::new())?;
        equal("each record is one that was written", printed.len(), self.records)?;
        Ok(printed)
    }

    fn without_kills(&self) -> Outcome {
        let group = unique("unharmed");
        let processes = self.start(&group, Duration::from_secs(30), usize::MAX)?;
        let printed = self.finish(processes, false)?;
        let repeated: Vec<_> = printed.iter().filter(|(_, times)| **times > 1).take(10).collect();
        equal("repeated", repeated, Vec::new())?;
        let rows = self.tools.describe_group(&group)?;
        equal("rows", rows.len(), self.ends.len())?;
        holds(&format!("no lag: {rows:?}"), rows.iter().all(|row| row.lag == Some(0)))?;
        eprintln!("{}: {} records, none missing, none repeated, lag 0", self.topic, printed.len());
        Ok(())
    }

    fn with_a_kill(&self) -> Outcome {
        // A line has some 7 bytes, and the pipe holds more: each is stopped in the midst of its half.
        let group = unique("killed");
        let more = self.records / 2 * 7 / 4;
        let mut processes = self.start(&group, Duration::from_secs(6), more)?;
        until(ALL_WITHIN, "half of it", || processes.iter().all(|process| process.bytes_read() >= more))
            .map_err(|late| self.late(&late, &processes))?;
        let owned = self.members(&group)?.remove("first").ok_or("the first is no member")?;
        equal("its share", owned.len(), PARTITIONS as usize / 2)?;
        let [first, second] = &mut processes;
        first.kill();
        // Nobody can commit for its partitions before its session is over.
        let committed =
            wait(async { Ok(admin(self.target).await?.committed_offsets(group.as_str()).await?) })?;
        holds("that before its session is over", self.members(&group)?.contains_key("first"))?;
        let committed: BTreeMap<i32, i64> =
            committed.into_iter().map(|(at, committed)| (at.partition, committed.offset)).collect();
        second.read_at_most(usize::MAX);
        let printed = self.finish(processes, true)?;
        let repeated: Vec<_> =
            printed.iter().filter(|(_, times)| **times > 1).map(|(place, _)| *place).collect();
        let excusable = |(partition, offset): &(i32, i64)| {
            owned.contains(partition) && committed.get(partition).is_none_or(|committed| offset >= committed)
        };
        let wrong: Vec<_> = repeated.iter().filter(|place| !excusable(place)).take(10).collect();
        equal("repeats before the last commit", wrong, Vec::new())?;
        holds(
            "it had committed something",
            owned.iter().any(|partition| committed.get(partition) > Some(&0)),
        )?;
        eprintln!(
            "{}: {} records, none missing, {} repeated after a kill, all from the last commit on",
            self.topic,
            printed.len(),
            repeated.len()
        );
        Ok(())
    }
}
