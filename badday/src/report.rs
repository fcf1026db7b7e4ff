//! What the day was like.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    judge::{Follower, Judge, STEADY},
    leaks::Verdict,
    starved::Starved,
};

pub(crate) struct Day {
    pub(crate) seed: u64,
    pub(crate) lasted: Duration,
    pub(crate) starved: Starved,
    pub(crate) faults: BTreeMap<&'static str, u64>,
}

pub(crate) struct Report {
    value: Value,
    pub(crate) is_clean: bool,
}

/// How it goes, in a line.
pub(crate) fn line(elapsed: Duration, judge: &Judge) -> String {
    format!(
        "{:7.1} s  {} orders, {} in transactions; {} open; violations: {}",
        elapsed.as_secs_f64(),
        judge.orders.records,
        judge.ledger.records,
        judge.open(),
        judge.violations.counts.values().sum::<u64>()
    )
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

fn follower(follower: &Follower) -> Value {
    json!({
        "name": follower.name,
        "handed_out": follower.handed_out,
        "outcomes_read": follower.read,
        "repeated_within_what_was_not_committed": follower.repeated,
        "assignments": follower.assignments,
        "worst_stall_in_calm_s": seconds(follower.worst.calm),
        "worst_stall_in_calm": follower.worst.what,
        "longest_stall_s": seconds(follower.longest.whole),
        "longest_stall": follower.longest.what,
    })
}

fn verdict(verdict: &Verdict) -> Value {
    json!({
        "name": verdict.name,
        "kib_an_hour": verdict.slope.round(),
        "kib": [verdict.first.memory, verdict.last.memory],
        "descriptors": [verdict.first.descriptors, verdict.last.descriptors],
        "threads": [verdict.first.threads, verdict.last.threads],
        "tasks": [verdict.first.tasks, verdict.last.tasks],
        "measured_hours": ((verdict.last.hours - verdict.first.hours) * 1000.0).round() / 1000.0,
        "leaks": verdict.leaks,
    })
}

impl Report {
    pub(crate) fn new(day: Day, began: Instant, judge: &Judge, verdicts: Vec<Verdict>) -> Self {
        let mut violations: Vec<Value> = judge
            .violations
            .kept
            .iter()
            .map(|violation| {
                let at = seconds(violation.at.saturating_duration_since(began));
                json!({ "kind": violation.kind, "at_s": at, "what": violation.text })
            })
            .collect();
        let leaks = verdicts.iter().flat_map(|of| of.leaks.iter().map(move |leak| (of.name, leak)));
        violations
            .extend(leaks.map(|(name, leak)| json!({ "kind": "leak", "what": format!("{name}: {leak}") })));
        let is_clean = violations.is_empty();
        let followers = judge.orders.followers.iter().chain(&judge.ledger.followers);
        let value = json!({
            "seed": day.seed,
            "lasted_s": seconds(day.lasted),
            "network": "by proxies",
            "slow_disk": "a broker that stands still for three quarters of the time",
            "starved": {
                "s": seconds(day.starved.whole),
                "longest_s": seconds(day.starved.longest),
                "processes_ran_s": seconds(day.starved.had.ran),
                "processes_waited_for_a_core_s": seconds(day.starved.had.waited),
                "wait_us": day.starved.had.wait().as_micros() as u64,
            },
            "faults": day.faults,
            "orders": judge.orders.records,
            "acknowledged": judge.counts.acknowledged,
            "not_acknowledged": judge.counts.unsure,
            "in_transactions": judge.ledger.records,
            "transactions": {
                "committed": judge.counts.committed,
                "aborted": judge.counts.aborted,
                "undecided": judge.counts.undecided,
                "of_transformers": judge.counts.rounds,
            },
            "most_records_held_by_the_judge": judge.orders.most + judge.ledger.most,
            "steady_bound_s": STEADY.as_secs(),
            "followers": followers.map(follower).collect::<Vec<_>>(),
            "processes": verdicts.iter().map(verdict).collect::<Vec<_>>(),
            "errors_gone_on_after": judge.counts.errors,
            "violation_counts": judge.violations.counts,
            "violations": violations,
        });
        Self { value, is_clean }
    }

    /// Both forms, in this folder.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        fs::write(dir.join("report.json"), format!("{:#}\n", self.value))?;
        fs::write(dir.join("report.txt"), self.to_string())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = &self.value;
        let of = |key: &str| &value[key];
        writeln!(f, "A bad day of {} s, seed {}", of("lasted_s"), of("seed"))?;
        writeln!(f, "network: {}; slow disk: {}", of("network"), of("slow_disk"))?;
        let starved = of("starved");
        writeln!(
            f,
            "CPU: processes ran for {} s, and waited for a core for {} s, {} µs each time; they were starved for {} s in all, {} s at a time\n\nfaults:",
            starved["processes_ran_s"],
            starved["processes_waited_for_a_core_s"],
            starved["wait_us"],
            starved["s"],
            starved["longest_s"]
        )?;
        for (kind, count) in of("faults").as_object().into_iter().flatten() {
            writeln!(f, "  {count:>5}  {kind}")?;
        }
        let transactions = of("transactions");
        writeln!(
            f,
            "\nrecords: {} read of orders, {} acknowledged, {} not; {} read in transactions, of which {} committed, {} aborted, \
             {} undecided; {} of transformers",
            of("orders"),
            of("acknowledged"),
            of("not_acknowledged"),
            of("in_transactions"),
            transactions["committed"],
            transactions["aborted"],
            transactions["undecided"],
            transactions["of_transformers"]
        )?;
        writeln!(
            f,
            "\nfollower        handed out   outcomes  repeated  assignments  worst stall in calm (bound {} s)  longest",
            of("steady_bound_s")
        )?;
        for follower in of("followers").as_array().into_iter().flatten() {
            let text = |key: &str| follower[key].to_string().replace('"', "");
            writeln!(
                f,
                "{:<14} {:>11} {:>10} {:>9} {:>12} {:>20} s {:>21} s",
                text("name"),
                text("handed_out"),
                text("outcomes_read"),
                text("repeated_within_what_was_not_committed"),
                text("assignments"),
                text("worst_stall_in_calm_s"),
                text("longest_stall_s")
            )?;
            writeln!(
                f,
                "    in calm: {}\n    longest: {}",
                text("worst_stall_in_calm"),
                text("longest_stall")
            )?;
        }
        writeln!(
            f,
            "\nprocess           KiB/h     KiB first, last    descriptors    threads   tasks   measured"
        )?;
        for process in of("processes").as_array().into_iter().flatten() {
            let pair = |key: &str| {
                let of: Vec<String> =
                    process[key].as_array().into_iter().flatten().map(Value::to_string).collect();
                of.join(" ")
            };
            writeln!(
                f,
                "{:<14} {:>8} {:>19} {:>14} {:>10} {:>7} {:>8} h",
                process["name"].as_str().unwrap_or_default(),
                process["kib_an_hour"].to_string(),
                pair("kib"),
                pair("descriptors"),
                pair("threads"),
                pair("tasks"),
                process["measured_hours"].to_string()
            )?;
        }
        writeln!(f, "\nerrors that actors went on after:")?;
        for (gist, count) in of("errors_gone_on_after").as_object().into_iter().flatten() {
            writeln!(f, "  {count:>5}  {gist}")?;
        }
        let violations = of("violations").as_array().map(Vec::as_slice).unwrap_or_default();
        if violations.is_empty() {
            return writeln!(f, "\nno violation");
        }
        let mut text = String::new();
        for violation in violations {
            let _ = writeln!(
                text,
                "  {} at {} s: {}",
                violation["kind"].as_str().unwrap_or_default(),
                violation["at_s"],
                violation["what"].as_str().unwrap_or_default()
            );
        }
        write!(f, "\nVIOLATIONS {}:\n{text}", of("violation_counts"))
    }
}
