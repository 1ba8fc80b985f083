//! Files as one zip.

use std::io::{Cursor, Write as _};

use zip::ZipWriter;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;

use super::FeedFile;

/// The files of a feed as a zip; the same bytes for the same files.
pub fn zipped(files: &[FeedFile]) -> Result<Vec<u8>, ZipError> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for file in files {
        // No time of their own: a feed is the same whenever it is made.
        let options = SimpleFileOptions::default()
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644);
        writer.start_file(file.name, options)?;
        writer.write_all(&file.bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}
