//! The beginning of another installation of the hub, on a database that was just restored.

use domain::codec::from_cbor;
use domain::ids::HubIncarnation;
use domain::restore::{FIRST, LAST, freezes};
use domain::time::Instant;
use domain::trip::Trip;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::db::DbError;
use crate::keys::HubKeys;

/// Trip numbers that a restored hub passes over: nodes may hold some that it never heard of.
const TRIP_NUMBERS_SKIPPED: i64 = 1_000_000;
/// No trip runs longer than this, in ms.
const TRIP_LASTS_MAX_MS: i64 = 7 * 24 * 3_600_000;

/// What began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The installation.
    pub hub: HubIncarnation,
    /// Trips whose pool waits.
    pub frozen: u64,
    /// Devices that are waited for.
    pub devices: u64,
}

/// Begins another installation in one transaction: until it has committed nothing may be sold from
/// this database. `url` names its owner.
pub async fn begin_incarnation(
    url: &str,
    keys: &HubKeys,
    restore_point: Instant,
    now: Instant,
) -> Result<Begun, DbError> {
    begin_after(url, keys, (restore_point, FIRST), now).await
}

/// The same, beyond an installation that is known of from elsewhere: a backup's manifest, or a
/// device that has met it.
pub async fn begin_after(
    url: &str,
    keys: &HubKeys,
    (restore_point, known): (Instant, HubIncarnation),
    now: Instant,
) -> Result<Begun, DbError> {
    let mut owner = PgConnection::connect(url).await?;
    let mut tx = owner.begin().await?;
    let last: i32 = sqlx::query_scalar!("SELECT incarnation FROM hub FOR UPDATE")
        .fetch_one(&mut *tx)
        .await?;
    let last = known.max(HubIncarnation(last as u32));
    // A clock that is behind the backup is behind whatever came of it too.
    let hub = last.restored_at(now.max(restore_point));
    if hub > LAST {
        let why =
            format!("installation {hub} of the hub: {LAST} is the last one that there can be");
        return Err(DbError::damaged(why));
    }
    sqlx::query!(
        "UPDATE hub SET incarnation = $1, restored_at_ms = $2, restore_point_ms = $3,
             ticket_key = $4",
        hub.0 as i32,
        now.0,
        restore_point.0,
        &keys.verifying_key().to_bytes()[..]
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "SELECT setval(pg_get_serial_sequence('trip', 'trip_id'),
                       nextval(pg_get_serial_sequence('trip', 'trip_id')) + $1)",
        TRIP_NUMBERS_SKIPPED
    )
    .fetch_one(&mut *tx)
    .await?;
    let companies = sqlx::query_scalar!(r#"SELECT all_companies() AS "id!""#)
        .fetch_all(&mut *tx)
        .await?;
    let mut begun = Begun {
        hub,
        frozen: 0,
        devices: 0,
    };
    for company in companies {
        // A UUID prints as hexadecimal digits and dashes only.
        let see = format!("SELECT set_config('mwimule.company', '{company}', true)");
        sqlx::query(AssertSqlSafe(see)).execute(&mut *tx).await?;
        begun.devices += await_devices(&mut tx, company, hub).await?;
        begun.frozen += freeze(&mut tx, company, hub, restore_point).await?;
    }
    tx.commit().await?;
    owner.close().await?;
    Ok(begun)
}

/// The moment that the running installation's data is of; `None` for one never restored.
pub async fn restore_point(url: &str) -> Result<Option<Instant>, DbError> {
    let mut owner = PgConnection::connect(url).await?;
    let point = sqlx::query_scalar!("SELECT restore_point_ms FROM hub")
        .fetch_one(&mut owner)
        .await?;
    owner.close().await?;
    Ok(point.map(Instant))
}

/// Every device that was ever enrolled and may come may hold rights.
async fn await_devices(
    tx: &mut PgConnection,
    company: Uuid,
    hub: HubIncarnation,
) -> Result<u64, DbError> {
    sqlx::query!("DELETE FROM restore_told WHERE company_id = $1", company)
        .execute(&mut *tx)
        .await?;
    // Whoever still knows of them tells of them again.
    sqlx::query!(
        "DELETE FROM restore_unknown WHERE company_id = $1 AND given_up_at_ms IS NOT NULL",
        company
    )
    .execute(&mut *tx)
    .await?;
    // A disk that was in doubt when the backup was made is in doubt while trips wait for it.
    let done = sqlx::query!(
        "INSERT INTO restore_report AS r (company_id, node_id, hub_incarnation)
         SELECT company_id, node_id, $2 FROM node
         WHERE company_id = $1 AND event_key IS NOT NULL AND NOT revoked
         ON CONFLICT (company_id, node_id) DO UPDATE
         SET hub_incarnation = EXCLUDED.hub_incarnation, reported_at_ms = NULL, adopted = 0,
             drained_at_ms = NULL, given_up_at_ms = NULL,
             doubtful = r.doubtful AND EXISTS (
                 SELECT FROM trip t WHERE t.company_id = $1 AND t.frozen_by IS NOT NULL)",
        company,
        hub.0 as i32
    )
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected())
}

async fn freeze(
    tx: &mut PgConnection,
    company: Uuid,
    hub: HubIncarnation,
    restore_point: Instant,
) -> Result<u64, DbError> {
    let rows = sqlx::query!(
        "SELECT trip_id, body FROM trip WHERE company_id = $1 AND departs_at_ms >= $2",
        company,
        restore_point.plus_ms(-TRIP_LASTS_MAX_MS).0
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut open = vec![];
    for row in rows {
        let trip: Trip = from_cbor(&row.body).map_err(|_| DbError::damaged("a trip"))?;
        let last = trip.stops.last().map(|stop| stop.arrives);
        if last.is_none_or(|last| freezes(last, restore_point)) {
            open.push(row.trip_id);
        }
    }
    let done = sqlx::query!(
        "UPDATE trip SET frozen_by = $2 WHERE company_id = $1 AND trip_id = ANY($3)",
        company,
        hub.0 as i32,
        &open
    )
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected())
}
