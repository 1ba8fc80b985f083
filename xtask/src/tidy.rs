//! `tidy`: the house rules that a compiler does not know, as tests over the files themselves.

mod imports;
mod map;
mod text;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace::Workspace;

/// A file of the project that git knows or would know.
#[derive(Debug)]
pub struct SourceFile {
    /// Relative to the workspace root, with `/`.
    pub path: String,
    /// Empty for files that are not text.
    pub text: String,
}

impl SourceFile {
    fn has_extension(&self, extensions: &[&str]) -> bool {
        self.path
            .rsplit_once('.')
            .is_some_and(|(_, ext)| extensions.contains(&ext))
    }
}

/// Every broken rule, one line each: `path:line: what is wrong and what to do`.
pub fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let files = list_files(&workspace.root)?;
    let mut findings = text::check(&files);
    findings.extend(map::check(&files));
    findings.extend(imports::check(workspace)?);
    findings.sort();
    Ok(findings)
}

/// What git tracks: a report or a note that somebody left in the folder is not the project's.
fn list_files(root: &Path) -> Result<Vec<SourceFile>> {
    let listing = process::output(
        Command::new("git")
            .current_dir(root)
            .args(["ls-files", "--cached", "-z"]),
    )
    .context("tidy asks git which files belong to the project")?;
    let mut paths: Vec<&str> = listing.split('\0').filter(|p| !p.is_empty()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        let full = root.join(path);
        if !full.is_file() {
            // Deleted, but not yet committed as such.
            continue;
        }
        let bytes = std::fs::read(&full).with_context(|| format!("could not read {path}"))?;
        files.push(SourceFile {
            path: path.to_owned(),
            text: String::from_utf8(bytes).unwrap_or_default(),
        });
    }
    Ok(files)
}
