use serde_json::json;
use sim_kit::{Fault, Faults};

use super::scene::{PHONE, Scene, TOTAL, card, momo};

#[tokio::test(flavor = "multi_thread")]
async fn mobile_money_is_captured_once_whatever_the_operator_does_wrong() {
    let scene = Scene::new().await;
    // An ordinary number, slow, lost callback, double callback, 500 after charging, no answer.
    let numbers = [
        "+260961234567",
        "+260961234901",
        "+260961234902",
        "+260961234903",
        "+260961234904",
        "+260961234907",
    ];
    scene.momo.book.change(|b| b.faults.slow_ms = 300);
    for (seat, number) in (1..).zip(numbers) {
        let reference = scene.awaiting(seat).await;
        let row = scene.paid_by(&reference, &momo(number)).await;
        assert_eq!(row["state"], "captured", "{number}: {row}");
        assert_eq!(row["outcome"], "issued");
        assert_eq!(row["payer_hint"], number[number.len() - 3..]);
    }
    let count = numbers.len();
    let captures = scene.momo.book.look(|b| b.ledger.count("capture"));
    assert_eq!(captures, count);
    let tickets = scene.number("SELECT count(*) FROM ticket").await;
    assert_eq!(tickets, count as i64);
    let clearing = scene.stands_on("mobile_money_clearing").await;
    assert_eq!(clearing, TOTAL * count as i64);
    let posted = "SELECT COALESCE(sum(amount_minor), 0)::bigint FROM ledger_posting";
    assert_eq!(scene.number(posted).await, 0);
    let plain = "SELECT count(*) FROM payment WHERE position('26096' IN payer_sealed::text) > 0";
    assert_eq!(scene.number(plain).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_payment_fails_with_the_operators_word_and_the_booking_may_be_paid_again() {
    let scene = Scene::new().await;
    let reference = scene.awaiting(1).await;
    let refused = [
        ("a", momo("+260961234905"), "payer_limit_reached"),
        ("b", momo("+260961234906"), "payer_not_found"),
        ("c", momo("+46733123451"), "approval_rejected"),
        ("d", card("pm_card_visa_chargeDeclined"), "generic_decline"),
        ("e", card("pm_sim_failed_but_200"), "do_not_honor"),
        (
            "f",
            card("pm_card_visa_chargeDeclinedInsufficientFunds"),
            "insufficient_funds",
        ),
    ];
    for (key, wish, reason) in refused {
        let begun = scene.pay(&reference, key, &wish).await;
        assert_eq!(begun.status, 201, "{begun:?}");
        let id = begun.json()["payment"].as_str().unwrap().to_owned();
        let row = scene.ended(&id).await;
        assert_eq!(
            (&row["state"], &row["reason"]),
            (&json!("failed"), &json!(reason))
        );
    }
    let row = scene.paid_by(&reference, &card("pm_card_visa")).await;
    assert_eq!(row["state"], "captured");
    let captures = scene.momo.book.look(|b| b.ledger.count("capture"));
    assert_eq!(captures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_charged_once_whatever_its_operator_does_wrong() {
    let scene = Scene::new().await;
    scene.card.book.change(|b| b.faults.slow_ms = 300);
    let tokens = [
        "pm_card_visa",
        "pm_sim_slow",
        "pm_sim_lost_callback",
        "pm_sim_duplicate_callback",
        "pm_sim_error_after_charging",
        "pm_sim_timeout",
    ];
    for (seat, token) in (1..).zip(tokens) {
        let reference = scene.awaiting(seat).await;
        let row = scene.paid_by(&reference, &card(token)).await;
        assert_eq!(row["state"], "captured", "{token}: {row}");
    }
    let captures = scene.card.book.look(|b| b.ledger.count("capture"));
    assert_eq!(captures, tokens.len());
    let clearing = scene.stands_on("card_clearing").await;
    assert_eq!(clearing, TOTAL * tokens.len() as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_asks_its_customer_first_is_shown_and_waited_for() {
    let scene = Scene::new().await;
    let reference = scene.awaiting(1).await;
    let begun = scene
        .pay(&reference, "k", &card("pm_card_authenticationRequired"))
        .await;
    let id = begun.json()["payment"].as_str().unwrap().to_owned();
    let path = format!("/payments/{id}");
    let row = scene
        .until(&path, |row| row["action_url"].is_string())
        .await;
    assert_eq!(row["state"], "pending");
    scene.card.book.change(|b| {
        let intent = b.intents.keys().next().unwrap().clone();
        b.capture(&intent);
    });
    assert_eq!(scene.ended(&id).await["state"], "captured");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_gets_one_answer_for_ever_and_a_second_payment_waits_for_the_first() {
    let scene = Scene::new().await;
    let reference = scene.awaiting(1).await;
    let wish = momo("+260961234908");
    let first = scene.pay(&reference, "k", &wish).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(scene.pay(&reference, "k", &wish).await, first);
    // The cache has forgotten; the permanent record has not.
    let other = scene.pay(&reference, "k", &momo("+260961234567")).await;
    assert_eq!(
        (other.status, other.problem().as_str()),
        (422, "idempotency-key-reused")
    );
    let second = scene.pay(&reference, "l", &momo("+260961234567")).await;
    assert_eq!(
        (second.status, second.problem().as_str()),
        (409, "payment-underway")
    );
    let link = second.json()["link"].as_str().unwrap().to_owned();
    let underway = scene.office("GET", &link, None).await.json();
    assert_eq!(underway["payment"], first.json()["payment"]);
    let kept = "SELECT count(*) FROM payment";
    assert_eq!(scene.number(kept).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_pays_or_sees_the_payments_of_a_booking_without_proof() {
    let scene = Scene::new().await;
    let reference = scene.awaiting(1).await;
    let mut wish = momo("+260961234567");
    wish["contact_phone"] = json!("+260970000002");
    let refused = scene.pay(&reference, "k", &wish).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (404, "not-found")
    );
    let path = format!("/bookings/{reference}/payments");
    let refused = scene.ask("GET", &path, &[], None).await;
    assert_eq!(refused.status, 400);
    let mut wish = card("pm_card_visa");
    wish.as_object_mut().unwrap().remove("contact_phone");
    let refused = scene.pay(&reference, "l", &wish).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    scene.paid_by(&reference, &momo("+260961234567")).await;
    let path = format!("{path}?phone=%2B260970000001");
    let shown = scene.ask("GET", &path, &[], None).await.json();
    assert_eq!(shown["items"][0]["state"], "captured");
    let anonymous = scene.ask("GET", "/payments", &[], None).await;
    assert_eq!(anonymous.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_read_as_the_country_writes_them_and_pay_from_where_the_booking_was_made() {
    let scene = Scene::new().await;
    for (seat, written) in [
        (1, "0970000001"),
        (2, "097 000-0001"),
        (3, "00260970000001"),
    ] {
        let reference = scene.awaiting(seat).await;
        let wish = json!({ "provider": "momo", "phone": written });
        let row = scene.paid_by(&reference, &wish).await;
        assert_eq!(row["state"], "captured", "{written}: {row}");
        let path = format!("/bookings/{reference}/payments?phone=0970000001");
        let shown = scene.ask("GET", &path, &[], None).await.json();
        assert_eq!(shown["items"][0]["payment"], row["payment"]);
    }
    let payers = scene.momo.book.look(|b| {
        let payers = b.requests.values().map(|r| r.payer.clone());
        payers.collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(payers, ["260970000001".to_owned()].into());
    let reference = scene.awaiting(4).await;
    let wrong = json!({ "provider": "momo", "phone": "call me" });
    assert_eq!(scene.pay(&reference, "k", &wrong).await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_numbers_of_a_booking_is_stopped_and_its_office_is_not() {
    let scene = Scene::new().await;
    let reference = scene.awaiting(1).await;
    for guess in 0..20 {
        let wish = momo_from(&format!("+2609611{guess:05}"));
        let refused = scene.pay(&reference, &format!("k{guess}"), &wish).await;
        assert_eq!(refused.status, 404, "{refused:?}");
    }
    let right = json!({ "provider": "momo", "phone": PHONE });
    let refused = scene.pay(&reference, "right", &right).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (429, "too-many-guesses")
    );
    let path = format!("/bookings/{reference}/payments");
    let shown = format!("{path}?phone=%2B260970000001");
    let refused = scene.ask("GET", &shown, &[], None).await;
    assert_eq!(refused.status, 429);
    let wish = json!({ "provider": "cash" });
    let paid = scene.sell(&path, "office", &wish).await;
    assert_eq!(paid.status, 201, "{paid:?}");
}

fn momo_from(phone: &str) -> serde_json::Value {
    json!({ "provider": "momo", "phone": phone })
}

#[tokio::test(flavor = "multi_thread")]
async fn cash_is_captured_at_once_by_a_seller_and_by_nobody_else() {
    let scene = Scene::new().await;
    let reference = scene.awaiting(1).await;
    let wish = json!({ "provider": "cash", "contact_phone": PHONE });
    let refused = scene.pay(&reference, "k", &wish).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (403, "forbidden")
    );
    let path = format!("/bookings/{reference}/payments");
    let wish = json!({ "provider": "cash" });
    let paid = scene.sell(&path, "k", &wish).await;
    assert_eq!(paid.status, 201, "{paid:?}");
    assert_eq!(paid.json()["state"], "captured");
    assert_eq!(scene.stands_on("agent_cash").await, TOTAL);
    assert_eq!(scene.number("SELECT count(*) FROM ticket").await, 1);
    let again = scene.sell(&path, "l", &wish).await;
    assert_eq!(
        (again.status, again.problem().as_str()),
        (409, "not-payable")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_to_a_guessed_address_or_without_a_signature_changes_nothing() {
    let scene = Scene::new().await;
    let path = format!(
        "/payments/callbacks/momo/{}{}",
        "0".repeat(32),
        "0".repeat(32)
    );
    for method in ["POST", "PUT"] {
        let answer = scene.ask(method, &path, &[], Some(&json!({}))).await;
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    let event = json!({ "data": { "object": { "object": "payment_intent" } } });
    let signature = [("stripe-signature", "t=1,v1=00")];
    let answer = scene
        .ask("POST", "/payments/webhooks/card", &signature, Some(&event))
        .await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "bad-signature")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_payment_expires_after_a_last_question() {
    let scene = Scene::paying_within(1).await;
    let reference = scene.awaiting(1).await;
    let row = scene.paid_by(&reference, &momo("+260961234908")).await;
    assert_eq!(row["state"], "expired");
    let id = row["payment"].as_str().unwrap();
    let calls = scene
        .office("GET", &format!("/payments/{id}/calls"), None)
        .await
        .json();
    assert_eq!(calls["items"][0]["operation"], "cancel");
    let reference = scene.awaiting(2).await;
    let row = scene
        .paid_by(&reference, &card("pm_card_authenticationRequired"))
        .await;
    // A card is cancelled at the operator's, so that nobody can approve it later.
    assert_eq!(row["state"], "failed");
    let status = scene.card.book.look(|b| {
        let intent = b.intents.values().next().unwrap();
        intent["status"].as_str().unwrap().to_owned()
    });
    assert_eq!(status, "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_by_the_script_are_survived_too() {
    let scene = Scene::new().await;
    let script = Faults {
        percent: vec![(Fault::LostCallback, 40), (Fault::ErrorAfterCharging, 30)],
        ..Faults::default()
    };
    scene.momo.book.change(|b| b.faults = script);
    for seat in 1..=8 {
        let reference = scene.awaiting(seat).await;
        let row = scene.paid_by(&reference, &momo("+260961234567")).await;
        assert_eq!(row["state"], "captured");
    }
    assert_eq!(scene.momo.book.look(|b| b.ledger.count("capture")), 8);
}
