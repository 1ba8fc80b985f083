//! The rows of operations.

pub(super) mod crew;
pub(super) mod plan;
pub(super) mod schedules;
pub(super) mod trips;

use domain::time::Zone;

use super::settings::Settings;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// The company's settings with their version; the defaults under 0 where it has none.
pub(super) async fn settings(tx: &mut TenantTx) -> Result<(i32, Settings), DbError> {
    let row = sqlx::query!(
        "SELECT driving_day_ms_max, driving_week_ms_max, rest_ms_min, departs_by_itself_ms,
             expand_days, node_silent_ms, version
         FROM operations_settings WHERE company_id = $1",
        tx.company().0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map_or((0, Settings::default()), |r| {
        let settings = Settings {
            driving_day_ms_max: r.driving_day_ms_max,
            driving_week_ms_max: r.driving_week_ms_max,
            rest_ms_min: r.rest_ms_min,
            departs_by_itself_ms: r.departs_by_itself_ms,
            expand_days: r.expand_days,
            node_silent_ms: r.node_silent_ms,
        };
        (r.version, settings)
    }))
}

/// Writes them; gives their version.
pub(super) async fn put_settings(tx: &mut TenantTx, s: &Settings) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "INSERT INTO operations_settings AS s (company_id, driving_day_ms_max,
             driving_week_ms_max, rest_ms_min, departs_by_itself_ms, expand_days,
             node_silent_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (company_id) DO UPDATE
         SET driving_day_ms_max = EXCLUDED.driving_day_ms_max,
             driving_week_ms_max = EXCLUDED.driving_week_ms_max,
             rest_ms_min = EXCLUDED.rest_ms_min,
             departs_by_itself_ms = EXCLUDED.departs_by_itself_ms,
             expand_days = EXCLUDED.expand_days,
             node_silent_ms = EXCLUDED.node_silent_ms, version = s.version + 1
         RETURNING version",
        tx.company().0,
        s.driving_day_ms_max,
        s.driving_week_ms_max,
        s.rest_ms_min,
        s.departs_by_itself_ms,
        s.expand_days,
        s.node_silent_ms
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

/// Locks the company's timetable against another expansion or import.
pub(super) async fn lock_timetable(tx: &mut TenantTx) -> Result<Zone, DbError> {
    let zone = sqlx::query_scalar!(
        "SELECT zone FROM company WHERE company_id = $1 FOR NO KEY UPDATE",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    zone_of(&zone)
}

/// Whose days the company counts in.
pub(super) async fn company_zone(tx: &mut TenantTx) -> Result<Zone, DbError> {
    let zone = sqlx::query_scalar!(
        "SELECT zone FROM company WHERE company_id = $1",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    zone_of(&zone)
}

/// A stored zone.
pub(super) fn zone_of(text: &str) -> Result<Zone, DbError> {
    text.parse()
        .map_err(|_| DbError::damaged(format!("the time zone {text}")))
}
