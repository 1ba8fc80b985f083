//! Paying, and looking at payments.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::ids::CompanyId;
use domain::money::Currency;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::{Caller, Identity, Permission};
use crate::booking::contact::phone_form;
use crate::booking::http::{Proof, locate};
use crate::booking::office_currency;
use crate::http::extract::{Asked, Body, Named, cursor};
use crate::http::problem::PROBLEM_JSON;
use crate::http::{Api, Problem, idempotent};
use crate::idempotency::{self, Answer};
use crate::payment::db::{self, PaymentRow, Wanted};
use crate::payment::jobs;
use crate::payment::kind::ProviderKind;
use crate::payment::rules::PaymentState;
use crate::payment::service::{self, Begun, Wish};
use crate::views::Page;

/// The longest phone number or card token, in characters.
const PAYER_CHARS_MAX: usize = 100;
/// The most calls that are shown of one payment.
const CALLS_MAX: i64 = 200;

/// A wish to pay what a booking costs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "provider": "momo", "phone": "+260961234567" }))]
pub struct PaymentAsked {
    /// `momo`, `card` or `cash`; cash takes the permission `sell`.
    #[schema(max_length = 20)]
    pub(super) provider: String,
    /// Of `momo`: the payer's number; without a country code it is one of the company's country.
    #[schema(max_length = 100)]
    pub(super) phone: Option<String>,
    /// Of `card`: a token of the card provider's own page, like `pm_1PZ…`.
    #[schema(max_length = 100)]
    pub(super) card: Option<String>,
    /// The phone number that the booking was made with, as proof that it is yours; left out where
    /// you are signed in as who booked, work for the company, or pay from that number.
    #[schema(max_length = 100)]
    pub(super) contact_phone: Option<String>,
    /// The name that the booking was made with, as proof instead of its phone number.
    #[schema(max_length = 100)]
    pub(super) contact_name: Option<String>,
}

/// A payment as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "payment": "01920000-0000-7000-8000-000000000001", "booking": "7F3K-22QX",
    "provider": "momo", "state": "pending", "amount_minor": 25000, "currency": "ZMW",
    "payer_hint": "567", "asked": 1, "refunded_minor": 0, "deadline": "2026-11-23T10:05:00Z",
    "created_at": "2026-11-23T10:00:00Z" }))]
pub struct PaymentView {
    /// Its number.
    payment: Uuid,
    /// The booking's reference.
    booking: String,
    /// `momo`, `card` or `cash`.
    provider: &'static str,
    /// `intent`, `pending`, `captured`, `failed` or `expired`. Ask again until it is one of the
    /// last three.
    state: &'static str,
    /// In minor units.
    amount_minor: i64,
    /// ISO 4217.
    currency: String,
    /// The payer's last digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_hint: Option<String>,
    /// The provider's own number, once it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<String>,
    /// How often the provider was asked.
    asked: u32,
    /// Where the payer has to go first: their bank's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    action_url: Option<String>,
    /// Why it failed, a word of the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Of a captured one: `issued` (there are tickets), `seats_gone` or `already_paid` (the money
    /// goes back by itself).
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// What was asked back of it, in minor units.
    refunded_minor: i64,
    /// When it expires, RFC 3339 UTC.
    deadline: String,
    /// RFC 3339 UTC.
    created_at: String,
    /// When it was captured, failed or expired, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
}

impl From<PaymentRow> for PaymentView {
    fn from(row: PaymentRow) -> Self {
        Self {
            payment: row.id,
            booking: row.reference,
            provider: row.provider.as_str(),
            state: row.state.as_str(),
            amount_minor: row.amount_minor.0,
            currency: row.currency.to_string(),
            payer_hint: row.payer_hint,
            provider_id: row.provider_id,
            asked: row.asked,
            action_url: row.action_url,
            reason: row.reason,
            outcome: row.outcome,
            refunded_minor: row.refunded_minor.0,
            deadline: row.deadline.to_string(),
            created_at: row.created_at.to_string(),
            ended_at: row.ended_at.map(|at| at.to_string()),
        }
    }
}

