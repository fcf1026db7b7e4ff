//! What it takes to look at all groups of a cluster: `ottla lag` beside Kafka's own tool in a JVM that is warm, and what `ottla serve` holds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, iter, thread};

use anyhow::{Context, Result, ensure};
use clap::Args;
use ottla::admin::NewTopic;
use ottla::{Admin, TopicPartition};
use ottla_bench_child::cpu_of_children_micros;
use ottla_conformance::kafka::{Cluster, Config};
use ottla_conformance::process::{self, Process};
use ottla_conformance::wait::until_some;

use super::Ottla;
use crate::consumer::runtime;
use crate::lap::WITHIN;
use crate::peers;
use crate::stats::median;

const TOPIC: &str = "scanned";
const NODES: u32 = 3;
const START_WITHIN: Duration = Duration::from_secs(20);
/// How long `ottla serve` looks before its figures are taken.
const SERVED_FOR: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ottla: Ottla,
    #[arg(long, default_value_t = 1_000)]
    groups: usize,
    /// How many partitions each group has committed.
    #[arg(long, default_value_t = 20)]
    partitions: u32,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// One look at all groups.
#[derive(Debug)]
struct Look {
    rows: usize,
    seconds: f64,
    cpu_seconds: f64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let program = options.ottla.program()?;
    let cluster = Cluster::start(Config::new(NODES).optimized())?;
    let bootstrap = cluster.bootstrap();
    let &Options { groups, partitions, rounds, .. } = options;
    runtime()?.block_on(commit(&bootstrap, groups, partitions))?;
    println!("{groups} groups, {} committed partitions, {NODES} brokers\n", groups * partitions as usize);
    println!("| who looks | rows | seconds | CPU seconds | peak, MiB |\n|---|---|---|---|---|");
    let all = groups * partitions as usize;
    let lag = ["lag", "-b", &bootstrap, "--output", "json"];
    let ours = looks(rounds, &program, &lag, |told| Ok(told.lines().count()))?;
    let peak = peak(&program, &lag)?;
    row("`ottla lag --output json`, the whole process", &ours, all, Some(peak))?;
    let kadm = looks(rounds, &peers::franz_go()?, &["scan", &bootstrap], |told| Ok(told.trim().parse()?))?;
    row("franz-go's kadm, the whole process", &kadm, all, None)?;
    let mut theirs = kafkas(&bootstrap, rounds + 1)?.into_iter();
    let cold: Vec<Look> = theirs.by_ref().take(1).collect();
    row("Kafka's tool, the first time in its JVM", &cold, all, None)?;
    let warm: Vec<Look> = theirs.collect();
    row("Kafka's tool, in a JVM that is warm", &warm, all, None)?;
    let seconds = |looks: &[Look]| median(looks.iter().map(|look| look.seconds));
    println!("\nKafka's tool takes {:.1} times as long (aim 10)", seconds(&warm) / seconds(&ours));
    served(&program, &bootstrap)
}

async fn commit(bootstrap: &str, groups: usize, partitions: u32) -> Result<()> {
    let admin = Admin::builder().bootstrap_servers([bootstrap]).build().await?;
    admin.create_topic(NewTopic::new(TOPIC).partitions(partitions as i32)).await?;
    for group in 0..groups {
        let offsets = (0..partitions as i32).map(|partition| (TopicPartition::new(TOPIC, partition), 0));
        let each = until_taken(&admin, &format!("group-{group:04}"), offsets.collect()).await?;
        ensure!(each == partitions as usize, "group {group} has committed {each} partitions");
    }
    admin.close().await;
    Ok(())
}

