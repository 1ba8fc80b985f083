//! Webhook endpoints of a company, and what was sent to them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::{Caller, Permission, Staff};
use crate::audit::{self, Change};
use crate::clock;
use crate::company::fresh_uuid;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named, cursor};
use crate::http::{Api, Problem};
use crate::payment::webhooks::db::{self, DeliveryRow, Endpoint, Try};
use crate::payment::webhooks::deliver::place;
use crate::payment::webhooks::sign::{SECRET_BYTES, shown};
use crate::payment::webhooks::{Forbidden, check_address};
use crate::tenant::TenantTx;
use crate::views::Page;

/// The most endpoints of a company.
const ENDPOINTS_MAX: usize = 20;
/// The most kinds that an endpoint names.
const KINDS_MAX: usize = 50;
/// How long the secret before goes on signing, in milliseconds.
const BOTH_SIGN_MS: i64 = 86_400_000;

/// Where events go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "url": "https://hooks.example.com/mwimule",
    "description": "book-keeping", "kinds": ["payment.captured", "refund.done"] }))]
pub struct EndpointAsked {
    /// An https address that is reached from the internet.
    #[schema(max_length = 500)]
    url: String,
    /// For people, at most 200 characters.
    #[serde(default)]
    #[schema(max_length = 200)]
    description: String,
    /// Which events, like `payment.captured`; absent: all.
    #[schema(max_items = 50)]
    kinds: Option<Vec<String>>,
    /// Whether anything is sent.
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// An endpoint. Its secret is shown when it is made and when it is rotated, and never again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "webhook": "01920000-0000-7000-8000-000000000003",
    "url": "https://hooks.example.com/mwimule", "description": "book-keeping",
    "kinds": ["payment.captured"], "enabled": true, "version": 1,
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=" }))]
pub struct EndpointView {
    /// Its number.
    webhook: Uuid,
    /// Where to.
    url: String,
    /// For people.
    description: String,
    /// Which events; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    kinds: Option<Vec<String>>,
    /// Whether anything is sent.
    enabled: bool,
    /// Why the hub switched it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_why: Option<String>,
    /// What checks the signatures; once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Goes into `If-Match`.
    version: i32,
}

impl EndpointView {
    fn new(row: Endpoint, secret: Option<String>) -> Self {
        Self {
            webhook: row.id,
            url: row.url,
            description: row.description,
            kinds: row.kinds,
            enabled: row.enabled,
            disabled_why: row.disabled_why,
            secret,
            version: row.version,
        }
    }
}

impl From<Forbidden> for Problem {
    fn from(forbidden: Forbidden) -> Self {
        Self::unprocessable(forbidden.to_string())
    }
}

fn checked(api: &Api, asked: &EndpointAsked) -> Result<(), Problem> {
    check_address(&asked.url, api.payments.webhooks.allow_private)?;
    let told = &asked.description;
    if told.chars().count() > 200 || told.chars().any(char::is_control) {
        return Err(Problem::unprocessable(
            "`description` has at most 200 characters",
        ));
    }
    let kinds = asked.kinds.as_deref().unwrap_or_default();
    let good = |kind: &String| {
        (1..=60).contains(&kind.len())
            && kind
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'.' || b == b'_')
    };
    if kinds.len() > KINDS_MAX || !kinds.iter().all(good) {
        let detail = "`kinds` are at most 50 words like `payment.captured`";
        return Err(Problem::unprocessable(detail));
    }
    Ok(())
}

fn fresh_secret() -> Result<[u8; SECRET_BYTES], Problem> {
    let mut secret = [0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|_| Problem::unavailable())?;
    Ok(secret)
}

fn sealed(api: &Api, staff: Staff, id: &Uuid, secret: &[u8]) -> Result<Vec<u8>, Problem> {
    let sealed = api.vault.seal(place(staff.company, id), secret);
    sealed.map_err(|_| Problem::unavailable())
}

