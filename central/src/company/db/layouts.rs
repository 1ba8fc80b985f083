//! The rows of seat layouts.

use domain::codec::{from_cbor, to_cbor};
use domain::layout::SeatLayout;
use domain::trip::Trip;

use crate::company::layouts::Stored;
use crate::company::records::Use;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// Trips read at once when a layout's users are looked for.
const TRIPS_AT_ONCE: i64 = 2_000;

fn stored(id: &str, body: &[u8], deck_rows: &[i32]) -> Result<Stored, DbError> {
    Ok(Stored {
        layout: from_cbor(body).map_err(|_| DbError::damaged(format!("layout {id}")))?,
        deck_rows: deck_rows.iter().map(|r| *r as u16).collect(),
    })
}

/// The newest version of each layout, or of one of them, in the order of their ids.
pub(in crate::company) async fn newest_of_all(
    tx: &mut TenantTx,
    text: Option<&str>,
    after: &str,
    limit: i64,
) -> Result<Vec<Stored>, DbError> {
    let rows = sqlx::query!(
        "SELECT DISTINCT ON (layout_id) layout_id, body, deck_rows FROM seat_layout
         WHERE company_id = $1 AND layout_id > $2
           AND ($3::text IS NULL OR strpos(lower(layout_id), lower($3)) > 0)
         ORDER BY layout_id, version DESC LIMIT $4",
        tx.company().0,
        after,
        text,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|r| stored(&r.layout_id, &r.body, &r.deck_rows))
        .collect()
}

/// The newest version of one layout.
pub(in crate::company) async fn newest(
    tx: &mut TenantTx,
    id: &str,
) -> Result<Option<Stored>, DbError> {
    version(tx, id, None).await
}

/// One version of a layout, or its newest.
pub(in crate::company) async fn version(
    tx: &mut TenantTx,
    id: &str,
    version: Option<u16>,
) -> Result<Option<Stored>, DbError> {
    let row = sqlx::query!(
        "SELECT body, deck_rows FROM seat_layout
         WHERE company_id = $1 AND layout_id = $2 AND ($3::int IS NULL OR version = $3)
         ORDER BY version DESC LIMIT 1",
        tx.company().0,
        id,
        version.map(i32::from)
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| stored(id, &r.body, &r.deck_rows)).transpose()
}

/// Every version of one layout, the newest first.
pub(in crate::company) async fn versions(
    tx: &mut TenantTx,
    id: &str,
) -> Result<Vec<Stored>, DbError> {
    let rows = sqlx::query!(
        "SELECT body, deck_rows FROM seat_layout
         WHERE company_id = $1 AND layout_id = $2 ORDER BY version DESC LIMIT 500",
        tx.company().0,
        id
    )
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|r| stored(id, &r.body, &r.deck_rows))
        .collect()
}

pub(in crate::company) async fn insert(
    tx: &mut TenantTx,
    layout: &SeatLayout,
    deck_rows: &[u16],
) -> Result<(), DbError> {
    let deck_rows: Vec<i32> = deck_rows.iter().map(|r| i32::from(*r)).collect();
    sqlx::query!(
        "INSERT INTO seat_layout (company_id, layout_id, version, seat_count, body, deck_rows)
         VALUES ($1, $2, $3, $4, $5, $6)",
        tx.company().0,
        layout.id,
        layout.version.0 as i32,
        i32::from(layout.seat_count()),
        to_cbor(layout),
        &deck_rows
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(in crate::company) async fn delete(tx: &mut TenantTx, id: &str) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM seat_layout WHERE company_id = $1 AND layout_id = $2",
        tx.company().0,
        id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What is wrong with a member that names a layout which is not there.
pub(in crate::company) async fn missing(
    tx: &mut TenantTx,
    field: &str,
    id: &str,
) -> Result<Option<Fault>, DbError> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM seat_layout
                          WHERE company_id = $1 AND layout_id = $2) AS "known!""#,
        tx.company().0,
        id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((!known).then(|| {
        let wrong = format!("there is no seat layout {id:?}");
        Fault::new(field, wrong, "draw the layout first, or name another")
    }))
}

/// What has these seats: routes, buses, and trips of any day, which are shown for ever.
pub(in crate::company) async fn uses(tx: &mut TenantTx, id: &str) -> Result<Vec<Use>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT 'routes' AS "what!", route_code AS "name!" FROM route
           WHERE company_id = $1 AND layout_id = $2
           UNION ALL
           SELECT 'buses', registration FROM bus WHERE company_id = $1 AND layout_id = $2"#,
        tx.company().0,
        id
    )
    .fetch_all(tx.conn())
    .await?;
    let named = |what: &str| {
        let of = rows.iter().filter(|r| r.what == what);
        Use::of(what, of.map(|r| r.name.clone()).collect())
    };
    let mut uses: Vec<Use> = ["routes", "buses"].into_iter().filter_map(named).collect();
    if uses.is_empty() {
        uses.extend(Use::of("trips", trips_with(tx, id).await?));
    }
    Ok(uses)
}

async fn trips_with(tx: &mut TenantTx, id: &str) -> Result<Vec<String>, DbError> {
    let mut last = 0;
    loop {
        let rows = sqlx::query!(
            "SELECT trip_id, body FROM trip WHERE company_id = $1 AND trip_id > $2
             ORDER BY trip_id LIMIT $3",
            tx.company().0,
            last,
            TRIPS_AT_ONCE
        )
        .fetch_all(tx.conn())
        .await?;
        let Some(end) = rows.last() else {
            return Ok(vec![]);
        };
        last = end.trip_id;
        let has = |body: &[u8]| from_cbor::<Trip>(body).is_ok_and(|t| t.layout == id);
        let found: Vec<String> = rows
            .iter()
            .filter(|r| has(&r.body))
            .map(|r| r.trip_id.to_string())
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
}
