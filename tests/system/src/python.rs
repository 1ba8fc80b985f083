//! Libraries of another language, from PyPI.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{Place, Ran};

/// The folder with a library, which is fetched once for this workspace.
pub fn library(place: &Place, folder: &str, requirement: &str) -> Result<PathBuf> {
    let folder = place.cache(folder)?;
    if !folder.exists() {
        // Whole or not at all, and another run may be at the same.
        let fresh = folder.with_extension(format!("new-{}", std::process::id()));
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        pip.arg("--target").arg(&fresh).arg(requirement);
        Ran::good(&mut pip).context("is python3-pip installed, and PyPI reachable?")?;
        if std::fs::rename(&fresh, &folder).is_err() {
            std::fs::remove_dir_all(&fresh)?;
        }
    }
    Ok(folder)
}
