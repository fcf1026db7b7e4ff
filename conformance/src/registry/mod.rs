//! A real schema registry, Apicurio's with Confluent's API; a stub of what it lacks; and Confluent's Python serializers.

mod http;
mod python;
mod stub;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

pub use http::Asked;
pub use python::Serializers;
pub use stub::Stub;

use crate::kafka::{Missing, SWITCH, Unavailable, fetch_by, maven, once, version_of};
use crate::ports;
use crate::process::{Process, run};
use crate::wait::until;

/// The registry that the suite runs against.
const VERSION: &str = "3.3.3";
/// What it needs: it stands beside the Java that Kafka runs on.
const OLDEST_JAVA: u32 = 21;
/// Where Linux has its JDKs.
const JDKS: &str = "/usr/lib/jvm";

/// It takes ten seconds on an idle machine.
const START_WITHIN: Duration = Duration::from_secs(240);
const UNPACKED_WITHIN: Duration = Duration::from_secs(240);

/// A running Apicurio Registry, which keeps its schemas in memory.
#[derive(Debug)]
pub struct Apicurio {
    port: u16,
    process: Mutex<Option<Process>>,
}

static SHARED: OnceLock<Result<Apicurio, Unavailable>> = OnceLock::new();

/// The registry that all cases share, started by the first that asks.
pub fn shared() -> Result<&'static Apicurio, Unavailable> {
    SHARED.get_or_init(Apicurio::start).as_ref().map_err(Clone::clone)
}

/// Ends it, if it was started.
pub fn stop_shared() {
    if let Some(Ok(registry)) = SHARED.get() {
        *registry.process.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Apicurio {
    fn start() -> Result<Self, Unavailable> {
        if env::var(SWITCH).is_ok_and(|value| value == "off") {
            return Err(Missing { what: "schema registry", why: format!("{SWITCH}=off") }.into());
        }
        // The smallest is looked for first.
        let java = java()?;
        Serializers::get()?;
        let folder = fetched()?;
        let failed = |why: String| Unavailable::Failed(format!("Apicurio Registry: {why}"));
        let free = || ports::free().map_err(|error| failed(error.to_string()));
        let (port, management) = (free()?, free()?);
        let mut command = Command::new(java);
        command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m"]);
        for (side, port) in [("http", port), ("management", management)] {
            command
                .arg(format!("-Dquarkus.{side}.host=127.0.0.1"))
                .arg(format!("-Dquarkus.{side}.port={port}"));
        }
        command.args(["-jar", "quarkus-run.jar"]).current_dir(folder);
        let process = Process::spawn(&command).map_err(|error| failed(error.to_string()))?;
        let registry = Self { port, process: Mutex::new(Some(process)) };
        let is_ready = || registry.ask(Asked::get("/subjects")).is_ok_and(|(status, _)| status == 200);
        let waited = until(START_WITHIN, "that it answers", || is_ready() || !registry.is_running());
        match waited {
            Ok(()) if registry.is_running() => Ok(registry),
            Ok(()) => Err(failed(format!("it has ended: {}", registry.told()))),
            Err(late) => Err(failed(format!("{late}: {}", registry.told()))),
        }
    }

    /// The address of its API, as clients are given it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{BASE}", self.port)
    }

    /// Asks it something. The status, and what it answers, if that is JSON.
    pub fn ask(&self, asked: Asked<'_>) -> std::io::Result<(u16, serde_json::Value)> {
        asked.send(self.port, BASE)
    }

    fn is_running(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_mut().is_some_and(Process::is_running)
    }

    fn told(&self) -> String {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().map_or_else(String::new, |process| process.stdout() + &process.stderr())
    }
}

/// Where its API is like Confluent's.
const BASE: &str = "/apis/ccompat/v7";

/// A Java that is new enough: by a variable such as `JAVA21_HOME`, beside the others, or on the path.
fn java() -> Result<PathBuf, Missing> {
    let is_home = |name: &str| name.starts_with("JAVA") && name.contains("HOME");
    let named = env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_home));
    let named = named.map(|(_, home)| PathBuf::from(home));
    let installed = Path::new(JDKS).read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let homes = named.chain(installed).map(|home| home.join("bin/java")).filter(|java| java.is_file());
    let found = homes
        .chain([PathBuf::from("java")])
        .find(|java| version_of(java, OLDEST_JAVA, "Apicurio Registry").is_ok());
    found.ok_or_else(|| {
        let where_looked = format!("{JDKS}, JAVA*HOME* and the path");
        Missing {
            what: "Java for a schema registry",
            why: format!("none of {OLDEST_JAVA} or newer in {where_looked}"),
        }
    })
}

/// The folder that holds the registry: 158 MB, which Maven fetches once.
fn fetched() -> Result<PathBuf, Missing> {
    const WHAT: &str = "Apicurio Registry";
    once(&format!("apicurio-{VERSION}"), |partial| {
        let mut copy = maven("dependency:copy");
        copy.arg(format!("-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"));
        copy.arg(format!("-DoutputDirectory={}", partial.display())).current_dir(partial);
        fetch_by(&copy, WHAT)?;
        // Maven's own way to unpack it takes the headers of its long names for files.
        let archive = format!("apicurio-registry-app-{VERSION}-all.tar.gz");
        let mut tar = Command::new("tar");
        tar.args(["-xzf", &archive]).current_dir(partial);
        let failed = |why: String| Missing { what: WHAT, why };
        run(&tar, UNPACKED_WITHIN).map_err(|error| failed(error.to_string().replace('\n', " ")))?;
        std::fs::remove_file(partial.join(&archive)).map_err(|error| failed(error.to_string()))
    })
}
