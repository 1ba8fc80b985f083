//! `codegen`: the query data that sqlx's macros need to build without a database.
//!
//! The macros write one file per query into `SQLX_OFFLINE_DIR` whenever they are expanded against
//! a live database, so all it takes is a database with our schema and one forced expansion.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

use crate::postgres::Postgres;
use crate::process;
use crate::workspace::Workspace;

const DATABASE: &str = "mwimule_codegen";

/// Writes `.sqlx/` anew, or with `check_only` compares it with what the code asks for.
pub fn run(workspace: &Workspace, check_only: bool) -> Result<()> {
    let committed = workspace.root.join(".sqlx");
    let fresh = workspace.target.join("sqlx-codegen");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh)?;
    }
    std::fs::create_dir_all(&fresh)?;
    generate(workspace, &fresh)?;

    let was = read_folder(&committed)?;
    let is = read_folder(&fresh)?;
    let differences = compare(&was, &is);
    if check_only {
        if !differences.is_empty() {
            bail!(
                "the query data in .sqlx is out of step with the code and the migrations:\n  {}\n\
                 type `cargo xtask codegen` and commit the result",
                differences.join("\n  ")
            );
        }
        println!(".sqlx is in step: {} queries", is.len());
        return Ok(());
    }
    swap(&committed, &was, &is)?;
    for line in &differences {
        println!("{line}");
    }
    println!(
        ".sqlx holds {} queries, {} changed",
        is.len(),
        differences.len()
    );
    Ok(())
}

fn generate(workspace: &Workspace, into: &Path) -> Result<()> {
    println!("starting a private Postgres ...");
    let server = Postgres::start()?;
    server.query("postgres", &format!("create database {DATABASE}"))?;
    for file in migrations(&workspace.root.join("migrations/central"))? {
        server.apply(DATABASE, &file)?;
    }
    println!("expanding the queries of central ...");
    let touched = Touched::touch(&workspace.root.join("central/src/lib.rs"))?;
    process::run_ok(
        workspace
            .cargo()
            .args(["check", "--quiet", "-p", "central", "--all-targets"])
            .env("DATABASE_URL", server.url(DATABASE))
            .env("SQLX_OFFLINE", "false")
            .env("SQLX_OFFLINE_DIR", into),
    )?;
    drop(touched);
    Ok(())
}

/// The `.sql` files in the order of their names, which is the order sqlx applies them in.
fn migrations(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.exists() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.to_string_lossy();
            if name.ends_with(".sql") && !name.ends_with(".down.sql") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Makes cargo compile a file again. The old time is put back afterwards, so that other builds,
/// which saw the same contents, stay fresh.
struct Touched {
    file: std::fs::File,
    before: SystemTime,
}

impl Touched {
    fn touch(path: &Path) -> Result<Self> {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .open(path)
            .with_context(|| format!("could not open {}", path.display()))?;
        let before = file.metadata()?.modified()?;
        file.set_modified(SystemTime::now())?;
        Ok(Self { file, before })
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // A newer time costs one needless rebuild, nothing else.
        let _ = self.file.set_modified(self.before);
    }
}

type Files = BTreeMap<String, Vec<u8>>;

fn read_folder(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    if folder.exists() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ext| ext == "json")
                && let Some(name) = path.file_name()
            {
                files.insert(name.to_string_lossy().into_owned(), std::fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

/// One line per file that is missing, stale or different.
fn compare(was: &Files, is: &Files) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, contents) in is {
        match was.get(name) {
            None => lines.push(format!("missing: {name} {}", first_line(contents))),
            Some(old) if old != contents => {
                lines.push(format!("changed: {name} {}", first_line(contents)));
            }
            Some(_) => {}
        }
    }
    for (name, contents) in was {
        if !is.contains_key(name) {
            lines.push(format!("stale:   {name} {}", first_line(contents)));
        }
    }
    lines
}

/// The beginning of the query, so that a person recognises it.
fn first_line(contents: &[u8]) -> String {
    let query = serde_json::from_slice::<serde_json::Value>(contents)
        .ok()
        .and_then(|data| Some(data["query"].as_str()?.to_owned()))
        .unwrap_or_default();
    let words: Vec<&str> = query.split_whitespace().collect();
    format!("({:.60})", words.join(" "))
}

fn swap(committed: &Path, was: &Files, is: &Files) -> Result<()> {
    std::fs::create_dir_all(committed)?;
    for (name, contents) in is {
        if was.get(name) != Some(contents) {
            std::fs::write(committed.join(name), contents)?;
        }
    }
    for name in was.keys().filter(|name| !is.contains_key(*name)) {
        std::fs::remove_file(committed.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter()
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn each_file_out_of_step_is_named() {
        let was = files(&[("a.json", "{}"), ("b.json", "{}"), ("c.json", "{}")]);
        let is = files(&[
            ("a.json", "{}"),
            ("b.json", r#"{"query":"select  1"}"#),
            ("d.json", "{}"),
        ]);
        assert_eq!(
            compare(&was, &is),
            [
                "changed: b.json (select 1)",
                "missing: d.json ()",
                "stale:   c.json ()"
            ]
        );
        assert!(compare(&is, &is).is_empty());
    }

    #[test]
    fn swapping_writes_what_is_new_and_removes_what_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let was = files(&[("a.json", "1"), ("b.json", "2")]);
        for (name, contents) in &was {
            std::fs::write(folder.path().join(name), contents).unwrap();
        }
        let is = files(&[("b.json", "3"), ("c.json", "4")]);
        swap(folder.path(), &was, &is).unwrap();
        assert_eq!(read_folder(folder.path()).unwrap(), is);
    }

    #[test]
    fn migrations_come_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["0002_b.sql", "0001_a.sql", "README.md", "0001_a.down.sql"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> = migrations(folder.path())
            .unwrap()
            .iter()
            .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["0001_a.sql", "0002_b.sql"]);
    }

    #[test]
    fn a_touched_file_gets_its_old_time_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let before = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        file.as_file().set_modified(before).unwrap();
        let touched = Touched::touch(file.path()).unwrap();
        assert!(file.path().metadata().unwrap().modified().unwrap() > before);
        drop(touched);
        assert_eq!(file.path().metadata().unwrap().modified().unwrap(), before);
    }
}
