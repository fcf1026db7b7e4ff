//! A script runs in a process of its own: the test starts itself once more, by its name.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

/// Names the script that a process is to run.
const RUNS: &str = "OTTLA_HOSTILE_SCRIPT";
/// The most that a script may take. Each waits for conditions, and is done much sooner.
const PATIENCE: Duration = Duration::from_secs(50);

pub(crate) const MIB: usize = 1 << 20;
/// What a client may take beside what it has at the start, where nothing large is sent to it: buffers, stacks and code that is run
/// for the first time, of the broker too.
pub(crate) const LITTLE: usize = 24 * MIB;

/// A test that runs a script, whose process may take so much memory more than at its start.
macro_rules! script {
    ($( $(#[$doc:meta])* $name:ident within $most:expr => $body:expr; )*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            crate::script::run(concat!(module_path!(), "::", stringify!($name)), $most, $body);
        }
    )*};
}
pub(crate) use script;

pub(crate) fn run(path: &str, most: usize, body: impl AsyncFnOnce()) {
    // The binary's own name is no part of a test's.
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    match std::env::var(RUNS) {
        Ok(runs) if runs == name => here(most, body),
        _ => apart(name),
    }
}

/// In a process of its own.
fn apart(name: &str) {
    let itself = std::env::current_exe().unwrap();
    let arguments = [name, "--exact", "--nocapture", "--test-threads=1"];
    let Output { status, stdout, stderr } =
        Command::new(itself).args(arguments).env(RUNS, name).output().unwrap();
    let said = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(status.success() && said.contains("1 passed"), "{status}\n{said}");
}

/// In this process.
fn here(most: usize, body: impl AsyncFnOnce()) {
    // A client that hangs its caller would hang the time-out, too.
    std::thread::spawn(|| {
        std::thread::sleep(PATIENCE);
        eprintln!("the script hangs");
        std::process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = memory("VmRSS:");
    runtime.block_on(body());
    let Some((before, peak)) = before.zip(memory("VmHWM:")) else { return };
    let grown = peak.saturating_sub(before);
    eprintln!("grown by {} KiB of {} KiB", grown >> 10, most >> 10);
    assert!(grown <= most, "{grown} bytes at the peak, where {most} are the most");
}

/// The process's memory in bytes, where the system tells it.
fn memory(which: &str) -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(which))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok().map(|kib| kib << 10)
}
