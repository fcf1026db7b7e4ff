//! The reader: line by line, within bounds, with errors that name the line.

use std::{
    error::Error,
    fmt,
    io::{self, BufRead, Read as _},
};

use serde_json::Value;

use super::{Entry, History, Op, Operation};

/// The longest line that is read: 4 MiB.
pub const LINE_BYTES: u64 = 4 << 20;
/// The most operations of one history: 20 million.
pub const OPERATIONS: usize = 20_000_000;

/// A history that cannot be read, or that contradicts itself.
#[derive(Debug)]
pub struct BadHistory {
    file: String,
    line: u64,
    what: String,
    source: Option<io::Error>,
}

impl BadHistory {
    pub(crate) fn new(file: &str, line: u64, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), source: None }
    }

    /// The line, from 1 on.
    pub const fn line(&self) -> u64 {
        self.line
    }
}

impl fmt::Display for BadHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl Error for BadHistory {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl History {
    /// Adds the operations of one file, called `name` in what is told of it. Lines that are empty, or begin with `#`, are
    /// passed over. A last line without its end is passed over too, where it is no operation: its writer was killed.
    ///
    /// # Errors
    ///
    /// [`BadHistory`]: the file cannot be read, a line is no operation or too long, or there are too many.
    pub fn read(&mut self, name: &str, mut from: impl BufRead) -> Result<(), BadHistory> {
        let file = self.files.len();
        self.files.push(name.to_owned());
        let mut bytes = Vec::new();
        let mut line = 0;
        loop {
            line += 1;
            bytes.clear();
            let bad = |what: String| BadHistory::new(name, line, what);
            from.by_ref().take(LINE_BYTES).read_until(b'\n', &mut bytes).map_err(|error| BadHistory {
                source: Some(io::Error::new(error.kind(), error.to_string())),
                ..bad(format!("cannot be read: {error}"))
            })?;
            if bytes.is_empty() {
                return Ok(());
            }
            let ended = bytes.last() == Some(&b'\n');
            if !ended && bytes.len() as u64 == LINE_BYTES {
                return Err(bad(format!("longer than {LINE_BYTES} bytes: write fewer records a line")));
            }
            let text = bytes.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            match operation(text) {
                Ok(_) if self.entries.len() == OPERATIONS => {
                    return Err(bad(format!("more than {OPERATIONS} operations: judge a shorter run")));
                }
                Ok(operation) => self.entries.push(Entry { file, line, operation }),
                Err(_) if !ended => return Ok(()),
                Err(what) => return Err(bad(format!("{what}; the format is in docs/checker.md"))),
            }
        }
    }

    /// Adds one operation, as if it stood in the next line of the file that is being read.
    pub fn push(&mut self, operation: Operation) {
        if self.files.is_empty() {
            self.files.push("history".to_owned());
        }
        let file = self.files.len() - 1;
        let before = self.entries.last().filter(|entry| entry.file == file);
        let line = before.map_or(0, |entry| entry.line) + 1;
        self.entries.push(Entry { file, line, operation });
    }
}

fn operation(text: &[u8]) -> Result<Operation, String> {
    let mut fields = match serde_json::from_slice(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err("not a JSON object".to_owned()),
        Err(error) => return Err(format!("not JSON: {error}")),
    };
    let process = match fields.remove("process") {
        Some(Value::String(process)) => process,
        Some(_) => return Err("`process` is not a string".to_owned()),
        None => return Err("`process` is missing: name whose operation this is".to_owned()),
    };
    let time = |name: &str, value: Value| {
        value.as_u64().ok_or_else(|| format!("`{name}` is not a number of microseconds, 0 or more"))
    };
    let at = fields.remove("at").ok_or("`at` is missing: say when, in microseconds")?;
    let at = time("at", at)?;
    let done = fields.remove("done").map(|done| time("done", done)).transpose()?;
    if done.is_some_and(|done| done < at) {
        return Err("`done` is before `at`: all times are of one clock that does not go back".to_owned());
    }
    let op = Op::deserialize_from(Value::Object(fields))?;
    Ok(Operation { process, at, done, op })
}

impl Op {
    fn deserialize_from(fields: Value) -> Result<Self, String> {
        let op: Self = serde_json::from_value(fields).map_err(|error| error.to_string())?;
        if let Self::Send { partition: None, offset: Some(_), .. } = op {
            return Err("`offset` without `partition`: say where the record is".to_owned());
        }
        Ok(op)
    }
}
