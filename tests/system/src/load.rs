//! Trips and tickets enough for a company that has sold for years.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use domain::codec::to_cbor;
use domain::fare::{FareRow, FareTable};
use domain::ids::{LayoutVersion, StopCode, TripId};
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::{Instant as Moment, Zone};
use domain::trip::{Trip, TripStop};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

/// How much is stored.
#[derive(Debug, Clone, Copy)]
pub struct Stock {
    /// Trips, over sixty days.
    pub trips: usize,
    /// Tickets, as many on each trip.
    pub tickets: usize,
}

/// Stops of a stored trip.
const STOPS: usize = 5;
/// Seats of a stored trip; the last ones are free.
pub const SEATS: u16 = 50;
/// Towns, and lines between them.
const TOWNS: usize = 40;
const LINES: usize = 25;
/// Trips that bookings are spread over.
const SPREAD: usize = 1_000;
/// Days that the trips are on.
const DAYS: usize = 60;
/// The trips that everybody wants.
const HOT: usize = 40;
/// Legs of a trip that everybody wants.
pub const HOT_LEGS: u8 = 16;
/// And its seats.
pub const HOT_SEATS: u16 = 50;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Trips of one statement.
const BATCH: usize = 1_000;

/// A trip that is stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its number.
    pub id: u64,
    /// Codes of its stops.
    pub stops: Vec<String>,
    /// Its day.
    pub date: String,
}

/// What is stored.
#[derive(Debug)]
pub struct Loaded {
    /// Whose.
    pub company: Uuid,
    /// What bookings are spread over.
    pub spread: Vec<Stored>,
    /// As many others, for raw SQL.
    pub raw: Vec<Stored>,
    /// What everybody wants, one after the other.
    pub hot: Vec<Stored>,
    all: Vec<Stored>,
}

impl Loaded {
    /// Something to search for that is there; `below` draws a number below another.
    pub fn wish(&self, mut below: impl FnMut(usize) -> usize) -> String {
        let trip = &self.all[below(self.all.len())];
        let from = below(STOPS - 1);
        let to = from + 1 + below(STOPS - from - 1);
        let name = |code: &str| town_name(code[1..].parse().unwrap_or(0));
        let (from, to) = (&trip.stops[from], &trip.stops[to]);
        // Half by code, half by a name with a slip of the finger.
        if below(2) == 0 {
            format!("/search?from={from}&to={to}&date={}", trip.date)
        } else {
            let mut slip = name(to);
            slip.remove(3);
            let from = name(from).to_lowercase();
            format!("/search?from={from}&to={slip}&date={}", trip.date)
        }
    }
}

/// Names that are not alike.
fn town_name(n: usize) -> String {
    const HEADS: [&str; 8] = [
        "Kasem", "Mpulu", "Chiro", "Lundo", "Nawez", "Sioma", "Petuk", "Zimba",
    ];
    const TAILS: [&str; 5] = ["ngwa", "tebo", "lishi", "kanda", "moyo"];
    format!("{}{}", HEADS[n % 8], TAILS[n / 8 % 5])
}

fn code(n: usize) -> String {
    format!("T{n}")
}

fn trip(
    id: u64,
    stops: &[String],
    (departs, leg_ms): (Moment, i64),
    seats: u16,
    zone: &Zone,
) -> Result<Trip> {
    let stop = |(i, code): (usize, &String)| {
        let at = departs.plus_ms(i as i64 * leg_ms);
        TripStop {
            code: StopCode(code.clone()),
            name: code.clone(),
            zone: zone.clone(),
            arrives: at,
            departs: at,
        }
    };
    Ok(Trip {
        id: TripId(id),
        route: "BENCH".to_owned(),
        headsign: "North".to_owned(),
        service_date: departs.local_date(zone).context("a date")?,
        layout: "bench".to_owned(),
        layout_version: LayoutVersion(1),
        seat_count: seats,
        fare_table: "bench".to_owned(),
        currency: Currency::ZMW,
        stops: stops.iter().enumerate().map(stop).collect(),
    })
}

