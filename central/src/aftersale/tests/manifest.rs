//! Who came and who did not, by the scans of the bus; and the sheet on paper.

use std::process::Command;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{Paid, Shop};
use crate::aftersale::manifest::mark_from_scans;
use crate::http::router;
use crate::http::tests::site::booking;

const ONBOARD: Uuid = Uuid::from_u128(7);

impl Shop {
    /// A device has seen the ticket of a booking and answered so.
    async fn scanned(&self, device: Uuid, (seq, answer): (i64, &str), of: &Paid) {
        let (company, trip, ticket) = (self.company, self.trips[0], of.tickets[0]);
        self.run(&format!(
            "INSERT INTO scan (company_id, node_id, incarnation, seq, trip_id, ticket_id, answer,
                 at_ms)
             VALUES ('{company}', '{device}', 1, {seq}, {trip}, '{ticket}', '{answer}', 1)"
        ))
        .await;
    }

    /// The job's turn for this company; whether it left more.
    async fn marks(&self) -> bool {
        let done = mark_from_scans(&self.site.api, self.company).await;
        done.unwrap()
    }
}

const MARKS: &str = "SELECT count(*) FROM travel_mark";

#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_scanned_on_a_trip_that_has_arrived_is_a_no_show_and_nobody_else() {
    let shop = Shop::new().await;
    let (came, unlisted, turned_away, absent, seen_by_hand) = (
        shop.paid("came", 1).await,
        shop.paid("unlisted", 1).await,
        shop.paid("turned-away", 1).await,
        shop.paid("absent", 1).await,
        shop.paid("by-hand", 1).await,
    );
    let trip = shop.trips[0];
    let marks = format!("/trips/{trip}/marks");
    let by_hand = json!({"mark": "boarded", "tickets": seen_by_hand.tickets});
    let marked = shop.post(&marks, Some(&shop.clerk), "-", by_hand).await;
    assert_eq!(marked.status, 200, "{marked:?}");
    shop.run(&format!(
        "UPDATE trip SET onboard_node = '{ONBOARD}', state = 'arrived' WHERE trip_id = {trip}"
    ))
    .await;
    let gate = Uuid::from_u128(8);
    shop.scanned(gate, (1, "valid"), &came).await;
    shop.marks().await;
    assert_eq!(
        shop.number(MARKS).await,
        1,
        "the bus itself has told nothing: it may still come"
    );
    shop.run("UPDATE trip SET state = 'departed'").await;
    shop.scanned(ONBOARD, (1, "good_but_unlisted"), &unlisted)
        .await;
    shop.scanned(ONBOARD, (2, "wrong_trip"), &turned_away).await;
    shop.marks().await;
    assert_eq!(shop.number(MARKS).await, 1, "it is still on its way");

    shop.run(&format!(
        "UPDATE trip SET state = 'arrived' WHERE trip_id = {trip}"
    ))
    .await;
    assert!(!shop.marks().await, "one trip is no full batch");
    let sheet = format!("/trips/{trip}/manifest");
    let seen = shop.site.get_as(&shop.clerk, &sheet).await.json();
    assert_eq!(
        (&seen["boarded"], &seen["expected"], &seen["no_shows"]),
        (&json!(3), &json!(0), &json!(2)),
        "{seen}"
    );
    let state_of = |of: &Paid| {
        let rows = seen["passengers"].as_array().unwrap();
        let row = rows.iter().find(|r| r["reference"] == of.reference);
        row.unwrap()["state"].as_str().unwrap().to_owned()
    };
    let states = [&came, &unlisted, &seen_by_hand, &turned_away, &absent].map(state_of);
    assert_eq!(
        states,
        ["boarded", "boarded", "boarded", "no_show", "no_show"]
    );
    let coupons = "SELECT count(*) FROM coupon WHERE state = 'no_show'";
    assert_eq!(shop.number(coupons).await, 2);
    let by_the_system = "SELECT count(*) FROM travel_mark WHERE actor_kind = 'system'";
    assert_eq!(shop.number(by_the_system).await, 4);
    // What a person says afterwards counts, and stays.
    let came_late = json!({"mark": "boarded", "tickets": absent.tickets});
    let marked = shop.post(&marks, Some(&shop.clerk), "-", came_late).await;
    assert_eq!(marked.status, 200, "{marked:?}");
    shop.marks().await;
    assert_eq!(shop.number(coupons).await, 1);
    assert_eq!(shop.number(MARKS).await, 5);
}