pub(super) fn render(begun: &Begun) -> Answer {
    match begun {
        Ok(row) => Answer {
            status: StatusCode::CREATED.as_u16(),
            content_type: "application/json".to_owned(),
            body: serde_json::to_vec(&PaymentView::from(row.clone())).unwrap_or_default(),
        },
        Err(refusal) => {
            let problem = Problem::from(refusal);
            Answer {
                status: problem.status,
                content_type: PROBLEM_JSON.to_owned(),
                body: problem.to_json(),
            }
        }
    }
}

pub(super) fn checked(asked: &PaymentAsked) -> Result<(ProviderKind, String), Problem> {
    let wrong = |detail: &str| Err(Problem::unprocessable(detail));
    for text in [&asked.phone, &asked.card].into_iter().flatten() {
        if text.chars().count() > PAYER_CHARS_MAX {
            return wrong("a phone number or card token has at most 100 characters");
        }
    }
    match (asked.provider.as_str(), &asked.phone, &asked.card) {
        // The country tells the form of a number, not whether it is one.
        ("momo", Some(phone), None) => match phone_form(phone, Currency::ZMW) {
            Some(_) => Ok((ProviderKind::Momo, phone.clone())),
            None => wrong("`phone` is no phone number: write it like +260961234567"),
        },
        ("momo", _, _) => wrong("momo takes `phone` and no `card`"),
        ("card", None, Some(token)) => {
            let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if token.is_empty() || !token.bytes().all(good) {
                return wrong("`card` is no token: send what the card provider's page gave you");
            }
            Ok((ProviderKind::Card, token.clone()))
        }
        ("card", _, _) => wrong("card takes `card`, a token, and no `phone`"),
        ("cash", None, None) => Ok((ProviderKind::Cash, String::new())),
        ("cash", _, _) => wrong("cash takes neither `phone` nor `card`"),
        _ => wrong("`provider` is `momo`, `card` or `cash`"),
    }
}

/// The booking to pay, for who proves that it is theirs. Who pays from the number that the booking
/// was made with has proved it thereby.
async fn payable(
    api: &Api,
    caller: &Caller,
    reference: &str,
    asked: &PaymentAsked,
) -> Result<(CompanyId, Uuid), Problem> {
    let mut proof = Proof {
        phone: asked.contact_phone.clone(),
        name: asked.contact_name.clone(),
    };
    let unproved = proof.phone.is_none() && proof.name.is_none();
    if unproved && caller.identity != Identity::Anonymous {
        let own = locate(api, caller, reference, &proof).await;
        if own.is_ok() || asked.phone.is_none() {
            return own;
        }
    }
    if unproved && asked.phone.is_none() {
        return Err(Problem::bad_request(
            "give `contact_phone` or `contact_name`: what the booking was made with",
        ));
    }
    if unproved {
        proof.phone.clone_from(&asked.phone);
    }
    locate(api, caller, reference, &proof).await
}

/// The payer in the form that the provider knows.
pub(super) async fn payer_form(
    api: &Api,
    company: CompanyId,
    provider: ProviderKind,
    payer: String,
) -> Result<String, Problem> {
    if provider != ProviderKind::Momo {
        return Ok(payer);
    }
    let currency = office_currency(api, company).await?;
    phone_form(&payer, currency).ok_or_else(|| Problem::unprocessable("`phone` is no phone number"))
}

/// Pays what a booking costs. The same key with the same body gets the same answer for ever: ask
/// the booking's payments, or its own, for how it went on.
///
/// With mobile money and cards the answer comes before the provider's: the payment is stored and
/// under way, and its state is `intent`. Cash, and what a voucher paid for, is captured at once.
#[utoipa::path(post, path = "/bookings/{reference}/payments", tag = "payments",
    request_body = PaymentAsked, security((), ("bearer" = ["bookings:read"])),
    params(("reference" = String, Path, description = "What the customer was told"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    responses((status = 201, body = PaymentView),
        (status = 404, body = Problem, description = "No such booking, or it is not yours"),
        (status = 409, body = Problem, description = "`payment-underway` (with `link`), `not-payable`, `hold-expired`, `seats-gone` or `in-flight`"),
        (status = 422, body = Problem, description = "`not-offered`, `unprocessable` or `idempotency-key-reused`"),
        (status = 429, body = Problem, description = "`too-many-guesses`"),
        (status = "default", body = Problem)))]
