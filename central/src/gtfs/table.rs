//! One CSV file of a feed: header, rows with their line numbers, and the caps on both.

use std::collections::HashMap;

use csv::StringRecord;

use super::error::GtfsError;
use super::report::{FileState, Note, Recorder, quote};
use super::source::Source;

/// The most rows of one file.
const ROWS_MAX: usize = 1_000_000;
/// The most columns of one file.
const COLUMNS_MAX: usize = 200;
/// The longest field, in bytes.
const FIELD_BYTES_MAX: usize = 4_096;
/// How much of a header an error quotes, in characters.
const HEADER_QUOTE_CHARS: usize = 200;

/// What the importer wants of a file.
pub(super) struct FileSpec {
    /// The name inside the feed.
    pub(super) name: &'static str,
    /// Columns without which the file cannot be read.
    pub(super) required: &'static [&'static str],
    /// Further columns that are read when they are there.
    pub(super) optional: &'static [&'static str],
}

/// Counts lines; the csv reader's own count lags behind CRLF and blank lines.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
    line: u64,
}

impl<'b> Lines<'b> {
    fn of_file(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            line: 1,
        }
    }

    /// The line of the record that the reader began at this offset; offsets must not fall.
    fn of(&mut self, byte: u64) -> u64 {
        while let Some(next) = self.bytes.get(self.at) {
            let before = (self.at as u64) < byte;
            if !before && !matches!(next, b'\r' | b'\n') {
                break;
            }
            self.line += u64::from(*next == b'\n');
            self.at += 1;
        }
        self.line
    }
}

/// A file's rows.
pub(super) struct Table {
    columns: HashMap<String, usize>,
    rows: Vec<(u64, StringRecord)>,
}

/// One row of a [`Table`].
#[derive(Clone, Copy)]
pub(super) struct Row<'t> {
    /// The line it begins on, counted from 1.
    pub(super) line: u64,
    record: &'t StringRecord,
    columns: &'t HashMap<String, usize>,
}

impl<'t> Row<'t> {
    /// The field, empty when the column or the field is absent.
    pub(super) fn get(&self, column: &str) -> &'t str {
        self.columns
            .get(column)
            .and_then(|i| self.record.get(*i))
            .unwrap_or_default()
    }

    /// Whether two rows say the same.
    pub(super) fn same_as(&self, other: &Row<'_>) -> bool {
        self.record == other.record
    }
}

impl Table {
    /// Reads a file that every feed must have.
    pub(super) fn required(
        source: &mut Source,
        spec: &FileSpec,
        recorder: &mut Recorder,
    ) -> Result<Self, GtfsError> {
        Self::optional(source, spec, recorder)?.ok_or_else(|| GtfsError::MissingFile {
            file: spec.name.to_owned(),
        })
    }

    /// Reads a file that a feed may do without.
    pub(super) fn optional(
        source: &mut Source,
        spec: &FileSpec,
        recorder: &mut Recorder,
    ) -> Result<Option<Self>, GtfsError> {
        if let Some(bytes) = source.read(spec.name)? {
            return Self::parse(&bytes, spec, recorder).map(Some);
        }
        recorder.file(spec.name, FileState::Absent, 0);
        Ok(None)
    }

