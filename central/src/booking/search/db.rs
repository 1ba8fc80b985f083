//! The queries of search, over what the public may see.

use domain::ids::{CompanyId, StopCode, TripId};
use domain::money::Currency;
use domain::time::{Instant, ServiceDate, Zone};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::booking::catalog::TripFacts;
use crate::booking::load::facts_of;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// A stop that a text may mean.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::booking) struct Place {
    pub(in crate::booking) operator: Uuid,
    pub(in crate::booking) code: String,
    pub(in crate::booking) name: String,
    /// 4: by its code; 3: by its whole name; 2: by its beginning; below: how alike, 0 to 1.
    pub(in crate::booking) rank: f32,
}

/// The stops that a text is most like, the likeliest first.
pub(in crate::booking) async fn places(
    conn: &mut PgConnection,
    text: &str,
    most: i64,
) -> Result<Vec<Place>, DbError> {
    let rows = sqlx::query!(
        r#"WITH asked AS MATERIALIZED (SELECT place_form($1) AS form)
           SELECT s.operator_id, s.stop_code, s.name,
               (CASE WHEN lower(s.stop_code) = lower($1) THEN 4
                     WHEN s.form = a.form THEN 3
                     WHEN starts_with(s.form, a.form) THEN 2
                     ELSE GREATEST(similarity(s.form, a.form), word_similarity(a.form, s.form))
                END)::real AS "rank!"
           FROM search_stop s, asked a
           WHERE lower(s.stop_code) = lower($1) OR s.form LIKE
                   replace(replace(replace(a.form, '\', '\\'), '%', '\%'), '_', '\_') || '%'
               OR s.form % a.form OR a.form <% s.form
           ORDER BY 4 DESC, s.name, s.stop_code, s.operator_id LIMIT $2"#,
        text,
        most
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Place {
            operator: r.operator_id,
            code: r.stop_code,
            name: r.name,
            rank: r.rank,
        })
        .collect())
}

/// A bus from one place to another.
#[derive(Debug, Clone)]
pub(in crate::booking) struct Ride {
    pub(in crate::booking) operator: CompanyId,
    pub(in crate::booking) trip: TripId,
    pub(in crate::booking) route_code: String,
    pub(in crate::booking) route: String,
    pub(in crate::booking) headsign: String,
    pub(in crate::booking) seat_count: i32,
    pub(in crate::booking) state: String,
    pub(in crate::booking) delay_ms: i64,
    /// Its pool sells nothing until a restored hub has heard every device.
    pub(in crate::booking) frozen: bool,
    pub(in crate::booking) currency: Currency,
    pub(in crate::booking) fare_table: String,
    pub(in crate::booking) from: Call,
    pub(in crate::booking) to: Call,
}

/// Where a ride begins or ends.
#[derive(Debug, Clone)]
pub(in crate::booking) struct Call {
    pub(in crate::booking) code: StopCode,
    pub(in crate::booking) seq: i16,
    pub(in crate::booking) zone: Zone,
    /// When the bus leaves, where it begins; when it comes in, where it ends.
    pub(in crate::booking) at: Instant,
}

/// Which end of a ride is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::booking) enum Ends {
    /// Both.
    Both,
    /// Where it begins: anywhere after that.
    Begin,
    /// Where it ends: anywhere before that, on that day or the next.
    End,
}

/// Rides between stops on a day whose boarding is open. At most one per trip where both ends are
/// known.
pub(in crate::booking) async fn rides(
    conn: &mut PgConnection,
    ends: Ends,
    (from, to): (&[Place], &[Place]),
    (date, now): (ServiceDate, Instant),
    most: i64,
) -> Result<Vec<Ride>, DbError> {
    let column = |places: &[Place]| -> (Vec<Uuid>, Vec<String>) {
        places.iter().map(|p| (p.operator, p.code.clone())).unzip()
    };
    let ((from_ids, from_codes), (to_ids, to_codes)) = (column(from), column(to));
    let day = date.to_string();
    let rows =
        match ends {
            Ends::Both | Ends::Begin => sqlx::query_as!(
                RideRow,
                r#"SELECT t.operator_id, t.trip_id, t.route_code, t.route, t.headsign, t.seat_count,
                   t.state, t.delay_ms, t.frozen, t.currency, t.fare_table_id,
                   a.stop_code AS from_code, a.seq AS from_seq, a.zone AS from_zone,
                   a.departs_at_ms, b.stop_code AS to_code, b.seq AS to_seq, b.zone AS to_zone,
                   b.arrives_at_ms
               FROM UNNEST($1::uuid[], $2::text[]) AS f(operator, code)
               JOIN search_call a ON a.stop_code = f.code AND a.operator_id = f.operator
                   AND a.day = $5::text::date
               JOIN search_trip t ON t.trip_id = a.trip_id
               JOIN search_call b ON b.trip_id = a.trip_id AND b.seq > a.seq
               WHERE a.closes_at_ms >= $6 AND t.state IN ('scheduled', 'boarding', 'departed')
                   AND ($7 OR (b.operator_id, b.stop_code) IN (
                       SELECT * FROM UNNEST($3::uuid[], $4::text[])))
               ORDER BY a.departs_at_ms, a.trip_id, b.seq LIMIT $8"#,
                &from_ids,
                &from_codes,
                &to_ids,
                &to_codes,
                day,
                now.0,
                ends == Ends::Begin,
                most
            )
            .fetch_all(conn)
            .await?,
            Ends::End => sqlx::query_as!(
                RideRow,
                r#"SELECT t.operator_id, t.trip_id, t.route_code, t.route, t.headsign, t.seat_count,
                   t.state, t.delay_ms, t.frozen, t.currency, t.fare_table_id,
                   a.stop_code AS from_code, a.seq AS from_seq, a.zone AS from_zone,
                   a.departs_at_ms, b.stop_code AS to_code, b.seq AS to_seq, b.zone AS to_zone,
                   b.arrives_at_ms
               FROM UNNEST($1::uuid[], $2::text[]) AS f(operator, code)
               JOIN search_call b ON b.stop_code = f.code AND b.operator_id = f.operator
                   AND b.day BETWEEN $3::text::date AND $3::text::date + 1
               JOIN search_trip t ON t.trip_id = b.trip_id
               JOIN search_call a ON a.trip_id = b.trip_id AND a.seq < b.seq
               WHERE a.closes_at_ms >= $4 AND t.state IN ('scheduled', 'boarding', 'departed')
               ORDER BY a.departs_at_ms, a.trip_id LIMIT $5"#,
                &to_ids,
                &to_codes,
                day,
                now.0,
                most
            )
            .fetch_all(conn)
            .await?,
        };
    rows.into_iter().map(RideRow::read).collect()
}

struct RideRow {
    operator_id: Uuid,
    trip_id: i64,
    route_code: String,
    route: String,
    headsign: String,
    seat_count: i32,
    state: String,
    delay_ms: i64,
    frozen: bool,
    currency: String,
    fare_table_id: String,
    from_code: String,
    from_seq: i16,
    from_zone: String,
    departs_at_ms: i64,
    to_code: String,
    to_seq: i16,
    to_zone: String,
    arrives_at_ms: i64,
}

impl RideRow {
    fn read(self) -> Result<Ride, DbError> {
        let damaged = || DbError::damaged(format!("what search knows of trip {}", self.trip_id));
        let call = |code: &str, seq, zone: &str, at| {
            Ok::<_, DbError>(Call {
                code: StopCode(code.to_owned()),
                seq,
                zone: zone.parse().map_err(|_| damaged())?,
                at: Instant(at),
            })
        };
        Ok(Ride {
            from: call(
                &self.from_code,
                self.from_seq,
                &self.from_zone,
                self.departs_at_ms,
            )?,
            to: call(
                &self.to_code,
                self.to_seq,
                &self.to_zone,
                self.arrives_at_ms,
            )?,
            currency: self.currency.parse().map_err(|_| damaged())?,
            operator: CompanyId(self.operator_id),
            trip: TripId(self.trip_id as u64),
            route_code: self.route_code,
            route: self.route,
            headsign: self.headsign,
            seat_count: self.seat_count,
            state: self.state,
            delay_ms: self.delay_ms,
            frozen: self.frozen,
            fare_table: self.fare_table_id,
        })
    }
}

/// Seats of each ride that are taken on any of its legs.
pub(in crate::booking) async fn taken(
    conn: &mut PgConnection,
    rides: &[&Ride],
) -> Result<Vec<i64>, DbError> {
    let companies: Vec<Uuid> = rides.iter().map(|r| r.operator.0).collect();
    let trips: Vec<i64> = rides.iter().map(|r| r.trip.0 as i64).collect();
    let from: Vec<i32> = rides.iter().map(|r| i32::from(r.from.seq)).collect();
    let to: Vec<i32> = rides.iter().map(|r| i32::from(r.to.seq)).collect();
    let rows = sqlx::query_scalar!(
        r#"SELECT taken AS "taken!" FROM seats_taken($1, $2, $3, $4) ORDER BY place"#,
        &companies,
        &trips,
        &from,
        &to
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// A company as everybody may know it.
#[derive(Debug, Clone)]
pub(in crate::booking) struct Operator {
    pub(in crate::booking) id: CompanyId,
    pub(in crate::booking) name: String,
    pub(in crate::booking) zone: Zone,
    pub(in crate::booking) price_version: i64,
}

pub(in crate::booking) async fn operators(
    conn: &mut PgConnection,
    wanted: &[Uuid],
) -> Result<Vec<Operator>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT operator_id AS "id!", name AS "name!", zone AS "zone!",
                  price_version AS "price_version!"
           FROM operators($1)"#,
        wanted
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Operator {
                zone: r
                    .zone
                    .parse()
                    .map_err(|_| DbError::damaged(format!("the time zone {}", r.zone)))?,
                id: CompanyId(r.id),
                name: r.name,
                price_version: r.price_version,
            })
        })
        .collect()
}

