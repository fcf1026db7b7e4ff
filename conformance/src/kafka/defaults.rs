//! What Java's clients say of their own properties: each of their configuration classes prints its documentation.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Java;
use super::java::Role;
use crate::process::{self, ProcessError};

const WITHIN: Duration = Duration::from_secs(60);

impl Java {
    /// The default of each property of a client, by the class of its configuration, such as `consumer.ConsumerConfig`:
    /// empty where there is none.
    pub fn defaults(&self, class: &str) -> Result<BTreeMap<String, String>, ProcessError> {
        let main = format!("org.apache.kafka.clients.{class}");
        let page = process::run(&self.command(Role::Tool, &[], &main), WITHIN)?.stdout;
        Ok(page.split("<h4><a id=\"").skip(1).filter_map(default).collect())
    }
}

/// A property's name, which a part of the page begins with, and its default.
fn default(part: &str) -> Option<(String, String)> {
    let (name, rest) = part.split_once('"')?;
    let (_, rest) = rest.split_once("<th>Default:</th><td>")?;
    let (value, _) = rest.split_once("</td>")?;
    // Behind it stands what it is in words.
    let value = value.split(" (").next().unwrap_or(value);
    let value = if matches!(value, "null" | "\"\"") { "" } else { value };
    Some((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_read_without_its_words() {
        let part = |value| format!("linger.ms\"></a></h4><tr><th>Default:</th><td>{value}</td></tr>");
        for (value, expected) in
            [("540000 (9 minutes)", "540000"), ("null", ""), ("\"\"", ""), ("", ""), ("5", "5")]
        {
            assert_eq!(default(&part(value)), Some(("linger.ms".to_owned(), expected.to_owned())));
        }
    }
}
