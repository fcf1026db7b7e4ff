//! Kafka's tools for groups and topics, all in one JVM: each start of one would cost more than what it is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Java, Missing};
use crate::process::Process;
use crate::wait::until_some;

/// How long a tool may take.
const WITHIN: Duration = Duration::from_secs(120);

/// The tools, pointed at a broker.
#[derive(Debug)]
pub struct GroupTools {
    process: Process,
    /// How many lines of its answers were read.
    read: usize,
}

/// What a tool wrote, and how it ended.
#[derive(Debug, Clone, Default)]
pub struct Printed {
    /// The lines of its standard output.
    pub out: Vec<String>,
    /// The lines of its standard error.
    pub err: Vec<String>,
    /// Its exit status.
    pub status: i32,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct NoAnswer(String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kafka's tools for groups: {}", self.0)
    }
}

impl std::error::Error for NoAnswer {}

impl From<Missing> for NoAnswer {
    fn from(missing: Missing) -> Self {
        Self(missing.to_string())
    }
}

impl GroupTools {
    /// Starts them for the broker at `bootstrap`.
    pub fn start(bootstrap: &str) -> Result<Self, NoAnswer> {
        let mut program = Java::get()?.program("GroupTools.java");
        program.arg(bootstrap);
        let process = Process::spawn_with_input(&program).map_err(|error| NoAnswer(error.to_string()))?;
        Ok(Self { process, read: 0 })
    }

    /// Calls one of them: `consumer`, `share`, `streams`, `groups`, `topics`, `configs`, `offsets`, `log-dirs` or `features`, or has a member join a share
    /// or a streams group.
    pub fn ask(&mut self, tool: &str, args: &[&str]) -> Result<Printed, NoAnswer> {
        let line = [&[tool], args].concat().join("\t") + "\n";
        let written = self.process.write(line.as_bytes());
        written.map_err(|error| NoAnswer(format!("{error}; {}", self.process.stderr())))?;
        let read = self.read;
        let process = &mut self.process;
        let lines = until_some(WITHIN, tool, || {
            let lines = process.lines();
            let end = lines.iter().skip(read).position(|line| line.starts_with("end\t"))?;
            Some(lines.into_iter().skip(read).take(end + 1).collect::<Vec<_>>())
        });
        let lines = lines.map_err(|late| NoAnswer(format!("{late}; {}", self.process.stderr())))?;
        self.read += lines.len();
        let mut printed = Printed::default();
        for line in lines {
            match line.split_once('\t') {
                Some(("out", text)) => printed.out.push(text.to_owned()),
                Some(("err", text)) => printed.err.push(text.to_owned()),
                Some(("end", status)) => printed.status = status.parse().unwrap_or(-1),
                _ => return Err(NoAnswer(format!("it says `{line}`"))),
            }
        }
        Ok(printed)
    }
}

impl Printed {
    /// The rows of its tables, each by the names of the columns. A cell that is a dash, or blank, is left out.
    ///
    /// Cells are told apart by the columns at which the titles begin: some are blank, and some have blanks in them.
    pub fn rows(&self) -> Vec<BTreeMap<String, String>> {
        let mut titles: Vec<(usize, String)> = Vec::new();
        let mut rows = Vec::new();
        for line in &self.out {
            if line.starts_with("GROUP ") || line.starts_with("TOPIC ") {
                titles = columns(line);
            } else if !line.trim().is_empty() && !titles.is_empty() {
                rows.push(row(&titles, line));
            }
        }
        rows
    }

    /// All that it said, for a failed test.
    pub fn all(&self) -> String {
        format!("{}\n{}\nstatus {}", self.out.join("\n"), self.err.join("\n"), self.status)
    }
}

/// Where each title begins. `COORDINATOR (ID)` is one.
fn columns(line: &str) -> Vec<(usize, String)> {
    let mut columns: Vec<(usize, String)> = Vec::new();
    let mut at = 0;
    for word in line.split(' ') {
        match columns.last_mut() {
            Some((_, title)) if word == "(ID)" => title.push_str(" (ID)"),
            _ if !word.is_empty() => columns.push((at, word.to_owned())),
            _ => {}
        }
        at += word.len() + 1;
    }
    columns
}

fn row(titles: &[(usize, String)], line: &str) -> BTreeMap<String, String> {
    let ends = titles.iter().skip(1).map(|(begin, _)| *begin).chain([line.len()]);
    let cell = |((begin, title), end): (&(usize, String), usize)| {
        let text = line.get(*begin..end.min(line.len()).max(*begin))?;
        // Some tools write two blanks where others write one.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!text.is_empty() && text != "-").then(|| (title.clone(), text))
    };
    titles.iter().zip(ends).filter_map(cell).collect()
}
