//! The programs of the other clients, and Ottla's command, built when they are first asked for: the Rust ones are members
//! of this workspace, beside which lie those in Java, Go and JavaScript. All land beside this program. With `OTTLA_BENCH_BUILT` set they
//! are taken as they lie there, so that no build delays a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use ottla_conformance::kafka::Java;
use ottla_conformance::process;

/// librdkafka's C takes minutes on a busy machine.
const WITHIN: Duration = Duration::from_secs(1_800);
const BUILT: &str = "OTTLA_BENCH_BUILT";
const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// A peer in Rust, by the last part of its package's name.
pub(crate) fn rust(name: &str) -> Result<PathBuf> {
    let package = format!("ottla-peer-{name}");
    cargo("Cargo.toml", &package)?;
    Ok(folder()?.join(package))
}

/// The `ottla` command of this checkout.
pub(crate) fn ottla() -> Result<PathBuf> {
    cargo("../Cargo.toml", "ottla-cli")?;
    Ok(folder()?.join("ottla"))
}

/// A given program by its whole path, as a name alone would be looked for elsewhere.
pub(crate) fn whole(program: &Path) -> Result<PathBuf> {
    program.canonicalize().with_context(|| program.display().to_string())
}

/// Builds a package of a workspace, in the target folder that this program lies in.
fn cargo(workspace: &str, package: &str) -> Result<()> {
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--quiet", "--package", package]);
    build.arg("--manifest-path").arg(Path::new(HERE).join(workspace));
    let folder = folder()?;
    build.arg("--target-dir").arg(folder.parent().context("a program outside of a target folder")?);
    run(&build)
}

/// The peer in Go.
pub(crate) fn franz_go() -> Result<PathBuf> {
    let program = folder()?.join("ottla-peer-franz-go");
    let mut build = Command::new("go");
    build.current_dir(Path::new(HERE).join("go")).arg("build").arg("-o").arg(&program).arg(".");
    run(&build)?;
    Ok(program)
}

/// Flags that keep a JVM small, and its start short.
pub(crate) const SMALL_JVM: &[&str] = &["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"];

/// A class of the folder `java`, run by a JVM with these flags.
pub(crate) fn java(class: &str, flags: &[&str]) -> Result<Command> {
    let jars = Java::get()?.jars().join("*");
    let classes = folder()?.join("java");
    let sources = Path::new(HERE).join("java");
    let mut build = Command::new(jdk("javac"));
    build.arg("-cp").arg(&jars).arg("-d").arg(&classes).arg("-sourcepath").arg(&sources);
    build.arg(sources.join(format!("{class}.java")));
    run(&build)?;
    let mut command = Command::new(jdk("java"));
    command.args(flags).args(["-Dlog4j2.level=OFF", "-cp"]);
    command.arg(format!("{}:{}", classes.display(), jars.display())).arg(class);
    Ok(command)
}

/// Confluent's parallel-consumer, with the Kafka client that it was built for.
pub(crate) fn parallel_consumer() -> Result<Command> {
    let here = Path::new(HERE).join("parallel-consumer");
    let classes = folder()?.join("parallel-consumer");
    let jars = classes.join("jars");
    let mut fetch = Command::new("mvn");
    fetch.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-f"]);
    fetch.arg(here.join("pom.xml")).arg(format!("-DoutputDirectory={}", jars.display()));
    run(&fetch)?;
    let mut build = Command::new(jdk("javac"));
    build.arg("-cp").arg(jars.join("*")).arg("-d").arg(&classes);
    build.args([here.join("Process.java"), Path::new(HERE).join("java/Meter.java")]);
    run(&build)?;
    let mut command = Command::new(jdk("java"));
    command.arg("-cp").arg(format!("{}:{}/*", classes.display(), jars.display())).arg("Process");
    Ok(command)
}

/// The peer in JavaScript.
pub(crate) fn kafkajs() -> Result<Command> {
    let (here, built) = (Path::new(HERE).join("kafkajs"), folder()?.join("kafkajs"));
    fs::create_dir_all(&built)?;
    for name in ["package.json", "package-lock.json", "process.mjs"] {
        fs::copy(here.join(name), built.join(name))?;
    }
    let mut fetch = Command::new("npm");
    fetch.current_dir(&built).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    run(&fetch)?;
    let mut command = Command::new("node");
    command.arg(built.join("process.mjs"));
    Ok(command)
}

/// The same program with the same arguments once more.
pub(crate) fn again(program: &Command) -> Command {
    let mut copy = Command::new(program.get_program());
    copy.args(program.get_args());
    copy
}

fn run(build: &Command) -> Result<()> {
    if std::env::var_os(BUILT).is_none() {
        process::run(build, WITHIN)?;
    }
    Ok(())
}

fn jdk(program: &str) -> PathBuf {
    match std::env::var_os("JAVA_HOME") {
        Some(home) => Path::new(&home).join("bin").join(program),
        None => program.into(),
    }
}

/// Where this program is.
fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.parent().context("a program without a folder")?.to_owned())
}
