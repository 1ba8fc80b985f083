//! What the routes of every kind of row do alike.

use axum::http::StatusCode;

use crate::access::{Caller, Permission};
use crate::clock;
use crate::company::records::{self, OfficeError, Record};
use crate::http::etag::{IfMatch, Tagged};
use crate::http::list::{KeyPage, is_plain};
use crate::http::{Api, Problem};
use crate::views::Page;

pub(super) async fn list<R: Record>(
    api: &Api,
    caller: Caller,
    filter: &R::Filter,
    page: KeyPage,
) -> Result<Page<R>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let rows = R::list(&mut tx, filter, &page.after, page.fetch()).await?;
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Page::cut(rows, page.limit, R::key))
}

/// A key of the path; one that no row can have is not found.
pub(super) fn known_key<R: Record>(key: &str) -> Result<&str, OfficeError> {
    if is_plain(key) {
        return Ok(key);
    }
    Err(OfficeError::Unknown {
        kind: R::KIND,
        key: key.chars().filter(|c| !c.is_control()).take(80).collect(),
    })
}

pub(super) async fn show<R: Record>(
    api: &Api,
    caller: Caller,
    key: &str,
) -> Result<Tagged<R>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, row) = records::locked::<R>(&mut tx, known_key::<R>(key)?).await?;
    Ok(Tagged::ok(version, row))
}

pub(super) async fn create<R: Record>(
    api: &Api,
    caller: Caller,
    row: R,
) -> Result<Tagged<R>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let by = staff.identity.into();
    let row = records::create(&mut tx, row, by, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::created(1, row))
}

pub(super) async fn replace<R: Record>(
    api: &Api,
    caller: Caller,
    key: &str,
    if_match: &IfMatch,
    row: R,
) -> Result<Tagged<R>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let before = records::locked::<R>(&mut tx, known_key::<R>(key)?).await?;
    if_match.check(before.0)?;
    let by = staff.identity.into();
    let (version, row) = records::replace(&mut tx, before, row, by, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::ok(version, row))
}

pub(super) async fn remove<R: Record>(
    api: &Api,
    caller: Caller,
    key: &str,
    if_match: &IfMatch,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, row) = records::locked::<R>(&mut tx, known_key::<R>(key)?).await?;
    if_match.check(version)?;
    records::remove(&mut tx, &row, staff.identity.into(), clock::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
