//! Packages of npm, fetched once, each set in a folder of its own under `target/kafka`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::kafka::{Missing, once};
use crate::process;

/// 9 MB from a slow mirror.
const FETCH_WITHIN: Duration = Duration::from_secs(300);

/// The folder that holds these files, a lock file among them, and the packages that it names. Another program, or another lock
/// file, has another folder.
pub(crate) fn fetched(name: &str, what: &'static str, files: &[(&str, &str)]) -> Result<PathBuf, Missing> {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    once(&format!("{name}-{:016x}", hasher.finish()), |partial| {
        let failed = |why| Missing { what, why };
        for (name, text) in files {
            fs::write(partial.join(name), text).map_err(|error| failed(error.to_string()))?;
        }
        let run = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).current_dir(partial);
            process::run(&command, FETCH_WITHIN).map_err(|error| {
                match error.status().and_then(|status| status.code()) {
                    Some(127) => Missing { what: "Node", why: format!("`{program}` is not installed") },
                    _ => failed(error.to_string().replace('\n', " ")),
                }
            })
        };
        run("node", &["--version"])?;
        run("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).map(drop)
    })
}