/// Companies with trips that search does not know yet.
pub(in crate::booking) async fn behind(conn: &mut PgConnection) -> Result<Vec<CompanyId>, DbError> {
    let rows = sqlx::query_scalar!("SELECT DISTINCT operator_id FROM search_dirty LIMIT 20")
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(CompanyId).collect())
}

/// A trip as it is to be laid out.
pub(in crate::booking) struct Standing {
    facts: TripFacts,
    state: String,
    delay_ms: i64,
    frozen: bool,
}

/// Some of a company's trips that search is behind on, no longer so once this commits. Those that
/// somebody else is at are left out.
pub(in crate::booking) async fn take_behind(
    tx: &mut TenantTx,
    most: i64,
) -> Result<Vec<Standing>, DbError> {
    let ids = sqlx::query_scalar!(
        "DELETE FROM search_dirty WHERE trip_id IN (
             SELECT trip_id FROM search_dirty WHERE operator_id = $1
             LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING trip_id",
        tx.company().0,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = sqlx::query!(
        r#"SELECT trip_id, body, route_code, boarding_closes_ms, state, delay_ms,
                  frozen_by IS NOT NULL AS "frozen!" FROM trip
           WHERE company_id = $1 AND trip_id = ANY($2)"#,
        tx.company().0,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(Standing {
                facts: facts_of(r.trip_id, &r.body, r.route_code, r.boarding_closes_ms)?,
                state: r.state,
                delay_ms: r.delay_ms,
                frozen: r.frozen,
            })
        })
        .collect()
}

