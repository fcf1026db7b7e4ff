//! The `ottla` command, built from this checkout.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::process;

/// From nothing, beside other builds.
const BUILD_WITHIN: Duration = Duration::from_secs(900);

/// Where `ottla` is, built by the first call as this process was: same profile, same target folder. Nothing is done
/// where it is fresh.
pub fn ottla() -> Result<&'static Path, String> {
    static OTTLA: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    OTTLA.get_or_init(build).as_deref().map_err(Clone::clone)
}

fn build() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    // TARGET/PROFILE/deps/PROGRAM
    let folder = program.ancestors().nth(2).ok_or("the test is in no target folder")?;
    let target = folder.parent().ok_or("the test is in no target folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "ottla-cli", "--bin", "ottla", "--profile", profile]);
    cargo.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    process::run(&cargo, BUILD_WITHIN).map_err(|error| error.to_string())?;
    Ok(folder.join("ottla").with_extension(std::env::consts::EXE_EXTENSION))
}
