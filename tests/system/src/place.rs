//! Where a test keeps its files, and where the programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// How much of each log a failed test shows, in lines.
const TAIL_LINES: usize = 25;

/// A test's own folder, gone with it.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
    bin_dir: PathBuf,
}

/// Whether the short form of a test is wanted.
pub fn is_fast() -> bool {
    std::env::var_os("MWIMULE_FAST").is_some_and(|value| value == "1")
}

fn bin_dir() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("MWIMULE_BIN_DIR") {
        return Ok(folder.into());
    }
    let exe = std::env::current_exe().context("where does this test run from?")?;
    let folder = exe.parent().and_then(Path::parent);
    Ok(folder.context("the test has no target folder")?.to_owned())
}

/// Runs a test in a folder of its own; if it fails, shows the ends of the programs' logs.
pub fn story(tell: impl FnOnce(&Place) -> Result<()>) -> Result<()> {
    let place = Place::new()?;
    let told = tell(&place);
    if told.is_err() {
        place.show_logs();
    }
    told
}

impl Place {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("mwimule-").tempdir()?;
        Ok(Self {
            folder,
            bin_dir: bin_dir()?,
        })
    }

    /// A path in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a program's words go.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    /// A program of the workspace.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.bin_dir.join(name);
        ensure!(
            path.is_file(),
            "{} is not there: run `cargo build --workspace --bins` first",
            path.display()
        );
        Ok(path)
    }

    /// A folder beside the programs' that outlives the test, for what is costly to make.
    pub fn cache(&self, name: &str) -> Result<PathBuf> {
        let target = self.bin_dir.parent().context("no target folder")?;
        Ok(target.join(name))
    }

    /// A folder of this workspace's fixtures.
    pub fn fixture(name: &str) -> PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures")).join(name)
    }

    /// Shows the ends of the programs' logs.
    pub fn show_logs(&self) {
        let entries = std::fs::read_dir(self.folder.path());
        for path in entries.into_iter().flatten().flatten().map(|e| e.path()) {
            if path.extension().is_none_or(|end| end != "log") {
                continue;
            }
            let text = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- the end of {}", path.display());
            for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
                eprintln!("{line}");
            }
        }
    }
}
