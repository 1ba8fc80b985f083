//! What stops, stations, buses and routes have in common: a key, a normal form, a version, and
//! that what is in use cannot be deleted.

use std::collections::BTreeMap;

use domain::time::Instant;
use serde::Serialize;
use serde_json::Value;

use crate::access::Permission;
use crate::audit::{self, Actor, Change};
use crate::csvio::{Column, CsvList, Fault, Fields, Tally};
use crate::db::DbError;
use crate::tenant::TenantTx;

/// What stands against a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Use {
    /// What kind of thing, like `route`.
    pub what: String,
    /// How many of them.
    pub count: i64,
    /// Some of their names.
    pub names: Vec<String>,
}

/// How many names a [`Use`] gives.
const NAMES_SHOWN_MAX: usize = 5;

impl Use {
    /// Nothing when there are no names.
    pub(super) fn of(what: &str, names: Vec<String>) -> Option<Self> {
        let count = names.len() as i64;
        (count > 0).then(|| Self {
            what: what.to_owned(),
            count,
            names: names.into_iter().take(NAMES_SHOWN_MAX).collect(),
        })
    }
}

/// Why a row of the office was not written.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// Nothing has this key.
    #[error("there is no {kind} {key:?}")]
    Unknown {
        /// What kind of row.
        kind: &'static str,
        /// Its key.
        key: String,
    },
    /// The key is taken.
    #[error("there is a {kind} {key:?} already: change that one, or choose another name")]
    Exists {
        /// What kind of row.
        kind: &'static str,
        /// Its key.
        key: String,
    },
    /// A member is wrong.
    #[error("{}: {}; {}", .0.column, .0.wrong, .0.remedy)]
    Wrong(Fault),
    /// Something needs it.
    #[error("the {kind} {key:?} is in use: {}", said(.uses))]
    InUse {
        /// What kind of row.
        kind: &'static str,
        /// Its key.
        key: String,
        /// By what.
        uses: Vec<Use>,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<Fault> for OfficeError {
    fn from(fault: Fault) -> Self {
        Self::Wrong(fault)
    }
}

fn said(uses: &[Use]) -> String {
    let one = |u: &Use| {
        let more = if u.count > u.names.len() as i64 {
            ", …"
        } else {
            ""
        };
        format!("{} {} ({}{more})", u.count, u.what, u.names.join(", "))
    };
    uses.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A row that people edit.
pub(crate) trait Record: Clone + PartialEq + Serialize + Send + Sync + 'static {
    /// What it is called in problems and the audit log.
    const KIND: &'static str;
    /// Which rows a list shows; the default shows all.
    type Filter: Default + Send + Sync;

    /// What it is found by within its company.
    fn key(&self) -> String;

    /// Its normal form, or what is wrong with it. Looks at nothing else.
    fn checked(self) -> Result<Self, Fault>;

    /// Rows behind a key in the order of keys, with their versions.
    fn list(
        tx: &mut TenantTx,
        filter: &Self::Filter,
        after: &str,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<(i32, Self)>, DbError>> + Send;

    /// One row with its version, locked until the end of the transaction.
    fn lock(
        tx: &mut TenantTx,
        key: &str,
    ) -> impl Future<Output = Result<Option<(i32, Self)>, DbError>> + Send;

    /// What is wrong with the rows that it names.
    fn refers(
        &self,
        tx: &mut TenantTx,
    ) -> impl Future<Output = Result<Option<Fault>, DbError>> + Send;

    /// Writes a row that is not there, under version 1.
    fn insert(&self, tx: &mut TenantTx) -> impl Future<Output = Result<(), DbError>> + Send;

    /// Writes over a locked row; gives its version.
    fn update(&self, tx: &mut TenantTx) -> impl Future<Output = Result<i32, DbError>> + Send;

    /// What would miss it.
    fn uses(
        tx: &mut TenantTx,
        key: &str,
        now: Instant,
    ) -> impl Future<Output = Result<Vec<Use>, DbError>> + Send;

    /// Takes a locked row away.
    fn delete(tx: &mut TenantTx, key: &str) -> impl Future<Output = Result<(), DbError>> + Send;
}

fn json<R: Serialize>(row: &R) -> Option<Value> {
    serde_json::to_value(row).ok()
}

async fn note<R: Record>(
    tx: &mut TenantTx,
    by: Actor,
    verb: &str,
    (before, after): (Option<&R>, Option<&R>),
    now: Instant,
) -> Result<(), DbError> {
    let key = before.or(after).map(Record::key).unwrap_or_default();
    let change = Change {
        action: &format!("{}.{verb}", R::KIND),
        subject: &format!("{}:{key}", R::KIND),
        before: before.and_then(json),
        after: after.and_then(json),
    };
    audit::note(tx, by, change, now).await
}

/// One row with its version, locked.
pub(crate) async fn locked<R: Record>(
    tx: &mut TenantTx,
    key: &str,
) -> Result<(i32, R), OfficeError> {
    R::lock(tx, key).await?.ok_or_else(|| OfficeError::Unknown {
        kind: R::KIND,
        key: key.chars().take(80).collect(),
    })
}

/// Writes a row that is not there yet; gives its normal form.
pub(crate) async fn create<R: Record>(
    tx: &mut TenantTx,
    row: R,
    by: Actor,
    now: Instant,
) -> Result<R, OfficeError> {
    let row = row.checked()?;
    let exists = || OfficeError::Exists {
        kind: R::KIND,
        key: row.key(),
    };
    if R::lock(tx, &row.key()).await?.is_some() {
        return Err(exists());
    }
    if let Some(fault) = row.refers(tx).await? {
        return Err(fault.into());
    }
    match row.insert(tx).await {
        // Another request made it between the look and the insert.
        Err(error) if error.constraint().is_some_and(|c| c.ends_with("_pkey")) => {
            return Err(exists());
        }
        done => done?,
    }
    note(tx, by, "create", (None, Some(&row)), now).await?;
    Ok(row)
}

/// Writes over a locked row; gives its version and normal form. The same again changes nothing.
pub(crate) async fn replace<R: Record>(
    tx: &mut TenantTx,
    (version, before): (i32, R),
    row: R,
    by: Actor,
    now: Instant,
) -> Result<(i32, R), OfficeError> {
    let row = row.checked()?;
    if row.key() != before.key() {
        let remedy = format!("leave it as {:?}, or make a new {}", before.key(), R::KIND);
        return Err(Fault::new("code", "it is not the one in the address", remedy).into());
    }
    if row == before {
        return Ok((version, row));
    }
    if let Some(fault) = row.refers(tx).await? {
        return Err(fault.into());
    }
    let version = row.update(tx).await?;
    note(tx, by, "update", (Some(&before), Some(&row)), now).await?;
    Ok((version, row))
}

/// Takes a locked row away, unless something needs it.
pub(crate) async fn remove<R: Record>(
    tx: &mut TenantTx,
    row: &R,
    by: Actor,
    now: Instant,
) -> Result<(), OfficeError> {
    let key = row.key();
    let in_use = |uses| OfficeError::InUse {
        kind: R::KIND,
        key: key.clone(),
        uses,
    };
    let uses = R::uses(tx, &key, now).await?;
    if !uses.is_empty() {
        return Err(in_use(uses));
    }
    if let Err(error) = R::delete(tx, &key).await {
        // A table of another service refers to it.
        let Some(table) = error.refers_from() else {
            return Err(error.into());
        };
        let names = vec![table.replace('_', " ")];
        return Err(in_use(Use::of("other rows", names).into_iter().collect()));
    }
    note::<R>(tx, by, "delete", (Some(row), None), now).await?;
    Ok(())
}

/// Every row of a company by key.
pub(crate) async fn all<R: Record>(tx: &mut TenantTx) -> Result<BTreeMap<String, R>, DbError> {
    let rows = R::list(tx, &R::Filter::default(), "", i64::MAX).await?;
    Ok(rows.into_iter().map(|(_, row)| (row.key(), row)).collect())
}

/// A CSV list of which each row is a row of the table.
pub(crate) trait RecordList: 'static {
    /// What one row says.
    type Row: Record;
    /// See [`CsvList::NAME`].
    const NAME: &'static str;
    /// See [`CsvList::COLUMNS`].
    const COLUMNS: &'static [Column];
    /// See [`CsvList::READ`].
    const READ: Permission = Permission::CompanyRead;
    /// See [`CsvList::WRITE`].
    const WRITE: Permission = Permission::CompanyWrite;

    /// A cell per column.
    fn cells(row: Self::Row) -> Vec<String>;

    /// See [`CsvList::parse`].
    fn parse(fields: &Fields<'_>) -> Result<Self::Row, Fault>;
}

impl<L: RecordList> CsvList for L {
    type Row = <L as RecordList>::Row;
    const NAME: &'static str = <L as RecordList>::NAME;
    const COLUMNS: &'static [Column] = <L as RecordList>::COLUMNS;
    const READ: Permission = <L as RecordList>::READ;
    const WRITE: Permission = <L as RecordList>::WRITE;

    async fn export(tx: &mut TenantTx) -> Result<Vec<Vec<String>>, DbError> {
        let known = all::<<L as RecordList>::Row>(tx).await?;
        Ok(known.into_values().map(L::cells).collect())
    }

    fn parse(fields: &Fields<'_>) -> Result<<L as RecordList>::Row, Fault> {
        <L as RecordList>::parse(fields)
    }

    async fn apply(
        tx: &mut TenantTx,
        rows: Vec<(usize, <L as RecordList>::Row)>,
        tally: &mut Tally,
        by: Actor,
        now: Instant,
    ) -> Result<(), DbError> {
        let known = all(tx).await?;
        put_all(tx, known, rows, tally, (by, now)).await
    }
}

/// Creates what is new, writes over what is different, and notes what cannot be.
pub(crate) async fn put_all<R: Record>(
    tx: &mut TenantTx,
    mut known: BTreeMap<String, R>,
    rows: Vec<(usize, R)>,
    tally: &mut Tally,
    (by, now): (Actor, Instant),
) -> Result<(), DbError> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (no, row) in rows {
        let row = match row.checked() {
            Ok(row) => row,
            Err(fault) => {
                tally.fault(no, fault);
                continue;
            }
        };
        let key = row.key();
        if let Some(first) = seen.insert(key.clone(), no) {
            let wrong = format!("{key:?} stands in row {first} too");
            tally.fault(no, Fault::new("", wrong, "delete one of the two rows"));
            continue;
        }
        let before = known.remove(&key);
        if before.as_ref() == Some(&row) {
            tally.unchanged += 1;
            continue;
        }
        if let Some(fault) = row.refers(tx).await? {
            tally.fault(no, fault);
            continue;
        }
        if before.is_some() {
            row.update(tx).await?;
            tally.updated += 1;
        } else {
            row.insert(tx).await?;
            tally.created += 1;
        }
        let verb = if before.is_some() { "update" } else { "create" };
        note(tx, by, verb, (before.as_ref(), Some(&row)), now).await?;
    }
    Ok(())
}
