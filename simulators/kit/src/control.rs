//! `/_control`: the script of faults, and the ledger to count by.

use axum::Json;
use axum::Router;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::ledger::Ledger;

/// `POST /_control/faults`, `GET /_control/faults` and `GET /_control/ledger` over something that
/// has both.
pub fn control_routes<S>(
    set: impl Fn(&S, Faults) + Clone + Send + Sync + 'static,
    faults: impl Fn(&S) -> Faults + Clone + Send + Sync + 'static,
    ledger: impl Fn(&S) -> Ledger + Clone + Send + Sync + 'static,
) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    use axum::extract::State;
    Router::new()
        .route(
            "/_control/faults",
            post(move |State(state): State<S>, Json(wanted): Json<Faults>| {
                let set = set.clone();
                async move {
                    set(&state, wanted);
                    Json(json!({ "set": true }))
                }
            })
            .get(move |State(state): State<S>| {
                let faults = faults.clone();
                async move { Json(faults(&state)) }
            }),
        )
        .route(
            "/_control/ledger",
            get(move |State(state): State<S>| {
                let ledger = ledger.clone();
                async move { Json(shown(&ledger(&state))) }
            }),
        )
}

fn shown(ledger: &Ledger) -> Value {
    json!({
        "captures": ledger.count("capture"),
        "refunds": ledger.count("refund"),
        "lines": ledger.lines,
    })
}
