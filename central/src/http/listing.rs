//! Lists as JSON, CSV or XLSX: by `?format=`, else by `Accept`.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use rust_xlsxwriter::{Format as CellFormat, Workbook, XlsxError};
use serde::Serialize;

use super::extract::cursor;
use super::problem::Problem;
use crate::csvio;
use crate::views::{Cursor, Page};

/// The most rows of a file; the next ones follow under `after`.
pub const FILE_ROWS_MAX: usize = 20_000;
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
/// Digits of an integer that a spreadsheet's number keeps.
const EXACT_DIGITS: usize = 15;

/// How a list is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For programs.
    Json,
    /// For spreadsheets and scripts.
    Csv,
    /// For spreadsheets.
    Xlsx,
}

/// What a request asks for: the parameter counts before the header.
///
/// # Errors
/// 400 for a format that no list has.
pub fn format_of(parameter: Option<&str>, headers: &HeaderMap) -> Result<Format, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
    match parameter {
        Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some("xlsx") => Ok(Format::Xlsx),
        Some(_) => Err(Problem::bad_request("`format` is json, csv or xlsx")),
        None => Ok(match accept.unwrap_or_default() {
            kind if kind.starts_with("text/csv") => Format::Csv,
            kind if kind.starts_with(XLSX) => Format::Xlsx,
            _ => Format::Json,
        }),
    }
}

/// The cursor of a list; a file holds more rows than a page.
///
/// # Errors
/// 400 for an `after` that is none of ours.
pub fn cursor_of(
    format: Format,
    after: Option<&str>,
    limit: Option<usize>,
) -> Result<Cursor, Problem> {
    let mut cursor = cursor(after, limit)?;
    if format != Format::Json {
        cursor.limit = limit.unwrap_or(FILE_ROWS_MAX).clamp(1, FILE_ROWS_MAX);
    }
    Ok(cursor)
}

/// Answers a page; the rows are flat records. A file that does not hold everything names the
/// next page in `mwimule-next`.
///
/// # Errors
/// 503 where a row cannot be written, which the log explains.
pub fn answer<T: Serialize>(
    format: Format,
    name: &str,
    page: Page<T>,
) -> Result<Response, Problem> {
    let broken = |error: String| {
        tracing::error!(error, name, "a list could not be written");
        Problem::unavailable()
    };
    let (kind, suffix, bytes) = match format {
        Format::Json => return Ok(Json(page).into_response()),
        Format::Csv => {
            let bytes = to_csv(&page.items).map_err(|e| broken(e.to_string()))?;
            ("text/csv; charset=utf-8", "csv", bytes)
        }
        Format::Xlsx => {
            let csv = to_csv(&page.items).map_err(|e| broken(e.to_string()))?;
            let bytes = to_xlsx(name, &csv).map_err(|e| broken(e.to_string()))?;
            (XLSX, "xlsx", bytes)
        }
    };
    let mut response = file(kind, &format!("{name}.{suffix}"), bytes);
    if let Some(next) = page.next.and_then(|next| HeaderValue::from_str(&next).ok()) {
        response.headers_mut().insert("mwimule-next", next);
    }
    Ok(response)
}

/// Bytes that a browser saves under a name.
pub fn file(kind: &'static str, name: &str, bytes: Vec<u8>) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let shown = format!("attachment; filename=\"{name}\"");
    if let Ok(shown) = HeaderValue::from_str(&shown) {
        headers.insert(header::CONTENT_DISPOSITION, shown);
    }
    response
}

fn to_csv<T: Serialize>(rows: &[T]) -> Result<Vec<u8>, csv::Error> {
    let mut raw = csv::Writer::from_writer(vec![]);
    for row in rows {
        raw.serialize(row)?;
    }
    let raw = raw.into_inner().map_err(csv::IntoInnerError::into_error)?;
    let mut read = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(&raw[..]);
    let mut safe = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(vec![]);
    for record in read.records() {
        // A name that begins like a formula is none; an amount below zero is a number.
        let record = record?;
        safe.write_record(record.iter().map(|cell| match cell.parse::<i64>() {
            Ok(_) => cell.into(),
            Err(_) => csvio::neutralised(cell),
        }))?;
    }
    Ok(safe.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

fn to_xlsx(name: &str, csv: &[u8]) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    sheet.set_name(name.chars().take(31).collect::<String>())?;
    let bold = CellFormat::new().set_bold();
    let mut read = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(csv);
    for (row, record) in read.records().enumerate() {
        let Ok(record) = record else { continue };
        for (column, cell) in record.iter().enumerate() {
            let (at, column) = (row as u32, column as u16);
            let number = cell.parse::<i64>().ok();
            match number.filter(|_| cell.len() <= EXACT_DIGITS && row > 0) {
                Some(number) => sheet.write_number(at, column, number as f64)?,
                None if row == 0 => sheet.write_string_with_format(at, column, cell, &bold)?,
                None => sheet.write_string(at, column, cell)?,
            };
        }
    }
    sheet.set_freeze_panes(1, 0)?;
    book.save_to_buffer()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        amount_minor: i64,
        note: Option<&'static str>,
    }

    const ROWS: [Row; 2] = [
        Row {
            name: "=HYPERLINK(1)",
            amount_minor: -150,
            note: None,
        },
        Row {
            name: "Łódź, north",
            amount_minor: 20,
            note: Some("a \"b\""),
        },
    ];

    #[test]
    fn a_file_has_the_columns_of_the_row_and_no_formula() {
        let csv = String::from_utf8(to_csv(&ROWS).unwrap()).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0], "name,amount_minor,note");
        assert!(lines[1].ends_with(",-150,"), "{csv}");
        assert!(!lines[1].starts_with('='), "{csv}");
        assert_eq!(lines[2], "\"Łódź, north\",20,\"a \"\"b\"\"\"");
        let xlsx = to_xlsx("rows", csv.as_bytes()).unwrap();
        assert!(xlsx.starts_with(b"PK"));
    }

    #[test]
    fn the_parameter_counts_before_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/csv"));
        assert_eq!(format_of(None, &headers).unwrap(), Format::Csv);
        assert_eq!(format_of(Some("xlsx"), &headers).unwrap(), Format::Xlsx);
        assert!(format_of(Some("pdf"), &headers).is_err());
    }
}
