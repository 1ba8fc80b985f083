//! Buses and people on trips.

use domain::ids::TripId;
use domain::time::Instant;
use uuid::Uuid;

use crate::db::DbError;
use crate::operations::crew::{Busy, Member, Role};
use crate::operations::hours::Drive;
use crate::tenant::TenantTx;

/// A bus, as far as a trip asks.
pub(in crate::operations) struct BusRow {
    pub(in crate::operations) layout: String,
    pub(in crate::operations) state: String,
}

pub(in crate::operations) async fn bus(
    tx: &mut TenantTx,
    registration: &str,
) -> Result<Option<BusRow>, DbError> {
    let row = sqlx::query!(
        "SELECT layout_id, state FROM bus WHERE company_id = $1 AND registration = $2",
        tx.company().0,
        registration
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| BusRow {
        layout: r.layout_id,
        state: r.state,
    }))
}

/// Another trip that the bus runs at this time.
pub(in crate::operations) async fn bus_elsewhere(
    tx: &mut TenantTx,
    registration: &str,
    busy: Busy,
    but: TripId,
) -> Result<Option<TripId>, DbError> {
    let trip = sqlx::query_scalar!(
        "SELECT trip_id FROM trip_bus
         WHERE company_id = $1 AND registration = $2 AND busy && int8range($3, $4)
             AND trip_id <> $5
         ORDER BY trip_id LIMIT 1",
        tx.company().0,
        registration,
        busy.from.0,
        busy.to.0,
        but.0 as i64
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(trip.map(|id| TripId(id as u64)))
}

pub(in crate::operations) async fn put_bus(
    tx: &mut TenantTx,
    trip: TripId,
    registration: Option<&str>,
    busy: Busy,
) -> Result<(), DbError> {
    let Some(registration) = registration else {
        sqlx::query!(
            "DELETE FROM trip_bus WHERE company_id = $1 AND trip_id = $2",
            tx.company().0,
            trip.0 as i64
        )
        .execute(tx.conn())
        .await?;
        return Ok(());
    };
    sqlx::query!(
        "INSERT INTO trip_bus (company_id, trip_id, registration, busy)
         VALUES ($1, $2, $3, int8range($4, $5))
         ON CONFLICT (company_id, trip_id) DO UPDATE
         SET registration = EXCLUDED.registration, busy = EXCLUDED.busy",
        tx.company().0,
        trip.0 as i64,
        registration,
        busy.from.0,
        busy.to.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(in crate::operations) async fn crew(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<Vec<Member>, DbError> {
    let rows = sqlx::query!(
        "SELECT person_id, role FROM trip_crew WHERE company_id = $1 AND trip_id = $2
         ORDER BY role DESC, person_id",
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let role = Role::of(&r.role).ok_or_else(|| DbError::damaged("a role on a trip"))?;
            Ok(Member {
                person: r.person_id,
                role,
            })
        })
        .collect()
}

/// Other trips that some of these people work on at this time.
pub(in crate::operations) async fn people_elsewhere(
    tx: &mut TenantTx,
    people: &[Uuid],
    busy: Busy,
    but: TripId,
) -> Result<Vec<(Uuid, TripId)>, DbError> {
    let rows = sqlx::query!(
        "SELECT person_id, trip_id FROM trip_crew
         WHERE company_id = $1 AND person_id = ANY($2) AND busy && int8range($3, $4)
             AND trip_id <> $5
         ORDER BY person_id, trip_id",
        tx.company().0,
        people,
        busy.from.0,
        busy.to.0,
        but.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|r| (r.person_id, TripId(r.trip_id as u64)))
        .collect())
}

/// These and nobody else work on the trip.
pub(in crate::operations) async fn put_crew(
    tx: &mut TenantTx,
    trip: TripId,
    crew: &[Member],
    busy: Busy,
) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM trip_crew WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        trip.0 as i64
    )
    .execute(tx.conn())
    .await?;
    let people: Vec<Uuid> = crew.iter().map(|m| m.person).collect();
    let roles: Vec<String> = crew.iter().map(|m| m.role.as_str().to_owned()).collect();
    sqlx::query!(
        "INSERT INTO trip_crew (company_id, trip_id, person_id, role, busy)
         SELECT $1, $2, w.person, w.role, int8range($3, $4)
         FROM UNNEST($5::uuid[], $6::text[]) AS w(person, role)",
        tx.company().0,
        trip.0 as i64,
        busy.from.0,
        busy.to.0,
        &people,
        &roles
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What somebody drives around a moment: within eight days of it.
pub(in crate::operations) async fn drives_of(
    tx: &mut TenantTx,
    person: Uuid,
    around: Instant,
) -> Result<Vec<Drive>, DbError> {
    const EIGHT_DAYS_MS: i64 = 8 * 86_400_000;
    let rows = sqlx::query!(
        r#"SELECT lower(busy) AS "from!", upper(busy) AS "to!" FROM trip_crew
           WHERE company_id = $1 AND person_id = $2 AND role = 'driver'
               AND busy && int8range($3, $4)
           ORDER BY lower(busy)"#,
        tx.company().0,
        person,
        around.0 - EIGHT_DAYS_MS,
        around.0 + EIGHT_DAYS_MS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Drive {
            from: Instant(r.from),
            to: Instant(r.to),
        })
        .collect())
}
