//! What seats would cost.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wishes::{self, JourneyAsked};
use crate::access::Caller;
use crate::booking::quote::{self, Quote};
use crate::clock;
use crate::http::extract::Body;
use crate::http::{Api, Problem};

/// Journeys to be priced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuoteAsked {
    /// One, or two: there and back, or one after the other with time to change.
    #[schema(min_items = 1, max_items = 2)]
    journeys: Vec<JourneyAsked>,
    /// A voucher's code.
    #[schema(max_length = 40)]
    voucher: Option<String>,
}

/// What one passenger would pay.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotedSeat {
    /// The trip's number.
    trip: u64,
    /// `adult`, `child`, `infant` or `prm`.
    #[schema(example = "adult")]
    class: &'static str,
    /// The full fare, in minor units.
    #[schema(example = 35000)]
    fare_minor: i64,
    /// Off that.
    discount_minor: i64,
}

/// What journeys cost at this moment.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuoteView {
    /// What all seats cost, in minor units.
    #[schema(example = 70000)]
    total_minor: i64,
    /// ISO 4217.
    #[schema(example = "ZMW")]
    currency: String,
    /// Whether seats as wished are free at this moment.
    available: bool,
    /// Of each journey: seats that are free all the way.
    seats_left: Vec<usize>,
    /// In the order of the wish.
    seats: Vec<QuotedSeat>,
}

/// What journeys would cost, and whether seats are free, without holding any.
#[utoipa::path(post, path = "/quotes", tag = "bookings", request_body = QuoteAsked,
    security(()),
    responses((status = 200, body = QuoteView),
        (status = 404, body = Problem, description = "no such trip"),
        (status = 409, body = Problem, description = "`boarding-closed`, `trip-not-running` or `trip-frozen`"),
        (status = 422, body = Problem),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<QuoteAsked>,
) -> Result<Json<QuoteView>, Problem> {
    let wish = wishes::read(&caller, &body.value.journeys)?;
    let company = wishes::company_of(&api, &wish.journeys).await?;
    let voucher = wishes::voucher(body.value.voucher.as_deref())?;
    let channel = wishes::channel(&caller, company);
    let asked = quote::Asked {
        journeys: &wish.journeys,
        voucher: voucher.as_deref(),
        channel,
    };
    let found: Quote = match quote::quote(&api, company, asked, clock::now()).await? {
        Ok(found) => found,
        Err(refusal) => return Err(Problem::from(&refusal)),
    };
    let wishes = wish
        .journeys
        .iter()
        .flat_map(|j| j.passengers.iter().map(move |p| (j.trip, p.class)));
    let seats: Vec<QuotedSeat> = wishes
        .zip(&found.each)
        .map(|((trip, class), price)| QuotedSeat {
            trip: trip.0,
            class: class.as_str(),
            fare_minor: price.fare_minor.0,
            discount_minor: price.discount_minor.0,
        })
        .collect();
    Ok(Json(QuoteView {
        total_minor: seats.iter().map(|s| s.fare_minor - s.discount_minor).sum(),
        currency: found.currency.to_string(),
        available: found.available,
        seats_left: found.seats_left,
        seats,
    }))
}
