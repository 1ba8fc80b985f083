//! What must hold after every step, and what must hold once all is healed.
//!
//! Not failures: a sale whose record went with a disk that was replaced by an older one (its
//! seat stays leased all the same), a thief's ticket, a passenger refused because the seat's
//! voided ticket was let on first, a passenger without a seat in a smaller bus who was told so.

use std::collections::BTreeMap;

use domain::ids::{Issuer, SeatNo, TicketId, TripId};
use domain::ingest::TicketState;
use domain::lease::LeaseStatus;
use domain::ledger::EntryKind;
use domain::swap::NO_SEAT;
use domain::trip::Legs;

use crate::hub::Hub;
use crate::model::Truth;

/// A broken law: its name and what broke it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: &'static str,
    /// What broke it.
    pub what: String,
}

impl Violation {
    /// A broken law.
    pub fn new(law: &'static str, what: impl Into<String>) -> Self {
        Self {
            law,
            what: what.into(),
        }
    }
}

fn overlap(
    rides: &mut BTreeMap<(TripId, SeatNo), Vec<(Legs, String)>>,
    place: (TripId, SeatNo),
    legs: Legs,
    who: String,
) -> Option<String> {
    let seat = rides.entry(place).or_default();
    let clash = seat
        .iter()
        .find(|(other, _)| other.overlaps(legs))
        .map(|(_, other)| {
            format!(
                "seat {} of trip {} on legs {legs}: {other} and {who}",
                place.1, place.0
            )
        });
    seat.push((legs, who));
    clash
}

/// No seat-leg of the bus that drives is held twice by passengers whose tickets were neither taken
/// back nor lost with the hub's disk, and who have not been told that there is no seat for them.
pub fn passengers(truth: &Truth, hub: &Hub) -> Option<Violation> {
    let mut rides = BTreeMap::new();
    for (id, held) in truth.tickets.iter().filter(|(_, t)| !t.void && !t.lost) {
        let Some(seat) = truth.seat_today(*id).filter(|_| !hub.is_overflow(*id)) else {
            continue;
        };
        let clash = overlap(&mut rides, (held.trip, seat), held.legs, id.to_string());
        if let Some(what) = clash {
            return Some(Violation::new("no live seat-leg twice", what));
        }
    }
    None
}

/// The hub has every live ticket on the seat where its passenger is found by following the swaps,
/// and nobody on a seat that the bus has not.
pub fn seats_of_today(truth: &Truth, hub: &Hub) -> Option<Violation> {
    let tickets = hub.disk.tickets.iter();
    for (id, t) in tickets.filter(|(_, t)| t.state == TicketState::Live) {
        let trip = hub.disk.trips.get(&t.ticket.claim.trip);
        let seats = trip.map_or(0, |trip| trip.seat_count);
        let law = "every live ticket sits on its seat of today";
        if !(1..=seats).contains(&t.seat.0) {
            let what = format!("ticket {id} is on {} of {seats} seats", t.seat);
            return Some(Violation::new(law, what));
        }
        let told = truth.tickets.get(id).filter(|held| !held.void);
        let expected = truth.seat_today(*id);
        if told.is_some() && expected != Some(t.seat) {
            let what = format!("ticket {id} is on {}, told {expected:?}", t.seat);
            return Some(Violation::new(law, what));
        }
    }
    None
}

/// Who has no seat since a swap is offered something else once; who has one, nothing. A late sale
/// on a seat without a place is one case instead.
pub fn overflow(hub: &Hub) -> Option<Violation> {
    let law = "no seat, one offer";
    let mut open: BTreeMap<TicketId, usize> = BTreeMap::new();
    for offer in hub.disk.offers.iter().filter(|offer| offer.open) {
        *open.entry(offer.ticket).or_default() += 1;
    }
    for (id, t) in &hub.disk.tickets {
        let offers = open.get(id).copied().unwrap_or(0);
        let cases = hub.cases_without_place(*id);
        let displaced = hub.disk.displaced.contains(id);
        let wrong = match t.state {
            TicketState::Live => offers + cases > 0 || displaced,
            TicketState::Disputed if displaced => {
                // Who was let on after the offer keeps it.
                let missing = offers == 0 && hub.owes_an_offer(*id);
                t.seat != NO_SEAT || cases > 0 || offers > 1 || missing
            }
            TicketState::Disputed => offers > 0 || cases > 1,
            TicketState::Void => false,
        };
        if wrong {
            let state = t.state;
            let what = format!(
                "ticket {id} is {state:?} on {}, with {offers} offers and {cases} cases",
                t.seat
            );
            return Some(Violation::new(law, what));
        }
    }
    None
}

