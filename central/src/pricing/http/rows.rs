//! What the routes of every kind of row do alike.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{Caller, Permission};
use crate::clock;
use crate::company::records::{self, Record};
use crate::http::etag::{IfMatch, Tagged};
use crate::http::list::{KeyPage, is_plain};
use crate::http::{Api, Problem};
use crate::pricing::fares::publish_touched;
use crate::views::Page;

/// A row with the key that its address ends in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Keyed<T> {
    /// What its address ends in.
    key: String,
    /// The row.
    #[serde(flatten)]
    row: T,
}

impl<R: Record> Keyed<R> {
    fn of(row: R) -> Self {
        Self {
            key: row.key(),
            row,
        }
    }
}

pub(super) async fn list<R: Record>(
    api: &Api,
    caller: Caller,
    filter: &R::Filter,
    page: KeyPage,
) -> Result<Page<Keyed<R>>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let rows = R::list(&mut tx, filter, &page.after, page.fetch()).await?;
    let rows = rows.into_iter().map(|(_, row)| Keyed::of(row)).collect();
    Ok(Page::cut(rows, page.limit, |r: &Keyed<R>| r.key.clone()))
}

/// A key of the path; one that no row can have is not found.
pub(super) fn known<R: Record>(key: &str) -> Result<&str, Problem> {
    if is_plain(key) {
        Ok(key)
    } else {
        Err(Problem::not_found(format!("there is no such {}", R::KIND)))
    }
}

pub(super) async fn show<R: Record>(
    api: &Api,
    caller: Caller,
    key: &str,
) -> Result<Tagged<Keyed<R>>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, row) = records::locked::<R>(&mut tx, known::<R>(key)?).await?;
    Ok(Tagged::ok(version, Keyed::of(row)))
}

pub(super) async fn create<R: Record>(
    api: &Api,
    caller: Caller,
    row: R,
) -> Result<Tagged<Keyed<R>>, Problem> {
    let staff = caller.may(Permission::FaresWrite)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    let row = records::create(&mut tx, row, staff.identity.into(), now).await?;
    publish_touched(&mut tx, now).await?;
    tx.commit().await?;
    Ok(Tagged::created(1, Keyed::of(row)))
}

pub(super) async fn replace<R: Record>(
    api: &Api,
    caller: Caller,
    key: &str,
    if_match: &IfMatch,
    row: R,
) -> Result<Tagged<Keyed<R>>, Problem> {
    let staff = caller.may(Permission::FaresWrite)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    let before = records::locked::<R>(&mut tx, known::<R>(key)?).await?;
    if_match.check(before.0)?;
    let by = staff.identity.into();
    let (version, row) = records::replace(&mut tx, before, row, by, now).await?;
    publish_touched(&mut tx, now).await?;
    tx.commit().await?;
    Ok(Tagged::ok(version, Keyed::of(row)))
}

pub(super) async fn remove<R: Record>(
    api: &Api,
    caller: Caller,
    key: &str,
    if_match: &IfMatch,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::FaresWrite)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, row) = records::locked::<R>(&mut tx, known::<R>(key)?).await?;
    if_match.check(version)?;
    records::remove(&mut tx, &row, staff.identity.into(), now).await?;
    publish_touched(&mut tx, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
