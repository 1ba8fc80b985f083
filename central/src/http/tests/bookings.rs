use std::collections::BTreeSet;
use std::sync::Arc;

use domain::ticket::{parse_qr, verify};
use domain::weaken::{Weakness, activate};
use tokio::task::JoinSet;

use super::site::{Answer, Site, booking};
use crate::booking::looked_again;

const BUYERS: usize = 64;
const SEATS: usize = 5;
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_gets_signed_tickets_and_posts_to_the_ledger() {
    let site = Site::new().await;
    let (_, token) = site.company("A").await;
    let trip = site.trip("A").await;
    let booked = site.book(trip, "one", 3).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    let booked = booked.json();
    let tickets = booked["tickets"].as_array().unwrap();
    assert_eq!(tickets.len(), 3);
    let total: i64 = tickets
        .iter()
        .map(|t| t["fare_minor"].as_i64().unwrap())
        .sum();
    assert_eq!(booked["total_minor"], total);
    for ticket in tickets {
        let signed = parse_qr(ticket["qr"].as_str().unwrap()).unwrap();
        verify(&signed, &site.keys.record()).unwrap();
        assert_eq!(
            u64::from(signed.claim.seat.0),
            ticket["seat"].as_u64().unwrap()
        );
    }
    let ledger = site.get_as(&token, "/reconciliation/ledger").await.json();
    assert_eq!(ledger["ledger_sum_minor"], 0);
    assert_eq!(ledger["sale_entries"], 1);
    assert_eq!(ledger["tickets_in_ledger"], 3);
    let listed = site
        .get_as(&token, &format!("/tickets?trip={trip}"))
        .await
        .json();
    let qrs = |rows: &serde_json::Value| -> BTreeSet<String> {
        let rows = rows.as_array().unwrap();
        rows.iter()
            .map(|t| t["qr"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(qrs(&listed["items"]), qrs(&booked["tickets"]));
    let reference = booked["reference"].as_str().unwrap();
    let shown = site
        .get(&format!("/bookings/{reference}?phone=%2B260970000001"))
        .await;
    assert_eq!(qrs(&shown.json()["tickets"]), qrs(&booked["tickets"]));
    let guessed = site.get(&format!("/bookings/{reference}?phone=1")).await;
    assert_eq!(
        (guessed.status, guessed.problem().as_str()),
        (404, "not-found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_a_change_that_the_trips_validator_hears_of() {
    let site = Site::new().await;
    site.company("A").await;
    let trip = site.trip("A").await;
    let mut heard = site.db.db.bus().listen();
    site.book(trip, "one", 2).await;
    let event = format!("{:?}", heard.try_recv().unwrap());
    assert!(event.contains(&format!("trip:{trip}")), "{event}");
    let numbers = "SELECT count(DISTINCT change_no) FROM ticket WHERE change_no > 0";
    assert_eq!(site.db.number(numbers).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gets_the_same_bytes_after_a_restart_and_sells_nothing_twice() {
    let mut site = Site::new().await;
    site.company("A").await;
    let trip = site.trip("A").await;
    let first = site.book(trip, "key", 2).await;
    assert_eq!(first.status, 201);
    assert_eq!(site.book(trip, "key", 2).await, first);
    site.restart().await;
    assert_eq!(site.book(trip, "key", 2).await, first);
    let other = site.book(trip, "key", 1).await;
    assert_eq!(
        (other.status, other.problem().as_str()),
        (422, "idempotency-key-reused")
    );
    let count = site.db.number("SELECT count(*) FROM ticket").await.unwrap();
    assert_eq!(count, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_sent_many_times_at_once_books_once() {
    let site = Arc::new(Site::new().await);
    site.company("A").await;
    let trip = site.trip("A").await;
    let mut asking = JoinSet::new();
    for _ in 0..16 {
        let site = Arc::clone(&site);
        asking.spawn(async move { site.book(trip, "key", 1).await });
    }
    let answers = asking.join_all().await;
    let booked: BTreeSet<&str> = answers
        .iter()
        .filter(|a| a.status == 201)
        .map(|a| a.text.as_str())
        .collect();
    assert_eq!(booked.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|a| a.status != 201) {
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (409, "in-flight")
        );
    }
    assert_eq!(
        site.db
            .number("SELECT count(*) FROM booking")
            .await
            .unwrap(),
        1
    );
}

/// 64 buyers at once for the last five seats.
async fn rush() -> (Arc<Site>, u64, Vec<Answer>) {
    let site = Arc::new(Site::new().await);
    site.company("A").await;
    let trip = site.trip("A").await;
    site.leave_seats(trip, SEATS).await;
    let mut buyers = JoinSet::new();
    for buyer in 0..BUYERS {
        let site = Arc::clone(&site);
        buyers.spawn(async move { site.book(trip, &format!("buyer-{buyer}"), 1).await });
    }
    (site, trip, buyers.join_all().await)
}

async fn five_succeed_and_the_rest_hear_why(site: &Site, trip: u64, answers: &[Answer]) {
    let sold: Vec<&Answer> = answers.iter().filter(|a| a.status == 201).collect();
    assert_eq!(sold.len(), SEATS, "{answers:?}");
    let seats: BTreeSet<u64> = sold
        .iter()
        .map(|a| a.json()["tickets"][0]["seat"].as_u64().unwrap())
        .collect();
    assert_eq!(seats.len(), SEATS);
    for answer in answers.iter().filter(|a| a.status != 201) {
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (409, "sold-out")
        );
        let problem = answer.json();
        assert_eq!(problem["trip"], trip);
        assert_eq!(
            (&problem["from"], &problem["to"]),
            (&"LUN".into(), &"LVI".into())
        );
        assert_eq!(problem["seats_left"], 0);
    }
    let overlaps = "SELECT count(*) FROM ticket a JOIN ticket b ON a.trip_id = b.trip_id
        AND a.seat = b.seat AND a.legs && b.legs AND a.ticket_id < b.ticket_id
        AND a.state = 0 AND b.state = 0";
    assert_eq!(site.db.number(overlaps).await.unwrap(), 0);
    let sum = "SELECT COALESCE(sum(amount_minor), 0)::bigint FROM ledger_posting";
    assert_eq!(site.db.number(sum).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_buyers_for_the_last_5_seats_5_succeed_and_59_hear_sold_out() {
    let (site, trip, answers) = rush().await;
    five_succeed_and_the_rest_hear_why(&site, trip, &answers).await;
    assert_eq!(
        looked_again(),
        0,
        "the lock should have kept the constraint quiet"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_applications_lock_the_constraint_alone_lets_5_of_64_buyers_succeed() {
    activate(Some(Weakness::NoBookingLock));
    let (site, trip, answers) = rush().await;
    activate(None);
    five_succeed_and_the_rest_hear_why(&site, trip, &answers).await;
    assert!(looked_again() > 0, "the constraint was never asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_said() {
    let site = Site::new().await;
    site.company("A").await;
    let trip = site.trip("A").await;
    let keyed = [JSON, ("idempotency-key", "k")];
    let good = booking(trip, 1).to_string();
    let changed = |name: &str, value: serde_json::Value| {
        let mut body = booking(trip, 1);
        body[name] = value;
        body.to_string()
    };
    let cases = [
        (good.clone(), vec![JSON], 400, "bad-request"),
        (
            good.clone(),
            vec![JSON, ("idempotency-key", "a b")],
            400,
            "bad-request",
        ),
        (
            good.clone(),
            vec![("idempotency-key", "k")],
            415,
            "unsupported-media-type",
        ),
        ("{\"trip\":".to_owned(), keyed.to_vec(), 400, "bad-json"),
        (
            changed("surprise", true.into()),
            keyed.to_vec(),
            422,
            "unprocessable",
        ),
        (
            changed("passengers", Vec::<String>::new().into()),
            keyed.to_vec(),
            422,
            "unprocessable",
        ),
        (
            changed("passengers", vec!["adult"; 11].into()),
            keyed.to_vec(),
            422,
            "unprocessable",
        ),
        (
            changed("passengers", vec!["ghost"].into()),
            keyed.to_vec(),
            422,
            "unprocessable",
        ),
        (
            changed("trip", u64::MAX.into()),
            keyed.to_vec(),
            404,
            "not-found",
        ),
        (
            changed("to", "LUN".into()),
            keyed.to_vec(),
            422,
            "no-such-journey",
        ),
        ("x".repeat(70_000), keyed.to_vec(), 413, "too-large"),
    ];
    for (body, headers, status, kind) in cases {
        let answer = site.post("/bookings", &headers, &body).await;
        let found = (answer.status, answer.problem());
        assert_eq!(found, (status, kind.to_owned()), "{headers:?} {answer:?}");
    }
    assert_eq!(
        site.db
            .number("SELECT count(*) FROM booking")
            .await
            .unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_whose_boarding_has_closed_sells_nothing() {
    let site = Site::new().await;
    site.company("A").await;
    let trip = site.trip("A").await;
    let mut owner = site.db.owner().await.unwrap();
    sqlx::query("UPDATE trip SET boarding_closes_ms = array_fill(1::bigint, ARRAY[leg_count + 1])")
        .execute(&mut owner)
        .await
        .unwrap();
    let answer = site.book(trip, "late", 1).await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (409, "boarding-closed")
    );
    assert_eq!(answer.json()["stop"], "LUN");
}
