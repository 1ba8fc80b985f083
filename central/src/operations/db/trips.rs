//! Trips on their day.

use domain::codec::from_cbor;
use domain::ids::TripId;
use domain::time::{Instant, ServiceDate};
use domain::trip::Trip;
use serde_json::Value;
use uuid::Uuid;

use crate::audit::Actor;
use crate::db::DbError;
use crate::operations::state::{State, TripDay};
use crate::operations::trips::{Happening, Running};
use crate::tenant::TenantTx;
use crate::views::Cursor;

struct Columns {
    trip_id: i64,
    route_code: String,
    run: String,
    schedule_code: Option<String>,
    state: String,
    state_reason: Option<String>,
    delay_ms: i64,
    departs_at_ms: i64,
    departed_at_ms: Option<i64>,
    arrived_at_ms: Option<i64>,
    version: i32,
    body: Vec<u8>,
    registration: Option<String>,
}

impl Columns {
    fn read(self) -> Result<Running, DbError> {
        let damaged = || DbError::damaged(format!("trip {}", self.trip_id));
        let trip: Trip = from_cbor(&self.body).map_err(|_| damaged())?;
        let day = TripDay {
            state: State::of(&self.state).ok_or_else(damaged)?,
            departs_at: Instant(self.departs_at_ms),
            delay_ms: self.delay_ms,
            reason: self.state_reason,
            departed_at: self.departed_at_ms.map(Instant),
            arrived_at: self.arrived_at_ms.map(Instant),
        };
        Ok(Running {
            trip,
            day,
            route: self.route_code,
            run: self.run,
            schedule: self.schedule_code,
            bus: self.registration,
            version: self.version,
        })
    }
}

