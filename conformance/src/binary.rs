//! Programs that are built from this checkout: the `ottla` command, and one outside of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::process;

/// From nothing, beside other builds.
const BUILD_WITHIN: Duration = Duration::from_secs(900);

/// Where `ottla` is, built by the first call as this process was: same profile, same target folder. Nothing is done
/// where it is fresh, as it is after `cargo test --workspace`: with that choice of packages its dependencies have the same features.
pub fn ottla() -> Result<&'static Path, String> {
    static OTTLA: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || build("ottla", env!("CARGO_MANIFEST_DIR"), &["--workspace"]);
    OTTLA.get_or_init(build).as_deref().map_err(Clone::clone)
}

/// Where the program outside of the workspace is, built so. Its lock file names nothing that the workspace's does not: it
/// is built with what is on this machine already.
pub fn outside() -> Result<&'static Path, String> {
    static OUTSIDE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/outside");
    let build = || build("ottla-outside", folder, &["--locked", "--offline"]);
    OUTSIDE.get_or_init(build).as_deref().map_err(Clone::clone)
}

fn build(program: &str, within: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let ours = std::env::current_exe().map_err(|error| error.to_string())?;
    // TARGET/PROFILE/deps/PROGRAM
    let folder = ours.ancestors().nth(2).ok_or("the test is in no target folder")?;
    let target = folder.parent().ok_or("the test is in no target folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--bin", program, "--profile", profile]).args(arguments);
    cargo.arg("--target-dir").arg(target).current_dir(within);
    process::run(&cargo, BUILD_WITHIN).map_err(|error| error.to_string())?;
    Ok(folder.join(program).with_extension(std::env::consts::EXE_EXTENSION))
}
