use domain::ids::{CompanyId, RequestId, StopCode, StopSeq, TripId};
use domain::lease::{GrantRefusal, LeaseRequest, SeatWant};
use serde_json::{Value, json};
use sync_protocol::frame::LeaseAnswer;
use uuid::Uuid;

use super::jobs;
use crate::access::Role;
use crate::clock;
use crate::http::tests::site::{Answer, DAY, Site};
use crate::nodes::NodeKind;
use crate::nodes::enrolment::enrol_for_test;
use crate::testing::token_for;
use crate::ticketing::leases::grant_lease;
use crate::worker::Progress;

const WAIT: &str = "/waiting-list";

/// A company whose trip is sold out but for one seat that a booking of one has.
struct Scene {
    site: Site,
    company: CompanyId,
    office: String,
    trip: u64,
    /// Reference of the booking that has one seat.
    last: String,
}

/// An entry, as it was told.
struct Entry {
    path: String,
    token: String,
}

impl Scene {
    async fn new() -> Self {
        let site = Site::new().await;
        let (company, office) = site.company("A").await;
        let trip = site.trip("A").await;
        site.leave_seats(trip, 1).await;
        let last = site.book(trip, "last", 1).await.json();
        Self {
            last: last["reference"].as_str().unwrap().to_owned(),
            site,
            company,
            office,
            trip,
        }
    }

    fn wish(&self, phone: usize, adults: usize) -> Value {
        json!({
            "trip": self.trip, "from": "LUN", "to": "LVI", "passengers": vec!["adult"; adults],
            "contact": {"name": "Bwalya Phiri", "phone": format!("+26097000010{phone}")},
        })
    }

    async fn waits(&self, phone: usize, adults: usize) -> Entry {
        let key = format!("wait-{phone}");
        let told = self.site.ask(WAIT, &key, &self.wish(phone, adults)).await;
        assert_eq!(told.status, 201, "{told:?}");
        let told = told.json();
        assert_eq!(told["state"], "waiting");
        Entry {
            path: format!("{WAIT}/{}", told["waiting"].as_str().unwrap()),
            token: told["token"].as_str().unwrap().to_owned(),
        }
    }

    async fn at(&self, method: &str, entry: &Entry) -> Answer {
        let header = ("waiting-token", entry.token.as_str());
        self.site.with_header(method, &entry.path, header).await
    }

    async fn look(&self, entry: &Entry) -> Value {
        let seen = self.at("GET", entry).await;
        assert_eq!(seen.status, 200, "{seen:?}");
        seen.json()
    }

    async fn as_office(&self, path: &str, key: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.office);
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
            ("authorization", bearer.as_str()),
        ];
        self.site.post(path, &headers, &body.to_string()).await
    }

    /// Cancels the booking that has one seat.
    async fn free_a_seat(&self) {
        let path = format!("/bookings/{}/offers", self.last);
        let wish = json!({"kind": "cancel", "reason": "goodwill"});
        let offer = self.as_office(&path, "-", &wish).await;
        assert_eq!(offer.status, 201, "{offer:?}");
        let offer = offer.json();
        let path = format!("/offers/{}/confirm", offer["offer"].as_str().unwrap());
        let done = self.as_office(&path, "cancel", &json!({})).await;
        assert_eq!(done.status, 200, "{done:?}");
    }

    async fn turn(&self) {
        let done = jobs::turn(&self.site.api, clock::now()).await.unwrap();
        assert_eq!(done, Progress::Idle);
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.site.db.number(sql).await.unwrap()
    }

    async fn run(&self, sql: &'static str) {
        let mut owner = self.site.db.owner().await.unwrap();
        sqlx::query(sql).execute(&mut owner).await.unwrap();
    }

    /// The offered hold runs out.
    async fn run_out(&self) {
        self.run("UPDATE booking SET expires_at_ms = 1 WHERE state = 'held'")
            .await;
    }
}

const OFFERS: &str = "SELECT count(*) FROM waiting_entry WHERE state = 'offered'";
const OFFERED: &str = "SELECT count(*) FROM outbox WHERE kind = 'waiting_list.offered'";
const LAPSED: &str = "SELECT count(*) FROM outbox WHERE kind = 'waiting_list.lapsed'";
const CLOSED: &str = "SELECT count(*) FROM outbox WHERE kind = 'waiting_list.closed'";
const HOLDS: &str = "SELECT count(*) FROM claim WHERE kind = 'hold'";

