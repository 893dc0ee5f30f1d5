//! The agent under test, built where none was given.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::CommandError;

/// The workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const NAME: &str = "sentinel-spiffe-agent";

/// Builds it as released, with the kill switch, and sets it aside: the next build of the workspace puts
/// another one in its place.
pub(super) fn build() -> Result<PathBuf, CommandError> {
    if !Path::new(ROOT).join("Cargo.toml").is_file() {
        return Err(CommandError::NoSource {
            path: PathBuf::from(ROOT),
        });
    }
    super::terminal::tell("building the agent (--release --features chaos-hooks)");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let built = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "--features",
            "chaos-hooks",
        ])
        .args(["--bin", NAME, "--message-format", "json-render-diagnostics"])
        .current_dir(ROOT)
        .stderr(Stdio::inherit())
        .output();
    let built = built.map_err(|source| CommandError::File {
        path: PathBuf::from("cargo"),
        source,
    })?;
    let said = String::from_utf8_lossy(&built.stdout);
    let executable = said.lines().rev().find_map(executable);
    let executable = executable.filter(|_| built.status.success());
    let executable = executable.ok_or(CommandError::NotBuilt)?;
    set_aside(&executable)
}

fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    Some(PathBuf::from(path))
}

fn set_aside(executable: &Path) -> Result<PathBuf, CommandError> {
    let folder = executable.with_file_name("with-chaos-hooks");
    let aside = folder.join(NAME);
    let file = |source| CommandError::File {
        path: aside.clone(),
        source,
    };
    std::fs::create_dir_all(&folder).map_err(file)?;
    // A copy in place of one that still runs would be refused.
    let fresh = folder.join(format!("{NAME}.{}", std::process::id()));
    std::fs::copy(executable, &fresh).map_err(file)?;
    std::fs::rename(&fresh, &aside).map_err(file)?;
    Ok(aside)
}
