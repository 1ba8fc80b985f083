//! What a list has to say about itself.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use domain::time::Instant;

use super::sheet::{Fields, Sheet};
use super::{Fault, Tally};
use crate::access::Permission;
use crate::audit::Actor;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// One column of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in the header.
    pub name: &'static str,
    /// A file without it is refused.
    pub needed: bool,
    /// What stands in it, for people.
    pub what: &'static str,
}

impl Column {
    /// One that a file must have.
    pub const fn needed(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            needed: true,
            what,
        }
    }

    /// One that a file may leave out.
    pub const fn optional(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            needed: false,
            what,
        }
    }
}

/// A list of a company that comes and goes as CSV.
pub(crate) trait CsvList: 'static {
    /// What one row of a file says.
    type Row: Send;

    /// Its name in the address, like `stops`.
    const NAME: &'static str;
    /// Its columns in the order of an export.
    const COLUMNS: &'static [Column];
    /// Who may export it.
    const READ: Permission = Permission::CompanyRead;
    /// Who may import it.
    const WRITE: Permission = Permission::CompanyWrite;

    /// Every row in a fixed order, one cell per column, not neutralised.
    fn export(tx: &mut TenantTx) -> impl Future<Output = Result<Vec<Vec<String>>, DbError>> + Send;

    /// Reads one row. Looks nowhere but at the row.
    fn parse(fields: &Fields<'_>) -> Result<Self::Row, Fault>;

    /// Writes the rows that could be read, counting them, or noting what is wrong with them. The
    /// numbers are those of [`super::RowFault::row`]. Notes each change in the audit log; publishes to
    /// nodes; never commits. With a fault anywhere the caller rolls everything back, so that going
    /// on finds the next fault and does no harm.
    fn apply(
        tx: &mut TenantTx,
        rows: Vec<(usize, Self::Row)>,
        tally: &mut Tally,
        by: Actor,
        now: Instant,
    ) -> impl Future<Output = Result<(), DbError>> + Send;
}

/// What an [`AnyList`] gives when awaited.
pub type BoxedFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, DbError>> + Send + 'a>>;

/// A [`CsvList`] whose row type is nobody's business.
pub trait AnyList: Send + Sync {
    /// See [`CsvList::NAME`].
    fn name(&self) -> &'static str;
    /// See [`CsvList::COLUMNS`].
    fn columns(&self) -> &'static [Column];
    /// See [`CsvList::READ`].
    fn read_permission(&self) -> Permission;
    /// See [`CsvList::WRITE`].
    fn write_permission(&self) -> Permission;
    /// See [`CsvList::export`].
    fn export<'a>(&self, tx: &'a mut TenantTx) -> BoxedFuture<'a, Vec<Vec<String>>>;
    /// Parses and applies a sheet's rows.
    fn import<'a>(
        &self,
        tx: &'a mut TenantTx,
        sheet: &'a Sheet,
        by: Actor,
        now: Instant,
    ) -> BoxedFuture<'a, Tally>;
}

/// A list as an entry of a table of lists.
pub(crate) struct Listed<L>(PhantomData<fn() -> L>);

impl<L: CsvList> Listed<L> {
    /// The entry.
    pub const ENTRY: Self = Self(PhantomData);
}

impl<L: CsvList> fmt::Debug for Listed<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listed({})", L::NAME)
    }
}

impl<L: CsvList> AnyList for Listed<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn columns(&self) -> &'static [Column] {
        L::COLUMNS
    }

    fn read_permission(&self) -> Permission {
        L::READ
    }

    fn write_permission(&self) -> Permission {
        L::WRITE
    }

    fn export<'a>(&self, tx: &'a mut TenantTx) -> BoxedFuture<'a, Vec<Vec<String>>> {
        Box::pin(L::export(tx))
    }

    fn import<'a>(
        &self,
        tx: &'a mut TenantTx,
        sheet: &'a Sheet,
        by: Actor,
        now: Instant,
    ) -> BoxedFuture<'a, Tally> {
        let mut tally = Tally::default();
        let mut rows = vec![];
        for fields in sheet.rows() {
            match L::parse(&fields) {
                Ok(row) => rows.push((fields.row(), row)),
                Err(fault) => tally.fault(fields.row(), fault),
            }
        }
        Box::pin(async move {
            L::apply(tx, rows, &mut tally, by, now).await?;
            Ok(tally)
        })
    }
}
