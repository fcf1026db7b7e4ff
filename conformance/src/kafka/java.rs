//! The Java that runs Kafka, and the flags that keep a start short.
//!
//! Most of a tool's second is spent on loading classes. So the classes that a server and a consumer load are
//! dumped once into archives (class data sharing), which halves a start. A JVM that cannot use an archive, or
//! finds none, loads the classes as ever.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::{
    Cluster, Config, Consume, Missing, SWITCH, Tools, Unavailable, VERSION, VERSION_3_9, VERSION_4_3, jars,
};
use crate::process::{self, ProcessError};

const OLDEST: u32 = 17;

/// How to run Kafka's classes on this machine.
#[derive(Debug, Clone)]
pub struct Java {
    program: PathBuf,
    jars: PathBuf,
    archives: Option<PathBuf>,
    dump: Option<PathBuf>,
    /// A folder of classes beside Kafka's.
    classes: Option<PathBuf>,
}

/// What a JVM is started for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Server,
    Tool,
}

impl Role {
    fn archive(self) -> &'static str {
        match self {
            Self::Server => "server.jsa",
            Self::Tool => "tool.jsa",
        }
    }
}

/// How its classes log, by either of the two libraries.
const LOG: [&str; 2] = [
    concat!("-Dlog4j2.configurationFile=", env!("CARGO_MANIFEST_DIR"), "/src/kafka/log4j2.yaml"),
    concat!("-Dlog4j.configuration=file:", env!("CARGO_MANIFEST_DIR"), "/src/kafka/log4j.properties"),
];

