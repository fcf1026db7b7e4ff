//! Kafka's error codes as Java's table of them prints itself.

use std::time::Duration;

use super::Java;
use super::java::Role;
use crate::process::{self, ProcessError};

const WITHIN: Duration = Duration::from_secs(60);

impl Java {
    /// Of each error its name, its code, and whether a client may try again.
    pub fn errors(&self) -> Result<Vec<(String, i16, bool)>, ProcessError> {
        let main = "org.apache.kafka.common.protocol.Errors";
        let page = process::run(&self.command(Role::Tool, &[], main), WITHIN)?.stdout;
        Ok(page.split("<tr><td>").skip(1).filter_map(error).collect())
    }
}

/// The row of an error, from its name on.
fn error(row: &str) -> Option<(String, i16, bool)> {
    let mut cells = row.split("</td><td>");
    let (name, code, retriable) = (cells.next()?, cells.next()?, cells.next()?);
    Some((name.to_owned(), code.parse().ok()?, retriable == "True"))
}