pub async fn begin(
    State(api): State<Api>,
    caller: Caller,
    Named(reference): Named<String>,
    headers: HeaderMap,
    body: Body<PaymentAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let path = format!("/bookings/{}/payments", reference.to_ascii_uppercase());
    let key = idempotent::key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let asked = body.value;
    let (provider, payer) = checked(&asked)?;
    let (company, id) = payable(&api, &caller, &reference, &asked).await?;
    if let Some(replay) = idempotency::remembered(&api.cache, company, &key).await {
        return idempotent::respond(replay);
    }
    let wish = Wish {
        provider,
        payer: payer_form(&api, company, provider, payer).await?,
        may_take_cash: caller.may_in(Permission::Sell, company),
    };
    let begun = service::begin(&api, company, id, &wish, caller.identity, &key, render).await?;
    if begun.is_kept {
        idempotency::remember(&api.cache, company, &key, &begun.replay).await;
    }
    if let Some(payment) = begun.to_start {
        jobs::soon(&api, company, payment);
    }
    idempotent::respond(begun.replay)
}

/// The payments of a booking, the latest first, for who may pay it.
#[utoipa::path(get, path = "/bookings/{reference}/payments", tag = "payments",
    params(("reference" = String, Path), Proof), security((), ("bearer" = ["bookings:read"])),
    responses((status = 200, body = Page<PaymentView>),
        (status = 404, body = Problem, description = "No such booking, or it is not yours"),
        (status = 429, body = Problem, description = "`too-many-guesses`"),
        (status = "default", body = Problem)))]
pub async fn of_booking(
    State(api): State<Api>,
    caller: Caller,
    Named(reference): Named<String>,
    Asked(proof): Asked<Proof>,
) -> Result<Json<Page<PaymentView>>, Problem> {
    let (company, booking) = locate(&api, &caller, &reference, &proof).await?;
    let mut tx = api.db.tenant(company).await?;
    let wanted = Wanted {
        booking: Some(booking),
        most: 100,
        ..Wanted::default()
    };
    let rows = db::list(&mut tx, &wanted).await?;
    Ok(Json(Page {
        items: rows.into_iter().map(PaymentView::from).collect(),
        next: None,
    }))
}

/// Which payments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PaymentsAsked {
    /// `intent`, `pending`, `captured`, `failed` or `expired`.
    #[param(max_length = 20)]
    state: Option<String>,
    /// `momo`, `card` or `cash`.
    #[param(max_length = 20)]
    provider: Option<String>,
    /// Made at or after, RFC 3339.
    #[param(max_length = 40)]
    from: Option<String>,
    /// Made before, RFC 3339.
    #[param(max_length = 40)]
    until: Option<String>,
    /// The `next` of the page before.
    #[param(max_length = 120)]
    after: Option<String>,
    /// At most so many rows.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

pub(super) fn moment(name: &str, text: Option<&str>) -> Result<Option<Instant>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let at = text.parse::<jiff::Timestamp>();
    let wrong = |_| Problem::bad_request(format!("`{name}` is no RFC 3339 time"));
    at.map(|at| Some(Instant(at.as_millisecond())))
        .map_err(wrong)
}

pub(super) fn place(after: Option<&str>, limit: Option<usize>) -> Result<Place, Problem> {
    let page = cursor(after, limit)?;
    let at = page.part(0, i64::MAX);
    let id = page.part(1, Uuid::max());
    Ok(Place {
        after: after.map(|_| (Instant(at), id)),
        limit: page.limit,
    })
}

