//! Where providers call back. Bounded, answered quickly, believed in nothing.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::clock;
use crate::http::extract::Named;
use crate::http::{Api, Problem};
use crate::payment::callbacks;

async fn momo(api: &Api, secret: &str) -> Result<StatusCode, Problem> {
    if callbacks::momo(api, secret, clock::now()).await? {
        Ok(StatusCode::OK)
    } else {
        Err(Problem::not_found("there is nothing at this address"))
    }
}

/// MTN MoMo's callback about one payment. What it says is not read: the hub asks.
#[utoipa::path(post, path = "/payments/callbacks/momo/{secret}", tag = "providers", security(()),
    params(("secret" = String, Path, description = "From `X-Callback-Url`")),
    responses((status = 200, description = "Heard"), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn momo_post(
    State(api): State<Api>,
    Named(secret): Named<String>,
) -> Result<StatusCode, Problem> {
    momo(&api, &secret).await
}

/// MTN MoMo's callback about one payment, as MTN sends it in production.
#[utoipa::path(put, path = "/payments/callbacks/momo/{secret}", tag = "providers", security(()),
    params(("secret" = String, Path, description = "From `X-Callback-Url`")),
    responses((status = 200, description = "Heard"), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn momo_put(
    State(api): State<Api>,
    Named(secret): Named<String>,
) -> Result<StatusCode, Problem> {
    momo(&api, &secret).await
}

/// An event of the card provider, signed with `Stripe-Signature`. It only tells the hub to ask.
#[utoipa::path(post, path = "/payments/webhooks/card", tag = "providers", security(()),
    request_body(content = Object, description = "An event, as Stripe sends it"),
    params(("Stripe-Signature" = String, Header, description = "`t=…,v1=…`, at most 5 minutes old")),
    responses((status = 200, description = "Heard"),
        (status = 400, body = Problem, description = "`bad-signature`"),
        (status = "default", body = Problem)))]
pub async fn card(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let now = clock::now();
    let said = headers.get("stripe-signature");
    let said = said.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let secrets = &api.payments.card_webhook_secrets;
    if !callbacks::card_signature_holds(said, &body, secrets, now.as_secs()) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-signature",
            "Bad signature",
            "Stripe-Signature does not hold for this body, or is older than 5 minutes",
        ));
    }
    let event: Value =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_json(error.to_string()))?;
    callbacks::card(&api, &event, now).await?;
    Ok(StatusCode::OK)
}
