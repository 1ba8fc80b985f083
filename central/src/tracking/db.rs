//! The rows of tracking.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::codec::{from_cbor, to_cbor};
use domain::ids::{CompanyId, NodeId, StopSeq, TicketId, TripId};
use domain::time::Instant;
use domain::tracking::{Fix, Route, Seen, Track, blend_leg};
use domain::trip::Trip;
use uuid::Uuid;

use super::known::{Facts, Standing};
use super::live::Kept;
use super::roads::{self, Roads};
use super::settings::Settings;
use crate::db::{Db, DbError};
use crate::operations::State;
use crate::tenant::TenantTx;

const DAY_MS: i64 = 24 * 3_600_000;

/// The company's settings with their version; the defaults under 0 where it has none.
pub(super) async fn settings(tx: &mut TenantTx) -> Result<(i32, Settings), DbError> {
    let row = sqlx::query!(
        "SELECT before_min, keep_days, moves_trips, publish_positions, version
         FROM tracking_settings WHERE company_id = $1",
        tx.company().0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map_or((0, Settings::default()), |r| {
        let settings = Settings {
            before_min: r.before_min,
            keep_days: r.keep_days,
            moves_trips: r.moves_trips,
            publish_positions: r.publish_positions,
        };
        (r.version, settings)
    }))
}

/// Writes them; gives their version.
pub(super) async fn put_settings(tx: &mut TenantTx, s: &Settings) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "INSERT INTO tracking_settings AS s (company_id, before_min, keep_days, moves_trips,
             publish_positions)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (company_id) DO UPDATE
         SET before_min = EXCLUDED.before_min, keep_days = EXCLUDED.keep_days,
             moves_trips = EXCLUDED.moves_trips, publish_positions = EXCLUDED.publish_positions,
             version = s.version + 1
         RETURNING version",
        tx.company().0,
        s.before_min,
        s.keep_days,
        s.moves_trips,
        s.publish_positions
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

struct TripRow {
    trip_id: i64,
    body: Vec<u8>,
    route_code: String,
    run: String,
    state: String,
    state_reason: Option<String>,
    delay_ms: i64,
    arrived_at_ms: Option<i64>,
    onboard_node: Option<Uuid>,
    track: Option<Vec<u8>>,
    heard_at_ms: Option<i64>,
}

