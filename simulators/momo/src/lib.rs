//! MTN MoMo's open API as a program: provisioning, tokens, requesttopay, refunds, one callback.
//!
//! It is strict where MTN is strict (subscription keys, version 4 reference ids, target
//! environment, duplicates) and wrong where its script of faults says so.

#![expect(
    clippy::result_large_err,
    reason = "a refusal is the whole answer, made at most once a request"
)]

mod access;
mod book;
mod charges;
mod refunds;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use sim_kit::Stored;

pub use book::Book;

/// What `--help` says about magic numbers.
pub const SCRIPT: &str = "\
MAGIC PHONE NUMBERS (by their last digits; MTN's own test numbers work too)
  ...901  slow: decides after 3 s              ...905  failed, status answers 200
  ...902  paid, the callback is lost           ...906  refused at once with 400
  ...903  paid, the callback comes twice       ...907  paid, never answers the request
  ...904  paid, the request answers 500        ...908  never decides
  46733123450 FAILED, INTERNAL_PROCESSING_ERROR   46733123451 FAILED, APPROVAL_REJECTED
  46733123452 FAILED, EXPIRED   46733123453 stays PENDING   46733123454 PENDING, then paid

CONTROL
  POST /_control/faults  {\"planned\": [{\"fault\": \"lost_callback\", \"times\": 2}, {\"fault\":
       \"error_after_charging\", \"refunds\": true}], \"percent\": [[\"timeout\", 5]], \"slow_ms\": 3000}
       faults: slow lost_callback duplicate_callback error_after_charging failed_but200 refusal
       timeout undecided. Planned ones come first; percent is of all charges, by reference.
  GET  /_control/ledger  every capture and refund, and how many of each

CREDENTIALS
  Any of --api-user/--api-key/--subscription-key, or provision users as in MTN's sandbox:
  POST /v1_0/apiuser, POST /v1_0/apiuser/{id}/apikey.";

/// How it behaves.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// The subscription key that both products take
    #[arg(long, default_value = "sim-subscription", value_name = "KEY")]
    pub subscription_key: String,
    /// An API user that is there from the start
    #[arg(
        long,
        default_value = "00000000-0000-4000-8000-000000000001",
        value_name = "UUID"
    )]
    pub api_user: String,
    /// Its key
    #[arg(long, default_value = "sim-api-key", value_name = "KEY")]
    pub api_key: String,
    /// What X-Target-Environment has to say
    #[arg(long, default_value = "sandbox", value_name = "NAME")]
    pub target_environment: String,
    /// How long a payer takes to approve, in milliseconds
    #[arg(long, default_value_t = 150, value_name = "MS")]
    pub decide_ms: u64,
    /// Calls back with POST instead of PUT
    #[arg(long)]
    pub callback_by_post: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            subscription_key: "sim-subscription".to_owned(),
            api_user: "00000000-0000-4000-8000-000000000001".to_owned(),
            api_key: "sim-api-key".to_owned(),
            target_environment: "sandbox".to_owned(),
            decide_ms: 20,
            callback_by_post: false,
        }
    }
}

/// The operator.
#[derive(Debug, Clone)]
pub struct Momo {
    settings: Settings,
    /// Everything it knows.
    pub book: Stored<Book>,
}

impl Momo {
    /// With what an earlier run left in the file, if one is named.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn open(settings: Settings, file: Option<PathBuf>) -> Result<Self> {
        let book = Stored::open(file)?;
        Ok(Self { settings, book })
    }

    /// All it answers to.
    pub fn router(self) -> Router {
        let control = sim_kit::control_routes(
            |momo: &Self, faults| momo.book.change(|b| b.faults = faults),
            |momo: &Self| momo.book.look(|b| b.faults.clone()),
            |momo: &Self| momo.book.look(|b| b.ledger.clone()),
        );
        Router::new()
            .route("/v1_0/apiuser", post(access::new_user))
            .route("/v1_0/apiuser/{id}", get(access::user))
            .route("/v1_0/apiuser/{id}/apikey", post(access::new_key))
            .route("/{product}/token/", post(access::token))
            .route("/{product}/token", post(access::token))
            .route("/{product}/v1_0/account/balance", get(charges::balance))
            .route("/collection/v1_0/requesttopay", post(charges::start))
            .route("/collection/v1_0/requesttopay/{id}", get(charges::status))
            .route(
                "/collection/v1_0/accountholder/{kind}/{id}/active",
                get(charges::active),
            )
            .route("/disbursement/v1_0/refund", post(refunds::start))
            .route("/disbursement/v1_0/refund/{id}", get(refunds::status))
            .merge(control)
            .fallback(|| async {
                let message = json!({ "statusCode": 404, "message": "Resource not found" });
                answer(StatusCode::NOT_FOUND, &message)
            })
            .with_state(self)
    }
}

/// How long a slow decision takes.
fn slow_of(book: &Book) -> Duration {
    let set = book.faults.slow_ms;
    Duration::from_millis(if set == 0 { 3_000 } else { set })
}

/// An answer with a body, as MTN writes them.
fn answer(status: StatusCode, body: &Value) -> Response {
    let kind = [("content-type", "application/json")];
    (status, kind, body.to_string()).into_response()
}

/// An error as MTN writes it.
fn error(status: StatusCode, code: &str, message: &str) -> Response {
    answer(status, &json!({ "code": code, "message": message }))
}
