//! What a batch names, read from the database in a handful of set-based queries.

use std::collections::{BTreeMap, BTreeSet};

use domain::codec::from_cbor;
use domain::event::{Coupon, EventBody, SignedEvent};
use domain::ids::{LeaseNo, SeatNo, ShiftNo, TicketId, TripId};
use domain::ingest::{IngestState, Needs, ShiftStanding, TicketStanding};
use domain::lease::SeatClaim;
use domain::money::Minor;
use domain::trip::{Legs, Trip};

use crate::db::DbError;
use crate::nodes::NodeContext;
use crate::restore::unlisted_among;
use crate::sync::buckets::{legs_of, state_of};
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lease_standing;

/// What is judged over, and what the rules need not know.
pub(super) struct Loaded {
    /// For the rules.
    pub state: IngestState,
    /// The shifts that were there before the batch.
    pub old_shifts: BTreeSet<ShiftNo>,
    /// In which change of its trip's bucket a seat-leg was voided.
    pub void_changes: BTreeMap<(TripId, SeatClaim), i64>,
}

/// What some events name.
#[derive(Default)]
pub(super) struct Named {
    needs: Needs,
    coupons: Vec<Coupon>,
}

impl Named {
    /// Collects what the events name; one that cannot be read names nothing.
    pub fn by<'a>(events: impl IntoIterator<Item = &'a SignedEvent>) -> Self {
        let mut named = Self::default();
        for event in events {
            let Ok(body) = from_cbor::<EventBody>(&event.envelope.body) else {
                continue;
            };
            named.needs.add(&body);
            if let EventBody::Sale(sale) = &body {
                named.coupons.extend(sale.coupons.iter().cloned());
            }
        }
        named
    }

    /// Asks for these tickets too.
    pub fn with_tickets(mut self, tickets: impl IntoIterator<Item = TicketId>) -> Self {
        self.needs.tickets.extend(tickets);
        self
    }
}

/// Loads the state, the leases' rows locked.
pub(super) async fn load_state(
    tx: &mut TenantTx,
    node: &NodeContext,
    named: &Named,
) -> Result<Loaded, DbError> {
    let needs = &named.needs;
    let mut state = IngestState::new(node.node, node.zone.clone());
    state.frozen = is_frozen(tx, node).await?;
    let mut loaded = Loaded {
        state,
        old_shifts: BTreeSet::new(),
        void_changes: BTreeMap::new(),
    };
    if !needs.leases.is_empty() {
        load_leases(tx, node, &needs.leases, &mut loaded).await?;
    }
    if !named.coupons.is_empty() {
        // After the leases: their lock has waited for a swap of the bus.
        load_swaps(tx, named, &mut loaded).await?;
        let state = &loaded.state;
        let today = |c: &Coupon| Some((c.trip, state.seat_now(c)?, c.legs));
        let journeys: Vec<_> = named.coupons.iter().filter_map(today).collect();
        load_seats(tx, &journeys, &mut loaded).await?;
    }
    if !needs.tickets.is_empty() {
        load_tickets(tx, node, &needs.tickets, &mut loaded).await?;
    }
    if !needs.surrendered.is_empty() {
        load_voided(tx, node, &needs.surrendered, &mut loaded).await?;
    }
    if !needs.shifts.is_empty() {
        load_shifts(tx, node, &needs.shifts, &mut loaded).await?;
    }
    if !needs.shown.is_empty() {
        let shown: Vec<TicketId> = needs.shown.iter().copied().collect();
        let (keys, known) = unlisted_among(tx, &shown).await?;
        loaded.state.hub_keys = keys;
        loaded.state.own_tickets = known.into_iter().collect();
    }
    load_recognised(tx, named, &mut loaded).await?;
    Ok(loaded)
}

async fn is_frozen(tx: &mut TenantTx, node: &NodeContext) -> Result<bool, DbError> {
    let frozen = sqlx::query_scalar!(
        "SELECT frozen FROM node WHERE company_id = $1 AND node_id = $2",
        node.company.0,
        node.node.0
    );
    Ok(frozen.fetch_one(tx.conn()).await?)
}