/// Stores everything, and waits until search has it.
pub async fn load(url: &str, amount: Stock) -> Result<Loaded> {
    let mut owner = PgConnection::connect(url).await?;
    let company: Uuid = sqlx::query_scalar("SELECT company_id FROM company")
        .fetch_one(&mut owner)
        .await?;
    sqlx::query("SELECT set_config('mwimule.company', $1::text, false)")
        .bind(company)
        .execute(&mut owner)
        .await?;
    stops_and_fares(&mut owner, company).await?;
    layout(&mut owner, company).await?;
    let first = next_trip_id(&mut owner, amount.trips + HOT).await?;
    let zone: Zone = "Africa/Lusaka".parse()?;
    let now: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM now()) * 1000)::bigint")
        .fetch_one(&mut owner)
        .await?;
    let tomorrow = (now / DAY_MS + 1) * DAY_MS;
    let mut trips = Vec::with_capacity(amount.trips);
    for i in 0..amount.trips {
        let (line, run) = (i % LINES, i / LINES);
        let stops: Vec<String> = (0..STOPS)
            .map(|s| code((line * 3 + s * 7) % TOWNS))
            .collect();
        let day = (run % DAYS) as i64;
        let minute = (run / DAYS) as i64 * 17 % (16 * 60);
        let departs = Moment(tomorrow + day * DAY_MS + 4 * HOUR_MS + minute * 60_000);
        trips.push(trip(
            first + i as u64,
            &stops,
            (departs, HOUR_MS),
            SEATS,
            &zone,
        )?);
    }
    for i in 0..HOT {
        let stops: Vec<String> = (0..=HOT_LEGS).map(|s| format!("H{s}")).collect();
        let departs = Moment(tomorrow + i as i64 * DAY_MS + 6 * HOUR_MS);
        let id = first + (amount.trips + i) as u64;
        trips.push(trip(id, &stops, (departs, HOUR_MS / 2), HOT_SEATS, &zone)?);
    }
    for batch in trips.chunks(BATCH) {
        insert(&mut owner, company, batch).await?;
    }
    tickets(&mut owner, company, (first, amount)).await?;
    bookings(&mut owner, company).await?;
    blocks(&mut owner, company).await?;
    searchable(&mut owner).await?;
    // As a database is that was not filled a minute ago.
    for settle in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::query(settle).execute(&mut owner).await?;
    }
    let stored: Vec<Stored> = trips
        .iter()
        .map(|t| Stored {
            id: t.id.0,
            stops: t.stops.iter().map(|s| s.code.0.clone()).collect(),
            date: t.service_date.to_string(),
        })
        .collect();
    ensure!(amount.trips >= 2 * SPREAD, "too few trips");
    let (all, hot) = stored.split_at(amount.trips);
    Ok(Loaded {
        company,
        spread: all[..SPREAD].to_vec(),
        raw: all[SPREAD..2 * SPREAD].to_vec(),
        hot: hot.to_vec(),
        all: all.to_vec(),
    })
}

