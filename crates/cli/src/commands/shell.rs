//! `ottla completions` and `ottla man`: what the definitions of the flags give to shells and readers.

use std::path::Path;

use clap::CommandFactory;

use crate::{args::Cli, completion, failure::Failure, output::print};

pub(super) fn completions(shell: &str) -> Result<(), Failure> {
    let script = completion::script(shell);
    print(&script.map_err(|error| Failure::failed(format!("completions for {shell}: {error}")))?)
}

/// A page for the command, and one for each of its verbs.
pub(super) fn man(folder: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("{}: {error}; nothing more is written", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(failed)
}
