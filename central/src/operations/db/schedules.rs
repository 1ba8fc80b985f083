//! Weekly rules.

use serde_json::Value;

use crate::db::DbError;
use crate::operations::calendar::{Exception, Rule, clock_text};
use crate::operations::schedules::{Change, Schedule, ScheduleException, ScheduleFilter};
use crate::tenant::TenantTx;

struct Columns {
    schedule_code: String,
    route_code: String,
    run: String,
    headsign: String,
    departs_s: i32,
    weekdays: Vec<i16>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    layout_id: Option<String>,
    registration: Option<String>,
    active: bool,
    version: i32,
    exceptions: Value,
}

fn exception_of(row: &Value) -> Option<ScheduleException> {
    let change = match row.get("change")?.as_str()? {
        "added" => Change::Added,
        "removed" => Change::Removed,
        "moved" => Change::Moved,
        _ => return None,
    };
    let at = row.get("departs_s").and_then(Value::as_i64);
    Some(ScheduleException {
        date: row.get("date")?.as_str()?.to_owned(),
        change,
        departs: at.and_then(|s| i32::try_from(s).ok()).map(clock_text),
    })
}

impl Columns {
    fn read(self) -> Result<(i32, Schedule), DbError> {
        let rows = self.exceptions.as_array();
        let exceptions: Option<Vec<_>> = rows.into_iter().flatten().map(exception_of).collect();
        let schedule = Schedule {
            route: self.route_code,
            run: self.run,
            headsign: self.headsign,
            departs: clock_text(self.departs_s),
            weekdays: self.weekdays.into_iter().map(|d| d as u8).collect(),
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            layout: self.layout_id,
            bus: self.registration,
            active: self.active,
            exceptions: exceptions.ok_or_else(|| {
                DbError::damaged(format!("the exceptions of schedule {}", self.schedule_code))
            })?,
            code: self.schedule_code,
        };
        Ok((self.version, schedule))
    }
}

pub(in crate::operations) async fn list(
    tx: &mut TenantTx,
    filter: &ScheduleFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<(i32, Schedule)>, DbError> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT s.schedule_code, s.route_code, s.run, s.headsign, s.departs_s, s.weekdays,
               s.valid_from::text, s.valid_until::text, s.layout_id, s.registration, s.active,
               s.version,
               coalesce((SELECT jsonb_agg(jsonb_build_object('date', e.on_date::text,
                       'change', e.change, 'departs_s', e.departs_s) ORDER BY e.on_date)
                   FROM schedule_exception e WHERE e.company_id = s.company_id
                       AND e.schedule_code = s.schedule_code), '[]') AS "exceptions!"
           FROM schedule s
           WHERE s.company_id = $1 AND s.schedule_code > $2
               AND ($4::text IS NULL OR s.route_code = $4)
               AND ($5::bool IS NULL OR s.active = $5)
           ORDER BY s.schedule_code LIMIT $3"#,
        tx.company().0,
        after,
        limit,
        filter.route,
        filter.active
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Columns::read).collect()
}

