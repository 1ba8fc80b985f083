//! Paying for exchanges.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::payments::{PaymentAsked, PaymentView, checked, payer_form, render};
use crate::access::Caller;
use crate::aftersale::http::open_offer;
use crate::http::extract::{Body, Named};
use crate::http::{Api, Problem, idempotent};
use crate::idempotency;
use crate::payment::service::Wish;
use crate::payment::{jobs, offers};

/// A wish to pay what an exchange costs more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "provider": "momo", "phone": "+260961234567" }))]
pub struct OfferPaymentAsked {
    /// `momo` or `card`; cash is taken with the confirmation, at a counter.
    #[schema(max_length = 20)]
    provider: String,
    /// Of `momo`: the payer's number; without a country code it is one of the company's country.
    #[schema(max_length = 100)]
    phone: Option<String>,
    /// Of `card`: a token of the card provider's own page, like `pm_1PZ…`.
    #[schema(max_length = 100)]
    card: Option<String>,
}

/// Pays what an exchange costs more, while its offer is open. The new seats are held until the
/// payment has ended. When the money has come the exchange is carried out (`issued`); where it
/// cannot be any more, the money goes back by itself (`seats_gone`).
#[utoipa::path(post, path = "/offers/{offer}/payments", tag = "payments",
    operation_id = "payments_of_offer", request_body = OfferPaymentAsked, security(()),
    params(("offer" = Uuid, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    responses((status = 201, body = PaymentView),
        (status = 404, body = Problem, description = "no such offer, or it is not yours"),
        (status = 409, body = Problem, description = "`payment-underway`, `offer-over`, `nothing-due`, `sold-out`, `boarding-closed` or `in-flight`"),
        (status = 422, body = Problem, description = "`not-offered`, `unprocessable` or `idempotency-key-reused`"),
        (status = "default", body = Problem)))]
pub async fn begin(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(offer): Named<Uuid>,
    body: Body<OfferPaymentAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let path = format!("/offers/{offer}/payments");
    let key = idempotent::key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let asked = body.value;
    let (provider, payer) = checked(&PaymentAsked {
        provider: asked.provider,
        phone: asked.phone,
        card: asked.card,
        contact_phone: None,
        contact_name: None,
    })?;
    let (company, _) = open_offer(&api, &caller, offer).await?;
    if let Some(replay) = idempotency::remembered(&api.cache, company, &key).await {
        return idempotent::respond(replay);
    }
    let wish = Wish {
        provider,
        payer: payer_form(&api, company, provider, payer).await?,
        may_take_cash: false,
    };
    let by = (&wish, caller.identity);
    let begun = offers::begin(&api, company, offer, by, &key, render).await?;
    if begun.is_kept {
        idempotency::remember(&api.cache, company, &key, &begun.replay).await;
    }
    if let Some(payment) = begun.to_start {
        jobs::soon(&api, company, payment);
    }
    idempotent::respond(begun.replay)
}
