//! What journeys would cost, without holding anything.

use std::collections::BTreeMap;

use domain::ids::CompanyId;
use domain::money::Currency;
use domain::time::Instant;

use super::decide::{Price, Refusal, open_legs};
use super::load::look_at_stock;
pub(super) use super::prices::Asked;
use super::prices::prices;
use super::service::{BookingError, pick};
use crate::http::Api;

/// What journeys cost at this moment.
#[derive(Debug, Clone)]
pub(super) struct Quote {
    pub(super) currency: Currency,
    /// In the order of the wish.
    pub(super) each: Vec<Price>,
    /// Whether seats as wished are free.
    pub(super) available: bool,
    /// Of each journey: seats that are free all the way.
    pub(super) seats_left: Vec<usize>,
}

/// Prices journeys and looks for seats; nothing is locked or stored.
pub(super) async fn quote(
    api: &Api,
    company: CompanyId,
    asked: Asked<'_>,
    now: Instant,
) -> Result<Result<Quote, Refusal>, BookingError> {
    let mut tx = api.db.tenant(company).await?;
    let mut stocks = BTreeMap::new();
    for wish in asked.journeys {
        if let Some(stock) = look_at_stock(&mut tx, wish.trip).await? {
            stocks.insert(wish.trip, stock);
        }
    }
    let priced = match prices(&mut tx, &stocks, asked, now).await? {
        Ok(priced) => priced,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let picked = pick(&stocks, asked.journeys, &priced.each, now);
    if let Err(refusal) = &picked
        && !refusal.is_about_seats()
    {
        return Ok(Err(refusal.clone()));
    }
    let left = |wish: &super::Journey| {
        let stock = stocks.get(&wish.trip)?;
        let legs = open_legs(&stock.for_sale(), wish, now).ok()?;
        Some(stock.pool.free_seats(legs).count())
    };
    Ok(Ok(Quote {
        currency: priced.currency,
        available: picked.is_ok(),
        seats_left: asked
            .journeys
            .iter()
            .map(|w| left(w).unwrap_or(0))
            .collect(),
        each: priced.each,
    }))
}
