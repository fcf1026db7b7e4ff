//! Kafka's jars, fetched by Maven once into the workspace's target folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::Missing;
use crate::process;

/// The Kafka that the suite runs against.
pub const VERSION: &str = "4.4.0";

/// The release before, for a short form of the suite, and to upgrade from.
pub const VERSION_4_3: &str = "4.3.1";

/// The last release of the line before, for what is older than the consumer protocol.
pub const VERSION_3_9: &str = "3.9.2";

/// The Spring Kafka whose dead letters are compared with ours.
const SPRING_VERSION: &str = "4.1.2";

const POM: &str = include_str!("pom.xml");
const SPRING_POM: &str = include_str!("spring.xml");

/// 54 MB from a slow mirror.
const FETCH_WITHIN: Duration = Duration::from_secs(600);

/// `target/kafka` of the workspace: one place for all test programs, whatever target folder built them.
pub(super) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("kafka")
}

/// The folder `NAME` of `home`, made by `make` if it is not there. Test programs that run at the same time
/// wait for each other, and never see a folder half made.
pub(crate) fn once(name: &str, make: impl FnOnce(&Path) -> Result<(), Missing>) -> Result<PathBuf, Missing> {
    let home = home();
    let done = home.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    let failed = |error| Missing { what: "folder for Kafka", why: format!("{}: {error}", done.display()) };
    fs::create_dir_all(&home).map_err(failed)?;
    let lock = File::create(home.join(format!("{name}.lock"))).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if !done.is_dir() {
        let partial = home.join(format!("{name}.partial"));
        // Left by a program that was killed, or not there at all.
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(&partial).map_err(failed)?;
        make(&partial).inspect_err(|_| drop(fs::remove_dir_all(&partial)))?;
        fs::rename(&partial, &done).map_err(failed)?;
    }
    Ok(done)
}

/// A file with these properties. The next program to start a cluster removes what this one has left.
pub(super) fn file_of_properties(properties: &[(&str, &str)]) -> io::Result<PathBuf> {
    static WRITTEN: AtomicU32 = AtomicU32::new(0);
    let dir = home().join(format!("run-{}-tools", std::process::id()));
    fs::create_dir_all(&dir)?;
    let file = dir.join(format!("{}.properties", WRITTEN.fetch_add(1, Ordering::Relaxed)));
    let lines: String = properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    fs::write(&file, lines)?;
    Ok(file)
}

/// The folder that holds a release's jars.
pub(super) fn fetched(version: &str) -> Result<PathBuf, Missing> {
    fetch(version, "jars of Kafka", &POM.replace("KAFKA_VERSION", version))
}

/// The folder that holds Spring Kafka's jars, without Kafka's.
pub(super) fn fetched_spring() -> Result<PathBuf, Missing> {
    let pom = SPRING_POM.replace("SPRING_VERSION", SPRING_VERSION);
    fetch(&format!("spring-{SPRING_VERSION}"), "jars of Spring Kafka", &pom)
}

fn fetch(name: &str, what: &'static str, pom: &str) -> Result<PathBuf, Missing> {
    once(name, |partial| {
        let file = partial.join("pom.xml");
        fs::write(&file, pom).map_err(|error| Missing { what, why: error.to_string() })?;
        let mut maven = maven("dependency:copy-dependencies");
        maven.args(["-DincludeScope=runtime", "-f"]).arg(&file);
        maven.arg(format!("-DoutputDirectory={}", partial.join("jars").display()));
        fetch_by(&maven, what)
    })
    .map(|folder| folder.join("jars"))
}

/// Maven, for this goal; the caller adds what it needs.
pub(crate) fn maven(goal: &str) -> Command {
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", goal]);
    maven
}

/// Runs Maven, to fetch this.
pub(crate) fn fetch_by(maven: &Command, what: &'static str) -> Result<(), Missing> {
    let ran = process::run(maven, FETCH_WITHIN);
    ran.map(drop).map_err(|error| match error.status().and_then(|status| status.code()) {
        Some(127) => Missing { what: "Maven", why: "`mvn` is not installed".to_owned() },
        _ => Missing { what, why: error.to_string().replace('\n', " ") },
    })
}
