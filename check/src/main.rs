//! The `ottla-check` command: judges histories, and makes them on a cluster.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}
