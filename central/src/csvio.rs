//! Lists as CSV, in and out: one mechanism for every list of every service.
//!
//! A service implements [`CsvList`] for each of its lists and names it in
//! `company::csv::LISTS`. A file comes in whole or not at all: its rows are applied in one
//! transaction, which the caller commits when [`Tally::faults`] is empty. `docs/csv.md` is for the
//! people who edit the files.

mod cell;
mod list;
mod sheet;

pub use cell::{neutralised, restored};
pub use list::{AnyList, BoxedFuture, Column};
pub(crate) use list::{CsvList, Listed};
pub use sheet::{Fields, Sheet, SheetError, word};

use domain::time::Instant;
use serde::Serialize;
use utoipa::ToSchema;

use crate::audit::Actor;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// The largest file, in bytes.
pub const BYTES_MAX: usize = 4 << 20;
/// The most rows of a file, its header aside.
pub const ROWS_MAX: usize = 20_000;
/// The longest cell, in bytes.
pub const CELL_BYTES_MAX: usize = 8_192;
/// How many faults an answer lists.
const FAULTS_LISTED_MAX: usize = 200;

/// One thing that is wrong with a row: of a file, or of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The column, or the member of the JSON body.
    pub column: String,
    /// What was wrong.
    pub wrong: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    /// Of a column.
    pub fn new(
        column: impl Into<String>,
        wrong: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            column: column.into(),
            wrong: wrong.into(),
            remedy: remedy.into(),
        }
    }
}

/// A fault with the row it stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"row": 14, "column": "zone", "wrong": "\"Lusaka\" is no time zone",
    "remedy": "write a name like Africa/Lusaka"}))]
pub struct RowFault {
    /// The row as a spreadsheet counts it: the header is row 1.
    pub row: usize,
    /// The column.
    pub column: String,
    /// What was wrong.
    pub wrong: String,
    /// What to do.
    pub remedy: String,
}

/// What a file did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
#[schema(example = json!({"created": 3, "updated": 1, "unchanged": 40, "faults": [],
    "faults_not_listed": 0}))]
pub struct Tally {
    /// Rows that were not there before.
    pub created: usize,
    /// Rows that were there and are different now.
    pub updated: usize,
    /// Rows that are as before.
    pub unchanged: usize,
    /// What is wrong with the file; while there is anything, nothing of it is written.
    pub faults: Vec<RowFault>,
    /// How many more faults there are than are listed.
    pub faults_not_listed: usize,
}

impl Tally {
    /// Notes a fault.
    pub fn fault(&mut self, row: usize, fault: Fault) {
        if self.faults.len() >= FAULTS_LISTED_MAX {
            self.faults_not_listed += 1;
            return;
        }
        self.faults.push(RowFault {
            row,
            column: fault.column,
            wrong: fault.wrong,
            remedy: fault.remedy,
        });
    }

    /// Whether the file may be written.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Why a file came to nothing before its rows were looked at.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// It is not such a file.
    #[error(transparent)]
    Sheet(#[from] SheetError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Reads a file and applies it in the open transaction. Roll back unless the tally is clean.
pub async fn import(
    list: &dyn AnyList,
    tx: &mut TenantTx,
    bytes: &[u8],
    by: Actor,
    now: Instant,
) -> Result<Tally, CsvError> {
    let sheet = Sheet::read(bytes, list.columns())?;
    Ok(list.import(tx, &sheet, by, now).await?)
}

/// A list as a file: comma separated, UTF-8 without byte order mark, lines end in CRLF.
pub async fn export(list: &dyn AnyList, tx: &mut TenantTx) -> Result<Vec<u8>, DbError> {
    let rows = list.export(tx).await?;
    Ok(sheet::write(list.columns(), &rows))
}

#[cfg(test)]
mod tests;