/// Where a page of payments or refunds begins.
pub(super) struct Place {
    pub(super) after: Option<(Instant, Uuid)>,
    pub(super) limit: usize,
}

pub(super) fn known_provider(text: Option<&str>) -> Result<Option<&str>, Problem> {
    match text {
        Some(word) if ProviderKind::parse(word).is_none() => Err(Problem::bad_request(
            "`provider` is `momo`, `card`, `cash` or `by_hand`",
        )),
        other => Ok(other),
    }
}

/// The company's payments, the latest first.
#[utoipa::path(get, path = "/payments", tag = "payments", params(PaymentsAsked),
    security(("bearer" = ["payments:read"])),
    responses((status = 200, body = Page<PaymentView>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<PaymentsAsked>,
) -> Result<Json<Page<PaymentView>>, Problem> {
    let staff = caller.may(Permission::PaymentsRead)?;
    let state = asked.state.as_deref();
    if state.is_some_and(|word| PaymentState::parse(word).is_none()) {
        let states = "`state` is `intent`, `pending`, `captured`, `failed` or `expired`";
        return Err(Problem::bad_request(states));
    }
    let place = place(asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let wanted = Wanted {
        state,
        provider: known_provider(asked.provider.as_deref())?,
        from: moment("from", asked.from.as_deref())?,
        until: moment("until", asked.until.as_deref())?,
        after: place.after,
        most: place.limit as i64 + 1,
        ..Wanted::default()
    };
    let rows = db::list(&mut tx, &wanted).await?;
    let page = Page::cut(rows, place.limit, |r| {
        format!("{}_{}", r.created_at.0, r.id)
    });
    Ok(Json(Page {
        items: page.items.into_iter().map(PaymentView::from).collect(),
        next: page.next,
    }))
}

/// One payment.
#[utoipa::path(get, path = "/payments/{payment}", tag = "payments",
    params(("payment" = Uuid, Path)), security(("bearer" = ["payments:read"])),
    responses((status = 200, body = PaymentView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(payment): Named<Uuid>,
) -> Result<Json<PaymentView>, Problem> {
    let staff = caller.may(Permission::PaymentsRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let row = service::one(&mut tx, payment).await?;
    let row = row.ok_or_else(|| Problem::not_found("there is no such payment"))?;
    Ok(Json(row.into()))
}

/// What the provider was asked, and what it said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "operation": "start", "answer": "unknown", "detail": "202 ",
    "at": "2026-11-23T10:00:00Z", "took_ms": 84 }))]
pub struct CallView {
    /// `start`, `ask`, `cancel`, `refund` or `ask_refund`.
    operation: String,
    /// `yes`, `no` or `unknown`.
    answer: String,
    /// The status and word that came over the wire.
    detail: String,
    /// The refund that it was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    refund: Option<Uuid>,
    /// RFC 3339 UTC.
    at: String,
    /// How long it took, in milliseconds.
    took_ms: i32,
}

/// What the provider was asked for a payment and its refunds, the latest first.
#[utoipa::path(get, path = "/payments/{payment}/calls", tag = "payments",
    params(("payment" = Uuid, Path)), security(("bearer" = ["payments:read"])),
    responses((status = 200, body = Page<CallView>), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn calls(
    State(api): State<Api>,
    caller: Caller,
    Named(payment): Named<Uuid>,
) -> Result<Json<Page<CallView>>, Problem> {
    let staff = caller.may(Permission::PaymentsRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    if service::one(&mut tx, payment).await?.is_none() {
        return Err(Problem::not_found("there is no such payment"));
    }
    let rows = db::calls(&mut tx, payment, CALLS_MAX).await?;
    let items = rows.into_iter().map(|row| CallView {
        operation: row.call.operation.into_owned(),
        answer: row.call.answer.into_owned(),
        detail: row.call.detail,
        refund: row.refund,
        at: row.call.at.to_string(),
        took_ms: row.call.took_ms,
    });
    Ok(Json(Page {
        items: items.collect(),
        next: None,
    }))
}
