//! State in memory, and in a file when one is named, so that it survives a restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What an operator remembers.
#[derive(Debug)]
pub struct Stored<T> {
    inner: Arc<Mutex<T>>,
    file: Option<StateFile>,
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            file: self.file.clone(),
        }
    }
}

/// Where it is kept.
#[derive(Debug, Clone)]
pub struct StateFile(pub PathBuf);

impl<T: Serialize + DeserializeOwned + Default> Stored<T> {
    /// Reads what an earlier run left, or begins with nothing.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(file: Option<PathBuf>) -> Result<Self> {
        let state = match &file {
            Some(path) if path.exists() => {
                let text = std::fs::read(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_slice(&text).with_context(|| {
                    format!("{} was not written by this program", path.display())
                })?
            }
            _ => T::default(),
        };
        Ok(Self {
            inner: Arc::new(Mutex::new(state)),
            file: file.map(StateFile),
        })
    }

    /// Looks at it.
    pub fn look<R>(&self, work: impl FnOnce(&T) -> R) -> R {
        work(&self.lock())
    }

    /// Changes it, and writes the file before anybody hears of the change.
    pub fn change<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut state = self.lock();
        let result = work(&mut state);
        if let Some(StateFile(path)) = &self.file {
            let aside = path.with_extension("new");
            let text = serde_json::to_vec(&*state).unwrap_or_default();
            let written = std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, path));
            if let Err(error) = written {
                eprintln!("cannot write {}: {error}", path.display());
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("state.json"));
        let first: Stored<Vec<u32>> = Stored::open(file.clone()).unwrap();
        first.change(|list| list.push(7));
        drop(first);
        let second: Stored<Vec<u32>> = Stored::open(file).unwrap();
        assert_eq!(second.look(Clone::clone), vec![7]);
    }
}
