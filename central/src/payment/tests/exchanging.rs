use serde_json::{Value, json};

use super::scene::{PHONE, Scene, TOTAL, momo};

/// What the new journey costs more.
const MORE: i64 = 5_000;

/// A paid booking, and the open offer of another trip that costs more.
async fn offered(scene: &Scene) -> String {
    let other = scene.company.trip("2", 4, 2).await.unwrap().id;
    fare(scene, TOTAL + MORE).await;
    let reference = scene.awaiting(1).await;
    let paid = scene.paid_by(&reference, &momo("+260961234567")).await;
    assert_eq!(paid["outcome"], "issued", "{paid}");
    let wish = json!({"kind": "exchange", "phone": PHONE,
        "to": {"trip": other.0, "from": "S0", "to": "S4"}});
    let path = format!("/bookings/{reference}/offers");
    let offer = scene.ask("POST", &path, &[], Some(&wish)).await;
    assert_eq!(offer.status, 201, "{offer:?}");
    let offer = offer.json();
    assert_eq!(offer["due_minor"], MORE, "{offer}");
    offer["offer"].as_str().unwrap().to_owned()
}

async fn fare(scene: &Scene, amount: i64) {
    let mut tx = scene.tx().await;
    sqlx::query(
        "INSERT INTO fare_table (company_id, fare_table_id, currency, body, adopted)
         VALUES ($1, 'fares', 'ZMW', '', true)",
    )
    .bind(scene.company.id.0)
    .execute(tx.conn())
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO fare (company_id, fare_id, fare_table_id, from_stop, to_stop, class,
             fare_minor)
         VALUES ($1, gen_random_uuid(), 'fares', 'S0', 'S4', 0, $2)",
    )
    .bind(scene.company.id.0)
    .bind(amount)
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

async fn pay(scene: &Scene, offer: &str, key: &str, phone: &str) -> super::scene::Answer {
    let path = format!("/offers/{offer}/payments");
    let wish = json!({"provider": "momo", "phone": phone});
    scene
        .ask("POST", &path, &[("idempotency-key", key)], Some(&wish))
        .await
}

async fn state_of(scene: &Scene, offer: &str) -> Value {
    let seen = scene
        .ask("GET", &format!("/offers/{offer}"), &[], None)
        .await;
    seen.json()["state"].clone()
}

const HELD: &str = "SELECT count(*) FROM claim WHERE offer_id IS NOT NULL";
const LIVE: &str = "SELECT count(*) FROM ticket WHERE state = 0";
const SUM: &str = "SELECT COALESCE(sum(amount_minor), 0)::bigint FROM ledger_posting";

#[tokio::test(flavor = "multi_thread")]
async fn a_passenger_pays_what_an_exchange_costs_more_and_has_the_new_ticket() {
    let scene = Scene::new().await;
    let offer = offered(&scene).await;
    let confirm = format!("/offers/{offer}/confirm");
    let bare = scene
        .ask(
            "POST",
            &confirm,
            &[("idempotency-key", "c")],
            Some(&json!({})),
        )
        .await;
    assert_eq!((bare.status, bare.problem().as_str()), (409, "to-pay"));
    let begun = pay(&scene, &offer, "k", "+260961234567").await;
    assert_eq!(begun.status, 201, "{begun:?}");
    assert_eq!(begun.json()["amount_minor"], MORE);
    assert_eq!(pay(&scene, &offer, "k", "+260961234567").await, begun);
    let ended = scene.ended(begun.json()["payment"].as_str().unwrap()).await;
    assert_eq!(
        (&ended["state"], &ended["outcome"]),
        (&json!("captured"), &json!("issued"))
    );
    assert_eq!(state_of(&scene, &offer).await, "confirmed");
    assert_eq!((scene.number(HELD).await, scene.number(LIVE).await), (0, 1));
    let moved = "SELECT count(*) FROM ticket k JOIN trip t USING (company_id, trip_id)
        WHERE k.state = 0 AND t.run = '2'";
    assert_eq!(scene.number(moved).await, 1);
    assert_eq!(scene.stands_on("mobile_money_clearing").await, TOTAL + MORE);
    assert_eq!(scene.stands_on("deferred_revenue").await, -(TOTAL + MORE));
    assert_eq!(scene.stands_on("refunds_payable").await, 0);
    assert_eq!(scene.number(SUM).await, 0);
    let paid = "SELECT paid_minor - total_minor FROM booking";
    assert_eq!(scene.number(paid).await, 0);
    let over = pay(&scene, &offer, "again", "+260961234567").await;
    assert_eq!((over.status, over.problem().as_str()), (409, "offer-over"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_payment_frees_the_seats_and_leaves_the_offer_to_be_paid_again() {
    let scene = Scene::new().await;
    let offer = offered(&scene).await;
    let begun = pay(&scene, &offer, "k", "+46733123451").await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let ended = scene.ended(begun.json()["payment"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "failed", "{ended}");
    assert_eq!((scene.number(HELD).await, scene.number(LIVE).await), (0, 1));
    assert_eq!(state_of(&scene, &offer).await, "open");
    let begun = pay(&scene, &offer, "once-more", "+260961234567").await;
    let ended = scene.ended(begun.json()["payment"].as_str().unwrap()).await;
    assert_eq!(ended["outcome"], "issued", "{ended}");
    assert_eq!(state_of(&scene, &offer).await, "confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_for_an_exchange_that_cannot_be_any_more_goes_back_by_itself() {
    let scene = Scene::new().await;
    let offer = offered(&scene).await;
    let path = format!("/offers/{offer}/payments");
    // A bank that asks its customer first.
    let wish = json!({"provider": "card", "card": "pm_card_authenticationRequired"});
    let key = [("idempotency-key", "k")];
    let begun = scene.ask("POST", &path, &key, Some(&wish)).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let id = begun.json()["payment"].as_str().unwrap().to_owned();
    scene
        .until(&format!("/payments/{id}"), |row| {
            row["action_url"].is_string()
        })
        .await;
    assert_eq!(
        scene.number(HELD).await,
        1,
        "the new seat waits for the money"
    );
    let mut owner = scene.test.owner().await.unwrap();
    sqlx::query("UPDATE trip SET state = 'cancelled' WHERE run = '2'")
        .execute(&mut owner)
        .await
        .unwrap();
    scene.card.book.change(|b| {
        let intent = b.intents.keys().next().unwrap().clone();
        b.capture(&intent);
    });
    let ended = scene.ended(&id).await;
    assert_eq!(ended["outcome"], "seats_gone", "{ended}");
    assert_eq!((scene.number(HELD).await, scene.number(LIVE).await), (0, 1));
    assert_eq!(state_of(&scene, &offer).await, "lapsed");
    scene
        .until("/refunds", |page| page["items"][0]["state"] == "done")
        .await;
    assert_eq!(scene.stands_on("refunds_payable").await, 0);
    assert_eq!(scene.stands_on("mobile_money_clearing").await, TOTAL);
    assert_eq!(scene.stands_on("card_clearing").await, 0);
    assert_eq!(scene.number(SUM).await, 0);
}