/// No seat-leg has two owners at the hub, and every live ticket of a node stands under a grant.
pub fn owners(hub: &Hub) -> Option<Violation> {
    let mut live = BTreeMap::new();
    for (id, t) in hub
        .disk
        .tickets
        .iter()
        .filter(|(_, t)| t.state == TicketState::Live)
    {
        let claim = &t.ticket.claim;
        let clash = overlap(&mut live, (claim.trip, t.seat), t.legs, id.to_string());
        if let Some(what) = clash {
            return Some(Violation::new(
                "no live seat-leg twice",
                format!("at the hub, {what}"),
            ));
        }
        if let Some(violation) = outside_grant(hub, *id) {
            return Some(violation);
        }
    }
    let mut owned = BTreeMap::new();
    for ((trip, node, no), lease) in &hub.disk.leases {
        // A restored hub has heard of a grant and not yet that the one before it was given back.
        if lease.status == LeaseStatus::Closed || hub.disk.frozen.contains(trip) {
            continue;
        }
        let Some(known) = hub.disk.trips.get(trip) else {
            continue;
        };
        for claim in lease.grant.claims_now(&known.swaps) {
            let who = format!("lease {no} of {node}");
            if let Some(what) = overlap(&mut owned, (*trip, claim.seat), claim.legs, who) {
                return Some(Violation::new("one owner of a seat-leg", what));
            }
            let others = hub.disk.tickets.iter().filter(|(_, t)| {
                t.state == TicketState::Live
                    && t.ticket.claim.trip == *trip
                    && t.seat == claim.seat
                    && t.legs.overlaps(claim.legs)
            });
            for (id, t) in others {
                let own = t.issuer == Issuer::Node(*node)
                    && t.ticket.claim.lease.is_some_and(|l| l.no == *no);
                if !own {
                    let what = format!("lease {no} of {node} holds what ticket {id} was sold on");
                    return Some(Violation::new("one owner of a seat-leg", what));
                }
            }
        }
    }
    None
}

/// The seat of a lost ticket that a validator saw is not sold again.
pub fn kept_seats(hub: &Hub) -> Option<Violation> {
    hub.disk.kept.iter().find_map(|(trip, claim)| {
        let sold = hub.disk.tickets.iter().find(|(_, t)| {
            t.state == TicketState::Live
                && t.ticket.claim.trip == *trip
                && t.seat == claim.seat
                && t.legs.overlaps(claim.legs)
        });
        sold.map(|(id, _)| {
            let what = format!("seat {} of trip {trip} by ticket {id}", claim.seat);
            Violation::new("a lost ticket's seat is not sold again", what)
        })
    })
}

fn outside_grant(hub: &Hub, id: TicketId) -> Option<Violation> {
    let t = &hub.disk.tickets[&id];
    let claim = &t.ticket.claim;
    let Issuer::Node(node) = t.issuer else {
        return None;
    };
    let granted = claim
        .lease
        .and_then(|l| hub.disk.leases.get(&(claim.trip, node, l.no)))
        .is_some_and(|l| l.grant.allows(claim.seat, t.legs));
    (!granted).then(|| {
        let what = format!(
            "ticket {id} is live on seat {} that its issuer never held",
            claim.seat
        );
        Violation::new("every live ticket under a grant", what)
    })
}

/// A request is granted once, however often it is asked.
pub fn grants(hub: &Hub) -> Option<Violation> {
    hub.grants_per_request()
        .into_iter()
        .find(|(_, count)| *count > 1)
        .map(|((node, request), n)| {
            Violation::new(
                "a request has one grant",
                format!("{request} of {node} has {n}"),
            )
        })
}

/// Every stored ticket is in the ledger once, nothing else is, and all of it sums to zero.
pub fn ledger(hub: &Hub) -> Option<Violation> {
    let mut sold: BTreeMap<TicketId, usize> = BTreeMap::new();
    let mut sum = 0i128;
    for entry in &hub.disk.ledger {
        for posting in entry.postings() {
            sum += i128::from(posting.amount_minor.0);
            if let (Some(id), EntryKind::Sale) = (posting.ticket, entry.kind()) {
                *sold.entry(id).or_insert(0) += 1;
            }
        }
    }
    if sum != 0 {
        return Some(Violation::new(
            "the ledger sums to zero",
            format!("it sums to {sum}"),
        ));
    }
    let law = "each sale once in the ledger";
    if let Some((id, n)) = sold.iter().find(|(_, n)| **n != 1) {
        return Some(Violation::new(
            law,
            format!("ticket {id} is posted {n} times"),
        ));
    }
    let missing = hub.disk.tickets.keys().find(|id| !sold.contains_key(id));
    missing.map(|id| Violation::new(law, format!("ticket {id} is not posted")))
}

/// Once healed, the hub has every ticket that was handed out and every void that was told.
pub fn nothing_lost(truth: &Truth, hub: &Hub) -> Option<Violation> {
    let law = "no acknowledged sale lost";
    for (id, held) in truth.tickets.iter().filter(|(_, t)| !t.excused) {
        let Some(stored) = hub.disk.tickets.get(id) else {
            return Some(Violation::new(
                law,
                format!("ticket {id} never reached the hub"),
            ));
        };
        let expected = if held.void {
            TicketState::Void
        } else {
            TicketState::Live
        };
        let told = held.void_excused || !held.void && hub.is_overflow(*id);
        if stored.state != expected && !told {
            let what = format!(
                "ticket {id} is {:?} at the hub, told {expected:?}",
                stored.state
            );
            return Some(Violation::new(law, what));
        }
        if stored.ticket.to_qr() != held.qr {
            return Some(Violation::new(
                law,
                format!("ticket {id} reads otherwise at the hub"),
            ));
        }
    }
    None
}
