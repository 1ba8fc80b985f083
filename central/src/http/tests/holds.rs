//! Holds, and bookings that wait for money.

use domain::time::Instant;
use serde_json::{Value, json};

use super::site::{DAY, Site, booking};
use crate::booking::contact;
use crate::booking::{HOLD_LIMIT_MS, HOLD_MS};

/// Adults from Lusaka to Livingstone.
fn wish(trip: u64, passengers: &Value) -> Value {
    json!({"journeys": [{"trip": trip, "from": "LUN", "to": "LVI", "passengers": passengers}]})
}

fn instant(text: &Value) -> i64 {
    let at: jiff::Timestamp = text.as_str().unwrap().parse().unwrap();
    at.as_millisecond()
}

async fn free(site: &Site, trip: u64) -> u64 {
    let seats = site.get(&format!("/trips/{trip}/seats")).await.json();
    seats["free_seats"].as_u64().unwrap()
}

async fn run_out(site: &Site) {
    let mut owner = site.db.owner().await.unwrap();
    sqlx::query("UPDATE booking SET expires_at_ms = 1 WHERE state IN ('held', 'awaiting_payment')")
        .execute(&mut owner)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_takes_the_seats_becomes_a_booking_and_nobody_gets_tickets_unpaid() {
    let site = Site::new().await;
    site.company("A").await;
    let trip = site.trip("A").await;
    let before = free(&site, trip).await;
    let asked = wish(trip, &json!(["adult", {"class": "child", "seat": 7}]));
    let held = site.ask("/holds", "hold", &asked).await;
    assert_eq!(held.status, 201, "{held:?}");
    assert_eq!(site.ask("/holds", "hold", &asked).await, held);
    let held = held.json();
    assert_eq!(held["seats"][1]["seat"], 7);
    assert_eq!(free(&site, trip).await, before - 2);
    let same = site
        .ask("/holds", "other", &wish(trip, &json!([{"seat": 7}])))
        .await;
    assert_eq!((same.status, same.problem().as_str()), (409, "seat-taken"));

    let book = json!({
        "hold": held["hold"], "token": held["token"], "group": "Choir",
        "passengers": [{"name": "Mutale Banda"}, {"name": "Bwalya", "document": "12/34/56"}],
        "contact": {"name": "José  BANDA", "phone": "097 000 0001", "email": "a@b.example"},
    });
    let booked = site.ask("/bookings", "book", &book).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    let booked = booked.json();
    assert_eq!(booked["state"], "awaiting_payment");
    assert_eq!(booked["tickets"], json!([]));
    assert_eq!(booked["total_minor"], held["total_minor"]);
    assert!(booked["payments"].is_string(), "{booked}");
    assert_eq!(
        site.db.number("SELECT count(*) FROM ticket").await.unwrap(),
        0
    );
    let again = site.ask("/bookings", "again", &book).await;
    assert_eq!((again.status, again.problem().as_str()), (409, "hold-over"));

    let reference = booked["reference"].as_str().unwrap();
    for proof in ["phone=%2B260%2097%200000001", "name=jose%20banda"] {
        let shown = site.get(&format!("/bookings/{reference}?{proof}")).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        let shown = shown.json();
        assert_eq!(shown["seats"][1]["name"], "Bwalya");
        assert_eq!(
            (&shown["group"], &shown["tickets"]),
            (&json!("Choir"), &json!([]))
        );
        assert_eq!(shown["contact"]["phone"], "+260970000001");
    }
    for proof in ["phone=%2B260970000002", "name=jose", "phone=1"] {
        let shown = site.get(&format!("/bookings/{reference}?{proof}")).await;
        assert_eq!((shown.status, shown.problem().as_str()), (404, "not-found"));
    }
    let bare = site.get(&format!("/bookings/{reference}")).await;
    assert_eq!(bare.status, 400);
    let plain = "SELECT count(*) FROM booking
        WHERE contact_name IS NOT NULL OR contact_phone IS NOT NULL OR contact_sealed IS NULL";
    assert_eq!(site.db.number(plain).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_wrong_guesses_close_a_reference_for_a_while() {
    let site = Site::new().await;
    site.company("A").await;
    let trip = site.trip("A").await;
    let booked = site.ask("/bookings", "one", &booking(trip, 1)).await.json();
    let reference = booked["reference"].as_str().unwrap();
    for _ in 0..20 {
        let guess = site
            .get(&format!("/bookings/{reference}?name=nobody"))
            .await;
        assert_eq!(guess.status, 404);
    }
    let right = format!("/bookings/{reference}?phone=%2B260970000001");
    let shut = site.get(&right).await;
    assert_eq!(
        (shut.status, shut.problem().as_str()),
        (429, "too-many-guesses")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_extended_to_its_limit_and_no_further_and_can_be_given_back() {
    let site = Site::new().await;
    site.company("A").await;
    let trip = site.trip("A").await;
    let before = free(&site, trip).await;
    let held = site
        .ask("/holds", "h", &wish(trip, &json!(["adult"])))
        .await
        .json();
    let token = held["token"].as_str().unwrap();
    let path = format!("/holds/{}", held["hold"].as_str().unwrap());
    let (first, last) = (
        instant(&held["expires_at"]),
        instant(&held["expires_last_at"]),
    );
    assert_eq!(last - first, HOLD_LIMIT_MS - HOLD_MS);
    let longer = site
        .with_token("POST", &format!("{path}/extend"), token)
        .await;
    assert_eq!(longer.status, 200, "{longer:?}");
    assert!(instant(&longer.json()["expires_at"]) >= first);
    // As if its half hour were nearly over.
    let mut owner = site.db.owner().await.unwrap();
    sqlx::query("UPDATE booking SET expires_last_ms = expires_at_ms + $1")
        .bind(HOLD_LIMIT_MS / 2)
        .execute(&mut owner)
        .await
        .unwrap();
    let refused = site
        .with_token("POST", &format!("{path}/extend"), token)
        .await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "hold-limit")
    );
    let wrong = token.replace(&token[40..50], "0000000000");
    for (method, token, status) in [
        ("GET", wrong.as_str(), 404),
        ("DELETE", &wrong, 404),
        ("GET", "hold_xyz", 400),
        ("GET", token, 200),
        ("DELETE", token, 204),
        ("DELETE", token, 409),
        ("GET", token, 409),
    ] {
        let answer = site.with_token(method, &path, token).await;
        assert_eq!(answer.status, status, "{method} {token} {answer:?}");
    }
    assert_eq!(free(&site, trip).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_paid_for_in_time_is_sold_to_the_next_even_before_it_is_swept() {
    let site = Site::new().await;
    site.company("A").await;
    let trip = site.trip("A").await;
    site.leave_seats(trip, 2).await;
    let two = wish(trip, &json!(["adult", "adult"]));
    let held = site.ask("/holds", "first", &two).await;
    assert_eq!(held.status, 201);
    let late = site.ask("/holds", "second", &two).await;
    assert_eq!((late.status, late.problem().as_str()), (409, "sold-out"));
    run_out(&site).await;
    let next = site.ask("/holds", "third", &two).await;
    assert_eq!(next.status, 201, "{next:?}");
    let held = held.json();
    let path = format!("/holds/{}", held["hold"].as_str().unwrap());
    let token = held["token"].as_str().unwrap();
    let over = site
        .with_token("POST", &format!("{path}/extend"), token)
        .await;
    assert_eq!((over.status, over.problem().as_str()), (409, "hold-over"));
    run_out(&site).await;
    let now = Instant(2);
    crate::booking::sweep(&site.api, now).await.unwrap();
    assert_eq!(free(&site, trip).await, 2);
    let told = "SELECT count(*) FROM outbox WHERE kind = 'booking.expired'";
    assert_eq!(site.db.number(told).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_is_one_booking_or_none() {
    let site = Site::new().await;
    site.company("A").await;
    site.company("B").await;
    let trip_on = |from: &str, to: &str, company: &str| {
        format!("/trips?company={company}&date={DAY}&from={from}&to={to}&limit=50")
    };
    let there = site.get(&trip_on("LUN", "LVI", "A")).await.json();
    let back = site.get(&trip_on("LVI", "LUN", "A")).await.json();
    let (there, back) = (&there["items"][0], &back["items"]);
    let end = |trip: &Value, code: &str, what: &str| {
        let stops = trip["stops"].as_array().unwrap();
        instant(&stops.iter().find(|s| s["code"] == code).unwrap()[what])
    };
    let arrives = end(there, "LVI", "arrives_at");
    let trips = back.as_array().unwrap();
    let early = trips
        .iter()
        .find(|t| end(t, "LVI", "departs_at") < arrives)
        .unwrap();
    let journey = |trip: &Value, from: &str, to: &str| {
        json!({
            "trip": trip["trip"], "from": from, "to": to, "passengers": ["adult", "adult"],
        })
    };
    let both = |second: Value| json!({"journeys": [journey(there, "LUN", "LVI"), second]});
    let short = site
        .ask("/holds", "a", &both(journey(early, "LVI", "LUN")))
        .await;
    assert_eq!(
        (short.status, short.problem().as_str()),
        (422, "connection-too-short")
    );
    let there_again = site
        .ask("/holds", "b", &both(journey(there, "KAB", "LVI")))
        .await;
    assert_eq!(there_again.status, 422, "{there_again:?}");
    let other = site.get(&trip_on("LVI", "LUN", "B")).await.json();
    let other = site
        .ask(
            "/holds",
            "c",
            &both(journey(&other["items"][0], "LVI", "LUN")),
        )
        .await;
    assert_eq!(
        (other.status, other.problem().as_str()),
        (422, "other-company")
    );
    let none = "SELECT count(*) FROM claim";
    assert_eq!(site.db.number(none).await.unwrap(), 0);

    let late = trips
        .iter()
        .find(|t| end(t, "LVI", "departs_at") > arrives + 1_000_000);
    let late = journey(late.unwrap(), "LVI", "LUN");
    let held = site.ask("/holds", "d", &both(late)).await;
    assert_eq!(held.status, 201, "{held:?}");
    assert_eq!(held.json()["seats"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_says_the_price_of_a_booking_and_holds_nothing() {
    let site = Site::new().await;
    site.company("A").await;
    let trip = site.trip("A").await;
    let headers = [("content-type", "application/json")];
    let body = wish(trip, &json!(["adult", "child"])).to_string();
    let quoted = site.post("/quotes", &headers, &body).await;
    assert_eq!(quoted.status, 200, "{quoted:?}");
    let quoted = quoted.json();
    assert_eq!(quoted["available"], true);
    assert_eq!(
        site.db.number("SELECT count(*) FROM claim").await.unwrap(),
        0
    );
    let held = site
        .ask("/holds", "h", &wish(trip, &json!(["adult", "child"])))
        .await
        .json();
    assert_eq!(held["total_minor"], quoted["total_minor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cash_is_for_who_may_sell_and_the_office_finds_every_booking() {
    let site = Site::new().await;
    let (company, token) = site.company("A").await;
    site.company("B").await;
    let trip = site.trip("A").await;
    let mut cash = booking(trip, 1);
    cash["pay"] = "cash".into();
    let nobody = site.ask("/bookings", "k", &cash).await;
    assert_eq!(
        (nobody.status, nobody.problem().as_str()),
        (401, "unauthorized")
    );
    let foreign = format!("Bearer {}", site.office_of(site.trip("B").await).await);
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
        ("authorization", foreign.as_str()),
    ];
    let foreign = site.post("/bookings", &headers, &cash.to_string()).await;
    assert_eq!(
        (foreign.status, foreign.problem().as_str()),
        (403, "forbidden")
    );
    let sold = site.book(trip, "sold", 1).await.json();
    assert_eq!(
        (&sold["state"], sold["tickets"].as_array().unwrap().len()),
        (&json!("confirmed"), 1)
    );
    let waits = site
        .ask("/bookings", "waits", &booking(trip, 2))
        .await
        .json();
    for (filter, wanted) in [
        ("", vec![&waits, &sold]),
        ("?state=confirmed", vec![&sold]),
        (
            "?name=MUTALE%20%20banda&phone=0970000001",
            vec![&waits, &sold],
        ),
        ("?phone=0970000009", vec![]),
        ("?limit=1", vec![&waits]),
    ] {
        let listed = site.get_as(&token, &format!("/bookings{filter}")).await;
        assert_eq!(listed.status, 200, "{listed:?}");
        let listed = listed.json();
        let listed: Vec<_> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| &b["reference"])
            .collect();
        let wanted: Vec<_> = wanted.into_iter().map(|b| &b["reference"]).collect();
        assert_eq!(listed, wanted, "{filter}");
    }
    let office = format!("/bookings/{}", waits["reference"].as_str().unwrap());
    assert_eq!(site.get_as(&token, &office).await.status, 200);
    let cash = "SELECT COALESCE(sum(p.amount_minor), 0)::bigint FROM ledger_posting p
        JOIN ledger_account a USING (company_id, account_id) WHERE a.kind = 'office_cash'";
    assert_eq!(
        site.db.number(cash).await.unwrap(),
        sold["total_minor"].as_i64().unwrap()
    );

    // A row from before contacts were sealed.
    let mut owner = site.db.owner().await.unwrap();
    sqlx::query(
        "UPDATE booking SET contact_sealed = NULL, phone_blind = NULL, name_blind = NULL,
             contact_name = 'Old Customer', contact_phone = '0970000077' WHERE reference = $1",
    )
    .bind(waits["reference"].as_str())
    .execute(&mut owner)
    .await
    .unwrap();
    let by_phone = format!("{office}?phone=%2B260970000077");
    assert_eq!(site.get(&by_phone).await.status, 200);
    crate::booking::seal_contacts(&site.api).await.unwrap();
    assert_eq!(
        site.get(&by_phone).await.json()["contact"]["name"],
        "Old Customer"
    );
    let sealed: (Vec<u8>, uuid::Uuid) = sqlx::query_as(
        "SELECT contact_sealed, booking_id FROM booking
         WHERE reference = $1 AND contact_phone IS NULL",
    )
    .bind(waits["reference"].as_str())
    .fetch_one(&mut owner)
    .await
    .unwrap();
    let opened = contact::open(&site.api.vault, company, sealed.1, &sealed.0).unwrap();
    assert_eq!(opened.phone, "+260970000077");
}