/// One trip with what is known of it.
pub(super) async fn standing(
    tx: &mut TenantTx,
    roads: &Roads,
    trip: TripId,
) -> Result<Option<Standing>, DbError> {
    let rows = sqlx::query_as!(
        TripRow,
        r#"SELECT t.trip_id, t.body, t.route_code, t.run, t.state, t.state_reason, t.delay_ms,
               t.arrived_at_ms, t.onboard_node, k.track AS "track?",
               k.heard_at_ms AS "heard_at_ms?"
           FROM trip t LEFT JOIN trip_track k USING (company_id, trip_id)
           WHERE t.company_id = $1 AND t.trip_id = $2"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(complete(tx, roads, rows).await?.pop())
}

/// Trips that concern passengers around a moment: cancelled, late, boarding or on their way.
pub(super) async fn standing_around(
    tx: &mut TenantTx,
    roads: &Roads,
    (from, to): (Instant, Instant),
    most: i64,
) -> Result<Vec<Standing>, DbError> {
    let rows = sqlx::query_as!(
        TripRow,
        r#"SELECT t.trip_id, t.body, t.route_code, t.run, t.state, t.state_reason, t.delay_ms,
               t.arrived_at_ms, t.onboard_node, k.track AS "track?",
               k.heard_at_ms AS "heard_at_ms?"
           FROM trip t LEFT JOIN trip_track k USING (company_id, trip_id)
           WHERE t.company_id = $1 AND t.departs_at_ms BETWEEN $2 AND $3 AND NOT t.withdrawn
               AND (t.state IN ('boarding', 'departed', 'cancelled')
                    OR t.state = 'scheduled' AND t.delay_ms <> 0)
           ORDER BY t.departs_at_ms, t.trip_id LIMIT $4"#,
        tx.company().0,
        from.0,
        to.0,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    complete(tx, roads, rows).await
}

async fn complete(
    tx: &mut TenantTx,
    roads: &Roads,
    rows: Vec<TripRow>,
) -> Result<Vec<Standing>, DbError> {
    if rows.is_empty() {
        return Ok(vec![]);
    }
    let (_, settings) = settings(tx).await?;
    let mut trips: Vec<(TripRow, Trip)> = Vec::with_capacity(rows.len());
    for row in rows {
        let damaged = |_| DbError::damaged(format!("trip {}", row.trip_id));
        let trip: Trip = from_cbor(&row.body).map_err(damaged)?;
        trips.push((row, trip));
    }
    let routes: Vec<String> = trips
        .iter()
        .map(|(row, _)| row.route_code.clone())
        .collect();
    let legs = legs(tx, &routes).await?;
    let company = tx.company();
    let ways = ways(tx, roads, &trips).await?;
    let all = trips.into_iter().zip(ways).map(|((row, trip), way)| {
        let legs_ms = trip.stops.windows(2).map(|pair| match pair {
            [from, to] => {
                let key = (
                    row.route_code.clone(),
                    from.code.0.clone(),
                    to.code.0.clone(),
                );
                legs.get(&key).map(|(mean_ms, _)| *mean_ms)
            }
            _ => None,
        });
        let state = State::of(&row.state);
        let state = state.ok_or_else(|| DbError::damaged(format!("trip {}", row.trip_id)))?;
        // One that cannot be read is begun anew: it is made of fixes, and more of them come.
        let track = row.track.as_deref().and_then(|bytes| from_cbor(bytes).ok());
        let facts = Facts {
            company,
            trip: TripId(row.trip_id as u64),
            route: way,
            legs_ms: legs_ms.collect(),
            route_code: row.route_code,
            run: row.run,
            headsign: trip.headsign,
            service_date: trip.service_date,
            stops: trip.stops,
            state,
            delay_ms: row.delay_ms,
            reason: row.state_reason,
            arrived_at: row.arrived_at_ms.map(Instant),
            onboard: row.onboard_node.map(NodeId),
            settings: settings.clone(),
        };
        Ok(Standing {
            facts,
            track: track.unwrap_or_default(),
            heard_at: Instant(row.heard_at_ms.unwrap_or(0)),
        })
    });
    all.collect()
}

async fn ways(
    tx: &mut TenantTx,
    roads: &Roads,
    trips: &[(TripRow, Trip)],
) -> Result<Vec<Arc<Route>>, DbError> {
    let codes: Vec<String> = trips
        .iter()
        .flat_map(|(_, trip)| trip.stops.iter().map(|stop| stop.code.0.clone()))
        .collect();
    let places = crate::company::stop_places(tx, &codes).await?;
    let stops = trips.iter().map(|(row, trip)| {
        let codes = trip.stops.iter().map(|s| s.code.clone());
        let stops = trip.stops.iter().map(|s| places.get(&s.code.0).copied());
        (row.route_code.as_str(), codes.collect(), stops.collect())
    });
    roads::ways(tx, roads, stops.collect()).await
}

/// The versions of roads, by pattern.
pub(super) async fn road_versions(
    tx: &mut TenantTx,
    patterns: &[String],
) -> Result<BTreeMap<String, i32>, DbError> {
    let rows = sqlx::query!(
        "SELECT pattern_key, version FROM pattern_shape
         WHERE company_id = $1 AND pattern_key = ANY($2) AND line <> ''",
        tx.company().0,
        patterns
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| (r.pattern_key, r.version))
        .collect())
}

/// A road: its version, its line, how far along it each stop is in metres.
pub(super) type Road = (i32, String, Vec<Option<u32>>);

/// Roads by pattern.
pub(super) async fn roads(
    tx: &mut TenantTx,
    patterns: &[String],
) -> Result<BTreeMap<String, Road>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT pattern_key, version, line,
               stop_along_m AS "stop_along_m!: Vec<Option<i32>>"
           FROM pattern_shape
           WHERE company_id = $1 AND pattern_key = ANY($2) AND line <> ''"#,
        tx.company().0,
        patterns
    )
    .fetch_all(tx.conn())
    .await?;
    let roads = rows.into_iter().map(|r| {
        let alongs = r.stop_along_m.into_iter();
        let alongs = alongs.map(|m| m.and_then(|m| u32::try_from(m).ok()));
        (r.pattern_key, (r.version, r.line, alongs.collect()))
    });
    Ok(roads.collect())
}

/// By route, stop before and stop after.
type Legs = BTreeMap<(String, String, String), (i64, u32)>;

async fn legs(tx: &mut TenantTx, routes: &[String]) -> Result<Legs, DbError> {
    let rows = sqlx::query!(
        "SELECT route_code, from_stop, to_stop, mean_ms, drives FROM leg_time
         WHERE company_id = $1 AND route_code = ANY($2)",
        tx.company().0,
        routes
    )
    .fetch_all(tx.conn())
    .await?;
    let legs = rows.into_iter().map(|r| {
        let key = (r.route_code, r.from_stop, r.to_stop);
        (key, (r.mean_ms, r.drives.max(0) as u32))
    });
    Ok(legs.collect())
}

