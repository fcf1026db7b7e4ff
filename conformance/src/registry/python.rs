//! Confluent's serializers for Python, and `python/serializers.py`, which writes records by them.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::kafka::{Missing, once};
use crate::process;

const REQUIREMENTS: &str = include_str!("../../python/requirements.txt");

/// 20 MB from a slow mirror.
const FETCH_WITHIN: Duration = Duration::from_secs(600);

/// A Python of its own, with Confluent's client.
#[derive(Debug)]
pub struct Serializers {
    python: PathBuf,
}

impl Serializers {
    /// Fetched by pip, once.
    pub fn get() -> Result<&'static Self, Missing> {
        static FOUND: OnceLock<Result<Serializers, Missing>> = OnceLock::new();
        FOUND
            .get_or_init(|| Ok(Self { python: fetched()?.join("bin/python") }))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The program that writes records to a topic, with its arguments still to come.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/serializers.py"));
        command
    }
}

/// An environment with what is required. Other requirements have another folder.
fn fetched() -> Result<PathBuf, Missing> {
    let mut hasher = DefaultHasher::new();
    REQUIREMENTS.hash(&mut hasher);
    once(&format!("python-{:016x}", hasher.finish()), |partial| {
        let failed = |why| Missing { what: "Confluent's client for Python", why };
        let requirements = partial.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS).map_err(|error| failed(error.to_string()))?;
        let run = |command: &mut Command| {
            process::run(command, FETCH_WITHIN).map(drop).map_err(|error| {
                match error.status().and_then(|status| status.code()) {
                    Some(127) => Missing { what: "Python", why: "`python3` is not installed".to_owned() },
                    _ => failed(error.to_string().replace('\n', " ")),
                }
            })
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(partial))?;
        let mut pip = Command::new(partial.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
        run(pip.arg(&requirements))
    })
}