/// Lays trips out for search.
pub(in crate::booking) async fn put(tx: &mut TenantTx, trips: &[Standing]) -> Result<(), DbError> {
    let company = tx.company().0;
    let ids: Vec<i64> = trips.iter().map(|t| t.facts.trip.id.0 as i64).collect();
    let text = |f: fn(&TripFacts) -> String| -> Vec<String> {
        trips.iter().map(|t| f(&t.facts)).collect()
    };
    sqlx::query!(
        "INSERT INTO search_trip (trip_id, operator_id, route_code, route, headsign, seat_count,
             state, delay_ms, currency, fare_table_id, frozen)
         SELECT w.id, $1, w.route_code, w.route, w.headsign, w.seats, w.state, w.delay, w.currency,
             w.fares, w.frozen
         FROM UNNEST($2::bigint[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[],
             $8::bigint[], $9::text[], $10::text[], $11::boolean[])
             AS w(id, route_code, route, headsign, seats, state, delay, currency, fares, frozen)
         ON CONFLICT (trip_id) DO UPDATE
         SET route_code = EXCLUDED.route_code, route = EXCLUDED.route,
             headsign = EXCLUDED.headsign, seat_count = EXCLUDED.seat_count,
             state = EXCLUDED.state, delay_ms = EXCLUDED.delay_ms,
             currency = EXCLUDED.currency, fare_table_id = EXCLUDED.fare_table_id,
             frozen = EXCLUDED.frozen",
        company,
        &ids,
        &text(|t| t.route_code.clone()),
        &text(|t| t.trip.route.clone()),
        &text(|t| t.trip.headsign.clone()),
        &trips
            .iter()
            .map(|t| i32::from(t.facts.trip.seat_count))
            .collect::<Vec<_>>(),
        &trips.iter().map(|t| t.state.clone()).collect::<Vec<_>>(),
        &trips.iter().map(|t| t.delay_ms).collect::<Vec<_>>(),
        &text(|t| t.trip.currency.to_string()),
        &text(|t| t.trip.fare_table.clone()),
        &trips.iter().map(|t| t.frozen).collect::<Vec<_>>()
    )
    .execute(tx.conn())
    .await?;
    let (mut of, mut seqs, mut codes, mut zones, mut days) =
        (vec![], vec![], vec![], vec![], vec![]);
    let (mut arrives, mut departs, mut closes) = (vec![], vec![], vec![]);
    for Standing { facts, .. } in trips {
        for (seq, stop) in facts.trip.stops.iter().enumerate() {
            let Some(day) = stop.departs.local_date(&stop.zone) else {
                continue;
            };
            of.push(facts.trip.id.0 as i64);
            seqs.push(seq as i16);
            codes.push(stop.code.0.clone());
            zones.push(stop.zone.as_str().to_owned());
            days.push(day.to_string());
            arrives.push(stop.arrives.0);
            departs.push(stop.departs.0);
            closes.push(facts.boarding_closes.get(seq).map_or(0, |t| t.0));
        }
    }
    sqlx::query!("DELETE FROM search_call WHERE trip_id = ANY($1)", &ids)
        .execute(tx.conn())
        .await?;
    sqlx::query!(
        "INSERT INTO search_call (trip_id, seq, operator_id, stop_code, zone, day, arrives_at_ms,
             departs_at_ms, closes_at_ms)
         SELECT w.id, w.seq, $1, w.code, w.zone, w.day::date, w.arrives, w.departs, w.closes
         FROM UNNEST($2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::text[],
             $7::bigint[], $8::bigint[], $9::bigint[])
             AS w(id, seq, code, zone, day, arrives, departs, closes)",
        company,
        &of,
        &seqs,
        &codes,
        &zones,
        &days,
        &arrives,
        &departs,
        &closes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