#[tokio::test(flavor = "multi_thread")]
async fn a_freed_seat_is_offered_in_order_lapses_to_the_next_and_is_bought() {
    let scene = Scene::new().await;
    let (first, second, third) = (
        scene.waits(1, 1).await,
        scene.waits(2, 1).await,
        scene.waits(3, 1).await,
    );
    assert_eq!(scene.look(&third).await["place"], 3);
    scene.turn().await;
    assert_eq!(scene.number(OFFERED).await, 0, "nothing is free");

    scene.free_a_seat().await;
    scene.turn().await;
    scene.turn().await;
    assert_eq!(scene.number(OFFERED).await, 1);
    let offered = scene.look(&first).await;
    assert_eq!(offered["state"], "offered", "{offered}");
    let hold = &offered["offer"]["hold"];
    let held = format!("/holds/{}", hold["hold"].as_str().unwrap());
    let token = hold["token"].as_str().unwrap();
    assert_eq!(
        scene.site.with_token("GET", &held, token).await.status,
        200,
        "it is an ordinary hold"
    );
    let longer = format!("{held}/extend");
    let longer = scene.site.with_token("POST", &longer, token).await;
    assert_eq!(
        (longer.status, longer.problem().as_str()),
        (409, "hold-limit")
    );
    for (entry, place) in [(&second, 1), (&third, 2)] {
        let seen = scene.look(entry).await;
        assert_eq!(
            (&seen["state"], &seen["place"]),
            (&json!("waiting"), &json!(place))
        );
    }

    scene.run_out().await;
    assert_eq!(scene.look(&first).await["state"], "lapsed");
    scene.turn().await;
    assert_eq!(scene.look(&first).await["state"], "lapsed");
    assert_eq!(
        (scene.number(LAPSED).await, scene.number(OFFERED).await),
        (1, 2)
    );
    let offered = scene.look(&second).await;
    let hold = &offered["offer"]["hold"];
    let book = json!({
        "hold": hold["hold"], "token": hold["token"], "pay": "cash",
        "contact": {"name": "Bwalya Phiri", "phone": "+260970000102"},
    });
    let bought = scene.as_office("/bookings", "buy", &book).await;
    assert_eq!(bought.status, 201, "{bought:?}");
    let bought = bought.json();
    assert_eq!(bought["tickets"].as_array().unwrap().len(), 1);
    scene.turn().await;
    assert_eq!(scene.look(&second).await["state"], "taken");
    let left = scene.at("DELETE", &second).await;
    assert_eq!((left.status, left.problem().as_str()), (409, "offer-taken"));
    let seen = scene.look(&third).await;
    assert_eq!(
        (&seen["state"], &seen["place"]),
        (&json!("waiting"), &json!(1))
    );
    assert_eq!(
        (scene.number(OFFERED).await, scene.number(HOLDS).await),
        (2, 0)
    );
    let noted = "SELECT count(*) FROM audit_log WHERE action = 'waiting_list.offer'";
    assert_eq!(scene.number(noted).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_at_the_right_moment_does_not_pass_the_line() {
    let scene = Scene::new().await;
    let big = scene.waits(1, 2).await;
    let small = scene.waits(2, 1).await;
    scene.free_a_seat().await;
    // No job has looked yet.
    let wish = json!({"journeys": [{
        "trip": scene.trip, "from": "LUN", "to": "LVI", "passengers": ["adult"]}]});
    let quick = scene.site.ask("/holds", "quick", &wish).await;
    assert_eq!((quick.status, quick.problem().as_str()), (409, "sold-out"));
    assert_eq!(scene.look(&small).await["state"], "offered");
    assert_eq!(
        scene.look(&big).await["place"],
        1,
        "one seat is too few for it"
    );
    // Who leaves gives the seat back.
    assert_eq!(scene.at("DELETE", &small).await.status, 204);
    assert_eq!(scene.at("DELETE", &small).await.status, 204);
    assert_eq!(scene.look(&small).await["state"], "left");
    let next = scene.site.ask("/holds", "next", &wish).await;
    assert_eq!(next.status, 201, "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_is_leased_no_seat_that_somebody_waits_for() {
    let scene = Scene::new().await;
    let first = scene.waits(1, 1).await;
    scene.free_a_seat().await;
    let trip = TripId(scene.trip);
    let shown = scene.site.get(&format!("/trips/{trip}")).await.json();
    let stops = shown["stops"].as_array().unwrap().iter();
    let seq = |code: &str| {
        let at = stops.clone().position(|stop| stop["code"] == code);
        StopSeq(at.unwrap() as u8)
    };
    let request = |number| LeaseRequest {
        request: RequestId(Uuid::from_u128(number)),
        trip,
        boarding: seq("LUN"),
        wants: vec![SeatWant {
            to: seq("LVI"),
            count: 1,
        }],
    };
    let kind = NodeKind::Station(StopCode("LUN".to_owned()));
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]).verifying_key();
    let (db, keys, company) = (&scene.site.api.db, &scene.site.api.keys, scene.company);
    let node = enrol_for_test(db, company, "Lusaka 1", &kind, &key, &key)
        .await
        .unwrap();
    let now = clock::now();
    let wish = request(1);
    let refused = grant_lease(db, keys, company, node, &wish, now).await;
    assert_eq!(
        refused.unwrap(),
        LeaseAnswer::Refused(GrantRefusal::SoldOut)
    );
    scene.turn().await;
    assert_eq!(scene.look(&first).await["state"], "offered");
    assert_eq!(scene.at("DELETE", &first).await.status, 204);
    let wish = request(2);
    let granted = grant_lease(db, keys, company, node, &wish, now).await;
    let LeaseAnswer::Granted(signed) = granted.unwrap() else {
        panic!("nobody waits any more");
    };
    let grant = signed.verify(&keys.verifying_key()).unwrap();
    assert_eq!(grant.claims.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_does_not_pass_the_line() {
    let scene = Scene::new().await;
    let page = format!("/trips?company=A&date={DAY}&from=LUN&to=LVI&limit=2");
    let other = scene.site.get(&page).await.json()["items"][1]["trip"].clone();
    let elsewhere = scene.site.book(other.as_u64().unwrap(), "other", 1).await;
    let elsewhere = elsewhere.json()["reference"].as_str().unwrap().to_owned();
    let offer = async || {
        let path = format!("/bookings/{elsewhere}/offers");
        let wish = json!({"kind": "exchange", "to":
            {"trip": scene.trip, "from": "LUN", "to": "LVI"}});
        let offer = scene.as_office(&path, "-", &wish).await;
        assert_eq!(offer.status, 201, "{offer:?}");
        let offer = offer.json()["offer"].as_str().unwrap().to_owned();
        format!("/offers/{offer}/confirm")
    };
    let line = scene.waits(1, 1).await;
    scene.free_a_seat().await;
    // No job has looked yet.
    let passing = offer().await;
    let refused = scene.as_office(&passing, "passing", &json!({})).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "sold-out")
    );
    scene.turn().await;
    assert_eq!(scene.look(&line).await["state"], "offered");
    assert_eq!(scene.at("DELETE", &line).await.status, 204);
    let passing = offer().await;
    let done = scene.as_office(&passing, "nobody-waits", &json!({})).await;
    assert_eq!(done.status, 200, "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_run_at_once_never_offer_a_seat_twice() {
    let scene = Scene::new().await;
    for phone in 1..=4 {
        scene.waits(phone, 1).await;
    }
    scene.free_a_seat().await;
    let now = clock::now();
    let api = &scene.site.api;
    let turns = tokio::join!(
        jobs::turn(api, now),
        jobs::turn(api, now),
        jobs::turn(api, now),
        jobs::turn(api, now)
    );
    for turn in [turns.0, turns.1, turns.2, turns.3] {
        turn.unwrap();
    }
    assert_eq!(
        (scene.number(OFFERS).await, scene.number(HOLDS).await),
        (1, 1)
    );
    assert_eq!(scene.number(OFFERED).await, 1);
    let first = "SELECT arrival_no - (SELECT min(arrival_no) FROM waiting_entry)
        FROM waiting_entry WHERE state = 'offered'";
    assert_eq!(scene.number(first).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_is_said_again_to_the_same_key_and_refused_where_nobody_need_wait() {
    let scene = Scene::new().await;
    let site = &scene.site;
    let told = site.ask(WAIT, "one", &scene.wish(1, 1)).await;
    assert_eq!(told.status, 201, "{told:?}");
    assert_eq!(site.ask(WAIT, "one", &scene.wish(1, 1)).await, told);
    let refused = async |key: &str, body: Value| {
        let answer = site.ask(WAIT, key, &body).await;
        (answer.status, answer.problem())
    };
    let said = |status, kind: &str| (status, kind.to_owned());
    assert_eq!(
        refused("one", scene.wish(1, 2)).await,
        said(422, "idempotency-key-reused")
    );
    assert_eq!(
        refused("two", scene.wish(1, 1)).await,
        said(409, "already-waiting")
    );
    let page = format!("/trips?company=A&date={DAY}&from=LUN&to=LVI&limit=2");
    let other = site.get(&page).await.json()["items"][1]["trip"].clone();
    let mut free = scene.wish(1, 1);
    free["trip"] = other;
    assert_eq!(refused("free", free).await, said(409, "seats-free"));
    let mut back = scene.wish(1, 1);
    (back["from"], back["to"]) = (json!("LVI"), json!("LUN"));
    assert_eq!(refused("back", back).await, said(422, "no-such-journey"));
    let mut late = scene.wish(2, 1);
    late["accept_until"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(refused("late", late).await, said(422, "unprocessable"));
    let mut nowhere = scene.wish(2, 1);
    nowhere["trip"] = json!(u64::MAX);
    assert_eq!(refused("nowhere", nowhere).await, said(404, "not-found"));
    assert_eq!(
        refused("crowd", scene.wish(2, 11)).await,
        said(422, "unprocessable")
    );
    assert_eq!(scene.number("SELECT count(*) FROM waiting_entry").await, 1);
    // Nothing of it stands there to read.
    let plain = "SELECT count(*) FROM waiting_entry
        WHERE position('97000010' in encode(contact_sealed, 'escape')) > 0";
    assert_eq!(scene.number(plain).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_office_sees_its_line_and_nobody_else_does() {
    let scene = Scene::new().await;
    let first = scene.waits(1, 1).await;
    scene.waits(2, 2).await;
    let site = &scene.site;
    site.company("B").await;
    let foreign = site.office_of(site.trip("B").await).await;
    let path = format!("/trips/{}/waiting-list", scene.trip);
    let listed = site.get_as(&scene.office, &path).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    let listed = listed.json();
    assert_eq!(listed["items"][1]["phone"], "+260970000102");
    assert_eq!(listed["items"][1]["place"], 2);
    let page = site
        .get_as(&scene.office, &format!("{path}?limit=1"))
        .await
        .json();
    let next = format!("{path}?after={}", page["next"].as_str().unwrap());
    let rest = site.get_as(&scene.office, &next).await.json();
    assert_eq!(rest["items"], json!([listed["items"][1]]));
    let csv = site
        .get_as(&scene.office, &format!("{path}?format=csv"))
        .await;
    assert!(
        csv.text.starts_with("waiting,arrival,place,state,"),
        "{csv:?}"
    );
    assert_eq!(csv.text.lines().count(), 3);
    assert_eq!(site.get_as(&foreign, &path).await.status, 404);
    assert_eq!(site.get(&path).await.status, 401);

    let entry = listed["items"][0]["waiting"].as_str().unwrap();
    let one = format!("{path}/{entry}");
    let remove = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let header = ("authorization", bearer.as_str());
        site.with_header("DELETE", &one, header).await.status
    };
    assert_eq!(remove(&foreign).await, 404);
    let driver = token_for(&site.api, scene.company, Role::Driver)
        .await
        .unwrap();
    assert_eq!(remove(&driver).await, 403);
    let wrong = Entry {
        path: first.path.clone(),
        token: first.token.replace(&first.token[40..50], "0000000000"),
    };
    assert_eq!(scene.at("GET", &wrong).await.status, 404);
    assert_eq!(scene.at("DELETE", &wrong).await.status, 404);
    let hold = ("waiting-token", "hold_00");
    assert_eq!(site.with_header("GET", &first.path, hold).await.status, 400);
    assert_eq!(scene.look(&first).await["state"], "waiting");
    assert_eq!(remove(&scene.office).await, 204);
    assert_eq!(scene.look(&first).await["state"], "left");
    let left = site
        .get_as(&scene.office, &format!("{path}?state=left"))
        .await
        .json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_the_trip_and_with_the_wish() {
    let scene = Scene::new().await;
    let (gone, stays) = (scene.waits(1, 1).await, scene.waits(2, 1).await);
    scene
        .run(
            "UPDATE waiting_entry SET accept_until_ms = 1 WHERE arrival_no =
              (SELECT min(arrival_no) FROM waiting_entry)",
        )
        .await;
    scene.turn().await;
    let seen = scene.look(&gone).await;
    assert_eq!(
        (&seen["state"], &seen["reason"]),
        (&json!("lapsed"), &json!("not-wanted"))
    );
    assert_eq!(scene.look(&stays).await["place"], 1);
    scene.run("UPDATE trip SET state = 'cancelled'").await;
    scene.turn().await;
    assert_eq!(scene.look(&stays).await["state"], "closed");
    assert_eq!(
        (scene.number(LAPSED).await, scene.number(CLOSED).await),
        (1, 1)
    );
    let late = scene.site.ask(WAIT, "late", &scene.wish(3, 1)).await;
    assert_eq!(
        (late.status, late.problem().as_str()),
        (409, "trip-not-running")
    );
    scene.turn().await;
    assert_eq!(scene.number(LAPSED).await, 1);
}
