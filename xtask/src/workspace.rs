//! Where things are: the workspace root, the target folder, the programs of a package.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process;

/// What `cargo metadata` says about this workspace, dependencies of dependencies left out.
#[derive(Debug)]
pub struct Workspace {
    /// The folder of the workspace's Cargo.toml.
    pub root: PathBuf,
    /// `CARGO_TARGET_DIR` when it is set, `target/` otherwise.
    pub target: PathBuf,
    /// The metadata as JSON.
    pub metadata: Value,
}

impl Workspace {
    /// Asks cargo about the workspace that `cargo xtask` was typed in. The folder is not known
    /// when we are compiled: two clones may share one target folder, and this program with it.
    pub fn load() -> Result<Self> {
        let here = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => std::env::current_dir()?,
        };
        let text = process::output(cargo().current_dir(here).args([
            "metadata",
            "--no-deps",
            "--format-version=1",
        ]))?;
        let metadata: Value =
            serde_json::from_str(&text).context("`cargo metadata` printed no JSON")?;
        Ok(Self {
            root: PathBuf::from(string(&metadata["workspace_root"])?),
            target: PathBuf::from(string(&metadata["target_directory"])?),
            metadata,
        })
    }

    /// `cargo` in the workspace root.
    pub fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// The path of a program that a `debug` or `release` build made.
    pub fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }
}

fn string(value: &Value) -> Result<&str> {
    value
        .as_str()
        .context("`cargo metadata` has another shape than expected")
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
