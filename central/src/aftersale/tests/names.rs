use serde_json::{Value, json};

use super::{PHONE, Shop};
use crate::http::tests::site::{Answer, booking};

const CORRECTIONS: &str = "SELECT count(*) FROM passenger_correction";

/// A paid booking of two whose names are known; gives its reference.
async fn named(shop: &Shop) -> String {
    let mut wish = booking(shop.trips[0], 2);
    wish["passengers"] =
        json!([{"name": "Mutal Banda", "document": "12/34/56"}, {"name": "Bwalya"}]);
    wish["pay"] = json!("cash");
    let office = shop.site.office_of(shop.trips[0]).await;
    let booked = shop.post("/bookings", Some(&office), "named", wish).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    booked.json()["reference"].as_str().unwrap().to_owned()
}

async fn correct(shop: &Shop, reference: &str, coupon: i16, body: &Value) -> Answer {
    let path = format!("/bookings/{reference}/coupons/{coupon}/passenger");
    shop.site.put(&path, &[("if-match", "*")], body).await
}

fn typo(name: &str) -> Value {
    json!({"name": name, "reason": "typo", "phone": PHONE})
}

/// The names of the live seats.
async fn names(shop: &Shop, reference: &str) -> Vec<Value> {
    let path = format!("/bookings/{reference}?phone=%2B260970000001");
    let shown = shop.site.get(&path).await.json();
    let seats = shown["seats"].as_array().unwrap().iter();
    seats
        .filter(|s| s["state"] == "issued")
        .map(|s| s["name"].clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_corrected_as_the_rules_allow_and_everybody_sees_it() {
    let shop = Shop::new().await;
    let reference = named(&shop).await;
    let done = correct(&shop, &reference, 1, &typo("Mutale Banda")).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.json()["corrections"], 1);
    let again = correct(&shop, &reference, 1, &typo("Mutale Banda")).await;
    assert_eq!(
        again.json()["corrections"],
        1,
        "the same name changes nothing"
    );
    assert_eq!(names(&shop, &reference).await, ["Mutale Banda", "Bwalya"]);
    let sheet = format!("/trips/{}/manifest", shop.trips[0]);
    let sheet = shop.site.get_as(&shop.clerk, &sheet).await;
    assert!(sheet.text.contains("Mutale Banda"), "{sheet:?}");
    assert!(!sheet.text.contains("Mutal Banda"), "{sheet:?}");

    let refused = async |coupon, body: Value| {
        let answer = correct(&shop, &reference, coupon, &body).await;
        (answer.status, answer.problem())
    };
    let said = |status, kind: &str| (status, kind.to_owned());
    let mut wrong = typo("X");
    wrong["phone"] = json!("+260970000009");
    assert_eq!(refused(1, wrong).await, said(404, "not-found"));
    assert_eq!(
        refused(1, json!({"name": "X", "reason": "typo"})).await,
        said(400, "bad-request")
    );
    assert_eq!(refused(3, typo("X")).await, said(422, "no-such-coupon"));
    let mut other = typo("Chanda");
    other["reason"] = json!("other_person");
    assert_eq!(refused(1, other.clone()).await, said(403, "staff-only"));
    assert_eq!(
        correct(&shop, &reference, 1, &typo("Mutale B"))
            .await
            .status,
        200
    );
    assert_eq!(
        refused(1, typo("Mutale C")).await,
        said(409, "not-corrected")
    );
    let path = format!("/bookings/{reference}/coupons/1/passenger");
    let bare = shop.site.put(&path, &[], &typo("M")).await;
    assert_eq!(
        (bare.status, bare.problem().as_str()),
        (428, "if-match-needed")
    );
    let stale = shop
        .site
        .put(&path, &[("if-match", "\"1\"")], &typo("M"))
        .await;
    assert_eq!((stale.status, stale.problem().as_str()), (412, "changed"));
    let bearer = format!("Bearer {}", shop.clerk);
    let staff = [("if-match", "*"), ("authorization", bearer.as_str())];
    other.as_object_mut().unwrap().remove("phone");
    let swapped = shop.site.put(&path, &staff, &other).await;
    assert_eq!(swapped.status, 200, "{swapped:?}");
    assert_eq!(names(&shop, &reference).await, ["Chanda", "Bwalya"]);

    let noted = "SELECT count(*) FROM audit_log WHERE action = 'booking.correct_name'
        AND before ->> 'name_hash' <> after ->> 'name_hash'
        AND before ->> 'document_hash' = after ->> 'document_hash'
        AND after ->> 'reason' IN ('typo', 'other_person')
        AND before::text || after::text !~ '(utal|handa)'";
    assert_eq!(shop.number(noted).await, 3);
    assert_eq!(shop.number(CORRECTIONS).await, 3);
    let told = "SELECT count(*) FROM outbox WHERE kind = 'booking.name_corrected'";
    assert_eq!(shop.number(told).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_their_corrections_survive_an_exchange_and_end_at_the_door() {
    let shop = Shop::new().await;
    let reference = named(&shop).await;
    let done = correct(&shop, &reference, 1, &typo("Mutale Banda")).await;
    assert_eq!(done.status, 200, "{done:?}");
    let to = json!({"trip": shop.trips[1], "from": "LUN", "to": "LVI"});
    let path = format!("/bookings/{reference}/offers");
    let wish = json!({"kind": "exchange", "to": to, "phone": PHONE});
    let offer = shop.post(&path, None, "-", wish).await;
    assert_eq!(offer.status, 201, "{offer:?}");
    let done = shop.confirm(&offer.json(), "k", json!({})).await;
    assert_eq!(done.status, 200, "{done:?}");
    let mut live = names(&shop, &reference).await;
    live.sort_by_key(Value::to_string);
    assert_eq!(live, ["Bwalya", "Mutale Banda"]);
    let sheet = format!("/trips/{}/manifest", shop.trips[1]);
    let sheet = shop.site.get_as(&shop.clerk, &sheet).await;
    assert!(sheet.text.contains("Mutale Banda"), "{sheet:?}");
    let gone = correct(&shop, &reference, 1, &typo("M")).await;
    assert_eq!(
        (gone.status, gone.problem().as_str()),
        (409, "not-corrected")
    );
    let moved = "SELECT coupon_no::bigint FROM passenger_correction";
    let coupon = i16::try_from(shop.number(moved).await).unwrap();
    assert!(coupon > 2, "{coupon}");
    let second = correct(&shop, &reference, coupon, &typo("Mutale Band")).await;
    assert_eq!(second.json()["corrections"], 2, "{second:?}");
    let marks = format!("/trips/{}/marks", shop.trips[1]);
    let ticket =
        format!("SELECT ticket_id FROM coupon WHERE coupon_no = {coupon} AND state = 'issued'");
    let mut owner = shop.site.db.owner().await.unwrap();
    let ticket: uuid::Uuid = sqlx::query_scalar(sqlx::AssertSqlSafe(ticket))
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let body = json!({"mark": "boarded", "tickets": [ticket]});
    let marked = shop.post(&marks, Some(&shop.clerk), "-", body).await;
    assert_eq!(marked.status, 200, "{marked:?}");
    let bearer = format!("Bearer {}", shop.clerk);
    let staff = [("if-match", "*"), ("authorization", bearer.as_str())];
    let path = format!("/bookings/{reference}/coupons/{coupon}/passenger");
    let late = shop
        .site
        .put(&path, &staff, &json!({"name": "X", "reason": "typo"}))
        .await;
    assert_eq!(
        (late.status, late.problem().as_str()),
        (409, "not-corrected")
    );
}
