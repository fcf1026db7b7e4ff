//! The `ottla` command: from arguments to one of `commands`, and from what came of it to an exit status.

mod args;
mod commands;
mod common;
mod completion;
mod duration;
mod epoch;
mod escapes;
mod failure;
mod format;
mod history;
mod json;
mod log;
mod offsets;
mod output;
mod progress;
mod signals;
mod unused;
mod usage;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Cli, failure::Failure, signals::Stop};

fn main() -> ExitCode {
    completion::answer();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::exit(&error),
    };
    log::install(cli.verbose);
    // More than one thread, so that signals are seen while a write to stdout, or a terminal, blocks the main one.
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::failed(format!("no runtime can be started: {error}")).exit(),
    };
    let done = runtime.block_on(async {
        let stop = Stop::install().map_err(|error| Failure::failed(format!("no signal handler: {error}")))?;
        commands::run(cli, stop).await
    });
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}
