//! A restored hub on a real database: what it takes over, what waits, when it sells again.

use domain::event::{
    EventBody, LeaseSurrendered, ScanRecord, ShiftOpened, SignedEvent, VoidReason, VoidRecord,
};
use domain::ids::{LayoutVersion, SaleOrdinal, SeatNo, ShiftNo, StopSeq, TicketId, TripId};
use domain::lease::{Grant, GrantRefusal, SignedGrant};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::restore::{LEASES_SKIPPED, first_epoch};
use domain::scan::ScanAnswer;
use domain::ticket::{TicketClaim, sign_ticket, signing_kid};
use domain::time::Instant;
use serde_json::json;
use sync_protocol::BucketId;
use sync_protocol::frame::{Known, LogHead};

use super::{begin_incarnation, settle, take_grants};
use crate::backup::{Target, make, take};
use crate::clock;
use crate::db::Db;
use crate::http::tests::site::{DAY, Site};
use crate::keys::HubKeys;
use crate::nodes::assignment::assign_onboard;
use crate::postgres::TestCluster;
use crate::sync::buckets::on_bucket_ack;
use crate::testing::{TestCompany, TestDb, TestNode, deliver};

mod unknown;

/// A company on a hub that will be lost.
struct Scene {
    folder: tempfile::TempDir,
    test: TestDb,
    company: TestCompany,
    trip: TripId,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pki")).unwrap();
        let test = TestDb::new().await.unwrap();
        let mut company = TestCompany::new(&test.db, 1).await.unwrap();
        company.keys = HubKeys::load_or_create(&folder.path().join("keys")).unwrap();
        let trip = company.trip("1", 4, 10).await.unwrap().id;
        Self {
            folder,
            test,
            company,
            trip,
        }
    }

    async fn back_up(&self) {
        let at = |what: &str| self.folder.path().join(what);
        let (keys, pki, to) = (at("keys"), at("pki"), at("backup"));
        let made = make(&self.test.url, (&keys, &pki), &to, &|_| ());
        made.await.unwrap();
    }

    /// The hub as it comes back from the backup.
    async fn restored(&self) -> Restored {
        let database = TestCluster::database().await.unwrap();
        let target = Target {
            folder: self.folder.path().join("restored"),
            database_url: Some(database.url.clone()),
            after: None,
        };
        let from = self.folder.path().join("backup");
        let taken = take(&from, &target, &|_| ()).await.unwrap();
        assert_eq!(taken.begun.frozen, 1);
        let db = Db::connect(&database.url).await.unwrap();
        Restored {
            url: database.url.clone(),
            company: TestCompany {
                id: self.company.id,
                db: db.clone(),
                keys: self.company.keys.clone(),
            },
            db,
            hub: taken.begun.hub,
            _database: database,
        }
    }
}

struct Restored {
    url: String,
    db: Db,
    company: TestCompany,
    hub: domain::ids::HubIncarnation,
    _database: crate::postgres::TestDatabase,
}

impl Restored {
    async fn number(&self, sql: &'static str) -> i64 {
        use sqlx::Connection as _;
        let mut owner = sqlx::PgConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut owner).await.unwrap()
    }

    async fn tell(&self, node: &TestNode, grants: &[&Grant]) {
        let known = Known {
            grants: self.signed(grants),
            ..Known::default()
        };
        self.tell_all(node, &known).await;
    }

    fn signed(&self, grants: &[&Grant]) -> Vec<SignedGrant> {
        let keys = &self.company.keys;
        grants.iter().map(|grant| keys.sign_grant(grant)).collect()
    }

    async fn tell_all(&self, node: &TestNode, known: &Known) {
        let logs = [LogHead::from(node.head)];
        let now = clock::now();
        let keys = &self.company.keys;
        for _ in 0..2 {
            take_grants(&self.db, keys, &node.context, &logs, known, now)
                .await
                .unwrap();
        }
    }

    async fn hear(&self, node: &TestNode, events: &[SignedEvent]) -> bool {
        let mut ingest = node.ingest(&self.db);
        deliver(&mut ingest, events.to_vec())
            .await
            .unwrap()
            .is_some()
    }

    async fn settle(&self) -> bool {
        settle(&self.db, self.company.id, clock::now())
            .await
            .unwrap()
    }
}

fn opened(node: &mut TestNode) -> SignedEvent {
    node.log(&EventBody::ShiftOpened(ShiftOpened {
        shift: ShiftNo(1),
        agent: "Mutinta".to_owned(),
        float_minor: Minor(0),
        currency: Currency::ZMW,
    }))
}

