mod export;

use std::path::PathBuf;

use domain::ids::{SeatNo, TripId};
use domain::layout::SeatLayout;
use domain::lease::{LeaseRequest, SeatWant};
use domain::time::Instant;
use sync_protocol::frame::LeaseAnswer;
use uuid::Uuid;

use super::*;
use crate::gtfs::{self, Options, Plan};
use crate::keys::HubKeys;
use crate::testing::{TestCompany, TestDb};

const NOW: Instant = Instant(1_790_000_000_000);
const DAYS: u16 = 2;

struct Office {
    db: TestDb,
    keys: HubKeys,
    company: domain::ids::CompanyId,
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/zambia-gtfs")
}

fn plan() -> Plan {
    let options = Options {
        days: DAYS,
        ..Options::starting("2034-05-02".parse().unwrap())
    };
    gtfs::import(&fixture(), &options).unwrap().0
}

impl Office {
    async fn new() -> Self {
        let db = TestDb::new().await.unwrap();
        let keys = HubKeys::from_bytes(&[7; 32], [8; 32]);
        let wanted = NewCompany {
            name: "Mwimule".to_owned(),
            zone: "Africa/Lusaka".parse().unwrap(),
            currency: "ZMW".parse().unwrap(),
        };
        let company = create(&db.db, &keys, &wanted, NOW).await.unwrap();
        Self { db, keys, company }
    }

    async fn apply(&self, plan: &Plan) -> Applied {
        apply(&self.db.db, self.company, plan).await.unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.db.number(sql).await.unwrap()
    }

    async fn last_change(&self) -> i64 {
        self.number("SELECT sum(last_change)::bigint FROM bucket")
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_import_changes_nothing_and_tells_nobody() {
    let office = Office::new().await;
    let plan = plan();
    let first = office.apply(&plan).await;
    assert_eq!(first.trips.created, plan.trips().count());
    assert_eq!(first.stops.created, plan.stops.len());
    let (trips, changes) = (
        office.number("SELECT count(*) FROM trip").await,
        office.last_change().await,
    );
    let rows = "SELECT sum(hashtext(trip::text)::bigint)::bigint FROM trip";
    let content = office.number(rows).await;
    let second = office.apply(&plan).await;
    for counts in [
        second.stops,
        second.layouts,
        second.fare_tables,
        second.routes,
    ] {
        assert_eq!((counts.created, counts.updated), (0, 0));
    }
    let unchanged = TripChanges {
        unchanged: plan.trips().count(),
        ..TripChanges::default()
    };
    assert_eq!(second.trips, unchanged);
    assert_eq!(office.number("SELECT count(*) FROM trip").await, trips);
    assert_eq!(office.number(rows).await, content);
    assert_eq!(office.last_change().await, changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_departure_updates_its_trip_under_the_same_number_and_tells_its_stations() {
    let office = Office::new().await;
    let mut plan = plan();
    office.apply(&plan).await;
    let before = office.number("SELECT max(trip_id) FROM trip").await;
    let changes = office.last_change().await;
    for call in &mut plan.runs[0].calls {
        call.arrives_s += 600;
        call.departs_s += 600;
    }
    let stops = plan
        .patterns
        .iter()
        .find(|p| p.key == plan.runs[0].pattern)
        .unwrap();
    let told = (stops.stops.len() + 1) * usize::from(DAYS);
    let applied = office.apply(&plan).await;
    assert_eq!(applied.trips.updated, usize::from(DAYS));
    assert_eq!(applied.trips.created, 0);
    assert_eq!(office.number("SELECT max(trip_id) FROM trip").await, before);
    assert_eq!(office.last_change().await, changes + told as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_with_a_lease_keeps_its_seats_when_the_feed_changes_them() {
    let office = Office::new().await;
    let mut plan = plan();
    office.apply(&plan).await;
    let trip = office.number("SELECT min(trip_id) FROM trip").await;
    let seats = office
        .number("SELECT seat_count::bigint FROM trip ORDER BY trip_id LIMIT 1")
        .await;
    let company = TestCompany {
        id: office.company,
        db: office.db.db.clone(),
        keys: office.keys.clone(),
    };
    let station = company.station(1).await.unwrap();
    let request = LeaseRequest {
        request: domain::ids::RequestId(Uuid::from_u128(5)),
        trip: TripId(trip as u64),
        boarding: domain::ids::StopSeq(0),
        wants: vec![SeatWant {
            to: domain::ids::StopSeq(1),
            count: 1,
        }],
    };
    let db = &office.db.db;
    let answer = crate::ticketing::leases::grant_lease(
        db,
        &office.keys,
        office.company,
        station.id(),
        &request,
        NOW,
    );
    assert!(matches!(answer.await.unwrap(), LeaseAnswer::Granted(_)));
    for layout in &mut plan.layouts {
        let mut fewer = layout.seats.clone();
        fewer.pop();
        *layout = SeatLayout::new(&layout.id, layout.version, fewer).unwrap();
    }
    let applied = office.apply(&plan).await;
    assert_eq!(applied.layouts.created, plan.layouts.len());
    assert_eq!(applied.trips.kept, 1);
    assert_eq!(applied.kept[0].trip, trip as u64);
    let kept = office
        .number("SELECT seat_count::bigint FROM trip ORDER BY trip_id LIMIT 1")
        .await;
    assert_eq!(kept, seats);
    assert_eq!(applied.trips.updated, plan.trips().count() - 1);
    let versions = office
        .number("SELECT count(DISTINCT version) FROM seat_layout")
        .await;
    assert_eq!(versions, 2, "a changed layout is a new version");
    let again = office.apply(&plan).await;
    assert_eq!((again.layouts.created, again.trips.updated), (0, 0));
    let mut tx = db.tenant(office.company).await.unwrap();
    let inventory = crate::ticketing::inventory::load_inventory(&mut tx, TripId(trip as u64))
        .await
        .unwrap()
        .unwrap();
    assert!(inventory.pool.seat_count() >= SeatNo(seats as u16).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_companies_cannot_have_one_name() {
    let office = Office::new().await;
    let again = NewCompany {
        name: "Mwimule".to_owned(),
        zone: "Africa/Lusaka".parse().unwrap(),
        currency: "ZMW".parse().unwrap(),
    };
    let error = create(&office.db.db, &office.keys, &again, NOW)
        .await
        .unwrap_err();
    assert!(matches!(error, CompanyError::NameTaken(_)), "{error}");
    let unknown = company_named(&office.db.db, "Nobody")
        .await
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("company create"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_known_by_its_hash_only() {
    let office = Office::new().await;
    let made = create_token(&office.db.db, office.company, "boss", NOW)
        .await
        .unwrap();
    let found = caller_of_token(&office.db.db, &made.token, NOW)
        .await
        .unwrap();
    let found = found.map(|(company, _, scopes)| (company, scopes));
    assert_eq!(found, Some((office.company, None)));
    assert_eq!(
        caller_of_token(&office.db.db, "mwt_00", NOW).await.unwrap(),
        None
    );
    let like = "SELECT count(*) FROM api_token WHERE api_token::text LIKE '%mwt%'";
    assert_eq!(office.number(like).await, 0);
}
