//! What a sale decides over, in as few round trips as it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::codec::from_cbor;
use domain::ids::{CompanyId, SeatNo, TripId};
use domain::layout::SeatLayout;
use domain::seatmap::SeatMap;
use domain::time::{Instant, Zone};
use domain::trip::Trip;
use domain::weaken::{Weakness, weakened};

use super::catalog::TripFacts;
use super::db;
use super::decide::ForSale;
use crate::company::{company_of_trip, layout_of};
use crate::db::{Db, DbError};
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

/// A trip with what of it the hub may sell.
#[derive(Debug, Clone)]
pub(crate) struct Stock {
    pub(crate) facts: Arc<TripFacts>,
    pub(crate) state: String,
    pub(crate) pool: SeatMap,
    pub(crate) layout: Option<Arc<SeatLayout>>,
    pub(super) zone: Zone,
    /// Of the company's prices.
    pub(super) price_version: i64,
    /// Somebody waits for seats of it.
    pub(super) waited_for: bool,
}

impl Stock {
    pub(crate) fn for_sale(&self) -> ForSale<'_> {
        ForSale {
            trip: &self.facts.trip,
            state: &self.state,
            boarding_closes: &self.facts.boarding_closes,
            pool: &self.pool,
            layout: self.layout.as_deref(),
        }
    }

    /// What is painted on a seat.
    pub(super) fn label(&self, seat: SeatNo) -> String {
        let known = self.layout.as_deref();
        known.map_or_else(|| seat.to_string(), |l| l.label(seat))
    }
}

/// The company that runs a trip.
pub(crate) async fn company_of(db: &Db, trip: TripId) -> Result<Option<CompanyId>, DbError> {
    if let Some(known) = db.catalog().company_of(trip) {
        return Ok(Some(known));
    }
    let found = company_of_trip(db, trip).await?;
    if let Some(company) = found {
        db.catalog().keep_company(trip, company);
    }
    Ok(found)
}

/// A trip's stock, its row locked; `None` where this company runs no such trip.
async fn lock_stock(tx: &mut TenantTx, trip: TripId) -> Result<Option<Stock>, DbError> {
    stock(tx, trip, !weakened(Weakness::NoBookingLock)).await
}

/// The stocks of some trips, locked in the order of their numbers; those that this company does
/// not run are left out.
pub(crate) async fn lock_stocks(
    tx: &mut TenantTx,
    trips: impl Iterator<Item = TripId>,
) -> Result<BTreeMap<TripId, Stock>, DbError> {
    let sorted: BTreeSet<TripId> = trips.collect();
    let mut stocks = BTreeMap::new();
    for trip in sorted {
        if let Some(stock) = lock_stock(tx, trip).await? {
            stocks.insert(trip, stock);
        }
    }
    Ok(stocks)
}

/// A trip's stock as it stands at this moment, for who only looks.
pub(super) async fn look_at_stock(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<Option<Stock>, DbError> {
    stock(tx, trip, false).await
}

async fn stock(tx: &mut TenantTx, id: TripId, lock: bool) -> Result<Option<Stock>, DbError> {
    let Some(row) = db::trip_for_sale(tx, id, lock).await? else {
        return Ok(None);
    };
    let facts = facts(tx, id, row.version).await?;
    let mut pool = SeatMap::whole(facts.trip.seat_count);
    for packed in row.taken {
        let (seat, from, to) = (packed >> 16, packed >> 8 & 0xff, packed & 0xff);
        pool.mark_taken(SeatNo(seat as u16), legs_of(from, to)?);
    }
    let layout = layout(tx, &facts.trip).await?;
    Ok(Some(Stock {
        facts,
        state: row.state,
        pool,
        layout,
        zone: row.zone,
        price_version: row.price_version,
        waited_for: row.waited_for,
    }))
}

/// A trip whose row has this version.
pub(super) async fn facts(
    tx: &mut TenantTx,
    trip: TripId,
    version: i64,
) -> Result<Arc<TripFacts>, DbError> {
    let company = tx.company();
    if let Some(known) = tx.catalog().trip(company, trip, version) {
        return Ok(known);
    }
    let found = db::trip_facts(tx, trip).await?;
    let facts = Arc::new(found.ok_or_else(|| DbError::damaged(format!("trip {trip}")))?);
    tx.catalog().keep_trip(company, version, Arc::clone(&facts));
    Ok(facts)
}

/// The seats of a trip, in the numbering that it has.
pub(super) async fn layout(
    tx: &mut TenantTx,
    trip: &Trip,
) -> Result<Option<Arc<SeatLayout>>, DbError> {
    let company = tx.company();
    if let Some(known) = tx.catalog().layout(company, trip) {
        return Ok(Some(known));
    }
    let found = layout_of(tx, trip).await?.map(Arc::new);
    if let Some(layout) = &found {
        tx.catalog().keep_layout(company, Arc::clone(layout));
    }
    Ok(found)
}

/// A trip's row, decoded.
pub(super) fn facts_of(
    id: i64,
    body: &[u8],
    route_code: String,
    closes: Vec<i64>,
) -> Result<TripFacts, DbError> {
    Ok(TripFacts {
        route_code,
        trip: from_cbor(body).map_err(|_| DbError::damaged(format!("trip {id}")))?,
        boarding_closes: closes.into_iter().map(Instant).collect(),
    })
}
