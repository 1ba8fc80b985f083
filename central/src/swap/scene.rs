//! Everything that a swap depends on, read under its locks.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::TripId;
use domain::layout::{SeatAttributes, SeatLayout};
use domain::lease::SeatClaim;
use domain::passenger::PassengerClass;
use domain::swap::{Held, Rider, SwapPlan, SwapState, plan_swap};
use domain::trip::Trip;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::SwapFault;
use super::db::{self, Claim, Sold};
use crate::booking::Refusal;
use crate::company::layout_of;
use crate::db::DbError;
use crate::ledger::derived_id;
use crate::operations::State;
use crate::operations::trips::{Running, locked};
use crate::restore::refuse_frozen;
use crate::tenant::TenantTx;

/// Which other bus.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    /// Its layout, where the bus itself is not named.
    pub(super) layout: Option<String>,
    /// Its registration.
    pub(super) bus: Option<String>,
    /// Tickets whose passengers offered to give their seats up.
    pub(super) volunteers: Vec<Uuid>,
}

/// A trip with all that sits on it, and the plan for another bus.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) running: Running,
    pub(super) state: SwapState,
    pub(super) plan: SwapPlan,
    pub(super) tickets: Vec<Sold>,
    pub(super) claims: Vec<Claim>,
    /// What the preview and the confirmation have to have seen alike.
    pub(super) mark: String,
}

/// A trip with everything that can change its seats locked. `None` where somebody came in between.
pub(super) async fn lock(tx: &mut TenantTx, trip: TripId) -> Result<Option<Running>, SwapFault> {
    if i64::try_from(trip.0).is_err() {
        return Err(SwapFault::UnknownTrip(trip));
    }
    let before = db::rights(tx, trip).await?;
    db::lock_rights(tx, trip).await?;
    let running = locked(tx, trip).await?;
    let same = db::rights(tx, trip).await? == before;
    Ok(same.then_some(running))
}

/// Refuses a locked trip whose bus cannot be swapped: it is over, or frozen.
pub(super) async fn refuse_over(tx: &mut TenantTx, running: &Running) -> Result<(), SwapFault> {
    match running.day.state {
        State::Scheduled | State::Boarding | State::Departed => {}
        over @ (State::Arrived | State::Cancelled) => return Err(SwapFault::Over(over)),
    }
    let trip = running.trip.id;
    if refuse_frozen(tx, trip).await? {
        return Err(SwapFault::Frozen(Refusal::Frozen(trip)));
    }
    Ok(())
}

/// Looks at a locked trip, and plans.
pub(super) async fn look(
    tx: &mut TenantTx,
    running: Running,
    wish: &Wish,
) -> Result<Scene, SwapFault> {
    refuse_over(tx, &running).await?;
    let trip = &running.trip;
    let new = other_layout(tx, wish).await?;
    if (&new.id, new.version) == (&trip.layout, trip.layout_version) {
        return Err(SwapFault::SameSeats(trip.id));
    }
    let old = layout_of(tx, trip).await?;
    let old = old.ok_or(SwapFault::NoLayout(trip.id))?;
    let tickets = db::tickets(tx, trip.id).await?;
    let claims = db::claims(tx, trip.id).await?;
    let state = state_of(trip, (old, new), &tickets, &claims, &wish.volunteers)?;
    let plan = plan_swap(&state)?;
    let mark = mark_of(&running, wish, &state, &tickets);
    Ok(Scene {
        running,
        state,
        plan,
        tickets,
        claims,
        mark,
    })
}

async fn other_layout(tx: &mut TenantTx, wish: &Wish) -> Result<SeatLayout, SwapFault> {
    let id = match (&wish.layout, &wish.bus) {
        (Some(layout), None) => layout.clone(),
        (None, Some(bus)) => {
            use crate::operations::crew::AssignError;
            let layout = db::layout_of_bus(tx, bus).await?;
            layout.ok_or_else(|| AssignError::UnknownBus(bus.clone()))?
        }
        (Some(_), Some(_)) | (None, None) => return Err(SwapFault::Which),
    };
    let layout = db::newest_layout(tx, &id).await?;
    layout.ok_or(SwapFault::UnknownLayout(id))
}

fn state_of(
    trip: &Trip,
    (old, new): (SeatLayout, SeatLayout),
    tickets: &[Sold],
    claims: &[Claim],
    volunteers: &[Uuid],
) -> Result<SwapState, SwapFault> {
    let live: Vec<&Sold> = tickets.iter().filter(|t| t.state == 0).collect();
    for volunteer in volunteers {
        if !live.iter().any(|t| t.id.0 == *volunteer) {
            return Err(SwapFault::NoVolunteer(*volunteer));
        }
    }
    let parties = parties(&live);
    let riders = live.iter().map(|t| {
        let seat = old.seat(t.seat);
        let wheelchair = seat.is_some_and(|s| s.attributes.has(SeatAttributes::WHEELCHAIR));
        Rider {
            ticket: t.id,
            seat: t.seat,
            legs: t.legs,
            class: t.class,
            wheelchair: t.class == PassengerClass::Prm && wheelchair,
            boarded: t.boarded,
            party: party_of(t).filter(|party| parties.contains(party)),
            volunteer: volunteers.contains(&t.id.0),
        }
    });
    let riders = riders.collect();
    let of = |kind: &'static str| claims.iter().filter(move |c| c.kind == kind);
    let claim = |c: &Claim| SeatClaim {
        seat: c.seat,
        legs: c.legs,
    };
    Ok(SwapState {
        leg_count: trip.leg_count(),
        riders,
        leases: of("lease").map(claim).collect(),
        holds: of("hold")
            .filter_map(|c| {
                Some(Held {
                    holder: c.booking.or(c.offer)?,
                    claim: claim(c),
                })
            })
            .collect(),
        blocks: of("block").map(claim).collect(),
        old,
        new,
    })
}

/// Who travels together: a booking, or what a counter sold at once.
fn party_of(ticket: &Sold) -> Option<Uuid> {
    let at = ticket.issued_at_ms.to_be_bytes();
    let sale = |node: Uuid| derived_id(&[b"party", node.as_bytes(), &at]);
    ticket.booking.or_else(|| ticket.issuer.map(sale))
}

/// Parties of two and more.
fn parties(live: &[&Sold]) -> BTreeSet<Uuid> {
    let mut sizes: BTreeMap<Uuid, usize> = BTreeMap::new();
    for party in live.iter().filter_map(|t| party_of(t)) {
        *sizes.entry(party).or_default() += 1;
    }
    let more = sizes.into_iter().filter(|(_, size)| *size > 1);
    more.map(|(party, _)| party).collect()
}

fn mark_of(running: &Running, wish: &Wish, state: &SwapState, tickets: &[Sold]) -> String {
    let seen = format!(
        "{:?} {:?} {:?} {wish:?} {state:?} {tickets:?}",
        running.trip.id,
        running.trip.numbering(),
        running.bus
    );
    let digest = Sha256::digest(seen.as_bytes());
    data_encoding::HEXLOWER.encode(&digest)
}

impl Scene {
    /// What a leg is between.
    pub(super) fn stops_of(&self, leg: u8) -> Result<(String, String), DbError> {
        let trip = &self.running.trip;
        let code = |at: usize| trip.stops.get(at).map(|s| s.code.0.clone());
        let stops = code(usize::from(leg)).zip(code(usize::from(leg) + 1));
        stops.ok_or_else(|| DbError::damaged(format!("the legs of trip {}", trip.id)))
    }
}
