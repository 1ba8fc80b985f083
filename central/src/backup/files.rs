//! Folders of files: copied, checked, made durable.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use domain::codec::to_hex;
use sha2::{Digest as _, Sha256};

use super::BackupError;

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A file and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Relative to the backup, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A folder that only we may enter.
pub(super) fn make_folder(folder: &Path) -> Result<(), BackupError> {
    std::fs::create_dir_all(folder).map_err(BackupError::file("cannot make", folder))?;
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder, mode).map_err(BackupError::file("cannot close", folder))
}

/// What was left of an attempt that was cut short.
pub(super) fn remove(folder: &Path) -> Result<(), BackupError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(BackupError::file("cannot remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Every file under a folder, by path.
pub(super) fn walk(root: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut found = vec![];
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let read = BackupError::file("cannot read", &folder);
        for entry in std::fs::read_dir(&folder).map_err(read)? {
            let entry = entry.map_err(BackupError::file("cannot read", &folder))?;
            let path = entry.path();
            let kind = entry
                .file_type()
                .map_err(BackupError::file("cannot look at", &path))?;
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies a folder of secrets, and flushes each copy.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    make_folder(to)?;
    for file in walk(from)? {
        let inside = file.strip_prefix(from).unwrap_or(&file);
        let copy = to.join(inside);
        if let Some(folder) = copy.parent() {
            make_folder(folder)?;
        }
        let bytes = std::fs::read(&file).map_err(BackupError::file("cannot read", &file))?;
        write(&copy, &bytes)?;
    }
    Ok(())
}

/// Writes a file that only we may read, durably.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(BackupError::file("cannot make", path))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(BackupError::file("cannot write", path))
}

/// Length and hash of a file under `root`.
pub(super) fn list(root: &Path, file: &Path) -> Result<Listed, BackupError> {
    let mut open = File::open(file).map_err(BackupError::file("cannot open", file))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let got = open
            .read(&mut chunk)
            .map_err(BackupError::file("cannot read", file))?;
        if got == 0 {
            break;
        }
        hash.update(&chunk[..got]);
        bytes += got as u64;
    }
    let inside = file.strip_prefix(root).unwrap_or(file);
    Ok(Listed {
        path: inside.to_string_lossy().into_owned(),
        bytes,
        sha256: to_hex(&hash.finalize()),
    })
}

/// Gives what is finished its name, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), BackupError> {
    std::fs::rename(from, to).map_err(BackupError::file("cannot rename", from))?;
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(BackupError::file("cannot flush", folder))
}

/// The name that something has until it is finished.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    path.with_file_name(name)
}

/// How many bytes are under a folder.
pub(super) fn bytes_under(root: &Path) -> u64 {
    let files = walk(root).unwrap_or_default();
    files
        .iter()
        .filter_map(|f| std::fs::metadata(f).ok())
        .map(|m| m.len())
        .sum()
}