pub(in crate::operations) async fn find(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<Option<Running>, DbError> {
    let row = sqlx::query_as!(
        Columns,
        r#"SELECT t.trip_id, t.route_code, t.run, t.schedule_code, t.state, t.state_reason,
               t.delay_ms, t.departs_at_ms, t.departed_at_ms, t.arrived_at_ms, t.version, t.body,
               b.registration AS "registration?"
           FROM trip t LEFT JOIN trip_bus b USING (company_id, trip_id)
           WHERE t.company_id = $1 AND t.trip_id = $2"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(Columns::read).transpose()
}

/// One, its row locked to the end of the transaction.
pub(in crate::operations) async fn lock(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<Option<Running>, DbError> {
    let known = sqlx::query!(
        "SELECT trip_id FROM trip WHERE company_id = $1 AND trip_id = $2 FOR UPDATE",
        tx.company().0,
        trip.0 as i64
    )
    .fetch_optional(tx.conn())
    .await?;
    match known {
        Some(_) => find(tx, trip).await,
        None => Ok(None),
    }
}

/// Which trips a list shows.
#[derive(Debug, Clone, Default)]
pub(in crate::operations) struct TripFilter {
    pub(in crate::operations) date: Option<ServiceDate>,
    pub(in crate::operations) route: Option<String>,
    pub(in crate::operations) state: Option<State>,
    pub(in crate::operations) schedule: Option<String>,
    pub(in crate::operations) bus: Option<String>,
    pub(in crate::operations) person: Option<Uuid>,
}

pub(in crate::operations) async fn list(
    tx: &mut TenantTx,
    filter: &TripFilter,
    cursor: &Cursor,
) -> Result<Vec<Running>, DbError> {
    let rows = sqlx::query_as!(
        Columns,
        r#"SELECT t.trip_id, t.route_code, t.run, t.schedule_code, t.state, t.state_reason,
               t.delay_ms, t.departs_at_ms, t.departed_at_ms, t.arrived_at_ms, t.version, t.body,
               b.registration AS "registration?"
           FROM trip t LEFT JOIN trip_bus b USING (company_id, trip_id)
           WHERE t.company_id = $1 AND (t.departs_at_ms, t.trip_id) > ($2, $3)
               AND ($5::text IS NULL OR t.service_date = $5::text::date)
               AND ($6::text IS NULL OR t.route_code = $6)
               AND ($7::text IS NULL OR t.state = $7)
               AND ($8::text IS NULL OR t.schedule_code = $8)
               AND ($9::text IS NULL OR b.registration = $9)
               AND ($10::uuid IS NULL OR EXISTS (SELECT FROM trip_crew w
                   WHERE w.company_id = t.company_id AND w.trip_id = t.trip_id
                       AND w.person_id = $10))
           ORDER BY t.departs_at_ms, t.trip_id LIMIT $4"#,
        tx.company().0,
        cursor.part(0, i64::MIN),
        cursor.part(1, 0_i64),
        cursor.fetch(),
        filter.date.map(|d| d.to_string()),
        filter.route,
        filter.state.map(State::as_str),
        filter.schedule,
        filter.bus,
        filter.person
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Columns::read).collect()
}

/// Writes how a trip's day stands; gives its version.
pub(in crate::operations) async fn put_day(
    tx: &mut TenantTx,
    trip: TripId,
    day: &TripDay,
) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "UPDATE trip SET state = $3, state_reason = $4, delay_ms = $5, departed_at_ms = $6,
             arrived_at_ms = $7, version = version + 1
         WHERE company_id = $1 AND trip_id = $2 RETURNING version",
        tx.company().0,
        trip.0 as i64,
        day.state.as_str(),
        day.reason,
        day.delay_ms,
        day.departed_at.map(|at| at.0),
        day.arrived_at.map(|at| at.0)
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

/// A trip whose crew or bus is another one; gives its version.
pub(in crate::operations) async fn step_version(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "UPDATE trip SET version = version + 1 WHERE company_id = $1 AND trip_id = $2
         RETURNING version",
        tx.company().0,
        trip.0 as i64
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

pub(in crate::operations) async fn insert_event(
    tx: &mut TenantTx,
    trip: TripId,
    (kind, at, body): (&str, Instant, &Value),
    actor: Actor,
    now: Instant,
) -> Result<(), DbError> {
    let (actor_kind, actor_id) = match actor {
        Actor::Caller(identity) => (identity.kind(), identity.id()),
        Actor::System => ("system", None),
    };
    sqlx::query!(
        "INSERT INTO trip_event (company_id, trip_id, kind, at_ms, noted_at_ms, actor_kind,
             actor_id, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.company().0,
        trip.0 as i64,
        kind,
        at.0,
        now.0,
        actor_kind,
        actor_id,
        body
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(in crate::operations) async fn events(
    tx: &mut TenantTx,
    trip: TripId,
    cursor: &Cursor,
) -> Result<Vec<Happening>, DbError> {
    let rows = sqlx::query!(
        "SELECT event_no, kind, at_ms, noted_at_ms, actor_kind, actor_id, body FROM trip_event
         WHERE company_id = $1 AND trip_id = $2 AND event_no > $3 ORDER BY event_no LIMIT $4",
        tx.company().0,
        trip.0 as i64,
        cursor.part(0, 0_i64),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Happening {
            no: r.event_no,
            kind: r.kind,
            at: Instant(r.at_ms),
            noted_at: Instant(r.noted_at_ms),
            actor_kind: r.actor_kind,
            actor_id: r.actor_id,
            body: r.body,
        })
        .collect())
}

/// Unpaid bookings that hold seats on a trip, in the order of their numbers.
pub(in crate::operations) async fn open_bookings(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<Vec<Uuid>, DbError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT DISTINCT booking_id AS "id!" FROM claim
           WHERE company_id = $1 AND trip_id = $2 AND kind = 'hold' AND booking_id IS NOT NULL
           ORDER BY 1"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// Trips that have departed by now although nobody said so, the longest gone first.
pub(in crate::operations) async fn overdue(
    tx: &mut TenantTx,
    after_ms: i64,
    now: Instant,
    most: i64,
) -> Result<Vec<TripId>, DbError> {
    let rows = sqlx::query_scalar!(
        "SELECT trip_id FROM trip
         WHERE company_id = $1 AND state IN ('scheduled', 'boarding')
             AND departs_at_ms + $2 <= $3 AND departs_at_ms + delay_ms + $2 <= $3
         ORDER BY departs_at_ms LIMIT $4",
        tx.company().0,
        after_ms,
        now.0,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|id| TripId(id as u64)).collect())
}
