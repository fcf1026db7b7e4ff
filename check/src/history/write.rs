//! The writer: each line reaches the file before the call returns, so that a process that is killed leaves what it did.

use std::io::{self, Write};

use serde_json::Value;

use super::Operation;

/// Writes a history.
#[derive(Debug)]
pub struct Writer<W>(W);

impl<W: Write> Writer<W> {
    /// To this file, or whatever else can be written to. It wants no buffer of its own.
    pub const fn new(to: W) -> Self {
        Self(to)
    }

    /// Writes operations, at one go.
    ///
    /// # Errors
    ///
    /// As the file's.
    pub fn write<'a>(&mut self, operations: impl IntoIterator<Item = &'a Operation>) -> io::Result<()> {
        let mut lines = Vec::new();
        for operation in operations {
            line(operation, &mut lines)?;
        }
        self.0.write_all(&lines)?;
        self.0.flush()
    }
}

fn line(operation: &Operation, to: &mut Vec<u8>) -> io::Result<()> {
    let mut fields = serde_json::Map::new();
    fields.insert("process".to_owned(), Value::from(operation.process.as_str()));
    fields.insert("at".to_owned(), Value::from(operation.at));
    if let Some(done) = operation.done {
        fields.insert("done".to_owned(), Value::from(done));
    }
    if let Value::Object(op) = serde_json::to_value(&operation.op)? {
        fields.extend(op);
    }
    serde_json::to_writer(&mut *to, &fields)?;
    to.push(b'\n');
    Ok(())
}