async fn noted(
    tx: &mut TenantTx,
    staff: Staff,
    action: &str,
    row: &Endpoint,
    now: Instant,
) -> Result<(), Problem> {
    let change = Change {
        action,
        subject: &format!("webhook:{}", row.id),
        before: None,
        after: Some(json!({ "url": row.url, "kinds": row.kinds, "enabled": row.enabled })),
    };
    Ok(audit::note(tx, staff.identity, change, now).await?)
}

/// Makes an endpoint. The answer shows its secret, once.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = EndpointAsked,
    security(("bearer" = ["keys:write"])),
    responses((status = 201, body = EndpointView),
        (status = 409, body = Problem, description = "`too-many`"),
        (status = 422, body = Problem, description = "A private address, or a wrong one"),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<EndpointAsked>,
) -> Result<Tagged<EndpointView>, Problem> {
    let staff = caller.may(Permission::KeysWrite)?;
    checked(&api, &body.value)?;
    let now = clock::now();
    let id = fresh_uuid(now).map_err(|_| Problem::unavailable())?;
    let secret = fresh_secret()?;
    let mut tx = api.db.tenant(staff.company).await?;
    if db::endpoints(&mut tx, None, None, 100).await?.len() >= ENDPOINTS_MAX {
        let detail = "a company has at most 20 webhooks: delete one first";
        return Err(Problem::conflict("too-many", "Too many webhooks", detail));
    }
    let row = Endpoint {
        id,
        url: body.value.url,
        description: body.value.description,
        kinds: body.value.kinds,
        secret_sealed: sealed(&api, staff, &id, &secret)?,
        before: None,
        enabled: true,
        disabled_why: None,
        since: now,
        version: 1,
    };
    db::insert(&mut tx, &row).await?;
    noted(&mut tx, staff, "webhook.create", &row, now).await?;
    tx.commit().await?;
    Ok(Tagged::created(
        1,
        EndpointView::new(row, Some(shown(&secret))),
    ))
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageAsked {
    /// The `next` of the page before.
    #[param(max_length = 120)]
    after: Option<String>,
    /// At most so many rows.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// The company's endpoints.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", params(PageAsked),
    security(("bearer" = ["keys:write"])),
    responses((status = 200, body = Page<EndpointView>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<PageAsked>,
) -> Result<Json<Page<EndpointView>>, Problem> {
    let staff = caller.may(Permission::KeysWrite)?;
    let page = cursor(asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let after = asked.after.is_some().then(|| page.part(0, Uuid::nil()));
    let rows = db::endpoints(&mut tx, None, after, page.fetch()).await?;
    let cut = Page::cut(rows, page.limit, |r| r.id.to_string());
    let items = cut.items.into_iter().map(|r| EndpointView::new(r, None));
    Ok(Json(Page {
        items: items.collect(),
        next: cut.next,
    }))
}

async fn found(tx: &mut TenantTx, webhook: Uuid) -> Result<Endpoint, Problem> {
    let row = db::endpoints(tx, Some(webhook), None, 1).await?.pop();
    row.ok_or_else(|| Problem::not_found("there is no such webhook"))
}

/// One endpoint.
#[utoipa::path(get, path = "/webhooks/{webhook}", tag = "webhooks",
    params(("webhook" = Uuid, Path)), security(("bearer" = ["keys:write"])),
    responses((status = 200, body = EndpointView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(webhook): Named<Uuid>,
) -> Result<Tagged<EndpointView>, Problem> {
    let staff = caller.may(Permission::KeysWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let row = found(&mut tx, webhook).await?;
    Ok(Tagged::ok(row.version, EndpointView::new(row, None)))
}

/// Changes an endpoint; one that the hub switched off begins again.
#[utoipa::path(put, path = "/webhooks/{webhook}", tag = "webhooks", request_body = EndpointAsked,
    params(("webhook" = Uuid, Path), ("If-Match" = String, Header, description = "Its `ETag`")),
    security(("bearer" = ["keys:write"])),
    responses((status = 200, body = EndpointView), (status = 404, body = Problem),
        (status = 412, body = Problem), (status = 428, body = Problem),
        (status = "default", body = Problem)))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    Named(webhook): Named<Uuid>,
    matched: IfMatch,
    body: Body<EndpointAsked>,
) -> Result<Tagged<EndpointView>, Problem> {
    let staff = caller.may(Permission::KeysWrite)?;
    checked(&api, &body.value)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let mut row = found(&mut tx, webhook).await?;
    matched.check(row.version)?;
    row.url = body.value.url;
    row.description = body.value.description;
    row.kinds = body.value.kinds;
    row.enabled = body.value.enabled;
    row.disabled_why = None;
    db::update(&mut tx, &row).await?;
    noted(&mut tx, staff, "webhook.change", &row, clock::now()).await?;
    tx.commit().await?;
    row.version += 1;
    Ok(Tagged::ok(row.version, EndpointView::new(row, None)))
}

/// Deletes an endpoint and the log of what was sent to it.
#[utoipa::path(delete, path = "/webhooks/{webhook}", tag = "webhooks",
    params(("webhook" = Uuid, Path), ("If-Match" = String, Header, description = "Its `ETag`")),
    security(("bearer" = ["keys:write"])),
    responses((status = 204, description = "Gone"), (status = 404, body = Problem),
        (status = 412, body = Problem), (status = 428, body = Problem),
        (status = "default", body = Problem)))]
pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Named(webhook): Named<Uuid>,
    matched: IfMatch,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::KeysWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let row = found(&mut tx, webhook).await?;
    matched.check(row.version)?;
    db::delete(&mut tx, webhook).await?;
    noted(&mut tx, staff, "webhook.delete", &row, clock::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives an endpoint a new secret, shown once; the one before signs beside it for 24 hours.
#[utoipa::path(post, path = "/webhooks/{webhook}/rotate", tag = "webhooks",
    params(("webhook" = Uuid, Path), ("If-Match" = String, Header, description = "Its `ETag`")),
    security(("bearer" = ["keys:write"])),
    responses((status = 200, body = EndpointView), (status = 404, body = Problem),
        (status = 412, body = Problem), (status = 428, body = Problem),
        (status = "default", body = Problem)))]
pub async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Named(webhook): Named<Uuid>,
    matched: IfMatch,
) -> Result<Tagged<EndpointView>, Problem> {
    let staff = caller.may(Permission::KeysWrite)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    let mut row = found(&mut tx, webhook).await?;
    matched.check(row.version)?;
    let secret = fresh_secret()?;
    let fresh = sealed(&api, staff, &webhook, &secret)?;
    let before = std::mem::replace(&mut row.secret_sealed, fresh);
    row.before = Some((before, now.plus_ms(BOTH_SIGN_MS)));
    db::update(&mut tx, &row).await?;
    noted(&mut tx, staff, "webhook.rotate", &row, now).await?;
    tx.commit().await?;
    row.version += 1;
    Ok(Tagged::ok(
        row.version,
        EndpointView::new(row, Some(shown(&secret))),
    ))
}