/// Which trips of the sales and voids have departed as far as the books go.
async fn load_recognised(
    tx: &mut TenantTx,
    named: &Named,
    loaded: &mut Loaded,
) -> Result<(), DbError> {
    let sold = named.coupons.iter().map(|c| c.trip);
    let trips: BTreeSet<i64> = sold
        .chain(loaded.state.tickets.values().map(|t| t.place.0))
        .map(|trip| trip.0 as i64)
        .collect();
    if trips.is_empty() {
        return Ok(());
    }
    let trips: Vec<i64> = trips.into_iter().collect();
    let rows = sqlx::query_scalar!(
        "SELECT trip_id FROM ledger_recognition WHERE company_id = $1 AND trip_id = ANY($2)",
        tx.company().0,
        &trips
    );
    let rows = rows.fetch_all(tx.conn()).await?;
    loaded.state.recognised = rows.into_iter().map(|id| TripId(id as u64)).collect();
    Ok(())
}

/// How the buses of the trips were swapped; for nearly every batch there is nothing to read.
async fn load_swaps(tx: &mut TenantTx, named: &Named, loaded: &mut Loaded) -> Result<(), DbError> {
    let trips: BTreeSet<i64> = named.coupons.iter().map(|c| c.trip.0 as i64).collect();
    let trips: Vec<i64> = trips.into_iter().collect();
    let rows = sqlx::query!(
        "SELECT trip_id, body FROM trip
         WHERE company_id = $1 AND trip_id = ANY($2) AND swaps > 0",
        tx.company().0,
        &trips
    )
    .fetch_all(tx.conn())
    .await?;
    for row in rows {
        let trip: Trip =
            from_cbor(&row.body).map_err(|_| DbError::damaged(format!("trip {}", row.trip_id)))?;
        loaded.state.swaps.insert(trip.id, trip.swaps);
    }
    Ok(())
}

/// Locked in the order of their keys. One look into the index per lease, whatever Postgres
/// believes about the table's size: otherwise it compares every lease of the node with every one
/// that is wanted.
async fn load_leases(
    tx: &mut TenantTx,
    node: &NodeContext,
    wanted: &BTreeSet<(TripId, LeaseNo)>,
    loaded: &mut Loaded,
) -> Result<(), DbError> {
    let (trips, numbers) = lease_keys(wanted);
    let rows = sqlx::query!(
        "SELECT l.trip_id, l.lease_no, l.status, l.granted
         FROM UNNEST($3::bigint[], $4::int[]) AS w(trip, no)
         CROSS JOIN LATERAL (
             SELECT * FROM lease
             WHERE company_id = $1 AND node_id = $2 AND trip_id = w.trip AND lease_no = w.no
             FOR UPDATE) AS l",
        node.company.0,
        node.node.0,
        &trips,
        &numbers
    )
    .fetch_all(tx.conn())
    .await?;
    for row in rows {
        let standing = lease_standing(&row.granted, row.status)?;
        let key = (TripId(row.trip_id as u64), LeaseNo(row.lease_no as u16));
        loaded.state.leases.insert(key, standing);
    }
    Ok(())
}

/// The columns of some leases' keys.
pub(super) fn lease_keys<'a>(
    keys: impl IntoIterator<Item = &'a (TripId, LeaseNo)>,
) -> (Vec<i64>, Vec<i32>) {
    keys.into_iter()
        .map(|(trip, no)| (trip.0 as i64, i32::from(no.0)))
        .unzip()
}

/// Only what overlaps a journey: a valid sale finds nothing. `OFFSET 0` keeps Postgres to one
/// look into the index per journey, whatever it believes about the table's size.
async fn load_seats(
    tx: &mut TenantTx,
    journeys: &[(TripId, SeatNo, Legs)],
    loaded: &mut Loaded,
) -> Result<(), DbError> {
    let trips: Vec<i64> = journeys.iter().map(|j| j.0.0 as i64).collect();
    let seats: Vec<i32> = journeys.iter().map(|j| i32::from(j.1.0)).collect();
    let from: Vec<i32> = journeys.iter().map(|j| i32::from(j.2.from().0)).collect();
    let to: Vec<i32> = journeys.iter().map(|j| i32::from(j.2.to().0)).collect();
    let rows = sqlx::query!(
        r#"SELECT DISTINCT t.trip_id, t.seat, t.ticket_id, lower(t.legs) AS "from!",
                  upper(t.legs) AS "to!"
           FROM UNNEST($2::bigint[], $3::int[], $4::int[], $5::int[]) AS w(trip, seat, a, b)
           CROSS JOIN LATERAL (
               SELECT * FROM ticket
               WHERE company_id = $1 AND trip_id = w.trip AND seat = w.seat AND state = 0
                 AND legs && int4range(w.a, w.b)
               OFFSET 0) AS t"#,
        tx.company().0,
        &trips,
        &seats,
        &from,
        &to
    )
    .fetch_all(tx.conn())
    .await?;
    for row in rows {
        let legs = legs_of(row.from, row.to)?;
        let place = (TripId(row.trip_id as u64), SeatNo(row.seat as u16));
        let live = loaded.state.seats.entry(place).or_default();
        live.push((TicketId(row.ticket_id), legs));
    }
    Ok(())
}

