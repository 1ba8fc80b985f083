//! What a backup says of itself.

use std::path::Path;

use super::BackupError;
use super::files::{Listed, list, walk, write};

/// Its name in the backup.
const FILE: &str = "manifest.json";
/// A manifest is smaller.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// What this program writes.
const FORMAT: u32 = 1;

/// What a backup holds, and what of.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub format: u32,
    /// The program that made it.
    pub program: String,
    /// The last migration in it.
    pub schema: i64,
    /// The installation of the hub that it is of.
    pub hub_incarnation: u32,
    /// Nothing that was committed before this moment is missing, in ms since 1970.
    pub restore_point_ms: i64,
    /// The same for people, RFC 3339 UTC.
    pub restore_point: String,
    /// Every file but this one.
    pub files: Vec<Listed>,
}

impl Manifest {
    /// Lists what is in `folder` and writes itself beside it.
    pub(super) fn seal(mut self, folder: &Path) -> Result<Self, BackupError> {
        self.format = FORMAT;
        self.files = walk(folder)?
            .iter()
            .map(|file| list(folder, file))
            .collect::<Result<_, _>>()?;
        let path = folder.join(FILE);
        let text = serde_json::to_vec_pretty(&self)
            .map_err(std::io::Error::other)
            .map_err(BackupError::file("cannot write", &path))?;
        write(&path, &text)?;
        Ok(self)
    }

    /// Reads the manifest of a backup, and nothing else of it.
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(FILE);
        let length = std::fs::metadata(&path)
            .map_err(BackupError::file("cannot find", &path))?
            .len();
        let unsound = |what: String| BackupError::Unsound {
            path: folder.to_owned(),
            what,
        };
        if length > BYTES_MAX {
            return Err(unsound(format!("its manifest has {length} bytes")));
        }
        let text = std::fs::read(&path).map_err(BackupError::file("cannot read", &path))?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| unsound(format!("its manifest cannot be read ({error})")))?;
        if manifest.format != FORMAT {
            return Err(unsound(format!(
                "its format is {}, this program reads {FORMAT}: update the program",
                manifest.format
            )));
        }
        Ok(manifest)
    }

    /// Checks that every file is there as it was written, and nothing else.
    pub fn check(&self, folder: &Path) -> Result<(), BackupError> {
        let unsound = |what: String| BackupError::Unsound {
            path: folder.to_owned(),
            what,
        };
        let is: Vec<String> = walk(folder)?
            .iter()
            .map(|file| file.strip_prefix(folder).unwrap_or(file))
            .map(|inside| inside.to_string_lossy().into_owned())
            .filter(|path| path != FILE)
            .collect();
        for path in &is {
            if !self.files.iter().any(|known| known.path == *path) {
                return Err(unsound(format!("{path} does not belong to it")));
            }
        }
        for known in &self.files {
            if !is.contains(&known.path) {
                return Err(unsound(format!("{} is missing", known.path)));
            }
            let found = list(folder, &folder.join(&known.path))?;
            if found != *known {
                return Err(unsound(format!(
                    "{} has changed: {} bytes where {} were written, or other ones",
                    known.path, found.bytes, known.bytes
                )));
            }
        }
        Ok(())
    }
}
