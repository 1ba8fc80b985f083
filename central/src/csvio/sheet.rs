//! One file: its bytes become rows of named cells, and rows become bytes.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::cell::{neutralised, restored};
use super::list::Column;
use super::{BYTES_MAX, CELL_BYTES_MAX, Fault, ROWS_MAX};

/// Why a file cannot be read as this list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SheetError {
    /// Too many bytes.
    #[error("the file has {0} bytes; at most {BYTES_MAX} are read: split it")]
    TooLarge(usize),
    /// Too many rows.
    #[error("the file has more than {ROWS_MAX} rows: split it")]
    TooManyRows,
    /// A cell is too long.
    #[error("row {row}: a cell has more than {CELL_BYTES_MAX} bytes; look for a missing quote")]
    LongCell {
        /// The row as a spreadsheet counts it.
        row: usize,
    },
    /// Another encoding.
    #[error("row {row} is not UTF-8: save the file as \"CSV UTF-8\"")]
    NotUtf8 {
        /// The row as a spreadsheet counts it.
        row: usize,
    },
    /// No header.
    #[error("the file is empty: the first row has to name the columns {columns}")]
    Empty {
        /// The list's columns.
        columns: String,
    },
    /// A header cell that names no column.
    #[error("there is no column {column:?}: the columns are {columns}")]
    UnknownColumn {
        /// As written.
        column: String,
        /// The list's columns.
        columns: String,
    },
    /// A column stands twice in the header.
    #[error("the column {0:?} stands twice in the header: take one away")]
    ColumnTwice(String),
    /// A column that cannot be left out.
    #[error("the column {column:?} is missing: the columns are {columns}")]
    MissingColumn {
        /// Its name.
        column: String,
        /// The list's columns.
        columns: String,
    },
}

/// A file as read.
#[derive(Debug, Clone)]
pub struct Sheet {
    places: BTreeMap<&'static str, usize>,
    rows: Vec<(usize, Vec<String>)>,
}

/// One row of a [`Sheet`].
#[derive(Debug, Clone, Copy)]
pub struct Fields<'s> {
    row: usize,
    cells: &'s [String],
    places: &'s BTreeMap<&'static str, usize>,
}

fn names(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|c| c.name).collect();
    names.join(", ")
}

/// Comma or semicolon, whichever stands more often in the header.
fn delimiter(text: &[u8]) -> u8 {
    let header = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let pieces = |by: u8| header.split(|b| *b == by).count();
    if pieces(b';') > pieces(b',') {
        b';'
    } else {
        b','
    }
}

impl Sheet {
    /// Reads a file with these columns, in whatever order they stand.
    pub fn read(bytes: &[u8], columns: &'static [Column]) -> Result<Self, SheetError> {
        if bytes.len() > BYTES_MAX {
            return Err(SheetError::TooLarge(bytes.len()));
        }
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter(bytes))
            .from_reader(bytes);
        let mut places = None;
        let mut rows = vec![];
        for (index, record) in reader.byte_records().enumerate() {
            let row = index + 1;
            // Bytes in memory do not fail to be read.
            let record = record.map_err(|_| SheetError::NotUtf8 { row })?;
            let cells = cells_of(&record, row)?;
            if places.is_none() {
                places = Some(header(&cells, columns)?);
            } else if cells.iter().any(|c| !c.is_empty()) {
                if rows.len() >= ROWS_MAX {
                    return Err(SheetError::TooManyRows);
                }
                rows.push((row, cells));
            }
        }
        let places = places.ok_or_else(|| SheetError::Empty {
            columns: names(columns),
        })?;
        Ok(Self { places, rows })
    }

    /// The rows in the order of the file, empty ones left out.
    pub fn rows(&self) -> impl Iterator<Item = Fields<'_>> {
        self.rows.iter().map(|(row, cells)| Fields {
            row: *row,
            cells,
            places: &self.places,
        })
    }
}