fn surrendered(node: &mut TestNode, grant: &Grant) -> SignedEvent {
    let last_seq = node.head.seq;
    node.log(&EventBody::LeaseSurrendered(LeaseSurrendered {
        trip: grant.trip,
        lease_no: grant.lease_no,
        epoch: grant.epoch,
        last_seq,
    }))
}

const LIVE: &str = "SELECT count(*) FROM ticket WHERE state = 0";
const NOT_APPLIED: &str = "SELECT count(*) FROM event_verdict";
const FROZEN: &str = "SELECT count(*) FROM trip WHERE frozen_by IS NOT NULL";

#[tokio::test]
async fn what_was_granted_after_the_backup_is_taken_over_and_no_seat_is_sold_twice() {
    let scene = Scene::new().await;
    let (company, trip) = (&scene.company, scene.trip);
    let mut a = company.station(0).await.unwrap();
    let mut b = company.station(1).await.unwrap();
    let had = company.lease(&mut a, trip, (0, 4), 3).await.unwrap();
    scene.back_up().await;
    let of_a = [
        opened(&mut a),
        a.sell(1, &had, &[(1, 0, 4)]),
        surrendered(&mut a, &had),
    ];
    deliver(&mut a.ingest(&scene.test.db), of_a.to_vec())
        .await
        .unwrap();
    let lost = company.lease(&mut b, trip, (0, 4), 10).await.unwrap();
    assert_eq!(lost.claims.len(), 9, "what A gave back went to B");
    let of_b = [opened(&mut b), b.sell(1, &lost, &[(2, 0, 4)])];

    let hub = scene.restored().await;
    let refused = hub
        .company
        .lease(&mut b, trip, (0, 4), 1)
        .await
        .unwrap_err();
    assert_eq!(refused.downcast_ref(), Some(&GrantRefusal::TripFrozen));
    assert!(
        !hub.hear(&b, &of_b).await,
        "judged before its grants were told"
    );
    hub.tell(&b, &[&lost]).await;
    assert!(!hub.settle().await, "A has told nothing");
    assert_eq!(hub.number(LIVE).await, 1);
    hub.tell(&a, &[&had]).await;
    assert!(!hub.settle().await, "the log of A is not here");
    assert!(hub.hear(&a, &of_a).await);
    assert_eq!(hub.number(FROZEN).await, 1);
    assert!(hub.settle().await);
    assert_eq!(hub.number(FROZEN).await, 0);
    assert_eq!(
        (hub.number(LIVE).await, hub.number(NOT_APPLIED).await),
        (2, 0)
    );
    let leased = "SELECT count(*) FROM claim WHERE kind = 'lease'";
    assert_eq!(hub.number(leased).await, 9, "every seat of B is its own");
    let mut c = hub.company.station(2).await.unwrap();
    let dry = hub
        .company
        .lease(&mut c, trip, (0, 4), 1)
        .await
        .unwrap_err();
    assert_eq!(dry.downcast_ref(), Some(&GrantRefusal::SoldOut));
    let given_back = [surrendered(&mut b, &lost)];
    assert!(hub.hear(&b, &given_back).await);
    let fresh = hub.company.lease(&mut b, trip, (0, 4), 10).await.unwrap();
    assert_eq!(fresh.claims.len(), 8, "what A and B sold stays sold");
    assert!(fresh.epoch >= first_epoch(hub.hub), "{}", fresh.epoch);
    assert_eq!(fresh.lease_no.0, lost.lease_no.0 + LEASES_SKIPPED);
}

