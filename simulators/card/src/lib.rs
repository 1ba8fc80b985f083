//! Stripe's PaymentIntents as a program: intents, confirmation, cancellation, refunds,
//! idempotency keys, signed webhooks.

#![expect(
    clippy::result_large_err,
    reason = "a refusal is the whole answer, made at most once a request"
)]

mod access;
mod book;
mod hooks;
mod intents;
mod methods;
mod refunds;

use std::path::PathBuf;

use anyhow::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use sim_kit::Stored;

pub use book::Book;
pub use hooks::signature;

/// What `--help` says about magic tokens.
pub const SCRIPT: &str = "\
PAYMENT METHODS (Stripe's own test names, and some more)
  pm_card_visa, _mastercard, _amex, _us ...      paid
  pm_card_visa_chargeDeclined                    402 card_declined, generic_decline
  ..._chargeDeclinedInsufficientFunds, LostCard, StolenCard, VelocityLimitExceeded, Fraudulent
                                                 402 card_declined, with its decline_code
  pm_card_chargeDeclinedExpiredCard, IncorrectCvc, ProcessingError    402, with its code
  pm_card_authenticationRequired, _threeDSecure2Required
                                                 requires_action; GET its redirect url to approve;
                                                 402 authentication_required with off_session
  pm_card_authenticationRequiredChargeDeclinedInsufficientFunds       refused once approved
  pm_card_refundFail, _pendingRefund             paid; refunds fail, or succeed, a little later
  Stripe's test numbers and tok_ names do the same, by POST /v1/payment_methods or
  payment_method_data[card][number] or [token].
  pm_sim_slow                 paid after 3 s      pm_sim_lost_callback       paid, no event
  pm_sim_duplicate_callback   event twice         pm_sim_error_after_charging  paid, answers 500
  pm_sim_timeout              paid, never answers pm_sim_processing          never decides
  pm_sim_failed_but_200       200, requires_payment_method with last_payment_error

CONTROL
  POST /_control/faults   {\"planned\": [{\"fault\": \"lost_callback\"}, {\"fault\": \"timeout\",
       \"refunds\": true}], \"percent\": [[\"error_after_charging\", 5]], \"slow_ms\": 3000}
       faults: slow lost_callback duplicate_callback error_after_charging failed_but200 refusal
       timeout undecided. Planned ones come first; percent is of all intents, by their number.
  POST /_control/webhook  {\"url\": \"https://...\"} where events go; --webhook-url does the same
  GET  /_control/ledger   every capture and refund, and how many of each";

/// How it behaves.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// The secret key that callers have to send
    #[arg(long, default_value = "sk_test_sim", value_name = "KEY")]
    pub secret_key: String,
    /// What events are signed with
    #[arg(long, default_value = "whsec_sim_card", value_name = "SECRET")]
    pub webhook_secret: String,
    /// Where events go
    #[arg(long, value_name = "URL")]
    pub webhook_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            secret_key: "sk_test_sim".to_owned(),
            webhook_secret: "whsec_sim_card".to_owned(),
            webhook_url: None,
        }
    }
}

/// The operator.
#[derive(Debug, Clone)]
pub struct Card {
    settings: Settings,
    /// Everything it knows.
    pub book: Stored<Book>,
}

impl Card {
    /// With what an earlier run left in the file, if one is named.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn open(settings: Settings, file: Option<PathBuf>) -> Result<Self> {
        let book: Stored<Book> = Stored::open(file)?;
        if let Some(url) = &settings.webhook_url {
            book.change(|b| b.webhook_url = Some(url.clone()));
        }
        Ok(Self { settings, book })
    }

    /// All it answers to.
    pub fn router(self) -> Router {
        let control = sim_kit::control_routes(
            |card: &Self, faults| card.book.change(|b| b.faults = faults),
            |card: &Self| card.book.look(|b| b.faults.clone()),
            |card: &Self| card.book.look(|b| b.ledger.clone()),
        );
        Router::new()
            .route(
                "/v1/payment_intents",
                post(intents::create).get(intents::list),
            )
            .route("/v1/payment_intents/{id}", get(intents::show))
            .route("/v1/payment_intents/{id}/confirm", post(intents::confirm))
            .route("/v1/payment_intents/{id}/cancel", post(intents::cancel))
            .route("/v1/payment_methods", post(methods::create))
            .route("/v1/payment_methods/{id}", get(methods::show))
            .route("/v1/refunds", post(refunds::create).get(refunds::list))
            .route("/v1/refunds/{id}", get(refunds::show))
            .route("/_control/webhook", post(hooks::set))
            .route("/_control/authenticate/{id}", get(intents::authenticate))
            .merge(control)
            .fallback(|| async {
                let message = "Unrecognized request URL.";
                error(
                    StatusCode::NOT_FOUND,
                    "invalid_request_error",
                    None,
                    message,
                )
            })
            .with_state(self)
    }
}

/// An answer with a body.
fn answer(status: StatusCode, body: &Value) -> Response {
    let kind = [("content-type", "application/json")];
    (status, kind, body.to_string()).into_response()
}

/// An error as Stripe writes it.
fn error(status: StatusCode, kind: &str, code: Option<&str>, message: &str) -> Response {
    let mut inner = json!({ "type": kind, "message": message });
    if let Some(code) = code {
        inner["code"] = json!(code);
    }
    answer(status, &json!({ "error": inner }))
}

/// Nothing has this number.
fn missing(what: &str, id: &str) -> Response {
    let message = format!("No such {what}: '{id}'");
    error(
        StatusCode::NOT_FOUND,
        "invalid_request_error",
        Some("resource_missing"),
        &message,
    )
}