fn cells_of(record: &csv::ByteRecord, row: usize) -> Result<Vec<String>, SheetError> {
    record
        .iter()
        .map(|cell| {
            if cell.len() > CELL_BYTES_MAX {
                return Err(SheetError::LongCell { row });
            }
            let text = std::str::from_utf8(cell).map_err(|_| SheetError::NotUtf8 { row })?;
            Ok(restored(text.trim()).trim().to_owned())
        })
        .collect()
}

fn header(
    cells: &[String],
    columns: &'static [Column],
) -> Result<BTreeMap<&'static str, usize>, SheetError> {
    let mut places = BTreeMap::new();
    for (at, cell) in cells.iter().enumerate() {
        if cell.is_empty() {
            continue;
        }
        let known = columns.iter().find(|c| c.name.eq_ignore_ascii_case(cell));
        let column = known.ok_or_else(|| SheetError::UnknownColumn {
            column: cell.chars().take(60).collect(),
            columns: names(columns),
        })?;
        if places.insert(column.name, at).is_some() {
            return Err(SheetError::ColumnTwice(column.name.to_owned()));
        }
    }
    let missing = columns
        .iter()
        .find(|c| c.needed && !places.contains_key(c.name));
    match missing {
        None => Ok(places),
        Some(column) => Err(SheetError::MissingColumn {
            column: column.name.to_owned(),
            columns: names(columns),
        }),
    }
}

impl<'s> Fields<'s> {
    /// The row as a spreadsheet counts it.
    pub fn row(&self) -> usize {
        self.row
    }

    /// Whether the file has this column at all.
    pub fn has(&self, column: &str) -> bool {
        self.places.contains_key(column)
    }

    /// The cell without blanks around it; empty where cell or column are missing.
    pub fn text(&self, column: &str) -> &'s str {
        let cell = self.places.get(column).and_then(|at| self.cells.get(*at));
        cell.map_or("", String::as_str)
    }

    /// A cell that may not be empty.
    pub fn needed(&self, column: &str) -> Result<&'s str, Fault> {
        match self.text(column) {
            "" => Err(Fault::new(
                column,
                "it is empty",
                "fill it, or delete the row",
            )),
            text => Ok(text),
        }
    }

    /// A value, or none for an empty cell. The remedy is said when it cannot be read.
    pub fn optional<T: FromStr>(&self, column: &str, remedy: &str) -> Result<Option<T>, Fault>
    where
        T::Err: Display,
    {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            Fault::new(column, format!("{shown:?} cannot be read"), remedy)
        })
    }

    /// A value that has to be there.
    pub fn parsed<T: FromStr>(&self, column: &str, remedy: &str) -> Result<T, Fault>
    where
        T::Err: Display,
    {
        self.needed(column)?;
        self.optional(column, remedy)?
            .ok_or_else(|| Fault::new(column, "it is empty", remedy))
    }

    /// `yes` or `no`, in the words that spreadsheets use; the default for an empty cell.
    pub fn yes_no(&self, column: &str, default: bool) -> Result<bool, Fault> {
        let text = self.text(column);
        match text.to_ascii_lowercase().as_str() {
            "" => Ok(default),
            "yes" | "true" | "1" | "y" => Ok(true),
            "no" | "false" | "0" | "n" => Ok(false),
            _ => {
                let shown: String = text.chars().take(60).collect();
                let wrong = format!("{shown:?} is neither yes nor no");
                Err(Fault::new(column, wrong, "write yes or no"))
            }
        }
    }
}

/// The word that [`Fields::yes_no`] reads.
pub fn word(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// Header and rows, neutralised.
pub(super) fn write(columns: &[Column], rows: &[Vec<String>]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(vec![]);
    // Writing into memory fails for rows of unequal length only, and those are cut to the header.
    let _ = writer.write_record(columns.iter().map(|c| c.name));
    for row in rows {
        let cells = columns.iter().enumerate();
        let cells = cells.map(|(at, _)| row.get(at).map_or("", String::as_str));
        let _ = writer.write_record(cells.map(neutralised));
    }
    writer.into_inner().unwrap_or_default()
}