/// The printed manifest, page by page, as another program reads it.
async fn pages(shop: &Shop) -> Vec<String> {
    let app = router(shop.site.api.clone());
    let request = Request::builder()
        .uri(format!("/trips/{}/manifest.pdf", shop.trips[0]))
        .header("authorization", format!("Bearer {}", shop.clerk));
    let answer = app.oneshot(request.body(Body::empty()).unwrap()).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/pdf");
    let bytes = to_bytes(answer.into_body(), 1 << 24).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifest.pdf");
    std::fs::write(&file, bytes).unwrap();
    let mut reader = Command::new("pdftotext");
    let read = reader.arg("-layout").arg(&file).arg("-").output().unwrap();
    assert!(read.status.success(), "{read:?}");
    let text = String::from_utf8(read.stdout).unwrap();
    let pages = text.split('\u{c}').filter(|page| !page.trim().is_empty());
    pages.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_manifest_has_every_passenger_once_on_as_many_pages_as_it_takes() {
    let shop = Shop::new().await;
    let empty = pages(&shop).await;
    assert_eq!(empty.len(), 1);
    assert!(empty[0].contains("page 1 of 1"), "{}", empty[0]);

    let mut named = booking(shop.trips[0], 0);
    named["passengers"] = json!([{"class": "adult", "name": "Mutale Łukasz Ñandú"},
        {"class": "child", "name": "Bwalya ".repeat(14).trim()}]);
    named["pay"] = "cash".into();
    let office = shop.site.office_of(shop.trips[0]).await;
    let sold = shop.post("/bookings", Some(&office), "named", named).await;
    assert_eq!(sold.status, 201, "{sold:?}");
    let sold = sold.json();
    for party in 0..5 {
        shop.paid(&format!("party-{party}"), 9).await;
    }
    let marks = format!("/trips/{}/marks", shop.trips[0]);
    let boarded = json!({"mark": "boarded", "tickets": [sold["tickets"][0]["ticket"]]});
    let marked = shop.post(&marks, Some(&shop.clerk), "-", boarded).await;
    assert_eq!(marked.status, 200, "{marked:?}");

    let sheet = format!("/trips/{}/manifest", shop.trips[0]);
    let seen = shop.site.get_as(&shop.clerk, &sheet).await.json();
    let rows = seen["passengers"].as_array().unwrap();
    assert_eq!(rows.len(), 47);
    let printed = pages(&shop).await;
    assert_eq!(printed.len(), 2, "42 a page");
    for (no, page) in (1..).zip(&printed) {
        assert!(page.contains(&format!("page {no} of 2")), "{page}");
        assert!(
            page.contains("Livingstone") && page.contains("2034-05-02"),
            "{page}"
        );
        assert!(page.contains(&format!("trip {}", shop.trips[0])), "{page}");
    }
    let lines: Vec<Vec<&str>> = printed
        .iter()
        .flat_map(|page| page.lines())
        .map(|line| line.split_whitespace().collect())
        .collect();
    for row in rows {
        let label = row["seat_label"].as_str().unwrap();
        let reference = row["reference"].as_str().unwrap();
        let of_seat = lines
            .iter()
            .filter(|words| words.first() == Some(&label) && words.contains(&reference));
        let of_seat: Vec<&Vec<&str>> = of_seat.collect();
        assert_eq!(of_seat.len(), 1, "seat {label} of {reference}: {printed:?}");
        let mark = of_seat[0].last().unwrap();
        let wanted = if row["state"] == "boarded" {
            "yes"
        } else {
            "____"
        };
        assert_eq!(*mark, wanted, "{row}");
    }
    let text = printed.join("\n");
    assert!(text.contains("Mutale Łukasz Ñandú"), "{text}");
    assert!(
        text.contains("Bwalya Bwalya") && text.contains('…'),
        "{text}"
    );
}
