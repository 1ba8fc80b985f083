//! One program at a time on a cluster.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::PostgresError;

const FILE: &str = "lock";
const POLL: Duration = Duration::from_millis(20);
/// A look at the lock holds it for less.
const GLANCE: Duration = Duration::from_millis(300);
/// A holder's note is shorter.
const NOTE_BYTES_MAX: u64 = 200;

/// What a program wants the cluster for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// For as long as it lives: others are told to go away, or to use it.
    Serve,
    /// For a moment: others wait.
    Command,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Serve => "a running hub",
            Self::Command => "another command",
        }
    }
}

/// The lock, held until dropped; the system lets it go when its holder dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it. Waits up to `patience` for another command, never for a running hub.
    pub(super) fn take(
        folder: &Path,
        purpose: Purpose,
        patience: Duration,
    ) -> Result<Self, PostgresError> {
        let path = folder.join(FILE);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(PostgresError::file("cannot open", &path))?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => {
                    return Err(PostgresError::File {
                        what: "cannot lock",
                        path,
                        source,
                    });
                }
                Err(TryLockError::WouldBlock) => {}
            }
            let note = note(folder);
            let serves = note.contains(Purpose::Serve.word());
            if began.elapsed() > if serves { GLANCE } else { patience } {
                return Err(PostgresError::InUse {
                    folder: folder.to_owned(),
                    holder: note,
                });
            }
            std::thread::sleep(POLL);
        }
        let note = format!("{} (process {})", purpose.word(), std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(PostgresError::file("cannot write", &path))?;
        Ok(Self { _file: file })
    }
}

fn note(folder: &Path) -> String {
    let mut text = String::new();
    if let Ok(file) = File::open(folder.join(FILE)) {
        let _ = file.take(NOTE_BYTES_MAX).read_to_string(&mut text);
    }
    if text.is_empty() {
        "another program".clone_into(&mut text);
    }
    text
}

/// Who works on the cluster in `folder` at the moment, in words.
pub fn holder(folder: &Path) -> Option<String> {
    let file = File::open(folder.join(FILE)).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(_) => Some(note(folder)),
    }
}
