//! Holding seats for a while.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::views::{HoldView, answer};
use super::wishes::{self, JourneyAsked};
use crate::access::Caller;
use crate::booking::read;
use crate::booking::service::{self, Seats, Wanted};
use crate::clock;
use crate::http::extract::{Body, Named};
use crate::http::{Api, Problem, idempotent};

/// A wish for seats.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldAsked {
    /// One, or two: there and back, or one after the other with time to change.
    #[schema(min_items = 1, max_items = 2)]
    journeys: Vec<JourneyAsked>,
    /// A voucher's code.
    #[schema(max_length = 40)]
    voucher: Option<String>,
}

/// How long a hold holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldUntil {
    /// When its seats go back, RFC 3339 UTC.
    expires_at: String,
    /// No extension reaches beyond, RFC 3339 UTC.
    expires_last_at: String,
}

/// Holds seats for ten minutes: those that were chosen, else the ones that fit best, parties
/// together. All or nothing. The answer's token opens the hold again, and is told once.
#[utoipa::path(post, path = "/holds", tag = "bookings", request_body = HoldAsked,
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    security(()),
    responses((status = 201, body = HoldView),
        (status = 404, body = Problem, description = "no such trip"),
        (status = 409, body = Problem, description = "`sold-out`, `seat-taken`, `no-such-seat-free`, `boarding-closed`, `trip-not-running`, `trip-frozen` or `in-flight`"),
        (status = 422, body = Problem, description = "`no-such-journey`, `no-such-seat`, `not-together`, `connection-too-short`, `no-fare`, `voucher` or another wrong member"),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<HoldAsked>,
) -> Result<Response<ResponseBody>, Problem> {
    let key = idempotent::key_of(&headers, &caller, "POST", "/holds", &body.bytes)?;
    let wish = wishes::read(&caller, &body.value.journeys)?;
    let company = wishes::company_of(&api, &wish.journeys).await?;
    let wanted = Wanted {
        seats: Seats::Fresh(wish.journeys),
        who: None,
        identity: caller.identity,
        person: wishes::account(&caller, company),
        voucher: wishes::voucher(body.value.voucher.as_deref())?,
        channel: wishes::channel(&caller, company),
    };
    let render = |decision: &service::Decision| {
        let made = decision.as_ref().map(HoldView::of);
        answer(made.map_err(Problem::from))
    };
    let replay = service::make(&api, company, &key, &wanted, clock::now(), render).await?;
    idempotent::respond(replay)
}

/// A hold as it stands.
#[utoipa::path(get, path = "/holds/{hold}", tag = "bookings",
    params(("hold" = Uuid, Path), ("Hold-Token" = String, Header, description = "as it was told")),
    security(()),
    responses((status = 200, body = HoldView), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`hold-over`"),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    headers: HeaderMap,
    Named(hold): Named<Uuid>,
) -> Result<Json<HoldView>, Problem> {
    let (company, hash) = wishes::header_token(&headers)?;
    match read::held(&api, company, (hold, &hash), clock::now()).await? {
        Ok(whole) => Ok(Json(HoldView::of(&whole.made))),
        Err(refusal) => Err(Problem::from(&refusal)),
    }
}

/// Holds the seats for ten minutes from this moment, at most to half an hour after they were
/// first held.
#[utoipa::path(post, path = "/holds/{hold}/extend", tag = "bookings",
    params(("hold" = Uuid, Path), ("Hold-Token" = String, Header, description = "as it was told")),
    security(()),
    responses((status = 200, body = HoldUntil), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`hold-limit` or `hold-over`"),
        (status = "default", body = Problem)))]
pub async fn extend(
    State(api): State<Api>,
    headers: HeaderMap,
    Named(hold): Named<Uuid>,
) -> Result<Json<HoldUntil>, Problem> {
    let (company, hash) = wishes::header_token(&headers)?;
    match service::extend(&api, company, (hold, &hash), clock::now()).await? {
        Ok((deadline, _)) => Ok(Json(HoldUntil {
            expires_at: deadline.expires_at.to_string(),
            expires_last_at: deadline.customers_last().to_string(),
        })),
        Err(refusal) => Err(Problem::from(&refusal)),
    }
}

/// Gives held seats back.
#[utoipa::path(delete, path = "/holds/{hold}", tag = "bookings",
    params(("hold" = Uuid, Path), ("Hold-Token" = String, Header, description = "as it was told")),
    security(()),
    responses((status = 204, description = "the seats are free again"),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`hold-over`"),
        (status = "default", body = Problem)))]
pub async fn release(
    State(api): State<Api>,
    headers: HeaderMap,
    Named(hold): Named<Uuid>,
) -> Result<StatusCode, Problem> {
    let (company, hash) = wishes::header_token(&headers)?;
    match service::give_back(&api, company, (hold, &hash), clock::now()).await? {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(refusal) => Err(Problem::from(&refusal)),
    }
}