    fn parse(bytes: &[u8], spec: &FileSpec, recorder: &mut Recorder) -> Result<Self, GtfsError> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut lines = Lines::of_file(bytes);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let mut records = reader.records();
        let header = records
            .next()
            .transpose()
            .map_err(|e| unreadable(spec, &e, &mut lines))?;
        let columns = read_header(header.as_ref(), spec, recorder)?;
        let width = header.map_or(0, |h| h.len());
        let mut rows = Vec::new();
        let mut faults = Vec::new();
        for record in records {
            let record = record.map_err(|e| unreadable(spec, &e, &mut lines))?;
            if rows.len() >= ROWS_MAX {
                return Err(too_large(
                    spec,
                    &format!("at most {ROWS_MAX} rows are read"),
                ));
            }
            let line = record.position().map_or(0, |at| lines.of(at.byte()));
            let record = checked(record, line, width, spec, &mut faults)?;
            if record.iter().any(|field| !field.is_empty()) {
                rows.push((line, record));
            }
        }
        let entry = recorder.file(spec.name, FileState::Taken, rows.len() as u64);
        entry.columns_not_read = columns
            .keys()
            .filter(|c| {
                let c = c.as_str();
                !spec.required.contains(&c) && !spec.optional.contains(&c)
            })
            .cloned()
            .collect();
        entry.columns_not_read.sort();
        if rows.is_empty() {
            entry
                .notes
                .push(Note::new("empty_file", "the file has no rows"));
        }
        for (line, note) in faults {
            recorder.mended(spec.name, line, note);
        }
        Ok(Self { columns, rows })
    }

    /// The rows in the order of the file.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, record)| Row {
            line: *line,
            record,
            columns: &self.columns,
        })
    }
}

fn read_header(
    header: Option<&StringRecord>,
    spec: &FileSpec,
    recorder: &mut Recorder,
) -> Result<HashMap<String, usize>, GtfsError> {
    let empty = StringRecord::new();
    let header = header.unwrap_or(&empty);
    if header.len() > COLUMNS_MAX {
        return Err(too_large(
            spec,
            &format!("at most {COLUMNS_MAX} columns are read"),
        ));
    }
    let mut columns = HashMap::new();
    for (i, name) in header.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
        if columns.contains_key(name) {
            let text = format!(
                "the header names {} twice; the first one is read",
                quote(name)
            );
            recorder.mended(spec.name, 1, Note::new("column_twice", text));
        } else {
            columns.insert(name.to_owned(), i);
        }
    }
    match spec.required.iter().find(|c| !columns.contains_key(**c)) {
        None => Ok(columns),
        Some(column) => Err(GtfsError::MissingColumn {
            file: spec.name.to_owned(),
            column: (*column).to_owned(),
            found: header
                .iter()
                .collect::<Vec<_>>()
                .join(",")
                .chars()
                .take(HEADER_QUOTE_CHARS)
                .collect(),
        }),
    }
}

/// Caps each field, drops control characters (the database takes no NUL) and notes rows whose
/// width differs from the header's.
fn checked(
    record: StringRecord,
    line: u64,
    width: usize,
    spec: &FileSpec,
    faults: &mut Vec<(u64, Note)>,
) -> Result<StringRecord, GtfsError> {
    if record.iter().any(|field| field.len() > FIELD_BYTES_MAX) {
        let what = format!("line {line} has a field of more than {FIELD_BYTES_MAX} bytes");
        return Err(too_large(spec, &what));
    }
    if record.len() != width && record.iter().any(|field| !field.is_empty()) {
        let text = format!(
            "the line has {} fields and the header {width}; what is missing is read as empty, what is left over is ignored",
            record.len()
        );
        faults.push((line, Note::new("row_width", text)));
    }
    if record.iter().any(|field| field.contains(char::is_control)) {
        let text = "control characters and line breaks inside a field were made spaces";
        faults.push((line, Note::new("control_characters", text)));
        return Ok(record
            .iter()
            .map(|field| field.replace(char::is_control, " ").trim().to_owned())
            .collect());
    }
    Ok(record)
}

fn too_large(spec: &FileSpec, what: &str) -> GtfsError {
    GtfsError::TooLarge {
        file: spec.name.to_owned(),
        what: what.to_owned(),
    }
}

fn unreadable(spec: &FileSpec, error: &csv::Error, lines: &mut Lines<'_>) -> GtfsError {
    if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) {
        return GtfsError::NotUtf8 {
            file: spec.name.to_owned(),
            line: error.position().map_or(0, |at| lines.of(at.byte())),
        };
    }
    GtfsError::Read {
        file: spec.name.to_owned(),
        reason: error.to_string(),
    }
}