/// One with its version, its row locked to the end of the transaction.
pub(in crate::operations) async fn lock(
    tx: &mut TenantTx,
    code: &str,
) -> Result<Option<(i32, Schedule)>, DbError> {
    let row = sqlx::query_as!(
        Columns,
        r#"SELECT s.schedule_code, s.route_code, s.run, s.headsign, s.departs_s, s.weekdays,
               s.valid_from::text, s.valid_until::text, s.layout_id, s.registration, s.active,
               s.version,
               coalesce((SELECT jsonb_agg(jsonb_build_object('date', e.on_date::text,
                       'change', e.change, 'departs_s', e.departs_s) ORDER BY e.on_date)
                   FROM schedule_exception e WHERE e.company_id = s.company_id
                       AND e.schedule_code = s.schedule_code), '[]') AS "exceptions!"
           FROM schedule s
           WHERE s.company_id = $1 AND s.schedule_code = $2 FOR UPDATE OF s"#,
        tx.company().0,
        code
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(Columns::read).transpose()
}

/// Makes one that is not there, under version 0: [`put`] writes the rest.
pub(in crate::operations) async fn insert(
    tx: &mut TenantTx,
    schedule: &Schedule,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO schedule (company_id, schedule_code, route_code, run, departs_s, weekdays,
             version)
         VALUES ($1, $2, $3, $4, 0, '{}', 0)",
        tx.company().0,
        schedule.code,
        schedule.route,
        schedule.run
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes one with its exceptions; a change steps its version.
pub(in crate::operations) async fn put(
    tx: &mut TenantTx,
    schedule: &Schedule,
    rule: &Rule,
) -> Result<i32, DbError> {
    let weekdays: Vec<i16> = rule.weekdays.iter().map(|d| i16::from(*d)).collect();
    let version = sqlx::query_scalar!(
        "INSERT INTO schedule AS s (company_id, schedule_code, route_code, run, headsign,
             departs_s, weekdays, valid_from, valid_until, layout_id, registration, active)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::date, $9::text::date, $10, $11, $12)
         ON CONFLICT (company_id, schedule_code) DO UPDATE
         SET route_code = EXCLUDED.route_code, run = EXCLUDED.run,
             headsign = EXCLUDED.headsign, departs_s = EXCLUDED.departs_s,
             weekdays = EXCLUDED.weekdays, valid_from = EXCLUDED.valid_from,
             valid_until = EXCLUDED.valid_until, layout_id = EXCLUDED.layout_id,
             registration = EXCLUDED.registration, active = EXCLUDED.active,
             version = s.version + 1
         RETURNING version",
        tx.company().0,
        schedule.code,
        schedule.route,
        schedule.run,
        schedule.headsign,
        rule.departs_s,
        &weekdays,
        schedule.valid_from,
        schedule.valid_until,
        schedule.layout,
        schedule.bus,
        schedule.active
    )
    .fetch_one(tx.conn())
    .await?;
    put_exceptions(tx, &schedule.code, rule).await?;
    Ok(version)
}

async fn put_exceptions(tx: &mut TenantTx, code: &str, rule: &Rule) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM schedule_exception WHERE company_id = $1 AND schedule_code = $2",
        tx.company().0,
        code
    )
    .execute(tx.conn())
    .await?;
    let (mut dates, mut changes, mut times) = (vec![], vec![], vec![]);
    for (day, exception) in &rule.exceptions {
        let (change, at) = match exception {
            Exception::Added(at) => (Change::Added, *at),
            Exception::Removed => (Change::Removed, None),
            Exception::Moved(at) => (Change::Moved, Some(*at)),
        };
        dates.push(day.to_string());
        changes.push(change.as_str().to_owned());
        times.push(at);
    }
    sqlx::query!(
        "INSERT INTO schedule_exception (company_id, schedule_code, on_date, change, departs_s)
         SELECT $1, $2, w.day::date, w.change, w.at
         FROM UNNEST($3::text[], $4::text[], $5::int[]) AS w(day, change, at)",
        tx.company().0,
        code,
        &dates,
        &changes,
        &times as &[Option<i32>]
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(in crate::operations) async fn delete(tx: &mut TenantTx, code: &str) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM schedule WHERE company_id = $1 AND schedule_code = $2",
        tx.company().0,
        code
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Which of these the company has: the route, the layout, the bus.
pub(in crate::operations) async fn knows(
    tx: &mut TenantTx,
    route: &str,
    layout: Option<&str>,
    bus: Option<&str>,
) -> Result<(bool, bool, bool), DbError> {
    let row = sqlx::query!(
        r#"SELECT EXISTS (SELECT FROM route WHERE company_id = $1 AND route_code = $2) AS "route!",
               EXISTS (SELECT FROM seat_layout WHERE company_id = $1 AND layout_id = $3)
                   AS "layout!",
               EXISTS (SELECT FROM bus WHERE company_id = $1 AND registration = $4) AS "bus!""#,
        tx.company().0,
        route,
        layout,
        bus
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((
        row.route,
        row.layout || layout.is_none(),
        row.bus || bus.is_none(),
    ))
}
