//! Seat layouts as people draw them. A version is never changed: a change is the next version,
//! and what was sold keeps its numbering.

mod draw;

pub use draw::{Deck, Generator, LayoutView, LayoutWish, Place, SeatWord, VersionView};
pub(crate) use draw::{drawn, seats_of};

use domain::ids::LayoutVersion;
use domain::layout::SeatLayout;
use domain::time::Instant;
use sync_protocol::{BucketId, Item};

use super::db;
use super::records::{OfficeError, Use};
use super::rules;
use crate::audit::{self, Actor, Change};
use crate::csvio::Fault;
use crate::db::DbError;
use crate::sync::buckets;
use crate::tenant::TenantTx;

const KIND: &str = "layout";

/// A stored version of a layout with the first rows of its upper decks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) layout: SeatLayout,
    pub(crate) deck_rows: Vec<u16>,
}

/// The newest version.
pub(crate) async fn newest(tx: &mut TenantTx, id: &str) -> Result<Stored, OfficeError> {
    db::layouts::newest(tx, id)
        .await?
        .ok_or_else(|| unknown(id))
}

pub(crate) fn unknown(id: &str) -> OfficeError {
    OfficeError::Unknown {
        kind: KIND,
        key: id.chars().take(80).collect(),
    }
}

/// Draws the first version of a layout.
pub(crate) async fn create(
    tx: &mut TenantTx,
    id: &str,
    wish: &LayoutWish,
    by: Actor,
    now: Instant,
) -> Result<Stored, OfficeError> {
    let id = rules::code("id", id)?;
    let fresh = seats_of(&id, LayoutVersion(1), wish)?;
    db::lock_company(tx).await?;
    if db::layouts::newest(tx, &id).await?.is_some() {
        return Err(OfficeError::Exists {
            kind: KIND,
            key: id,
        });
    }
    write(tx, None, &fresh, by, now).await?;
    Ok(fresh)
}

/// Draws the version after the newest, unless that one looks the same. The company is locked.
pub(crate) async fn redraw(
    tx: &mut TenantTx,
    before: Stored,
    wish: &LayoutWish,
    by: Actor,
    now: Instant,
) -> Result<Stored, OfficeError> {
    let version = before.layout.version.0.checked_add(1).ok_or_else(|| {
        let remedy = "draw it under another id";
        Fault::new("version", "there have been too many versions", remedy)
    })?;
    let fresh = seats_of(&before.layout.id, LayoutVersion(version), wish)?;
    if fresh.layout.seats == before.layout.seats && fresh.deck_rows == before.deck_rows {
        return Ok(before);
    }
    write(tx, Some(&before), &fresh, by, now).await?;
    Ok(fresh)
}

/// Stores seats as the first version or, where they are different, the next one. Gives whether
/// the layout is new, and whether it has changed. The company is locked.
pub(crate) async fn put(
    tx: &mut TenantTx,
    mut fresh: Stored,
    by: Actor,
    now: Instant,
) -> Result<(bool, bool), DbError> {
    let before = db::layouts::newest(tx, &fresh.layout.id).await?;
    let last = before.as_ref().map_or(0, |b| b.layout.version.0);
    let same = before.as_ref().is_some_and(|before| {
        before.layout.seats == fresh.layout.seats && before.deck_rows == fresh.deck_rows
    });
    if same {
        return Ok((false, false));
    }
    fresh.layout.version = LayoutVersion(last.saturating_add(1));
    write(tx, before.as_ref(), &fresh, by, now).await?;
    Ok((before.is_none(), true))
}

/// The newest version, with the company locked against another drawer.
pub(crate) async fn locked(tx: &mut TenantTx, id: &str) -> Result<Stored, OfficeError> {
    db::lock_company(tx).await?;
    newest(tx, id).await
}

/// Stores a version and tells the nodes.
async fn write(
    tx: &mut TenantTx,
    before: Option<&Stored>,
    fresh: &Stored,
    by: Actor,
    now: Instant,
) -> Result<(), DbError> {
    db::layouts::insert(tx, &fresh.layout, &fresh.deck_rows).await?;
    publish(tx, &fresh.layout).await?;
    let json = |s: &Stored| serde_json::to_value(drawn(s)).ok();
    let change = Change {
        action: if before.is_some() {
            "layout.update"
        } else {
            "layout.create"
        },
        subject: &format!("{KIND}:{}", fresh.layout.id),
        before: before.and_then(json),
        after: json(fresh),
    };
    audit::note(tx, by, change, now).await
}

async fn publish(tx: &mut TenantTx, layout: &SeatLayout) -> Result<(), DbError> {
    let key = format!("layout:{}:{}", layout.id, layout.version);
    let item = Item::Layout(layout.clone());
    buckets::publish(tx, &BucketId::Company.name(), &key, item).await
}

/// Takes every version away, unless a route, a bus or any trip has ever needed one. Nodes keep
/// what they were told; it names nothing any more.
pub(crate) async fn remove(
    tx: &mut TenantTx,
    stored: &Stored,
    by: Actor,
    now: Instant,
) -> Result<(), OfficeError> {
    let id = &stored.layout.id;
    let uses: Vec<Use> = db::layouts::uses(tx, id).await?;
    if !uses.is_empty() {
        let key = id.clone();
        return Err(OfficeError::InUse {
            kind: KIND,
            key,
            uses,
        });
    }
    db::layouts::delete(tx, id).await?;
    let change = Change {
        action: "layout.delete",
        subject: &format!("{KIND}:{id}"),
        before: serde_json::to_value(drawn(stored)).ok(),
        after: None,
    };
    Ok(audit::note(tx, by, change, now).await?)
}
