//! Luggage and other extras: the price list, and selling them.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::access::{Caller, Permission};
use crate::aftersale::db::{self, ExtraRow};
use crate::aftersale::extras::{self, Wish};
use crate::audit::{self, Change};
use crate::booking::http::{Proof, locate};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Body, Named};
use crate::http::{Api, Problem, idempotent};
use crate::idempotency;
use crate::payment::refunds::drawer_of;

/// How an extra is counted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Its price is for the passenger, however many pieces.
    Passenger,
    /// Its price is for each piece.
    Piece,
}

/// What an extra is and costs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Bag up to 20 kg", "price_minor": 5000, "per": "piece",
    "max_count": 4, "active": true}))]
pub struct ExtraAsked {
    /// 1 to 100 characters.
    name: String,
    /// In minor units of the company's currency.
    price_minor: i64,
    /// What the price is for.
    per: Per,
    /// The most with one seat, 1 to 100.
    max_count: i32,
    /// Whether it is on sale.
    active: bool,
}

/// A line of the price list.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"code": "BAG20", "name": "Bag up to 20 kg", "price_minor": 5000,
    "per": "piece", "max_count": 4, "active": true, "version": 1}))]
pub struct ExtraView {
    /// Its code.
    code: String,
    /// Its name.
    name: String,
    /// In minor units of the company's currency.
    price_minor: i64,
    /// `passenger` or `piece`.
    per: String,
    /// The most with one seat.
    max_count: i32,
    /// Whether it is on sale.
    active: bool,
    /// Counts changes.
    version: i32,
}

impl From<ExtraRow> for ExtraView {
    fn from(row: ExtraRow) -> Self {
        Self {
            code: row.code,
            name: row.name,
            price_minor: row.price_minor,
            per: row.per,
            max_count: row.max_count,
            active: row.active,
            version: row.version,
        }
    }
}

/// The price list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExtrasView {
    /// By code, at most 500.
    items: Vec<ExtraView>,
}

/// What the company sells beside seats.
#[utoipa::path(get, path = "/extras", tag = "aftersale", security(("bearer" = ["company:read"])),
    responses((status = 200, body = ExtrasView), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = "default", body = Problem)))]
pub async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ExtrasView>, Problem> {
    let company = caller.may(Permission::CompanyRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    let rows = db::extras(&mut tx).await?;
    Ok(Json(ExtrasView {
        items: rows.into_iter().map(ExtraView::from).collect(),
    }))
}

fn row(code: &str, asked: &ExtraAsked) -> Result<ExtraRow, Problem> {
    let wrong = |detail: &str| Err(Problem::unprocessable(detail));
    let fits = (1..=20).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    if !fits {
        return wrong("an extra's code has 1 to 20 letters and digits");
    }
    let name = asked.name.trim();
    if !(1..=100).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return wrong("`name` has 1 to 100 characters");
    }
    if !(0..=1_000_000_000).contains(&asked.price_minor) {
        return wrong("`price_minor` has to be 0 to 1000000000");
    }
    if !(1..=100).contains(&asked.max_count) {
        return wrong("`max_count` has to be 1 to 100");
    }
    Ok(ExtraRow {
        code: code.to_ascii_uppercase(),
        name: name.to_owned(),
        price_minor: asked.price_minor,
        per: match asked.per {
            Per::Passenger => "passenger".to_owned(),
            Per::Piece => "piece".to_owned(),
        },
        max_count: asked.max_count,
        active: asked.active,
        version: 0,
    })
}

