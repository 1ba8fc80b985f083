//! What a journey would cost.

use axum::Json;
use axum::extract::State;
use domain::ids::{StopCode, TripId};
use domain::passenger::PassengerClass;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Caller, Permission};
use crate::clock;
use crate::http::extract::Body;
use crate::http::{Api, Problem};
use crate::pricing::db;
use crate::pricing::records::{ChannelWord, ClassWord};
use crate::pricing::{Channel, Part, Priced, PricedPassenger, price as reckon};

/// The most passengers of one question.
const PASSENGERS_MAX: usize = 50;
/// The longest voucher code that is looked at, in characters.
const VOUCHER_CHARS_MAX: usize = 40;

/// From 1970 to the year 9987.
const MOMENTS_MS: std::ops::RangeInclusive<i64> = 0..=253_000_000_000_000;

/// A journey and who travels.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"trip": 4711, "from": "LUN", "to": "LVI",
    "passengers": ["adult", "child"], "channel": "online", "voucher": "SUNNY26"}))]
pub struct PriceAsked {
    /// The trip's number.
    trip: u64,
    /// Code of the stop to board at.
    #[schema(max_length = 64)]
    from: String,
    /// Code of the stop to leave at.
    #[schema(max_length = 64)]
    to: String,
    /// Who travels, 1 to 50.
    #[schema(min_items = 1, max_items = 50)]
    passengers: Vec<ClassWord>,
    /// Where it would be sold.
    channel: ChannelWord,
    /// A voucher's code.
    #[serde(default)]
    #[schema(max_length = 40)]
    voucher: Option<String>,
    /// When it would be sold, RFC 3339; absent for this moment.
    #[serde(default)]
    #[schema(max_length = 40)]
    at: Option<String>,
}

/// Something that is taken off.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"kind": "discount", "code": "EARLY", "name": "Early bird",
    "amount_minor": 3_500}))]
pub struct ReasonView {
    /// `discount` or `voucher`.
    kind: &'static str,
    /// Its code.
    code: String,
    /// Its name for people.
    name: String,
    /// How much, in minor units.
    amount_minor: i64,
}

/// What one passenger pays.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"class": "adult", "fare_minor": 35_000, "discount_minor": 3_500,
    "to_pay_minor": 31_500, "reasons": [{"kind": "discount", "code": "EARLY",
    "name": "Early bird", "amount_minor": 3_500}]}))]
pub struct PassengerView {
    /// Who.
    class: &'static str,
    /// The full fare, in minor units.
    fare_minor: i64,
    /// Off that, in minor units.
    discount_minor: i64,
    /// What is left to pay, in minor units.
    to_pay_minor: i64,
    /// Why.
    reasons: Vec<ReasonView>,
}

/// What a journey would cost.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"currency": "ZMW", "total_minor": 31_500, "passengers": [
    {"class": "adult", "fare_minor": 35_000, "discount_minor": 3_500, "to_pay_minor": 31_500,
    "reasons": [{"kind": "discount", "code": "EARLY", "name": "Early bird",
    "amount_minor": 3_500}]}]}))]
pub struct PriceView {
    /// ISO 4217.
    currency: String,
    /// What all of them pay, in minor units.
    total_minor: i64,
    /// In the order of the question.
    passengers: Vec<PassengerView>,
}

impl PriceView {
    fn of(priced: Priced) -> Self {
        let total_minor = priced.total().0;
        let view = |p: PricedPassenger| PassengerView {
            class: p.class.as_str(),
            fare_minor: p.fare_minor.0,
            discount_minor: p.discount_minor.0,
            to_pay_minor: p.to_pay().0,
            reasons: p
                .reasons
                .into_iter()
                .map(|r| ReasonView {
                    kind: r.kind.as_str(),
                    code: r.code,
                    name: r.name,
                    amount_minor: r.amount_minor.0,
                })
                .collect(),
        };
        Self {
            currency: priced.currency.to_string(),
            total_minor,
            passengers: priced.passengers.into_iter().map(view).collect(),
        }
    }
}

fn moment(text: Option<&str>) -> Result<Instant, Problem> {
    let Some(text) = text else {
        return Ok(clock::now());
    };
    let at: Option<jiff::Timestamp> = text.parse().ok();
    at.map(jiff::Timestamp::as_millisecond)
        .filter(|ms| MOMENTS_MS.contains(ms))
        .map(Instant)
        .ok_or_else(|| Problem::unprocessable("`at` has to be a time like 2026-12-01T08:00:00Z"))
}

/// What a journey would cost, with all reasons. Holds no seat and uses no voucher.
#[utoipa::path(post, path = "/prices/preview", operation_id = "prices_preview", tag = "pricing",
    request_body = PriceAsked, security(("bearer" = ["company:read"])),
    responses((status = 200, body = PriceView), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`voucher-used-up`."),
        (status = 422, body = Problem, description = "`no-fare`, `no-such-journey`, or the voucher takes nothing off."),
        (status = "default", body = Problem)))]
pub async fn price(
    State(api): State<Api>,
    caller: Caller,
    body: Body<PriceAsked>,
) -> Result<Json<PriceView>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let asked = body.value;
    let wrong = |error: domain::ids::IdError| Problem::unprocessable(error.to_string());
    if !(1..=PASSENGERS_MAX).contains(&asked.passengers.len()) {
        let detail = format!("a price is for 1 to {PASSENGERS_MAX} passengers");
        return Err(Problem::unprocessable(detail));
    }
    let voucher = asked.voucher.as_deref();
    if voucher.is_some_and(|v| v.chars().count() > VOUCHER_CHARS_MAX || v.contains('\0')) {
        return Err(Problem::unprocessable("`voucher` is no voucher's code"));
    }
    let now = moment(asked.at.as_deref())?;
    let from: StopCode = asked.from.parse().map_err(wrong)?;
    let to: StopCode = asked.to.parse().map_err(wrong)?;
    let passengers: Vec<PassengerClass> = asked.passengers.into_iter().map(Into::into).collect();
    let mut tx = api.db.tenant(staff.company).await?;
    let trip = db::trip(&mut tx, TripId(asked.trip)).await?;
    let unknown = || Problem::not_found(format!("there is no trip {}", asked.trip));
    let trip = trip.ok_or_else(unknown)?;
    let runs = trip.seq_of(&from).zip(trip.seq_of(&to));
    if runs.is_none_or(|(a, b)| trip.legs(a, b).is_none()) {
        let detail = format!("the trip does not run from {from} to {to}");
        let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Problem::new(
            status,
            "no-such-journey",
            "No such journey",
            detail,
        ));
    }
    let part = Part {
        trip: &trip,
        from: &from,
        to: &to,
        passengers: &passengers,
    };
    let channel = Channel::from(asked.channel);
    let priced = reckon(&mut tx, part, voucher, channel, now).await??;
    Ok(Json(PriceView::of(priced)))
}