#[tokio::test]
async fn a_sale_waits_for_the_void_that_made_its_seat_free() {
    let scene = Scene::new().await;
    let (company, trip, db) = (&scene.company, scene.trip, &scene.test.db);
    let bus = company.onboard(1).await.unwrap();
    let assigned = assign_onboard(db, &company.keys, company.id, trip, bus.id());
    assigned.await.unwrap();
    let mut a = company.station(0).await.unwrap();
    let mut b = company.station(1).await.unwrap();
    let had = company.lease(&mut a, trip, (0, 4), 10).await.unwrap();
    let in_backup = [opened(&mut a), a.sell(1, &had, &[(1, 0, 4)])];
    deliver(&mut a.ingest(db), in_backup.to_vec())
        .await
        .unwrap();
    scene.back_up().await;
    let ticket = TestNode::ticket_of(&in_backup[1], trip, 1);
    let void = a.log(&EventBody::Void(VoidRecord {
        shift: ShiftNo(1),
        ticket,
        reason: VoidReason::PassengerRequest,
    }));
    let after = [void, surrendered(&mut a, &had)];
    deliver(&mut a.ingest(db), after.to_vec()).await.unwrap();
    on_bucket_ack(db, company.id, bus.id(), &BucketId::Trip(trip), 1_000)
        .await
        .unwrap();
    let lost = company.lease(&mut b, trip, (0, 4), 10).await.unwrap();
    assert_eq!(lost.claims.len(), 10);
    let of_b = [opened(&mut b), b.sell(1, &lost, &[(1, 0, 4)])];

    let hub = scene.restored().await;
    hub.tell(&b, &[&lost]).await;
    assert!(hub.hear(&b, &of_b).await, "the shift is judged");
    assert_eq!(
        (hub.number(LIVE).await, hub.number(NOT_APPLIED).await),
        (1, 0)
    );
    let waits = "SELECT stored_seq - judged_seq FROM node_log ORDER BY 1 DESC LIMIT 1";
    assert_eq!(hub.number(waits).await, 1, "the sale waits");
    hub.tell(&a, &[&had]).await;
    assert!(hub.hear(&a, &after).await);
    hub.settle().await;
    assert_eq!(
        (hub.number(LIVE).await, hub.number(NOT_APPLIED).await),
        (1, 0)
    );
    let of_seat = "SELECT count(*) FROM ticket WHERE state = 1";
    assert_eq!(hub.number(of_seat).await, 1);
    assert_eq!(hub.number(waits).await, 0);
}

#[tokio::test]
async fn the_seat_of_a_lost_ticket_that_the_bus_saw_is_not_sold_again() {
    let scene = Scene::new().await;
    let (company, trip) = (&scene.company, scene.trip);
    let mut bus = company.onboard(1).await.unwrap();
    scene.back_up().await;
    let hub = scene.restored().await;
    let claim = TicketClaim {
        id: TicketId(uuid::Uuid::from_u128(77)),
        trip,
        seat: SeatNo(3),
        from: StopSeq(0),
        to: StopSeq(2),
        class: PassengerClass::Adult,
        ordinal: SaleOrdinal(1),
        issued_at: Instant(1_790_000_000_000),
        lease: None,
        layout_version: LayoutVersion(1),
        test: false,
    };
    let key = company.keys.signing_key();
    let code = sign_ticket(&claim, signing_kid(&key.verifying_key()), key).to_qr();
    let thief = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let forged = TicketClaim {
        id: TicketId(uuid::Uuid::from_u128(78)),
        seat: SeatNo(4),
        ..claim
    };
    let kid = signing_kid(&key.verifying_key());
    let forged_code = sign_ticket(&forged, kid, &thief).to_qr();
    let mut scan = |id, text: &str| {
        bus.log(&EventBody::Scan(ScanRecord {
            trip,
            answer: ScanAnswer::GoodButUnlisted,
            ticket: Some(id),
            text: Some(text.to_owned()),
        }))
    };
    let events = [
        scan(claim.id, &code),
        scan(claim.id, &code),
        scan(forged.id, &forged_code),
    ];
    hub.tell(&bus, &[]).await;
    assert!(hub.hear(&bus, &events).await);
    assert!(hub.settle().await);
    let kept = "SELECT count(*) FROM claim WHERE kind = 'block' AND seat = 3 AND legs = '[0,2)'";
    assert_eq!(hub.number(kept).await, 1);
    assert_eq!(hub.number("SELECT count(*) FROM claim").await, 1);
    let cases = "SELECT count(*) FROM conflict_case WHERE reason = 'ticket_unknown'";
    assert_eq!(hub.number(cases).await, 1);
    assert_eq!(hub.number("SELECT count(*) FROM scan").await, 3);
    let mut a = hub.company.station(0).await.unwrap();
    let grant = hub.company.lease(&mut a, trip, (0, 4), 10).await.unwrap();
    assert!(grant.claims.iter().all(|c| c.seat != SeatNo(3)));
}

