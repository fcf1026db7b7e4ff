//! How the cases of the command line run `ottla`.

use std::process::Command;

use libtest_mimic::Failed;
use ottla_conformance::binary;
use ottla_conformance::process::{Output, Process, ProcessError};
use ottla_conformance::targets::Target;

use crate::cases::Outcome;
use crate::kit::{PATIENCE, equal, holds};

/// `ottla`, pointed at a target.
pub(crate) fn ottla(target: &Target, args: &[&str]) -> Result<Command, Failed> {
    let mut command = Command::new(binary::ottla()?);
    command.args(args).args(["-b", &target.bootstrap()]).env_remove("OTTLA_BOOTSTRAP_SERVERS");
    Ok(command)
}

/// Runs it to its end with these lines as its input.
pub(crate) fn feed(command: &Command, lines: &[String]) -> Result<Output, ProcessError> {
    let mut process =
        Process::spawn_with_input(command).map_err(|error| ProcessError::not_started(command, error))?;
    // One that ends early says why itself.
    let _ = process.write(lines.iter().flat_map(|line| [line, "\n"]).collect::<String>().as_bytes());
    process.close_input();
    process.finish(PATIENCE)
}

/// That it ended with this status and, on stderr, one line with all of these in it.
pub(crate) fn ended(output: &Output, status: i32, parts: &[&str]) -> Outcome {
    equal(
        "the status",
        (output.status.code(), output.stderr.as_str()),
        (Some(status), output.stderr.as_str()),
    )?;
    equal("lines on stderr", output.complaints().len(), 1)
        .map_err(|failed| format!("{}:\n{}", failed.message().unwrap_or_default(), output.stderr))?;
    for part in parts {
        holds(&format!("`{part}` is in `{}`", output.stderr.trim()), output.stderr.contains(part))?;
    }
    Ok(())
}
