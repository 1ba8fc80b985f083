//! Where a feed's bytes come from: a folder or a zip file, each read bounded.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::error::GtfsError;

/// The largest zip file that is opened, in bytes.
const ARCHIVE_BYTES_MAX: u64 = 256 << 20;
/// The largest file of a feed after decompression, in bytes.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// The most bytes read from one feed in total.
const FEED_BYTES_MAX: u64 = 384 << 20;
/// The most entries a zip file or folder may hold.
const ENTRIES_MAX: usize = 2_000;

/// An open feed.
pub struct Source {
    name: String,
    /// How many more bytes may be read.
    pub(super) bytes_left: u64,
    inner: Inner,
}

enum Inner {
    Folder(PathBuf),
    Zip {
        archive: Box<ZipArchive<BufReader<File>>>,
        /// The folder inside the archive that holds the feed, empty or ending in `/`.
        prefix: String,
    },
}

impl Source {
    /// Opens a folder or a zip file.
    pub fn open(path: &Path) -> Result<Self, GtfsError> {
        let failed = |reason: String| GtfsError::Open {
            path: path.display().to_string(),
            reason,
        };
        let meta = fs::metadata(path).map_err(|e| failed(e.to_string()))?;
        let inner = if meta.is_dir() {
            Inner::Folder(path.to_owned())
        } else {
            if meta.len() > ARCHIVE_BYTES_MAX {
                return Err(failed(format!(
                    "{} bytes; at most {ARCHIVE_BYTES_MAX} are read",
                    meta.len()
                )));
            }
            let file = File::open(path).map_err(|e| failed(e.to_string()))?;
            let archive = ZipArchive::new(BufReader::new(file)).map_err(|e| {
                failed(format!(
                    "neither a folder nor a readable zip file ({e}); give the feed's folder or its .zip"
                ))
            })?;
            if archive.len() > ENTRIES_MAX {
                return Err(failed(format!(
                    "{} entries; at most {ENTRIES_MAX} are read",
                    archive.len()
                )));
            }
            let prefix = feed_folder(&archive);
            Inner::Zip {
                archive: Box::new(archive),
                prefix,
            }
        };
        let name = path
            .file_name()
            .map_or_else(|| ".".to_owned(), |n| n.to_string_lossy().into_owned());
        Ok(Self {
            name,
            bytes_left: FEED_BYTES_MAX,
            inner,
        })
    }

    /// The folder's or file's own name, without its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `.txt` files the feed holds, sorted.
    pub fn files(&self) -> Result<Vec<String>, GtfsError> {
        let mut names: Vec<String> = match &self.inner {
            Inner::Folder(folder) => fs::read_dir(folder)
                .map_err(|e| GtfsError::Open {
                    path: self.name.clone(),
                    reason: e.to_string(),
                })?
                .take(ENTRIES_MAX)
                .filter_map(Result::ok)
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect(),
            Inner::Zip { archive, prefix } => archive
                .file_names()
                .filter_map(|n| n.strip_prefix(prefix.as_str()))
                .filter(|n| !n.contains('/'))
                .map(str::to_owned)
                .collect(),
        };
        names.retain(|n| {
            Path::new(n)
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("txt"))
        });
        names.sort();
        Ok(names)
    }

    /// The whole of one file, or `None` when the feed does not have it.
    pub fn read(&mut self, file: &str) -> Result<Option<Vec<u8>>, GtfsError> {
        let failed = |reason: String| GtfsError::Read {
            file: file.to_owned(),
            reason,
        };
        let cap = FILE_BYTES_MAX.min(self.bytes_left);
        let mut bytes = Vec::new();
        match &mut self.inner {
            Inner::Folder(folder) => match File::open(folder.join(file)) {
                Ok(opened) => opened.take(cap + 1).read_to_end(&mut bytes),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(failed(e.to_string())),
            },
            Inner::Zip { archive, prefix } => match archive.by_name(&format!("{prefix}{file}")) {
                // The entry's declared size is the archive's word only; the cap counts real bytes.
                Ok(entry) => entry.take(cap + 1).read_to_end(&mut bytes),
                Err(zip::result::ZipError::FileNotFound) => return Ok(None),
                Err(e) => return Err(failed(e.to_string())),
            },
        }
        .map_err(|e| failed(e.to_string()))?;
        if bytes.len() as u64 > cap {
            return Err(GtfsError::TooLarge {
                file: file.to_owned(),
                what: format!(
                    "at most {FILE_BYTES_MAX} bytes of one file and {FEED_BYTES_MAX} of a feed are read"
                ),
            });
        }
        self.bytes_left -= bytes.len() as u64;
        Ok(Some(bytes))
    }
}

/// Many publishers zip the folder instead of its files: the shallowest folder with a
/// `stops.txt` is the feed.
fn feed_folder(archive: &ZipArchive<BufReader<File>>) -> String {
    archive
        .file_names()
        .filter_map(|name| name.strip_suffix("stops.txt"))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
        .min_by_key(|prefix| (prefix.matches('/').count(), (*prefix).to_owned()))
        .unwrap_or_default()
        .to_owned()
}
