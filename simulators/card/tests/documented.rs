//! Stripe's documented test cards behave as its documentation says, in the requests that its
//! client libraries send.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::time::{Duration, Instant};

use serde_json::Value;
use sim_card::{Card, Settings};
use sim_kit::Running;
use tokio::runtime::Runtime;

struct Stripe {
    running: Running,
    agent: ureq::Agent,
    _runtime: Runtime,
}

impl Stripe {
    fn open() -> Self {
        let runtime = Runtime::new().unwrap();
        let card = Card::open(Settings::default(), None).unwrap();
        let running = runtime.block_on(sim_kit::listen(card.router())).unwrap();
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        Self {
            running,
            agent: config.build().into(),
            _runtime: runtime,
        }
    }

    fn post(&self, path: &str, form: &str) -> (u16, Value) {
        let request = self
            .agent
            .post(format!("{}{path}", self.running.url))
            .header("authorization", "Bearer sk_test_sim")
            .header("content-type", "application/x-www-form-urlencoded");
        read(request.send(form))
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let request = self
            .agent
            .get(format!("{}{path}", self.running.url))
            .header("authorization", "Bearer sk_test_sim");
        read(request.call())
    }

    /// `stripe.PaymentIntent.create(amount=…, currency=…, confirm=True, …)`
    fn pay(&self, how: &str) -> (u16, Value) {
        let form = format!("amount=2000&currency=usd&confirm=true&{how}");
        self.post("/v1/payment_intents", &form)
    }