async fn load_tickets(
    tx: &mut TenantTx,
    node: &NodeContext,
    wanted: &BTreeSet<TicketId>,
    loaded: &mut Loaded,
) -> Result<(), DbError> {
    let ids: Vec<uuid::Uuid> = wanted.iter().map(|t| t.0).collect();
    let rows = sqlx::query!(
        r#"SELECT t.ticket_id, t.shift, t.trip_id, t.seat, lower(t.legs) AS "from!",
                  upper(t.legs) AS "to!", t.lease_no, t.fare_minor, t.state,
                  coalesce(l.status = 2, false) AS "lease_closed!"
           FROM ticket t
           LEFT JOIN lease l ON l.company_id = t.company_id AND l.trip_id = t.trip_id
                            AND l.node_id = t.issuer_node AND l.lease_no = t.lease_no
           WHERE t.company_id = $1 AND t.issuer_node = $2 AND t.ticket_id = ANY($3)"#,
        node.company.0,
        node.node.0,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    for row in rows {
        let place = (
            TripId(row.trip_id as u64),
            SeatNo(row.seat as u16),
            legs_of(row.from, row.to)?,
        );
        let standing = TicketStanding {
            shift: ShiftNo(row.shift.unwrap_or_default() as u32),
            place,
            lease_no: LeaseNo(row.lease_no.unwrap_or_default() as u16),
            fare_minor: Minor(row.fare_minor),
            state: state_of(row.state)?,
            lease_closed: row.lease_closed,
        };
        loaded
            .state
            .tickets
            .insert(TicketId(row.ticket_id), standing);
    }
    Ok(())
}

async fn load_voided(
    tx: &mut TenantTx,
    node: &NodeContext,
    wanted: &BTreeSet<(TripId, LeaseNo)>,
    loaded: &mut Loaded,
) -> Result<(), DbError> {
    let (trips, numbers) = lease_keys(wanted);
    let rows = sqlx::query!(
        r#"SELECT t.trip_id, t.lease_no AS "lease_no!", t.seat, lower(t.legs) AS "from!",
                  upper(t.legs) AS "to!", t.change_no
           FROM ticket t
           JOIN UNNEST($3::bigint[], $4::int[]) AS w(trip, no)
             ON t.trip_id = w.trip AND t.lease_no = w.no
           WHERE t.company_id = $1 AND t.issuer_node = $2 AND t.state = 1"#,
        node.company.0,
        node.node.0,
        &trips,
        &numbers
    )
    .fetch_all(tx.conn())
    .await?;
    for row in rows {
        let trip = TripId(row.trip_id as u64);
        let claim = SeatClaim {
            seat: SeatNo(row.seat as u16),
            legs: legs_of(row.from, row.to)?,
        };
        let lease = (trip, LeaseNo(row.lease_no as u16));
        loaded.state.voided.entry(lease).or_default().insert(claim);
        let change = loaded.void_changes.entry((trip, claim)).or_default();
        *change = row.change_no.max(*change);
    }
    Ok(())
}

async fn load_shifts(
    tx: &mut TenantTx,
    node: &NodeContext,
    wanted: &BTreeSet<ShiftNo>,
    loaded: &mut Loaded,
) -> Result<(), DbError> {
    let numbers: Vec<i32> = wanted.iter().map(|s| s.0 as i32).collect();
    let rows = sqlx::query!(
        r#"SELECT shift, currency, business_date::text AS "business_date!", float_minor,
                  cash_minor, closed_at_ms IS NULL AS "open!"
           FROM shift WHERE company_id = $1 AND node_id = $2 AND shift = ANY($3)"#,
        node.company.0,
        node.node.0,
        &numbers
    )
    .fetch_all(tx.conn())
    .await?;
    let mut shifts = BTreeMap::new();
    for row in rows {
        let damaged = |_| DbError::damaged(format!("shift {}", row.shift));
        let standing = ShiftStanding {
            currency: row.currency.parse().map_err(damaged)?,
            business_date: row.business_date.parse().map_err(damaged)?,
            float_minor: Minor(row.float_minor),
            cash_minor: Minor(row.cash_minor),
            open: row.open,
        };
        shifts.insert(ShiftNo(row.shift as u32), standing);
    }
    loaded.old_shifts = shifts.keys().copied().collect();
    loaded.state.shifts = shifts;
    Ok(())
}
