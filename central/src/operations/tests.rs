//! Schedules and trips on a real database.

use std::collections::BTreeMap;

use domain::ids::TripId;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::crew::{AssignError, Member, Role, assign_bus, assign_crew, crew_of};
use super::db::{plan, schedules as rows};
use super::expand::{Expanded, expand};
use super::trips::{TripError, depart_overdue, locked, locked_for_cancelling, run};
use super::*;
use crate::audit::Actor;
use crate::testing::{DEPARTS, TestCompany, TestDb};

/// Sunday, 2026-11-22, 10:00 in Lusaka.
const NOW: Instant = Instant(1_795_334_400_000);
const HOUR: i64 = 3_600_000;

struct Office {
    db: TestDb,
    company: TestCompany,
}

fn schedule(change: serde_json::Value) -> Schedule {
    let mut row = json!({"code": "A", "route": "R", "run": "0600", "departs": "06:00",
        "weekdays": [1, 2, 3, 4, 5, 6, 7]});
    let members = change.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(members);
    let row: Schedule = serde_json::from_value(row).unwrap();
    row.checked().unwrap()
}

impl Office {
    async fn new() -> Self {
        let db = TestDb::new().await.unwrap();
        let company = TestCompany::new(&db.db, 1).await.unwrap();
        let mut owner = db.owner().await.unwrap();
        for sql in [
            "INSERT INTO route (company_id, route_code, name, layout_id, fare_table_id)
             SELECT company_id, 'R', 'Road', 'coach', 'fares' FROM company",
            "INSERT INTO route_stop (company_id, route_code, stop_no, stop_code, arrives_s,
                 departs_s)
             SELECT company_id, 'R', n, 'S' || n, n * 3600, n * 3600 + 300
             FROM company, generate_series(0, 2) AS n",
            "UPDATE route_stop SET departs_s = 0 WHERE stop_no = 0",
            "INSERT INTO seat_layout (company_id, layout_id, version, seat_count, body)
             SELECT company_id, l, v, 10 + v, '' FROM company,
                 UNNEST(ARRAY['coach', 'minibus'], ARRAY[2, 1]) AS w(l, v)",
            "INSERT INTO bus (company_id, registration, layout_id, state)
             SELECT company_id, r, l, s FROM company,
                 UNNEST(ARRAY['BUS 1', 'BUS 2', 'MINI', 'OLD'],
                     ARRAY['coach', 'coach', 'minibus', 'coach'],
                     ARRAY['in_service', 'in_service', 'in_service', 'workshop']) AS w(r, l, s)",
        ] {
            sqlx::query(sql).execute(&mut owner).await.unwrap();
        }
        Self { db, company }
    }

    async fn tx(&self) -> crate::tenant::TenantTx {
        self.company.db.tenant(self.company.id).await.unwrap()
    }

    async fn put(&self, schedule: &Schedule) {
        let mut tx = self.tx().await;
        let rule = schedule.rule().unwrap();
        rows::put(&mut tx, schedule, &rule).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn expand(&self, now: Instant) -> Expanded {
        let db = &self.company.db;
        expand(db, self.company.id, None, Some(7), Actor::System, now)
            .await
            .unwrap()
    }

    /// The trips that schedules made, by service day: their departures, states and numbers.
    async fn made(&self) -> BTreeMap<String, (String, State, TripId)> {
        let mut tx = self.tx().await;
        let first = "2026-01-01".parse().unwrap();
        let last = "2027-12-31".parse().unwrap();
        let made = plan::made(&mut tx, first, last).await.unwrap();
        made.into_iter()
            .map(|((_, day, _), m)| {
                let leaves = m.trip.stops[0].departs.to_string();
                (day.to_string(), (leaves, m.state, m.trip.id))
            })
            .collect()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.db.number(sql).await.unwrap()
    }

    async fn told(&self, kind: &str) -> i64 {
        let mut owner = self.db.owner().await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE kind = $1")
            .bind(kind)
            .fetch_one(&mut owner)
            .await
            .unwrap()
    }

    async fn command(
        &self,
        trip: TripId,
        command: Command,
        now: Instant,
    ) -> Result<State, TripError> {
        let mut tx = self.tx().await;
        let running = match command {
            Command::Cancel(_) => locked_for_cancelling(&mut tx, trip, now).await?,
            Command::Board | Command::Depart(_) | Command::Arrive(_) | Command::Delay { .. } => {
                locked(&mut tx, trip).await?
            }
        };
        let done = run(&mut tx, running, &command, Actor::System, now).await?;
        tx.commit().await.unwrap();
        Ok(done.day.state)
    }

    async fn crew(&self, trip: TripId, people: &[(u128, Role)]) -> Result<(), AssignError> {
        let mut tx = self.tx().await;
        let running = locked(&mut tx, trip).await.unwrap();
        let crew: Vec<Member> = people
            .iter()
            .map(|(n, role)| Member {
                person: Uuid::from_u128(*n),
                role: *role,
            })
            .collect();
        assign_crew(&mut tx, running, &crew, Actor::System, NOW).await?;
        tx.commit().await.unwrap();
        Ok(())
    }

    async fn bus(&self, trip: TripId, bus: &str) -> Result<(), AssignError> {
        let mut tx = self.tx().await;
        let running = locked(&mut tx, trip).await.unwrap();
        assign_bus(&mut tx, running, Some(bus), Actor::System, NOW).await?;
        tx.commit().await.unwrap();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_becomes_the_trips_of_its_days_and_the_second_time_changes_nothing() {
    let office = Office::new().await;
    office
        .put(&schedule(json!({"weekdays": [1, 3], "bus": "BUS 1",
            "exceptions": [{"date": "2026-11-25", "change": "moved", "departs": "07:30"},
                {"date": "2026-11-28", "change": "added"}]})))
        .await;
    let first = office.expand(NOW).await;
    assert_eq!((first.created, first.skipped.len()), (3, 0), "{first:?}");
    let made = office.made().await;
    let leaves: Vec<(&str, &str)> = made
        .iter()
        .map(|(d, m)| (d.as_str(), m.0.as_str()))
        .collect();
    assert_eq!(
        leaves,
        [
            ("2026-11-23", "2026-11-23T04:00:00Z"),
            ("2026-11-25", "2026-11-25T05:30:00Z"),
            ("2026-11-28", "2026-11-28T04:00:00Z"),
        ]
    );
    let bus = "SELECT count(*) FROM trip_bus WHERE registration = 'BUS 1'";
    assert_eq!(office.number(bus).await, 3);
    let changes = "SELECT sum(last_change)::bigint FROM bucket";
    let told = office.number(changes).await;
    let second = office.expand(NOW).await;
    assert_eq!(
        (second.created, second.updated, second.unchanged),
        (0, 0, 3)
    );
    assert_eq!(office.number(changes).await, told);
    assert_eq!(office.made().await, made);
    // What would have left this morning is not made any more.
    office
        .put(&schedule(json!({"code": "B", "departs": "05:00"})))
        .await;
    assert_eq!(office.expand(NOW).await.created, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_rule_moves_unsold_trips_and_leaves_sold_ones() {
    let office = Office::new().await;
    office.put(&schedule(json!({"weekdays": [1, 2]}))).await;
    office.expand(NOW).await;
    let made = office.made().await;
    let (sold, unsold) = (made["2026-11-23"].2, made["2026-11-24"].2);
    let mut station = office.company.station(0).await.unwrap();
    office
        .company
        .lease(&mut station, sold, (0, 2), 1)
        .await
        .unwrap();
    office
        .put(&schedule(json!({"weekdays": [1, 2], "departs": "08:00"})))
        .await;
    let done = office.expand(NOW).await;
    assert_eq!((done.updated, done.kept.len()), (1, 1), "{done:?}");
    assert_eq!(done.kept[0].trip, Some(sold.0));
    let made = office.made().await;
    assert_eq!(made["2026-11-23"].0, "2026-11-23T04:00:00Z");
    let moved = ("2026-11-24T06:00:00Z".to_owned(), State::Scheduled, unsold);
    assert_eq!(made["2026-11-24"], moved);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_trip_is_withdrawn_unless_it_was_sold_and_runs_again_when_wanted_again() {
    let office = Office::new().await;
    office.put(&schedule(json!({"weekdays": [1, 2, 3]}))).await;
    office.expand(NOW).await;
    let before = office.made().await;
    let (sold, unsold) = (before["2026-11-23"].2, before["2026-11-24"].2);
    let mut station = office.company.station(0).await.unwrap();
    office
        .company
        .lease(&mut station, sold, (0, 2), 1)
        .await
        .unwrap();
    office.put(&schedule(json!({"weekdays": [3]}))).await;
    let done = office.expand(NOW).await;
    assert_eq!((done.withdrawn, done.kept.len()), (1, 1), "{done:?}");
    let made = office.made().await;
    assert_eq!(made["2026-11-23"].1, State::Scheduled);
    assert_eq!(made["2026-11-24"].1, State::Cancelled);
    assert_eq!(office.expand(NOW).await.withdrawn, 0);
    office.put(&schedule(json!({"weekdays": [1, 2, 3]}))).await;
    assert_eq!(office.expand(NOW).await.updated, 1);
    assert_eq!(office.made().await, before);
    // What a person cancelled stays cancelled.
    let why = Command::Cancel("flood".to_owned());
    office.command(unsold, why, NOW).await.unwrap();
    assert_eq!(office.expand(NOW).await.unchanged, 3);
    assert_eq!(office.made().await["2026-11-24"].1, State::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_is_named() {
    let office = Office::new().await;
    office
        .put(&schedule(json!({"code": "A", "layout": "tram"})))
        .await;
    office
        .put(&schedule(json!({"code": "B", "bus": "OLD"})))
        .await;
    office
        .put(&schedule(
            json!({"code": "C", "bus": "BUS 1", "weekdays": [1]}),
        ))
        .await;
    office
        .put(&schedule(
            json!({"code": "D", "bus": "BUS 1", "weekdays": [1]}),
        ))
        .await;
    let done = office.expand(NOW).await;
    let named: Vec<&str> = done.skipped.iter().map(|s| s.schedule.as_str()).collect();
    assert_eq!((done.created, named), (2, vec!["A", "B", "D"]), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_departure_earns_what_was_deferred_and_is_told_once() {
    let office = Office::new().await;
    let trip = office.company.trip("1", 2, 4).await.unwrap();
    let left = DEPARTS.plus_ms(5 * 60_000);
    for _ in 0..2 {
        let state = office.command(trip.id, Command::Depart(left), left).await;
        assert_eq!(state.unwrap(), State::Departed);
    }
    assert_eq!(office.told("trip.departed").await, 1);
    assert_eq!(
        office
            .number("SELECT count(*) FROM ledger_recognition")
            .await,
        1
    );
    assert_eq!(office.number("SELECT count(*) FROM trip_event").await, 2);
    let late = left.plus_ms(2 * HOUR);
    let state = office.command(trip.id, Command::Arrive(late), late).await;
    assert_eq!(state.unwrap(), State::Arrived);
    assert_eq!(office.told("trip.arrived").await, 1);
    let missing = office.command(TripId(999_999), Command::Board, NOW).await;
    assert!(matches!(missing, Err(TripError::Unknown(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_departs_by_itself_half_an_hour_after_departure_and_delay() {
    let office = Office::new().await;
    let trip = office.company.trip("1", 2, 4).await.unwrap().id;
    let late = Command::Delay {
        delay_ms: HOUR,
        reason: "road works".to_owned(),
    };
    office.command(trip, late, NOW).await.unwrap();
    assert_eq!(office.told("trip.delayed").await, 1);
    let due = DEPARTS.plus_ms(HOUR + HOUR / 2);
    let db = &office.company.db;
    assert_eq!(depart_overdue(db, due.plus_ms(-1)).await.unwrap(), 0);
    assert_eq!(depart_overdue(db, due).await.unwrap(), 1);
    assert_eq!(depart_overdue(db, due).await.unwrap(), 0);
    let mut tx = office.tx().await;
    let day = locked(&mut tx, trip).await.unwrap().day;
    assert_eq!(day.state, State::Departed);
    assert_eq!(day.departed_at, Some(DEPARTS.plus_ms(HOUR)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_trip_gives_back_holds_bus_and_crew_and_leases_nothing_more() {
    let office = Office::new().await;
    let trip = office.company.trip("1", 2, 4).await.unwrap().id;
    office.bus(trip, "BUS 1").await.unwrap();
    office.crew(trip, &[(1, Role::Driver)]).await.unwrap();
    let mut owner = office.db.owner().await.unwrap();
    for sql in [
        "INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor, currency,
             created_at_ms, state, expires_at_ms, expires_last_ms)
         SELECT company_id, gen_random_uuid(), 'HELD', trip_id, 0, 'ZMW', 0, 'held',
             9000000000000, 9000000000000 FROM trip",
        "INSERT INTO coupon (company_id, booking_id, coupon_no, trip_id, seat, legs, class,
             fare_minor)
         SELECT company_id, booking_id, 1, trip_id, 1, int4range(0, 2), 0, 100 FROM booking",
        "INSERT INTO claim (company_id, trip_id, seat, legs, kind, booking_id)
         SELECT company_id, trip_id, 1, int4range(0, 2), 'hold', booking_id FROM booking",
    ] {
        sqlx::query(sql).execute(&mut owner).await.unwrap();
    }
    for _ in 0..2 {
        let cancel = Command::Cancel("flood at Kafue".to_owned());
        assert_eq!(
            office.command(trip, cancel, NOW).await.unwrap(),
            State::Cancelled
        );
    }
    assert_eq!(office.told("trip.cancelled").await, 1);
    for sql in [
        "SELECT count(*) FROM claim",
        "SELECT count(*) FROM trip_bus",
        "SELECT count(*) FROM trip_crew",
        "SELECT count(*) FROM booking WHERE state <> 'cancelled'",
    ] {
        assert_eq!(office.number(sql).await, 0, "{sql}");
    }
    let mut station = office.company.station(0).await.unwrap();
    let refused = office.company.lease(&mut station, trip, (0, 2), 1).await;
    assert!(refused.is_err(), "a cancelled trip leases nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_has_the_trips_layout_and_is_in_one_place() {
    let office = Office::new().await;
    let one = office.company.trip("1", 2, 4).await.unwrap().id;
    let two = office.company.trip("2", 2, 4).await.unwrap().id;
    office.bus(one, "BUS 1").await.unwrap();
    office.bus(one, "BUS 1").await.unwrap();
    let refused = |bus: &'static str| office.bus(two, bus);
    assert!(matches!(
        refused("BUS 1").await,
        Err(AssignError::BusElsewhere { trip, .. }) if trip == one
    ));
    assert!(matches!(
        refused("MINI").await,
        Err(AssignError::OtherLayout { .. })
    ));
    assert!(matches!(
        refused("OLD").await,
        Err(AssignError::NotInService { .. })
    ));
    assert!(matches!(
        refused("NONE").await,
        Err(AssignError::UnknownBus(_))
    ));
    office.bus(two, "BUS 2").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_works_on_two_trips_at_once_and_long_days_warn() {
    let office = Office::new().await;
    let one = office.company.trip("1", 9, 4).await.unwrap().id;
    let two = office.company.trip("2", 9, 4).await.unwrap().id;
    let (driver, conductor) = ((1, Role::Driver), (2, Role::Conductor));
    office.crew(one, &[driver, conductor]).await.unwrap();
    assert!(matches!(
        office.crew(two, &[conductor]).await,
        Err(AssignError::PersonElsewhere { trip, .. }) if trip == one
    ));
    let twice = office
        .crew(two, &[(3, Role::Driver), (3, Role::Conductor)])
        .await;
    assert!(matches!(twice, Err(AssignError::Twice(_))));
    let warned = async |day_ms: i64| {
        let mut tx = office.tx().await;
        let settings = Settings {
            driving_day_ms_max: day_ms,
            ..Settings::default()
        };
        super::db::put_settings(&mut tx, &settings).await.unwrap();
        let running = locked(&mut tx, one).await.unwrap();
        let (crew, warnings, _) = crew_of(&mut tx, &running).await.unwrap();
        assert_eq!(crew.len(), 2);
        warnings
            .into_iter()
            .map(|(_, w)| w.kind())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        warned(9 * HOUR).await,
        [] as [&str; 0],
        "nine hours are allowed"
    );
    assert_eq!(warned(8 * HOUR).await, ["driving-day"]);
    office.crew(one, &[conductor]).await.unwrap();
    office.crew(two, &[driver]).await.unwrap();
}