    fn until(&self, path: &str, status: &str) -> Value {
        let began = Instant::now();
        loop {
            let (_, row) = self.get(path);
            if row["status"] == status {
                return row;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{row}");
        }
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let mut answer = answer.unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (
        answer.status().as_u16(),
        serde_json::from_str(&text).unwrap(),
    )
}

#[test]
fn cards_that_are_declined_say_the_documented_codes() {
    let stripe = Stripe::open();
    let declined = [
        (
            "pm_card_visa_chargeDeclined",
            "card_declined",
            "generic_decline",
        ),
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        (
            "pm_card_chargeCustomerFail",
            "card_declined",
            "generic_decline",
        ),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
        ),
        (
            "pm_card_visa_chargeDeclinedLostCard",
            "card_declined",
            "lost_card",
        ),
        (
            "pm_card_visa_chargeDeclinedStolenCard",
            "card_declined",
            "stolen_card",
        ),
        (
            "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
            "card_declined",
            "card_velocity_exceeded",
        ),
        ("pm_card_radarBlock", "card_declined", "fraudulent"),
        (
            "pm_card_chargeDeclinedExpiredCard",
            "expired_card",
            "expired_card",
        ),
        (
            "pm_card_chargeDeclinedIncorrectCvc",
            "incorrect_cvc",
            "incorrect_cvc",
        ),
        (
            "pm_card_chargeDeclinedProcessingError",
            "processing_error",
            "processing_error",
        ),
    ];
    for (method, code, decline) in declined {
        let (status, body) = stripe.pay(&format!("payment_method={method}"));
        let error = &body["error"];
        assert_eq!(status, 402, "{method}: {body}");
        assert_eq!(
            (&error["type"], &error["code"], &error["decline_code"]),
            (&"card_error".into(), &code.into(), &decline.into()),
            "{method}"
        );
        let intent = &error["payment_intent"];
        assert_eq!(intent["status"], "requires_payment_method", "{method}");
        assert_eq!(intent["last_payment_error"]["code"], code);
    }
    let (_, ledger) = stripe.get("/_control/ledger");
    assert_eq!(ledger["captures"], 0);
}

#[test]
fn good_cards_pay_by_name_number_and_token_and_numbers_are_kept_nowhere() {
    let stripe = Stripe::open();
    for how in [
        "payment_method=pm_card_visa",
        "payment_method=pm_card_mastercard_prepaid",
        "payment_method=pm_card_gb",
        "payment_method_data[type]=card&payment_method_data[card][token]=tok_visa",
        "payment_method_data%5Btype%5D=card&payment_method_data%5Bcard%5D%5Bnumber%5D=4242424242424242",
    ] {
        let (status, body) = stripe.pay(how);
        assert_eq!(
            (status, &body["status"]),
            (200, &"succeeded".into()),
            "{how}: {body}"
        );
    }
    let (status, made) = stripe.post(
        "/v1/payment_methods",
        "type=card&card[number]=4000 0000 0000 9995&card[exp_month]=12&card[exp_year]=2040&card[cvc]=314",
    );
    assert_eq!(
        (status, &made["card"]["last4"]),
        (200, &"9995".into()),
        "{made}"
    );
    let id = made["id"].as_str().unwrap();
    let (_, again) = stripe.get(&format!("/v1/payment_methods/{id}"));
    assert_eq!(again["card"]["last4"], "9995");
    let (status, body) = stripe.pay(&format!("payment_method={id}"));
    assert_eq!(
        (status, &body["error"]["decline_code"]),
        (402, &"insufficient_funds".into())
    );
    assert!(!body.to_string().contains("4000000000009995"), "{body}");
    let (status, body) = stripe
        .pay("payment_method_data[type]=card&payment_method_data[card][number]=4242424242424241");
    assert_eq!(
        (status, &body["error"]["code"]),
        (402, &"incorrect_number".into())
    );
    for wrong in ["pm_card_nothing_of_this", "tok_visa", "card_visa"] {
        let (status, body) = stripe.pay(&format!("payment_method={wrong}"));
        assert_eq!(status, 400, "{wrong}: {body}");
    }
    let (_, ledger) = stripe.get("/_control/ledger");
    assert_eq!(ledger["captures"], 5);
}

#[test]
fn a_card_that_needs_its_holder_waits_for_them_and_is_refused_without() {
    let stripe = Stripe::open();
    for (method, after) in [
        ("pm_card_authenticationRequired", "succeeded"),
        ("pm_card_threeDSecure2Required", "succeeded"),
        (
            "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
            "requires_payment_method",
        ),
    ] {
        let (status, body) = stripe.pay(&format!("payment_method={method}"));
        assert_eq!(
            (status, &body["status"]),
            (200, &"requires_action".into()),
            "{method}"
        );
        let id = body["id"].as_str().unwrap();
        let (_, approved) = stripe.get(&format!("/_control/authenticate/{id}"));
        assert_eq!(approved["status"], after, "{method}: {approved}");
        let how = format!("payment_method={method}&off_session=true");
        let (status, body) = stripe.pay(&how);
        assert_eq!(
            (status, &body["error"]["code"]),
            (402, &"authentication_required".into()),
            "{method}"
        );
    }
}

#[test]
fn refunds_that_end_later_fail_or_succeed_as_documented() {
    let stripe = Stripe::open();
    for (method, first, last, refunds) in [
        ("pm_card_refundFail", "succeeded", "failed", 0),
        ("pm_card_pendingRefund", "pending", "succeeded", 1),
    ] {
        let (_, paid) = stripe.pay(&format!("payment_method={method}"));
        let intent = paid["id"].as_str().unwrap();
        let (status, refund) = stripe.post("/v1/refunds", &format!("payment_intent={intent}"));
        assert_eq!(
            (status, &refund["status"]),
            (200, &first.into()),
            "{refund}"
        );
        let id = refund["id"].as_str().unwrap();
        let ended = stripe.until(&format!("/v1/refunds/{id}"), last);
        assert_eq!(
            ended["failure_reason"].is_string(),
            last == "failed",
            "{ended}"
        );
        let (_, ledger) = stripe.get("/_control/ledger");
        assert_eq!(ledger["refunds"], refunds, "{method}");
    }
}