#[tokio::test]
async fn a_frozen_trip_says_why_and_sells_once_a_person_takes_the_risk() {
    let site = Site::new().await;
    let (company, office) = site.company("A").await;
    let trip = site.trip("A").await;
    let now = clock::now();
    let station = domain::ids::StopCode("LUN".to_owned());
    let kind = crate::nodes::NodeKind::Station(station);
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]).verifying_key();
    let db = &site.api.db;
    crate::nodes::enrolment::enrol_for_test(db, company, "Lusaka 1", &kind, &key, &key)
        .await
        .unwrap();
    let keys = &site.api.keys;
    begin_incarnation(&site.db.url, keys, now, now)
        .await
        .unwrap();
    let refused = site.book(trip, "one", 1).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let said = refused.json();
    assert_eq!(said["type"], "urn:mwimule:problem:trip-frozen");
    assert!(
        said["detail"].as_str().unwrap().contains("restored"),
        "{said}"
    );
    look_is_frozen(&site, trip, true).await;
    let bearer = format!("Bearer {office}");
    let seen = site
        .with_header("GET", "/restore", ("authorization", &bearer))
        .await
        .json();
    assert_eq!(seen["waits"][0]["name"], "Lusaka 1", "{seen}");
    assert_eq!(seen["waits"][0]["waits_for"], "grants");
    let list = site
        .with_header("GET", "/restore/trips", ("authorization", &bearer))
        .await
        .json();
    let listed = list["items"].as_array().unwrap();
    let ours = listed.iter().find(|item| item["trip"] == trip);
    assert_eq!(ours.unwrap()["waits"][0]["name"], "Lusaka 1");
    let path = format!("/restore/trips/{trip}/thaw");
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "thaw"),
        ("authorization", bearer.as_str()),
    ];
    let no = json!({"reason": "no bus left", "accept_risk": false}).to_string();
    assert_eq!(site.post(&path, &headers, &no).await.status, 422);
    let yes = json!({"reason": "no bus left", "accept_risk": true}).to_string();
    let headers = [headers[0], ("idempotency-key", "thaw-it"), headers[2]];
    for _ in 0..2 {
        let done = site.post(&path, &headers, &yes).await;
        assert_eq!(done.status, 200, "{done:?}");
        assert_eq!(done.json()["unheard"][0], "Lusaka 1");
    }
    look_is_frozen(&site, trip, false).await;
    let noted = "SELECT count(*) FROM audit_log WHERE action = 'restore.accept_risk'
                 AND after->>'reason' = 'no bus left' AND after->>'risk' LIKE '%second time%'";
    assert_eq!(site.db.number(noted).await.unwrap(), 1);
    let sold = site.book(trip, "two", 1).await;
    assert_eq!(sold.status, 201, "{sold:?}");
}

/// What travellers are shown of the trip, everywhere that they look.
async fn look_is_frozen(site: &Site, trip: u64, frozen: bool) {
    let why = if frozen {
        json!("trip-frozen")
    } else {
        json!(null)
    };
    let found = site
        .get(&format!("/search?from=LUN&to=LVI&date={DAY}"))
        .await
        .json();
    let rows = found["departures"].as_array().unwrap();
    let row = rows.iter().find(|d| d["trip"] == trip);
    let row = row.expect("who looks for it has to find it");
    assert_eq!(row["not_bookable"], why, "{row}");
    assert_eq!(row["seats_left"] == 0, frozen, "{row}");
    let listed = site
        .get(&format!("/trips?date={DAY}&from=LUN&to=LVI"))
        .await
        .json();
    let rows = listed["items"].as_array().unwrap();
    let row = rows.iter().find(|d| d["trip"] == trip).unwrap();
    assert_eq!(row["not_bookable"], why, "{row}");
    let shown = site.get(&format!("/trips/{trip}")).await.json();
    assert_eq!(shown["not_bookable"], why, "{shown}");
    let plan = site.get(&format!("/trips/{trip}/seats")).await.json();
    assert_eq!(plan["not_bookable"], why, "{plan}");
    assert_eq!(plan["free_seats"] == 0, frozen, "{plan}");
    let seats = plan["seats"].as_array().unwrap();
    let free = seats.iter().any(|s| s["runs"][0]["state"] == "free");
    assert_ne!(free, frozen, "{plan}");
    let wish = json!({"journeys": [{"trip": trip, "from": "LUN", "to": "LVI",
        "passengers": ["adult"]}]});
    let quoted = site.ask("/quotes", "quote", &wish).await;
    if frozen {
        assert_eq!(
            (quoted.status, quoted.problem().as_str()),
            (409, "trip-frozen")
        );
    } else {
        assert_eq!(quoted.json()["available"], true, "{quoted:?}");
    }
}
