//! The protocol's own description, out of Kafka's jar: the oracle for our message tables.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

const FOLDER: &str = "common/message/";

/// A jar that does not hold what it should.
#[derive(Debug)]
pub struct SchemaError {
    place: String,
    why: String,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl std::error::Error for SchemaError {}

/// All schemas in a `kafka-clients` jar, by message name, such as `FetchRequest`.
pub fn schemas(jar: &Path) -> Result<BTreeMap<String, Value>, SchemaError> {
    let at = |place: &dyn fmt::Display, why: &dyn fmt::Display| SchemaError {
        place: place.to_string(),
        why: why.to_string(),
    };
    let in_jar = |why: &dyn fmt::Display| at(&jar.display(), why);
    let file = File::open(jar).map_err(|error| in_jar(&error))?;
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(|error| in_jar(&error))?;
    let mut schemas = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| in_jar(&error))?;
        let path = entry.name().map_err(|error| in_jar(&error))?.into_owned();
        let name = path.strip_prefix(FOLDER).and_then(|file| file.strip_suffix(".json"));
        let Some(name) = name else { continue };
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(|error| at(&path, &error))?;
        let schema = serde_json::from_str(&without_comments(&text)).map_err(|error| at(&path, &error))?;
        schemas.insert(name.to_owned(), schema);
    }
    if schemas.is_empty() { Err(in_jar(&format!("nothing in {FOLDER}"))) } else { Ok(schemas) }
}

/// Kafka's schemas are JSON with comments, each on lines of its own.
fn without_comments(text: &str) -> String {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    code.join("\n")
}