impl Java {
    /// Java and Kafka's jars, which the first call fetches.
    pub fn get() -> Result<&'static Self, Missing> {
        static JAVA: OnceLock<Result<Java, Missing>> = OnceLock::new();
        JAVA.get_or_init(|| {
            let (java, version) = Self::find(VERSION)?;
            // Slower without, so its failure is nobody's business.
            let archives =
                jars::once(&format!("{VERSION}-java-{version}"), |dir| java.dump_archives(dir)).ok();
            Ok(Self { archives, ..java })
        })
        .as_ref()
        .map_err(Clone::clone)
    }

    /// The same for Kafka 4.3: its servers only, as some of its tools have other names.
    pub(super) fn get_4_3() -> Result<&'static Self, Missing> {
        static JAVA: OnceLock<Result<Java, Missing>> = OnceLock::new();
        JAVA.get_or_init(|| Ok(Self::find(VERSION_4_3)?.0)).as_ref().map_err(Clone::clone)
    }

    /// The same for Kafka 3.9.
    pub(super) fn get_3_9() -> Result<&'static Self, Missing> {
        static JAVA: OnceLock<Result<Java, Missing>> = OnceLock::new();
        JAVA.get_or_init(|| Ok(Self::find(VERSION_3_9)?.0)).as_ref().map_err(Clone::clone)
    }

    /// A release's jars, and Java's own version.
    fn find(kafka: &str) -> Result<(Self, String), Missing> {
        if std::env::var(SWITCH).is_ok_and(|value| value == "off") {
            return Err(Missing { what: "Kafka", why: format!("{SWITCH}=off") });
        }
        let program = match std::env::var_os("JAVA_HOME") {
            Some(home) => Path::new(&home).join("bin/java"),
            None => PathBuf::from("java"),
        };
        let version = version_of(&program, OLDEST, &format!("Kafka {VERSION}"))?;
        Ok((
            Self { program, jars: jars::fetched(kafka)?, archives: None, dump: None, classes: None },
            version,
        ))
    }

    /// The folder of Kafka's jars.
    pub fn jars(&self) -> &Path {
        &self.jars
    }

    /// `kafka-clients`, which holds the protocol's schemas.
    pub fn clients_jar(&self) -> PathBuf {
        self.jars.join(format!("kafka-clients-{VERSION}.jar"))
    }

    /// A JVM for one of Kafka's main classes; the caller adds the arguments of that class.
    pub(super) fn command(&self, role: Role, properties: &[String], main: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
        // A server whose classes outgrow the metaspace's first size, or whose young objects outgrow their room, stands
        // still: on two busy cores for up to 0.8 s, which its clients would be held to.
        command.args(match role {
            Role::Server => ["-Xmx512m", "-Xms512m", "-Xmn320m", "-XX:MetaspaceSize=192m"].as_slice(),
            Role::Tool => &["-Xms64m", "-Xmx256m"],
        });
        // The JVM warns on standard output, in the midst of a tool's own.
        command.arg("-Xlog:disable");
        if let Some(archives) = &self.archives {
            command.arg(format!("-XX:SharedArchiveFile={}", archives.join(role.archive()).display()));
        } else if let Some(dump) = &self.dump {
            command.arg(format!("-XX:ArchiveClassesAtExit={}", dump.join(role.archive()).display()));
        }
        command.args(LOG).args(properties);
        // Behind Kafka's, which are those of the archive.
        let mut class_path = self.jars.join("*").into_os_string();
        if let Some(classes) = &self.classes {
            class_path.push(":");
            class_path.push(classes);
        }
        command.arg("-cp").arg(class_path).arg(main);
        command
    }

    /// With a folder of classes beside Kafka's.
    pub(super) fn beside(&self, classes: PathBuf) -> Self {
        Self { classes: Some(classes), ..self.clone() }
    }

    /// A class in one file of `conformance/java`, compiled into a folder of its own, for [`Config::classes`](super::Config::classes).
    pub fn compiled(&self, file: &str) -> Result<PathBuf, ProcessError> {
        let into = jars::home().join("classes").join(file.trim_end_matches(".java"));
        let mut command = Command::new(&self.program);
        command.args([
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-m",
            "jdk.compiler/com.sun.tools.javac.Main",
        ]);
        command.arg("-cp").arg(self.clients_jar()).arg("-d").arg(&into);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("java").join(file));
        process::run(&command, Duration::from_secs(60)).map(|_| into)
    }

    /// A JVM for a program in one file of `conformance/java`, which it compiles first; the caller adds its arguments.
    pub fn program(&self, file: &str) -> Command {
        self.program_on(self.jars.join("*").as_os_str(), file)
    }

    /// Fetches Spring Kafka's jars, unless they are there.
    pub fn spring() -> Result<(), Missing> {
        jars::fetched_spring().map(drop)
    }

    /// As [`program`](Self::program), with Spring Kafka on the class path, too, whose jars the first call fetches.
    pub fn program_with_spring(&self, file: &str) -> Result<Command, Missing> {
        let class_path = [self.jars.join("*"), jars::fetched_spring()?.join("*")];
        let class_path = std::env::join_paths(class_path)
            .map_err(|error| Missing { what: "class path", why: error.to_string() })?;
        Ok(self.program_on(&class_path, file))
    }

    fn program_on(&self, class_path: &OsStr, file: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-Xlog:disable"]).args(LOG);
        command.arg("-cp").arg(class_path);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("java").join(file));
        command
    }

    /// Runs a server and a consumer to their ends, which is when a JVM writes its archive.
    fn dump_archives(&self, dir: &Path) -> Result<(), Missing> {
        let failed = |why: String| Missing { what: "class archive", why };
        let dumping = Self { dump: Some(dir.to_owned()), ..self.clone() };
        let cluster =
            Cluster::start_on(&dumping, Config::new(1)).map_err(|error| failed(error.to_string()))?;
        let tools = Tools::on(dumping.clone(), cluster.bootstrap());
        let read = || {
            tools.create_topic("classes", 1, 1, &[])?;
            tools.console_produce("classes", &["a record"], None, &[])?;
            tools.console_consume(&Consume::group("classes", "classes").messages(1))
        };
        read().map_err(|error| failed(error.to_string()))?;
        cluster.stop(1).map_err(|error: Unavailable| failed(error.to_string()))
    }
}

/// Such as `17.0.15`, from `openjdk version "17.0.15" 2025-04-15` and its like; unless it is older than who is to run on it needs.
pub(crate) fn version_of(program: &Path, oldest: u32, who: &str) -> Result<String, Missing> {
    let missing = |why| Missing { what: "Java", why };
    let mut command = Command::new(program);
    command.arg("-version");
    let output = process::run(&command, Duration::from_secs(60)).map_err(|error| {
        missing(match error.status().and_then(|status| status.code()) {
            Some(127) => format!("`{}` is not installed", program.display()),
            _ => error.to_string().replace('\n', " "),
        })
    })?;
    let version = output.stderr.split('"').nth(1).unwrap_or_default();
    let major = version.split(['.', '-', '+']).next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= oldest => Ok(version.to_owned()),
        _ => Err(missing(format!("version {version} is too old, {who} needs {oldest}"))),
    }
}