async fn stops_and_fares(owner: &mut PgConnection, company: Uuid) -> Result<()> {
    let hot: Vec<String> = (0..=HOT_LEGS).map(|s| format!("H{s}")).collect();
    let towns: Vec<String> = (0..TOWNS).map(code).collect();
    let names: Vec<String> = (0..TOWNS)
        .map(town_name)
        .chain(hot.iter().cloned())
        .collect();
    let codes: Vec<String> = towns.iter().chain(&hot).cloned().collect();
    sqlx::query(
        "INSERT INTO stop (company_id, stop_code, name, fare_zone, zone)
         SELECT $1, w.code, w.name, w.code, 'Africa/Lusaka'
         FROM UNNEST($2::text[], $3::text[]) AS w(code, name)",
    )
    .bind(company)
    .bind(&codes)
    .bind(&names)
    .execute(&mut *owner)
    .await?;
    let mut rows = vec![];
    for group in [&towns, &hot] {
        for from in group {
            for to in group.iter().filter(|to| *to != from) {
                rows.push(FareRow {
                    from: StopCode(from.clone()),
                    to: StopCode(to.clone()),
                    class: PassengerClass::Adult,
                    fare_minor: Minor(12_500),
                });
            }
        }
    }
    let table = FareTable {
        id: "bench".to_owned(),
        currency: Currency::ZMW,
        rows,
    };
    sqlx::query(
        "INSERT INTO fare_table (company_id, fare_table_id, currency, body)
         VALUES ($1, 'bench', 'ZMW', $2)",
    )
    .bind(company)
    .bind(to_cbor(&table))
    .execute(&mut *owner)
    .await?;
    Ok(())
}

/// Ten rows of five.
async fn layout(owner: &mut PgConnection, company: Uuid) -> Result<()> {
    let seat = |n: u16| Seat {
        label: n.to_string(),
        row: 1 + (n - 1) / 5,
        column: 1 + ((n - 1) % 5) as u8,
        attributes: SeatAttributes::default(),
    };
    let seats = (1..=SEATS).map(seat).collect();
    let layout = SeatLayout::new("bench", LayoutVersion(1), seats)?;
    sqlx::query(
        "INSERT INTO seat_layout (company_id, layout_id, version, seat_count, body)
         VALUES ($1, 'bench', 1, $2, $3)",
    )
    .bind(company)
    .bind(i32::from(SEATS))
    .bind(to_cbor(&layout))
    .execute(owner)
    .await?;
    Ok(())
}

async fn next_trip_id(owner: &mut PgConnection, count: usize) -> Result<u64> {
    let first: i64 = sqlx::query_scalar("SELECT COALESCE(max(trip_id), 0) + 1 FROM trip")
        .fetch_one(&mut *owner)
        .await?;
    sqlx::query("SELECT setval(pg_get_serial_sequence('trip', 'trip_id'), $1)")
        .bind(first + count as i64)
        .execute(owner)
        .await?;
    Ok(first as u64)
}

async fn insert(owner: &mut PgConnection, company: Uuid, trips: &[Trip]) -> Result<()> {
    let column = |f: fn(&Trip) -> i64| trips.iter().map(f).collect::<Vec<i64>>();
    let bodies: Vec<Vec<u8>> = trips.iter().map(to_cbor).collect();
    let dates: Vec<String> = trips.iter().map(|t| t.service_date.to_string()).collect();
    sqlx::query(
        "INSERT INTO trip (company_id, trip_id, pattern_key, service_date, run, route_code,
             headsign, seat_count, leg_count, layout_version, departs_at_ms, boarding_closes_ms,
             body)
         OVERRIDING SYSTEM VALUE
         SELECT $1, w.id, 'bench', w.day::date, w.id::text, 'BENCH', 'North', w.seats, w.legs, 1,
             w.departs, array_fill(w.departs, ARRAY[(w.legs + 1)::int]), w.body
         FROM UNNEST($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
             $7::bytea[]) AS w(id, day, seats, legs, departs, body)",
    )
    .bind(company)
    .bind(column(|t| t.id.0 as i64))
    .bind(&dates)
    .bind(column(|t| i64::from(t.seat_count)))
    .bind(column(|t| i64::from(t.leg_count())))
    .bind(column(|t| t.stops.first().map_or(0, |s| s.departs.0)))
    .bind(&bodies)
    .execute(owner)
    .await?;
    Ok(())
}