/// One attempt to deliver an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "at": "2026-11-23T10:00:01Z", "took_ms": 84, "status": 500,
    "error": "the receiver answered 500" }))]
pub struct TryView {
    /// When it began, RFC 3339 UTC.
    at: String,
    /// How long it took, in milliseconds.
    took_ms: i64,
    /// The HTTP status, where there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i32>,
    /// What was wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Try> for TryView {
    fn from(tried: Try) -> Self {
        Self {
            at: Instant(tried.at_ms).to_string(),
            took_ms: tried.took_ms,
            status: tried.status,
            error: tried.error,
        }
    }
}

/// One event on its way to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "delivery": 17, "event": "01920000-0000-7000-8000-000000000004",
    "kind": "payment.captured", "state": "delivered", "attempts": 1, "last_status": 204,
    "created_at": "2026-11-23T10:00:00Z", "tried_at": "2026-11-23T10:00:01Z",
    "tries": [{ "at": "2026-11-23T10:00:01Z", "took_ms": 84, "status": 204 }] }))]
pub struct DeliveryView {
    /// Its number.
    delivery: i64,
    /// The event's number, sent as `webhook-id`.
    event: Uuid,
    /// What happened, like `payment.captured`.
    kind: String,
    /// `waiting`, `delivered` or `failed`.
    state: String,
    /// How often it was tried.
    attempts: i32,
    /// When it is tried next by itself, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_at: Option<String>,
    /// The HTTP status of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_status: Option<i32>,
    /// What was wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// RFC 3339 UTC.
    created_at: String,
    /// When it was tried last, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    tried_at: Option<String>,
    /// Each attempt, the first first; the last forty are kept.
    tries: Vec<TryView>,
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        Self {
            delivery: row.no,
            event: row.event_id,
            kind: row.kind,
            state: row.state,
            attempts: row.attempts,
            next_try_at: row.next_try_at.map(|at| at.to_string()),
            last_status: row.last_status,
            last_error: row.last_error,
            created_at: row.created_at.to_string(),
            tried_at: row.tried_at.map(|at| at.to_string()),
            tries: row.tries.into_iter().map(TryView::from).collect(),
        }
    }
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesAsked {
    /// `waiting`, `delivered` or `failed`.
    #[param(max_length = 20)]
    state: Option<String>,
    /// The `next` of the page before.
    #[param(max_length = 120)]
    after: Option<String>,
    /// At most so many rows.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// What was sent to an endpoint, the latest first.
#[utoipa::path(get, path = "/webhooks/{webhook}/deliveries", tag = "webhooks",
    params(("webhook" = Uuid, Path), DeliveriesAsked), security(("bearer" = ["keys:write"])),
    responses((status = 200, body = Page<DeliveryView>), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn deliveries(
    State(api): State<Api>,
    caller: Caller,
    Named(webhook): Named<Uuid>,
    Asked(asked): Asked<DeliveriesAsked>,
) -> Result<Json<Page<DeliveryView>>, Problem> {
    let staff = caller.may(Permission::KeysWrite)?;
    let state = asked.state.as_deref();
    if state.is_some_and(|s| !matches!(s, "waiting" | "delivered" | "failed")) {
        let states = "`state` is `waiting`, `delivered` or `failed`";
        return Err(Problem::bad_request(states));
    }
    let page = cursor(asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(staff.company).await?;
    found(&mut tx, webhook).await?;
    let before = page.part(0, i64::MAX);
    let rows = db::deliveries(&mut tx, webhook, state, before, page.fetch()).await?;
    let cut = Page::cut(rows, page.limit, |r| r.no.to_string());
    Ok(Json(Page {
        items: cut.items.into_iter().map(DeliveryView::from).collect(),
        next: cut.next,
    }))
}

/// Sends an event to an endpoint again.
#[utoipa::path(post, path = "/webhooks/{webhook}/deliveries/{delivery}/resend", tag = "webhooks",
    params(("webhook" = Uuid, Path), ("delivery" = i64, Path)),
    security(("bearer" = ["keys:write"])),
    responses((status = 202, description = "It will be sent"), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn resend(
    State(api): State<Api>,
    caller: Caller,
    Named((webhook, delivery)): Named<(Uuid, i64)>,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::KeysWrite)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    let row = found(&mut tx, webhook).await?;
    if !db::resend(&mut tx, webhook, delivery, now).await? {
        return Err(Problem::not_found("there is no such delivery"));
    }
    noted(&mut tx, staff, "webhook.resend", &row, now).await?;
    tx.commit().await?;
    Ok(StatusCode::ACCEPTED)
}
