//! What journeys cost, remembered while nothing changes that they depend on.

use std::collections::BTreeMap;

use domain::ids::TripId;
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::{Instant, Zone};
use domain::trip::Trip;

use super::catalog::{PriceKey, day};
use super::decide::{Journey, Price, Refusal, open_legs};
use super::load::Stock;
use crate::db::DbError;
use crate::pricing::{self, Channel, Part};
use crate::tenant::TenantTx;

/// What is to be priced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) journeys: &'a [Journey],
    pub(super) voucher: Option<&'a str>,
    pub(super) channel: Channel,
}

/// What every passenger pays, journey by journey.
#[derive(Debug, Clone)]
pub(super) struct Prices {
    pub(super) currency: Currency,
    pub(super) each: Vec<Price>,
    /// The voucher that counts, and what it takes off.
    pub(super) voucher: Option<(String, Minor)>,
}

/// One trip as far as its price goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct PricedTrip<'a> {
    pub(super) trip: &'a Trip,
    pub(super) route: &'a str,
    pub(super) zone: &'a Zone,
    pub(super) price_version: i64,
}

/// What a price depends on.
pub(super) fn key(
    tx: &TenantTx,
    of: PricedTrip<'_>,
    journey: &Journey,
    class: PassengerClass,
    channel: Channel,
    now: Instant,
) -> PriceKey {
    let stop = of.trip.seq_of(&journey.from).and_then(|s| of.trip.stop(s));
    PriceKey {
        company: (tx.company(), of.price_version),
        table: of.trip.fare_table.clone(),
        route: of.route.to_owned(),
        from: journey.from.clone(),
        to: journey.to.clone(),
        class,
        channel,
        days: [
            day(stop.and_then(|s| s.departs.local_date(&s.zone))),
            day(stop.and_then(|s| now.local_date(&s.zone))),
            day(now.local_date(of.zone)),
        ],
    }
}

/// What every passenger of every journey pays.
pub(super) async fn prices(
    tx: &mut TenantTx,
    stocks: &BTreeMap<TripId, Stock>,
    asked: Asked<'_>,
    now: Instant,
) -> Result<Result<Prices, Refusal>, DbError> {
    let mut trips = Vec::with_capacity(asked.journeys.len());
    for wish in asked.journeys {
        let Some(stock) = stocks.get(&wish.trip) else {
            return Ok(Err(Refusal::UnknownTrip(wish.trip)));
        };
        // A journey that the trip does not make has no fare either: say the former.
        if let Err(refusal) = open_legs(&stock.for_sale(), wish, now) {
            return Ok(Err(refusal));
        }
        trips.push(stock.priced());
    }
    priced(tx, &trips, asked, now).await
}

/// The same for trips in the order of the journeys.
pub(super) async fn priced(
    tx: &mut TenantTx,
    trips: &[PricedTrip<'_>],
    asked: Asked<'_>,
    now: Instant,
) -> Result<Result<Prices, Refusal>, DbError> {
    let keys: Vec<PriceKey> = trips
        .iter()
        .zip(asked.journeys)
        .flat_map(|(of, wish)| wish.passengers.iter().map(move |p| (of, wish, p.class)))
        .map(|(of, wish, class)| key(tx, *of, wish, class, asked.channel, now))
        .collect();
    let known: Option<Vec<Price>> = keys.iter().map(|k| tx.catalog().price(k)).collect();
    let mut currencies = trips.iter().map(|t| t.trip.currency);
    let currency = currencies.next().filter(|c| currencies.all(|o| o == *c));
    if let (Some(each), Some(currency), None) = (known, currency, asked.voucher) {
        return Ok(Ok(Prices {
            currency,
            each,
            voucher: None,
        }));
    }
    let classes: Vec<Vec<PassengerClass>> = asked
        .journeys
        .iter()
        .map(|wish| wish.passengers.iter().map(|p| p.class).collect())
        .collect();
    let parts: Vec<Part<'_>> = trips
        .iter()
        .zip(asked.journeys)
        .zip(&classes)
        .map(|((of, wish), passengers)| Part {
            trip: of.trip,
            from: &wish.from,
            to: &wish.to,
            passengers,
        })
        .collect();
    let found = match pricing::price_all(tx, &parts, asked.voucher, asked.channel, now).await? {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    let each: Vec<Price> = found
        .passengers
        .iter()
        .map(|p| Price {
            fare_minor: p.fare_minor,
            discount_minor: p.discount_minor,
        })
        .collect();
    if found.voucher.is_none() {
        for (key, price) in keys.into_iter().zip(&each) {
            tx.catalog().keep_price(key, *price);
        }
    }
    Ok(Ok(Prices {
        currency: found.currency,
        each,
        voucher: found.voucher,
    }))
}

impl Stock {
    /// As far as its price goes.
    pub(super) fn priced(&self) -> PricedTrip<'_> {
        PricedTrip {
            trip: &self.facts.trip,
            route: &self.facts.route_code,
            zone: &self.zone,
            price_version: self.price_version,
        }
    }
}
