//! `ottla process` with handlers in other languages: order, retries and dead letters from the shell, and `ottla dlq replay` once
//! they are mended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use libtest_mimic::Failed;
use ottla::OwnedRecord;
use ottla::dead_letters::{FailedRecord, Origin};
use ottla_conformance::process::{Output, Process, run};
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;

use crate::cases::{Case, Outcome};
use crate::cli::{feed, ottla};
use crate::kit::{self, PATIENCE, equal, holds, topic, wait};

const RECORDS: usize = 60;
const KEYS: usize = 10;

/// Prints key and number of each record, and fails: of some the first attempt, of some each. Mended, it fails with none.
const PYTHON: &str = r#"
import os, sys
n, attempt = int(sys.stdin.read()), int(os.environ["OTTLA_ATTEMPT"])
if not os.path.exists(sys.argv[1]):
    if n % 20 == 7: sys.exit(f"{n} is hopeless")
    if n % 10 == 3 and attempt == 1: sys.exit(f"{n} is for later")
print(os.environ["OTTLA_KEY"], n)
"#;
const NODE: &str = r#"
const n = Number(require("fs").readFileSync(0)), attempt = Number(process.env.OTTLA_ATTEMPT);
const fail = (why) => { console.error(`${n} is ${why}`); process.exit(1); };
if (!require("fs").existsSync(process.argv[2])) {
    if (n % 20 === 7) fail("hopeless");
    if (n % 10 === 3 && attempt === 1) fail("for later");
}
console.log(process.env.OTTLA_KEY, n);
"#;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("a_python_handler_has_all_of_it_from_the_shell", |target| all(target, "python3", PYTHON))
            .with_program("python3"),
        Case::both("a_node_handler_has_all_of_it_from_the_shell", |target| all(target, "node", NODE))
            .with_program("node"),
    ]
}

/// Files that end with the case.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failed> {
        let path = std::env::temp_dir().join(unique("handlers"));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf, Failed> {
        let path = self.0.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn all(target: &Target, language: &str, program: &str) -> Outcome {
    let folder = Folder::new()?;
    let handler = folder.file("handler", program)?;
    let mended = folder.0.join("mended");
    let orders = wait(topic(target, "orders", 3))?;
    let letters = format!("{orders}-dlt");
    let lines: Vec<String> = (0..RECORDS).map(|n| format!("k{}:{n}", n % KEYS)).collect();
    feed(&ottla(target, &["produce", &orders, "-K", ":"])?, &lines)?;
    let exec = format!("exec {language} {} {}", show(&handler)?, show(&mended)?);
    let args = ["process", &orders, "-G", &orders, "--exec", &exec, "--order", "key", "--concurrency", "16"];
    let more = ["--retries", "3", "--dead-letter", &letters];
    let command = ottla(target, &[&args[..], &more].concat())?;

    let hopeless: BTreeSet<usize> = (0..RECORDS).filter(|n| n % 20 == 7).collect();
    let mut processing = Process::spawn(&command)?;
    until(PATIENCE, "all that can be handled", || processing.line_count() >= RECORDS - hopeless.len())
        .map_err(|late| format!("{late}: {}\n{}", processing.line_count(), processing.stderr()))?;
    let given_up = wait(read(target, &letters, hopeless.len()))?;
    processing.signal("TERM")?;
    let output = processing.finish(PATIENCE)?;
    let handled = by_key(&output)?;
    // Once each, in order.
    let expected = (0..KEYS).map(|key| {
        let numbers = (key..RECORDS).step_by(KEYS).filter(|n| !hopeless.contains(n)).collect();
        (format!("k{key}"), numbers)
    });
    equal("what was handled, by key", handled, expected.collect::<BTreeMap<String, Vec<usize>>>())?;
    for letter in &given_up {
        let origin = Origin::of(&FailedRecord::from(letter)).ok_or("no dead letter")?;
        equal("where it was", origin.topic, Ok(orders.as_str()))?;
        equal("attempts", origin.attempts, Ok(4))?;
        let why = format!("exit status 1: {} is hopeless", kit::text(letter));
        equal("why", origin.message.as_deref(), Ok(why.as_str()))?;
    }

    std::fs::write(&mended, "")?;
    let mut again = Process::spawn(&command)?;
    let replay = ottla(target, &["dlq", "replay", &letters, "--execute", "--output", "json"])?;
    let sent = run(&replay, PATIENCE)?.stdout;
    holds(&format!("rows of what was sent: {sent}"), sent.contains(&format!("\"to\":\"{orders}\"")))?;
    until(PATIENCE, "what was replayed", || again.line_count() >= hopeless.len())?;
    again.signal("TERM")?;
    let handled = by_key(&again.finish(PATIENCE)?)?;
    equal("what was replayed", handled.into_values().flatten().collect::<BTreeSet<_>>(), hopeless)?;
    let nothing = run(&replay, PATIENCE)?.stdout;
    equal("rows of what a second replay sends", nothing.lines().count(), 0)
}

fn show(path: &Path) -> Result<&str, Failed> {
    Ok(path.to_str().ok_or("no text")?)
}

async fn read(target: &Target, topic: &str, count: usize) -> Result<Vec<OwnedRecord>, Failed> {
    let mut consumer = kit::consumer(target).build().await?;
    consumer.assign((0..3).map(|partition| (topic, partition)))?;
    kit::take(&mut consumer, count).await
}

/// The numbers of each key, in the order in which they were handled.
fn by_key(output: &Output) -> Result<BTreeMap<String, Vec<usize>>, Failed> {
    let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for line in output.stdout.lines() {
        let (key, number) = line.split_once(' ').ok_or_else(|| format!("`{line}`"))?;
        keys.entry(key.to_owned()).or_default().push(number.parse()?);
    }
    Ok(keys)
}