/// Puts an extra on the price list, or changes it. A new one needs no If-Match.
#[utoipa::path(put, path = "/extras/{code}", tag = "aftersale",
    security(("bearer" = ["fares:write"])), request_body = ExtraAsked,
    params(("code" = String, Path, example = "BAG20"),
        ("If-Match" = Option<String>, Header, description = "of one that is there: the ETag that was read, its version in quotes")),
    responses((status = 200, body = ExtraView, headers(("ETag" = String))),
        (status = 201, body = ExtraView, headers(("ETag" = String))),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 412, body = Problem), (status = 422, body = Problem),
        (status = 428, body = Problem), (status = "default", body = Problem)))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    if_match: IfMatch,
    Named(code): Named<String>,
    body: Body<ExtraAsked>,
) -> Result<Tagged<ExtraView>, Problem> {
    let staff = caller.may(Permission::FaresWrite)?;
    let mut wanted = row(&code, &body.value)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let before = db::lock_extra(&mut tx, &wanted.code).await?;
    if let Some(known) = &before {
        if_match.check(known.version)?;
    }
    wanted.version = db::save_extra(&mut tx, &wanted).await?;
    if before.is_none() && wanted.version > 1 {
        return Err(Problem::in_flight());
    }
    let now: Instant = clock::now();
    let created = before.is_none();
    let change = Change {
        action: "extra.update",
        subject: &format!("extra:{}", wanted.code),
        before: before.map(|b| json!(ExtraView::from(b))),
        after: Some(json!(ExtraView::from(wanted.clone()))),
    };
    audit::note(&mut tx, staff.identity, change, now).await?;
    tx.commit().await?;
    let version = wanted.version;
    let view = ExtraView::from(wanted);
    Ok(if created {
        Tagged::created(version, view)
    } else {
        Tagged::ok(version, view)
    })
}

/// A wish for an extra.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"coupon": 1, "extra": "BAG20", "count": 2}))]
pub struct ExtraWish {
    /// The seat's place in the booking, from 1.
    coupon: i16,
    /// The extra's code.
    extra: String,
    /// How many, 1 to 100.
    count: i32,
}

/// An extra that was sold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"extra_no": 3, "extra": "BAG20", "name": "Bag up to 20 kg", "count": 2,
    "price_minor": 10000, "currency": "ZMW"}))]
pub struct BoughtView {
    /// Its number.
    extra_no: i64,
    /// Its code.
    extra: String,
    /// Its name.
    name: String,
    /// How many.
    count: i32,
    /// What all of them cost.
    price_minor: i64,
    /// ISO 4217.
    currency: String,
}

/// Sells an extra with a paid seat, for cash into the seller's drawer. It goes back with the
/// ticket, by the same rules.
#[utoipa::path(post, path = "/bookings/{reference}/extras", tag = "aftersale",
    security(("bearer" = ["sell"])), request_body = ExtraWish,
    params(("reference" = String, Path, example = "7F3K-22QX"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters, new for every wish")),
    responses((status = 201, body = BoughtView), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`too-many`, `in-flight`"),
        (status = 422, body = Problem, description = "`no-such-coupon`, `unprocessable`"),
        (status = "default", body = Problem)))]
pub async fn sell(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Named(reference): Named<String>,
    body: Body<ExtraWish>,
) -> Result<Response<ResponseBody>, Problem> {
    let staff = caller.may(Permission::Sell)?;
    let path = format!("/bookings/{reference}/extras");
    let key = idempotent::key_of(&headers, &caller, "POST", &path, &body.bytes)?;
    let asked = body.value;
    if !(1..=100).contains(&asked.count) {
        return Err(Problem::unprocessable("`count` has to be 1 to 100"));
    }
    let (company, booking) = locate(&api, &caller, &reference, &Proof::default()).await?;
    if company != staff.company {
        return Err(Problem::not_found("there is no such booking"));
    }
    let mut tx = api.db.tenant(company).await?;
    if let Some(known) = idempotency::claim(&mut tx, &key).await? {
        return idempotent::respond(known);
    }
    let wish = Wish {
        booking,
        coupon: asked.coupon,
        code: asked.extra.trim().to_ascii_uppercase(),
        count: asked.count,
    };
    let now = clock::now();
    let seller = (staff.identity, drawer_of(staff.identity));
    let bought = extras::sell(&mut tx, &wish, seller, now).await?;
    let view = BoughtView {
        extra_no: bought.extra_no,
        extra: wish.code,
        name: bought.name,
        count: wish.count,
        price_minor: bought.price_minor,
        currency: bought.currency.to_string(),
    };
    idempotent::keep(tx, &key, (StatusCode::CREATED, &view), now).await
}
