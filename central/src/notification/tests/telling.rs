//! From a booking to a phone, a mailbox and an inbox.

use serde_json::{Value, json};
use uuid::Uuid;

use super::scene::Scene;
use crate::access::Role;
use crate::http::tests::site::booking;
use crate::notification::Kind;
use crate::testing::{person_with, token_for};

const EMAIL: &str = "mutale@example.com";

/// Sells two seats for cash to somebody with a phone and a mailbox; gives the reference.
async fn sell(scene: &Scene, key: &str) -> String {
    let trip = scene.site.trip("Mwimule").await;
    let mut body = booking(trip, 2);
    body["pay"] = "cash".into();
    body["contact"]["email"] = EMAIL.into();
    let bearer = format!("Bearer {}", scene.office);
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
        ("authorization", &bearer),
    ];
    let answer = scene
        .site
        .post("/bookings", &headers, &body.to_string())
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["reference"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sold_ticket_comes_by_text_and_mail_once_and_its_way_can_be_followed() {
    let scene = Scene::new().await;
    let reference = sell(&scene, "one").await;
    let (sms, email) = scene
        .until("both messages", async || {
            let (sms, email) = (scene.arrived("sms"), scene.arrived("email"));
            let ticket = sms.iter().find(|m| m.text.contains("is paid"))?.clone();
            Some((ticket, email.first()?.clone()))
        })
        .await;
    // The text ticket: who, from where, when, to where, which seats.
    assert_eq!(sms.to, "+260970000001");
    for word in [&reference[..], "Mwimule", "2034-05-02", " - ", "seat"] {
        assert!(sms.text.contains(word), "{word}: {}", sms.text);
    }
    let listed = scene.rows("/tickets", &scene.office).await;
    let codes: Vec<&str> = listed.iter().filter_map(|t| t["code"].as_str()).collect();
    assert!(!codes.is_empty());
    for code in codes {
        assert!(sms.text.contains(code), "{code}: {}", sms.text);
    }
    assert_eq!(email.to, EMAIL);
    assert!(email.subject.unwrap().contains(&reference));
    // The gateway's report shows in the office.
    let path = format!("/notifications?subject=booking:{reference}");
    let told = scene
        .until("the delivery report", async || {
            let rows = scene.rows(&path, &scene.office).await;
            let told = rows.into_iter().find(|r| r["kind"] == "ticket_sold")?;
            let states: Vec<&str> = told["ways"]
                .as_array()
                .unwrap()
                .iter()
                .map(|way| way["state"].as_str().unwrap())
                .collect();
            // Mail has no reports.
            (states == ["sent", "delivered"]).then_some(told)
        })
        .await;
    assert_eq!(told["ways"][0]["to"], "m…@example.com");
    let one = format!("/notifications/{}", told["notice"].as_str().unwrap());
    let (status, _, one) = scene
        .ask(("GET", &one), Some(&scene.office), None, None)
        .await;
    assert_eq!(status, 200);
    assert_eq!(one["short"], sms.text);
    // Published and consumed a second time: nobody is told a second time.
    scene.publish_again().await;
    let tickets = scene.arrived("sms");
    let tickets = tickets.iter().filter(|m| m.text.contains("is paid"));
    assert_eq!(tickets.count(), 1);
    assert_eq!(scene.arrived("email").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_and_another_bus_are_told_to_everybody_on_the_trip_once() {
    let scene = Scene::new().await;
    let reference = sell(&scene, "one").await;
    let trip = scene.site.trip("Mwimule").await;
    // The same person booked twice: one message about the trip.
    sell(&scene, "two").await;
    let delayed = json!({"trip": trip, "delay_ms": 5_400_000, "reason": "a puncture"});
    scene
        .happened("trip.delayed", &format!("trip:{trip}"), delayed)
        .await;
    let seats = json!({"booking": reference, "trip": trip, "seats": [
        {"ticket": Uuid::from_u128(1), "old": "1A", "new": "14C"},
        {"ticket": Uuid::from_u128(2), "old": "1B", "new": "14D"}]});
    scene
        .happened("booking.reseated", &format!("booking:{reference}"), seats)
        .await;
    // Both wait for the morning if it is night in Lusaka, so the office looks, not the phone.
    let list = |kind: &'static str| {
        let scene = &scene;
        async move {
            let rows = scene.rows("/notifications", &scene.office).await;
            rows.into_iter()
                .filter(|r| r["kind"] == kind)
                .collect::<Vec<_>>()
        }
    };
    let (late, moved) = scene
        .until("both messages", async || {
            let (late, moved) = (list("trip_delayed").await, list("seat_changed").await);
            (!late.is_empty() && !moved.is_empty()).then_some((late, moved))
        })
        .await;
    assert_eq!((late.len(), moved.len()), (1, 1));
    let text = async |row: &Value| {
        let path = format!("/notifications/{}", row["notice"].as_str().unwrap());
        let shown = scene
            .ask(("GET", &path), Some(&scene.office), None, None)
            .await
            .2;
        shown["short"].as_str().unwrap().to_owned()
    };
    assert!(text(&moved[0]).await.contains("1A -> 14C, 1B -> 14D"));
    let late = text(&late[0]).await;
    assert!(late.contains("2034-05-02"), "{late}");
    scene.publish_again().await;
    assert_eq!(list("trip_delayed").await.len(), 1);
    assert_eq!(list("seat_changed").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_office_hears_of_silent_nodes_as_each_person_wants() {
    let scene = Scene::new().await;
    let admin = person_with(&scene.api, scene.company, Role::CompanyAdmin)
        .await
        .unwrap();
    let clerk = person_with(&scene.api, scene.company, Role::Clerk)
        .await
        .unwrap();
    let driver = token_for(&scene.api, scene.company, Role::Driver)
        .await
        .unwrap();
    let (_, tag, shown) = scene
        .ask(
            ("GET", "/notification-preferences"),
            Some(&clerk.token),
            None,
            None,
        )
        .await;
    assert_eq!(
        shown["quiet_hours"],
        json!({"from": "21:00", "to": "06:00"})
    );
    let wanted = json!({"language": "fr", "sms": true, "email": true, "muted": []});
    let change = ("PUT", "/notification-preferences");
    let done = scene
        .ask(change, Some(&clerk.token), tag.as_deref(), Some(&wanted))
        .await;
    assert_eq!(
        (done.0, &done.2["language"]),
        (200, &json!("fr")),
        "{done:?}"
    );
    // What was seen before the change does not overwrite it.
    let stale = scene
        .ask(change, Some(&clerk.token), tag.as_deref(), Some(&wanted))
        .await;
    assert_eq!(stale.0, 412);
    let quiet = json!({"sms": true, "email": true, "muted": ["node_silent"]});
    let (_, tag, _) = scene
        .ask(
            ("GET", "/notification-preferences"),
            Some(&admin.token),
            None,
            None,
        )
        .await;
    scene
        .ask(change, Some(&admin.token), tag.as_deref(), Some(&quiet))
        .await;

    let body = json!({"node": Uuid::from_u128(3), "name": "Lusaka 1", "silent_s": 90_000});
    scene.happened("node.silent", "node:3", body).await;
    let inbox = scene
        .until("the clerk's inbox", async || {
            let rows = scene.rows("/inbox?unread=true", &clerk.token).await;
            rows.into_iter().next()
        })
        .await;
    assert_eq!(inbox["language"], "fr");
    assert!(
        inbox["text"].as_str().unwrap().contains("25 heures"),
        "{inbox}"
    );
    scene
        .until("the clerk's e-mail", async || {
            let mails = scene.arrived("email");
            mails
                .iter()
                .any(|m| m.text.contains("Lusaka 1"))
                .then_some(())
        })
        .await;
    // Muted: the inbox only. A driver hears nothing.
    let admins = scene.rows("/inbox", &admin.token).await;
    assert_eq!(admins.len(), 1);
    assert!(scene.rows("/inbox", &driver).await.is_empty());
    let rows = scene.rows("/notifications?state=off", &scene.office).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(scene.arrived("email").len(), 1);
    // Read by its reader, and by nobody else.
    let read = format!("/inbox/{}/read", inbox["notice"].as_str().unwrap());
    let other = scene
        .ask(("POST", &read), Some(&admin.token), None, None)
        .await;
    assert_eq!(other.0, 404);
    for _ in 0..2 {
        let done = scene
            .ask(("POST", &read), Some(&clerk.token), None, None)
            .await;
        assert_eq!(done.0, 204);
    }
    assert!(
        scene
            .rows("/inbox?unread=true", &clerk.token)
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_refuses_is_failed_and_can_be_sent_again() {
    let scene = Scene::new().await;
    let planned = json!({"planned": [{"fault": "refusal"}]});
    scene
        .sms
        .book
        .change(|b| b.faults = serde_json::from_value(planned).unwrap());
    let trip = scene.site.trip("Mwimule").await;
    let answer = scene.site.book(trip, "one", 1).await;
    let reference = answer.json()["reference"].as_str().unwrap().to_owned();
    let path = format!("/notifications?subject=booking:{reference}&state=failed");
    let failed = scene
        .until("the refusal", async || {
            let rows = scene.rows(&path, &scene.office).await;
            rows.into_iter().next()
        })
        .await;
    assert_eq!(failed["ways"][0]["tries"], 1);
    let error = failed["ways"][0]["last_error"].as_str().unwrap();
    assert!(error.contains("403"), "{error}");
    let again = format!(
        "/notifications/{}/resend",
        failed["notice"].as_str().unwrap()
    );
    let done = scene
        .ask(("POST", &again), Some(&scene.office), None, None)
        .await;
    assert_eq!(done.0, 202);
    scene
        .until("the message", async || {
            let sms = scene.arrived("sms");
            sms.iter()
                .any(|m| m.text.contains(&reference))
                .then_some(())
        })
        .await;
    // Reports that nobody can have sent.
    let form = "id=ATXid_none&status=Success";
    assert_eq!(scene.report("report-secret", form).await, 404);
    assert_eq!(scene.report("guessed", form).await, 404);
    assert_eq!(scene.report("report-secret", "status=Success").await, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_told_fails_its_try_and_says_why() {
    let scene = Scene::new().await;
    let body = json!({"reference": "NONE-SUCH"});
    scene
        .happened("booking.confirmed", "booking:NONE-SUCH", body)
        .await;
    let why = scene
        .until("the failed try", async || {
            let mut owner = scene.site.db.owner().await.unwrap();
            let why = "SELECT reason FROM bus_message WHERE reason IS NOT NULL";
            let found: Option<String> = sqlx::query_scalar(why)
                .fetch_optional(&mut owner)
                .await
                .unwrap();
            found
        })
        .await;
    assert!(why.contains("there is no booking \"NONE-SUCH\""), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_office_reads_every_text_before_anybody_is_told() {
    let scene = Scene::new().await;
    let office = Some(scene.office.as_str());
    let (_, _, all) = scene
        .ask(("GET", "/notification-templates"), office, None, None)
        .await;
    assert_eq!(all["kinds"].as_array().unwrap().len(), Kind::ALL.len());
    for language in all["languages"].as_array().unwrap() {
        let tag = language["language"].as_str().unwrap();
        let path = format!("/notification-templates/trip_cancelled?language={tag}");
        let (status, _, text) = scene.ask(("GET", &path), office, None, None).await;
        assert_eq!(status, 200);
        assert_eq!(text["checked"], language["checked"]);
        assert!(
            text["short"].as_str().unwrap().contains("Mwimule Coaches"),
            "{text}"
        );
    }
    let unknown = ("GET", "/notification-templates/party");
    assert_eq!(scene.ask(unknown, office, None, None).await.0, 404);
    let unknown = ("GET", "/notification-templates/node_back?language=tlh");
    assert_eq!(scene.ask(unknown, office, None, None).await.0, 400);
}
