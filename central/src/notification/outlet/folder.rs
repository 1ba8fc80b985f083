//! Messages as files, for a hub that was told no gateway: what would have gone out can be read.

use std::fmt::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use super::{Letter, Outlet};
use crate::notification::rules::Outcome;

/// A folder that only the hub may read.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Made at the first message.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Writes a file of the message's own name: the same message again is the same file.
    fn write(&self, letter: &Letter) -> std::io::Result<PathBuf> {
        use std::io::Write as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)?;
        let mut text = String::new();
        let _ = write!(text, "To: {}\nSubject: {}\n\n", letter.to, letter.title);
        text.push_str(&letter.text);
        text.push('\n');
        let file = self.path.join(format!("{}.txt", letter.key));
        let aside = self.path.join(format!("{}.part", letter.key));
        std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?
            .write_all(text.as_bytes())?;
        std::fs::rename(&aside, &file)?;
        Ok(file)
    }
}

impl Outlet for Folder {
    fn send<'a>(
        &'a self,
        letter: &'a Letter,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(async move {
            match tokio::task::block_in_place(|| self.write(letter)) {
                Ok(_) => Outcome::Sent { id: None },
                Err(error) => Outcome::Unknown(format!("the folder of messages: {error}")),
            }
        })
    }
}