/// Makes sure that days have their partitions. Where one cannot be made, its fixes go to the rest.
pub(super) async fn make_days(db: &Db, days: &[i64]) -> Result<(), DbError> {
    for day in days {
        sqlx::query!("SELECT make_position_day($1)", day)
            .execute(db.pool())
            .await?;
    }
    Ok(())
}

/// The day of a moment, counted from 1970.
pub(super) fn day_of(at: Instant) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// Drops the days that no company wants to keep; gives how many.
pub(super) async fn drop_days(db: &Db, today: i64) -> Result<i32, DbError> {
    let dropped = sqlx::query_scalar!(
        "SELECT drop_position_days($1::bigint - position_days_kept())",
        today
    )
    .fetch_one(db.pool())
    .await?;
    Ok(dropped.unwrap_or(0))
}

/// Deletes fixes that their company does not want to keep although others do.
pub(super) async fn delete_old(tx: &mut TenantTx, before: Instant) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "DELETE FROM trip_position WHERE company_id = $1 AND at_ms < $2",
        tx.company().0,
        before.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// Adds fixes to the history; the same again changes nothing.
pub(super) async fn insert_fixes(tx: &mut TenantTx, kept: &[Kept]) -> Result<(), DbError> {
    fn column<T>(kept: &[Kept], of: impl Fn(&Fix) -> T) -> Vec<T> {
        kept.iter().map(|k| of(&k.fix)).collect()
    }
    let heard: Vec<i64> = kept.iter().map(|k| k.heard_at.0).collect();
    sqlx::query!(
        "INSERT INTO trip_position (company_id, trip_id, at_ms, seq, source, lat_e7, lon_e7,
             speed_cm_s, bearing_deg, accuracy_m, heard_at_ms)
         SELECT $1, f.* FROM UNNEST($2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[],
             $6::integer[], $7::integer[], $8::integer[], $9::smallint[], $10::integer[],
             $11::bigint[]) AS f
         ON CONFLICT DO NOTHING",
        tx.company().0,
        &column(kept, |f| f.trip.0 as i64),
        &column(kept, |f| f.at.0),
        &column(kept, |f| f.seq as i64),
        &column(kept, |f| i16::from(f.source.number())),
        &column(kept, |f| f.lat_e7),
        &column(kept, |f| f.lon_e7),
        &column(kept, |f| f.speed_cm_s.map(i32::from)) as &[Option<i32>],
        &column(kept, |f| f.bearing_deg.map(|d| d as i16)) as &[Option<i16>],
        &column(kept, |f| f.accuracy_m.map(i32::from)) as &[Option<i32>],
        &heard
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How trips stand, their rows locked in the order of their numbers and made where they were not.
pub(super) async fn lock_tracks(
    tx: &mut TenantTx,
    trips: &[i64],
) -> Result<BTreeMap<TripId, Track>, DbError> {
    sqlx::query!(
        "INSERT INTO trip_track (company_id, trip_id, at_ms, seq, heard_at_ms, track)
         SELECT $1, t.trip_id, 0, 0, 0, $3 FROM UNNEST($2::bigint[]) AS t(trip_id)
         ON CONFLICT DO NOTHING",
        tx.company().0,
        trips,
        to_cbor(&Track::default())
    )
    .execute(tx.conn())
    .await?;
    let rows = sqlx::query!(
        "SELECT trip_id, track FROM trip_track WHERE company_id = $1 AND trip_id = ANY($2)
         ORDER BY trip_id FOR UPDATE",
        tx.company().0,
        trips
    )
    .fetch_all(tx.conn())
    .await?;
    let tracks = rows.into_iter().map(|r| {
        let track = from_cbor(&r.track).unwrap_or_default();
        (TripId(r.trip_id as u64), track)
    });
    Ok(tracks.collect())
}

/// Writes how trips stand.
pub(super) async fn put_tracks(
    tx: &mut TenantTx,
    tracks: &BTreeMap<TripId, Track>,
    heard_at: Instant,
) -> Result<(), DbError> {
    let column = |of: fn(&Fix) -> i64| -> Vec<i64> {
        let newest = tracks.values().map(|t| t.newest().map_or(0, of));
        newest.collect()
    };
    let trips: Vec<i64> = tracks.keys().map(|trip| trip.0 as i64).collect();
    let bodies: Vec<Vec<u8>> = tracks.values().map(to_cbor).collect();
    sqlx::query!(
        "UPDATE trip_track k SET at_ms = n.at_ms, seq = n.seq, heard_at_ms = $6, track = n.track
         FROM UNNEST($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
             AS n(trip_id, at_ms, seq, track)
         WHERE k.company_id = $1 AND k.trip_id = n.trip_id",
        tx.company().0,
        &trips,
        &column(|fix| fix.at.0),
        &column(|fix| fix.seq as i64),
        &bodies,
        heard_at.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Notes a call that was seen; the first word on it stands.
pub(super) async fn put_call(tx: &mut TenantTx, trip: TripId, seen: Seen) -> Result<(), DbError> {
    let (stop, arrived, left) = match seen {
        Seen::Arrived { stop, at } => (stop, Some(at.0), None),
        Seen::Left { stop, at } => (stop, None, Some(at.0)),
    };
    sqlx::query!(
        "INSERT INTO trip_call AS c (company_id, trip_id, stop_seq, arrived_at_ms, left_at_ms)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (company_id, trip_id, stop_seq) DO UPDATE
         SET arrived_at_ms = COALESCE(c.arrived_at_ms, EXCLUDED.arrived_at_ms),
             left_at_ms = COALESCE(c.left_at_ms, EXCLUDED.left_at_ms)",
        tx.company().0,
        trip.0 as i64,
        i16::from(stop.0),
        arrived,
        left
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A stop of a trip as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SeenCall {
    pub(super) arrived_at: Option<Instant>,
    pub(super) left_at: Option<Instant>,
}

/// The calls of a trip that were seen.
pub(super) async fn calls(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<BTreeMap<u8, SeenCall>, DbError> {
    let rows = sqlx::query!(
        "SELECT stop_seq, arrived_at_ms, left_at_ms FROM trip_call
         WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    let calls = rows.into_iter().map(|r| {
        let call = SeenCall {
            arrived_at: r.arrived_at_ms.map(Instant),
            left_at: r.left_at_ms.map(Instant),
        };
        (r.stop_seq as u8, call)
    });
    Ok(calls.collect())
}

/// Learns from a leg that was driven: its stop before was left, the one after reached.
pub(super) async fn learn_leg(
    tx: &mut TenantTx,
    facts: &Facts,
    (to, at): (StopSeq, Instant),
) -> Result<(), DbError> {
    let Some(from) = to.0.checked_sub(1) else {
        return Ok(());
    };
    let stop = |seq: u8| facts.stops.get(usize::from(seq));
    let (Some(before), Some(after)) = (stop(from), stop(to.0)) else {
        return Ok(());
    };
    let left = calls(tx, facts.trip)
        .await?
        .get(&from)
        .and_then(|c| c.left_at);
    let Some(left) = left else { return Ok(()) };
    let known = legs(tx, std::slice::from_ref(&facts.route_code)).await?;
    let key = (
        facts.route_code.clone(),
        before.code.0.clone(),
        after.code.0.clone(),
    );
    let (mean, drives) = known.get(&key).copied().unwrap_or((0, 0));
    let (mean, drives) = blend_leg(mean, drives, at.0 - left.0);
    sqlx::query!(
        "INSERT INTO leg_time (company_id, route_code, from_stop, to_stop, mean_ms, drives)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (company_id, route_code, from_stop, to_stop) DO UPDATE
         SET mean_ms = EXCLUDED.mean_ms, drives = EXCLUDED.drives",
        tx.company().0,
        key.0,
        key.1,
        key.2,
        mean,
        drives as i32
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The newest fixes of some trips, for who listens while nobody else tells of them.
pub(super) async fn newest(tx: &mut TenantTx, trips: &[i64]) -> Result<Vec<Kept>, DbError> {
    let rows = sqlx::query!(
        "SELECT track, heard_at_ms FROM trip_track WHERE company_id = $1 AND trip_id = ANY($2)",
        tx.company().0,
        trips
    )
    .fetch_all(tx.conn())
    .await?;
    let company = tx.company();
    let kept = rows.into_iter().filter_map(|r| {
        let track: Track = from_cbor(&r.track).ok()?;
        let fix = track.newest()?.clone();
        Some(Kept::new(company, fix, Instant(r.heard_at_ms)))
    });
    Ok(kept.collect())
}

/// The newest fix of each trip of a company that is on its way.
pub(super) async fn newest_of_all(tx: &mut TenantTx) -> Result<Vec<Kept>, DbError> {
    let trips = sqlx::query_scalar!(
        "SELECT k.trip_id FROM trip_track k JOIN trip t USING (company_id, trip_id)
         WHERE k.company_id = $1 AND t.state IN ('boarding', 'departed') LIMIT 10000",
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    newest(tx, &trips).await
}

/// Whether a booking has a seat on a trip.
pub(super) async fn booking_travels(
    tx: &mut TenantTx,
    booking: Uuid,
    trip: TripId,
) -> Result<bool, DbError> {
    let travels = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM coupon WHERE company_id = $1 AND booking_id = $2
               AND trip_id = $3 AND state = 'issued') AS "travels!""#,
        tx.company().0,
        booking,
        trip.0 as i64
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(travels)
}

/// Whether a ticket is good for a trip.
pub(super) async fn ticket_travels(
    tx: &mut TenantTx,
    ticket: TicketId,
    trip: TripId,
) -> Result<bool, DbError> {
    let travels = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ticket WHERE company_id = $1 AND ticket_id = $2
               AND trip_id = $3 AND state <> 1) AS "travels!""#,
        tx.company().0,
        ticket.0,
        trip.0 as i64
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(travels)
}

/// Whether a person works on a trip.
pub(super) async fn is_crew(
    tx: &mut TenantTx,
    person: Uuid,
    trip: TripId,
) -> Result<bool, DbError> {
    let works = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM trip_crew WHERE company_id = $1 AND trip_id = $2
               AND person_id = $3) AS "works!""#,
        tx.company().0,
        trip.0 as i64,
        person
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(works)
}

/// A link as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkRow {
    pub(super) id: Uuid,
    pub(super) trip: TripId,
    pub(super) expires_at: Instant,
    pub(super) revoked_at: Option<Instant>,
    pub(super) created_at: Instant,
}

pub(super) async fn insert_link(
    tx: &mut TenantTx,
    link: &LinkRow,
    by: Option<Uuid>,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO tracking_link (company_id, link_id, trip_id, expires_at_ms, created_at_ms,
             actor_id)
         VALUES ($1, $2, $3, $4, $5, $6)",
        tx.company().0,
        link.id,
        link.trip.0 as i64,
        link.expires_at.0,
        link.created_at.0,
        by
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn link(tx: &mut TenantTx, id: Uuid) -> Result<Option<LinkRow>, DbError> {
    let row = sqlx::query!(
        "SELECT trip_id, expires_at_ms, revoked_at_ms, created_at_ms FROM tracking_link
         WHERE company_id = $1 AND link_id = $2",
        tx.company().0,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| LinkRow {
        id,
        trip: TripId(r.trip_id as u64),
        expires_at: Instant(r.expires_at_ms),
        revoked_at: r.revoked_at_ms.map(Instant),
        created_at: Instant(r.created_at_ms),
    }))
}

/// A trip's links, in the order of their ids after one.
pub(super) async fn links(
    tx: &mut TenantTx,
    trip: TripId,
    (after, most): (Uuid, i64),
) -> Result<Vec<LinkRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT link_id, expires_at_ms, revoked_at_ms, created_at_ms FROM tracking_link
         WHERE company_id = $1 AND trip_id = $2 AND link_id > $3 ORDER BY link_id LIMIT $4",
        tx.company().0,
        trip.0 as i64,
        after,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    let links = rows.into_iter().map(|r| LinkRow {
        id: r.link_id,
        trip,
        expires_at: Instant(r.expires_at_ms),
        revoked_at: r.revoked_at_ms.map(Instant),
        created_at: Instant(r.created_at_ms),
    });
    Ok(links.collect())
}

/// Revokes a link; whether there is one. Again changes nothing.
pub(super) async fn revoke_link(
    tx: &mut TenantTx,
    id: Uuid,
    now: Instant,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE tracking_link SET revoked_at_ms = COALESCE(revoked_at_ms, $3)
         WHERE company_id = $1 AND link_id = $2",
        tx.company().0,
        id,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The company with an id, where there is one.
pub(super) async fn company_named(db: &Db, name: &str) -> Result<Option<CompanyId>, DbError> {
    if let Some(company) = crate::company::find_by_name(db, name).await? {
        return Ok(Some(company));
    }
    let Ok(id) = name.parse::<Uuid>().map(CompanyId) else {
        return Ok(None);
    };
    let all = crate::views::all_companies(db).await?;
    Ok(all.into_iter().find(|company| *company == id))
}