/// The first seats of every trip are sold all the way.
async fn tickets(
    owner: &mut PgConnection,
    company: Uuid,
    (first, amount): (u64, Stock),
) -> Result<()> {
    let each = (amount.tickets / amount.trips) as i32;
    // An index is built faster over all rows than row by row, and nobody sells yet.
    sqlx::query("ALTER TABLE ticket DISABLE TRIGGER USER")
        .execute(&mut *owner)
        .await?;
    sqlx::query("ALTER TABLE ticket DROP CONSTRAINT ticket_no_overlap")
        .execute(&mut *owner)
        .await?;
    sqlx::query(
        "INSERT INTO ticket (company_id, ticket_id, trip_id, seat, legs, class, ordinal,
             layout_version, issued_at_ms, kid, suite, tag, fare_minor, currency, state, change_no)
         SELECT $1, gen_random_uuid(), t, s, int4range(0, $5), 0, 1, 1, 0, '\\x00000000', 0,
             decode(repeat('ab', 64), 'hex'), 12500, 'ZMW', 0, s
         FROM generate_series($2::bigint, $3::bigint) AS t, generate_series(1, $4) AS s",
    )
    .bind(company)
    .bind(first as i64)
    .bind(first as i64 + amount.trips as i64 - 1)
    .bind(each)
    .bind(STOPS as i32 - 1)
    .execute(&mut *owner)
    .await?;
    sqlx::query(
        "ALTER TABLE ticket ADD CONSTRAINT ticket_no_overlap
             EXCLUDE USING gist (trip_id WITH =, seat WITH =, legs WITH &&) WHERE (state = 0)",
    )
    .execute(&mut *owner)
    .await?;
    sqlx::query("ALTER TABLE ticket ENABLE TRIGGER USER")
        .execute(owner)
        .await?;
    Ok(())
}

/// One seat of every trip is blocked: claims are never few.
async fn blocks(owner: &mut PgConnection, company: Uuid) -> Result<()> {
    sqlx::query(
        "INSERT INTO claim (company_id, trip_id, seat, legs, kind)
         SELECT company_id, trip_id, seat_count, int4range(0, leg_count), 'block' FROM trip
         WHERE company_id = $1",
    )
    .bind(company)
    .execute(owner)
    .await?;
    Ok(())
}

/// Every tenth ticket is of a booking of its own.
async fn bookings(owner: &mut PgConnection, company: Uuid) -> Result<()> {
    let steps = [
        "INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor, paid_minor,
             currency, created_at_ms, confirmed_at_ms, state, contact_sealed, phone_blind,
             name_blind)
         SELECT company_id, ticket_id, left(ticket_id::text, 18), trip_id, 12500, 12500, 'ZMW', 0,
             0, 'confirmed', sha256(ticket_id::text::bytea), sha256(ticket_id::text::bytea),
             sha256(ticket_id::text::bytea)
         FROM ticket WHERE company_id = $1 AND seat % 10 = 1",
        "INSERT INTO coupon (company_id, booking_id, coupon_no, trip_id, seat, legs, class,
             fare_minor, state, ticket_id)
         SELECT company_id, ticket_id, 1, trip_id, seat, legs, 0, 12500, 'issued', ticket_id
         FROM ticket WHERE company_id = $1 AND seat % 10 = 1",
        "UPDATE ticket SET booking_id = ticket_id WHERE company_id = $1 AND seat % 10 = 1",
    ];
    for step in steps {
        sqlx::query(step).bind(company).execute(&mut *owner).await?;
    }
    Ok(())
}

/// Waits until the hub has laid every trip out.
async fn searchable(owner: &mut PgConnection) -> Result<()> {
    let began = Instant::now();
    loop {
        let behind: i64 = sqlx::query_scalar("SELECT count(*) FROM search_dirty")
            .fetch_one(&mut *owner)
            .await?;
        if behind == 0 {
            return Ok(());
        }
        ensure!(
            began.elapsed() < Duration::from_mins(5),
            "{behind} trips are not found yet"
        );
        // tidy-allow-sleep: between two looks at a condition
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