/// Commits for a group, again where a broker has not heard of the topic yet; how many partitions were taken.
async fn until_taken(admin: &Admin, group: &str, offsets: Vec<(TopicPartition, i64)>) -> Result<usize> {
    let deadline = Instant::now() + START_WITHIN;
    loop {
        let each = admin.alter_offsets(group, offsets.clone()).await?;
        let taken = each.iter().filter(|(_, result)| result.is_ok()).count();
        if taken == offsets.len() || Instant::now() > deadline {
            return Ok(taken);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn row(who: &str, looks: &[Look], all: usize, peak_kib: Option<u64>) -> Result<()> {
    for look in looks {
        ensure!(look.rows == all, "{who} shows {} partitions of {all}", look.rows);
    }
    let of = |pick: fn(&Look) -> f64| median(looks.iter().map(pick));
    let peak = peak_kib.map_or("-".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0));
    println!(
        "| {who} | {all} | {:.3} | {:.3} | {peak} |",
        of(|look| look.seconds),
        of(|look| look.cpu_seconds)
    );
    Ok(())
}

/// So many looks by a program, by whose output `rows` are told.
fn looks(
    rounds: usize,
    program: &Path,
    arguments: &[&str],
    rows: fn(&str) -> Result<usize>,
) -> Result<Vec<Look>> {
    let mut look = Command::new(program);
    look.args(arguments);
    let one = || {
        let (before, began) = (cpu_of_children_micros()?, Instant::now());
        let output = process::run(&look, WITHIN)?;
        let seconds = began.elapsed().as_secs_f64();
        let cpu_seconds = (cpu_of_children_micros()? - before) as f64 / 1e6;
        Ok(Look { rows: rows(&output.stdout)?, seconds, cpu_seconds })
    };
    iter::repeat_with(one).take(rounds).collect()
}

/// Its peak of memory, by a small process that has no other child.
fn peak(program: &Path, arguments: &[&str]) -> Result<u64> {
    let mut child = Command::new(std::env::current_exe()?);
    child.arg("peak").arg(program).args(arguments);
    Ok(process::run(&child, WITHIN)?.stdout.trim().parse()?)
}

/// Kafka's tool, called so often in one JVM, which tells a line of figures of each call.
fn kafkas(bootstrap: &str, times: usize) -> Result<Vec<Look>> {
    let mut scan = peers::java("Scan", &[])?;
    scan.arg(bootstrap).arg(TOPIC).arg(times.to_string());
    let told = process::run(&scan, WITHIN)?;
    let look = |line: &str| {
        let mut fields = line.split(' ');
        let mut next = || fields.next().context("a figure is missing");
        Ok(Look { rows: next()?.parse()?, seconds: next()?.parse()?, cpu_seconds: next()?.parse()? })
    };
    told.stdout.lines().map(look).collect()
}

/// What `ottla serve` holds, and what a look costs it.
fn served(program: &Path, bootstrap: &str) -> Result<()> {
    let mut serve = Command::new(program);
    serve.args(["serve", "-b", bootstrap, "--listen", "127.0.0.1:0", "--interval", "5s"]);
    let mut serve = Process::spawn(&serve)?;
    let ready = until_some(START_WITHIN, "ottla serve", || serve.lines().into_iter().next())?;
    let address = ready.trim_start_matches("ready http://").trim_end_matches('/').to_owned();
    until_some(START_WITHIN, "a first look", || is_ready(&address).then_some(()))?;
    let (before, began) = (cpu_ticks(serve.id())?, Instant::now());
    thread::sleep(SERVED_FOR);
    let looks = began.elapsed().as_secs_f64() / 5.0;
    // Ticks are of 10 ms.
    let cpu_seconds = (cpu_ticks(serve.id())? - before) as f64 / 100.0;
    println!(
        "\n`ottla serve --interval 5s`: {:.1} MiB at its peak (aim: 64), {:.3} CPU seconds a look",
        status_kib(serve.id(), "VmHWM:")? as f64 / 1024.0,
        cpu_seconds / looks,
    );
    serve.kill();
    Ok(())
}

fn is_ready(address: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

fn status_kib(process: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("it is not told")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Of all its threads, in user and in system mode.
fn cpu_ticks(process: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name stands in brackets, and may have any characters.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.collect::<Result<Vec<_>, _>>()?.into_iter().sum())
}
