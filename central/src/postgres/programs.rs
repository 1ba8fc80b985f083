//! Where the programs of Postgres are.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// The oldest major version that the hub's schema works on.
pub const POSTGRES_MAJOR_MIN: u32 = 15;

/// One installation of Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The folder with `initdb` and `postgres`.
    pub folder: PathBuf,
    /// Its major version.
    pub major: u32,
}

impl Programs {
    /// The latest installation among `PATH` and the distributions' usual folders.
    pub fn find() -> Result<Self, PostgresError> {
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        Self::latest_of(std::env::split_paths(&on_path).chain(usual_folders()))
    }

    fn latest_of(folders: impl Iterator<Item = PathBuf>) -> Result<Self, PostgresError> {
        let mut seen: Vec<Self> = folders
            .filter(|folder| folder.is_absolute())
            .filter_map(|folder| Self::in_folder(&folder))
            .collect();
        seen.sort_by_key(|p| p.major);
        match seen.pop() {
            Some(best) if best.major >= POSTGRES_MAJOR_MIN => Ok(best),
            Some(old) => Err(PostgresError::NotInstalled {
                found: format!("found only {} in {}", old.major, old.folder.display()),
            }),
            None => Err(PostgresError::NotInstalled {
                found: "looked in PATH, /usr/lib/postgresql and /usr/pgsql-*".to_owned(),
            }),
        }
    }

    fn in_folder(folder: &Path) -> Option<Self> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        let said = Command::new(folder.join("postgres"))
            .arg("--version")
            .output()
            .ok()?;
        let major = major_of(&String::from_utf8_lossy(&said.stdout))?;
        Some(Self {
            folder: folder.to_owned(),
            major,
        })
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` is 15.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn usual_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = ["/usr/lib/postgresql", "/usr"]
        .iter()
        .filter_map(|parent| std::fs::read_dir(parent).ok())
        .flat_map(|entries| entries.filter_map(Result::ok))
        .map(|entry| entry.path())
        .filter(|path| {
            path.starts_with("/usr/lib/postgresql")
                || path.to_string_lossy().starts_with("/usr/pgsql-")
        })
        .map(|path| path.join("bin"))
        .collect();
    folders.push("/usr/local/pgsql/bin".into());
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says_of_itself() {
        let of = major_of;
        assert_eq!(of("postgres (PostgreSQL) 15.18 (Debian 15.18-0)"), Some(15));
        assert_eq!(of("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(of("bash: postgres: not found"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn a_missing_installation_is_named_with_what_to_install() {
        let error = Programs::latest_of(std::iter::empty())
            .unwrap_err()
            .to_string();
        assert!(error.contains("apt-get install postgresql"), "{error}");
        assert!(error.contains("--database-url"), "{error}");
    }
}
