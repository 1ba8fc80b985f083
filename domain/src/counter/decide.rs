//! What a command at the counter leads to, or why not.

use super::{
    Catalogue, CounterState, HeldLease, JourneyWish, PassengerWish, Refusal, boarding_open,
};
use crate::event::{
    COUPONS_MAX, Coupon, EventBody, LeaseAccepted, LeaseSurrendered, ShiftClosed, ShiftOpened,
    TenderKind, TenderLine, VoidReason, VoidRecord,
};
use crate::ids::{LayoutVersion, LeaseNo, SaleOrdinal, SeatNo, Seq, ShiftNo, TicketId, TripId};
use crate::layout::SEATS_MAX;
use crate::money::{Currency, Minor};
use crate::seatmap::SeatMap;
use crate::time::Instant;
use crate::trip::{Legs, Trip};

/// The most money one amount at a counter may be: 10 million major units.
const AMOUNT_MINOR_MAX: i64 = 1_000_000_000;

fn checked_amount(amount: Minor) -> Result<Minor, Refusal> {
    if (0..=AMOUNT_MINOR_MAX).contains(&amount.0) {
        Ok(amount)
    } else {
        Err(Refusal::BadAmount(amount.0))
    }
}

/// Opens a shift.
pub fn decide_open_shift(
    state: &CounterState,
    agent: &str,
    float_minor: Minor,
    currency: Currency,
) -> Result<EventBody, Refusal> {
    if let Some(open) = state.shift() {
        return Err(Refusal::ShiftOpen(open.shift, open.agent.clone()));
    }
    let agent = agent.trim();
    if agent.is_empty() || agent.chars().count() > 64 {
        return Err(Refusal::BadAgent);
    }
    let float_minor = checked_amount(float_minor)?;
    let shift = state.next_shift();
    Ok(EventBody::ShiftOpened(ShiftOpened {
        shift,
        agent: agent.to_owned(),
        float_minor,
        currency,
    }))
}

/// Closes the open shift with what the agent counted, float included.
pub fn decide_close_shift(state: &CounterState, declared: Minor) -> Result<EventBody, Refusal> {
    let shift = state.shift().ok_or(Refusal::NoShift)?;
    Ok(EventBody::ShiftClosed(ShiftClosed {
        shift: shift.shift,
        declared_minor: checked_amount(declared)?,
        expected_minor: Minor(shift.float_minor.0 + shift.cash_minor.0),
    }))
}

/// A wish to buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SellCommand {
    /// The journeys; all are sold or none.
    pub journeys: Vec<JourneyWish>,
    /// How it is paid; empty means cash, to the coin.
    pub tender: Vec<TenderLine>,
    /// Not for travel.
    pub test: bool,
}

/// A decided sale, its tickets not yet signed (their tags are empty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleDraft {
    /// The shift that sells.
    pub shift: ShiftNo,
    /// What is paid in.
    pub currency: Currency,
    /// The journeys.
    pub coupons: Vec<Coupon>,
    /// How it is paid.
    pub tender: Vec<TenderLine>,
}

/// Decides a sale out of the node's own leases.
pub fn decide_sale(
    state: &CounterState,
    catalogue: &Catalogue,
    command: &SellCommand,
    now: Instant,
) -> Result<SaleDraft, Refusal> {
    let shift = state.shift().ok_or(Refusal::NoShift)?;
    let count: usize = command.journeys.iter().map(|j| j.passengers.len()).sum();
    if count == 0 || count > COUPONS_MAX || command.journeys.iter().any(|j| j.passengers.is_empty())
    {
        return Err(Refusal::BadPassengerCount);
    }
    let mut coupons: Vec<Coupon> = Vec::with_capacity(count);
    for journey in &command.journeys {
        let trip = catalogue
            .trips
            .get(&journey.trip)
            .ok_or(Refusal::UnknownTrip(journey.trip))?;
        if trip.currency != shift.currency {
            return Err(Refusal::MixedCurrencies(shift.currency, trip.currency));
        }
        let sold = decide_journey(state, catalogue, trip, journey, command.test, &coupons, now)?;
        coupons.extend(sold);
    }
    let fares = Minor::checked_sum(coupons.iter().map(|c| c.fare_minor))
        .ok_or(Refusal::BadAmount(i64::MAX))?;
    let tender = decide_tender(&command.tender, fares, shift.currency)?;
    Ok(SaleDraft {
        shift: shift.shift,
        currency: shift.currency,
        coupons,
        tender,
    })
}

fn decide_tender(
    offered: &[TenderLine],
    fares: Minor,
    currency: Currency,
) -> Result<Vec<TenderLine>, Refusal> {
    if offered.is_empty() {
        return Ok(vec![TenderLine {
            kind: TenderKind::Cash,
            amount_minor: fares,
        }]);
    }
    for line in offered {
        checked_amount(line.amount_minor)?;
    }
    let tendered = Minor::checked_sum(offered.iter().map(|t| t.amount_minor));
    match tendered {
        Some(tendered) if tendered == fares => Ok(offered.to_vec()),
        _ => Err(Refusal::TenderMismatch {
            fares,
            tendered: tendered.unwrap_or_default(),
            currency,
        }),
    }
}

fn decide_journey(
    state: &CounterState,
    catalogue: &Catalogue,
    trip: &Trip,
    journey: &JourneyWish,
    test: bool,
    already: &[Coupon],
    now: Instant,
) -> Result<Vec<Coupon>, Refusal> {
    let bad_stops = || Refusal::BadStops {
        trip: trip.id,
        from: journey.from.clone(),
        to: journey.to.clone(),
    };
    let from = trip.seq_of(&journey.from).ok_or_else(bad_stops)?;
    let to = trip.seq_of(&journey.to).ok_or_else(bad_stops)?;
    let legs = trip.legs(from, to).ok_or_else(bad_stops)?;
    let leases: Vec<&HeldLease> = state.leases_at(trip.id, from).collect();
    if leases.is_empty() {
        return Err(Refusal::NoLease {
            trip: trip.id,
            from: journey.from.clone(),
        });
    }
    let open: Vec<&HeldLease> = leases
        .into_iter()
        .filter(|l| boarding_open(l.grant.sell_until, now))
        .collect();
    if open.is_empty() {
        return Err(Refusal::BoardingClosed(trip.id));
    }
    let mut map = union_map(trip, &open);
    for c in already.iter().filter(|c| c.trip == trip.id) {
        if let Some(seat) = today(trip, c.seat, c.layout_version) {
            map.mark_taken(seat, c.legs);
        }
    }
    let seats = choose_seats(catalogue, trip, journey, legs, &mut map)?;
    journey
        .passengers
        .iter()
        .zip(seats)
        .map(|(passenger, seat)| {
            let fare = catalogue.fare(trip, from, to, passenger.class);
            let fare_minor = fare.ok_or_else(|| Refusal::NoFare {
                from: journey.from.clone(),
                to: journey.to.clone(),
                class: passenger.class,
            })?;
            let (lease, seat) = open
                .iter()
                .find_map(|l| Some((l, sold_as(trip, l, seat, legs)?)))
                .ok_or_else(|| Refusal::SeatNotHeld(catalogue.seat_label(trip, seat)))?;
            let sold = lease.ordinals.get(&seat).map_or(0, |o| o.0);
            Ok(Coupon {
                trip: trip.id,
                seat,
                legs,
                class: passenger.class,
                ordinal: SaleOrdinal(sold + 1),
                lease_no: lease.grant.lease_no,
                epoch: lease.grant.epoch,
                layout_version: lease.grant.layout_version,
                fare_minor,
                test,
                tag: vec![],
            })
        })
        .collect()
}

/// A seat of a lease as it is numbered today. One of a numbering that this device has not heard of
/// yet is none of the seats it knows: it counts beyond them all.
fn today(trip: &Trip, seat: SeatNo, under: LayoutVersion) -> Option<SeatNo> {
    if under > trip.numbering() {
        return Some(SeatNo(seat.0.saturating_add(SEATS_MAX as u16)));
    }
    trip.seat_now(seat, under)
}

/// The seat of a lease, as the lease numbers it, that is this one today and free on these legs.
fn sold_as(trip: &Trip, lease: &HeldLease, wanted: SeatNo, legs: Legs) -> Option<SeatNo> {
    let under = lease.grant.layout_version;
    let mut seats = lease.grant.claims.iter().map(|c| c.seat);
    seats.find(|seat| today(trip, *seat, under) == Some(wanted) && lease.map.is_free(*seat, legs))
}

/// What may be sold at one stop out of all leases together, as the seats are numbered today: no two
/// leases hold one seat there, because each holds the leg that leaves the stop. Seats that a swapped
/// bus has no place for are sold by nobody who has heard of it.
fn union_map(trip: &Trip, leases: &[&HeldLease]) -> SeatMap {
    let to_come = leases
        .iter()
        .any(|l| l.grant.layout_version > trip.numbering());
    let seats = if to_come {
        2 * SEATS_MAX as u16
    } else {
        trip.seat_count
    };
    let mut map = SeatMap::nothing(seats);
    for lease in leases {
        for claim in &lease.grant.claims {
            let seat = today(trip, claim.seat, lease.grant.layout_version);
            if let Some(seat) = seat.filter(|_| lease.map.is_free(claim.seat, claim.legs)) {
                map.own(seat, claim.legs);
            }
        }
    }
    map
}

fn choose_seats(
    catalogue: &Catalogue,
    trip: &Trip,
    journey: &JourneyWish,
    legs: Legs,
    map: &mut SeatMap,
) -> Result<Vec<SeatNo>, Refusal> {
    let layout = catalogue.layout(trip);
    let mut seats: Vec<Option<SeatNo>> = Vec::with_capacity(journey.passengers.len());
    for PassengerWish { seat, .. } in &journey.passengers {
        let Some(label) = seat else {
            seats.push(None);
            continue;
        };
        let no = layout.and_then(|l| l.by_label(label));
        let no = no.ok_or_else(|| Refusal::UnknownSeat(label.clone()))?;
        map.take(no, legs)
            .map_err(|_| Refusal::SeatNotHeld(label.clone()))?;
        seats.push(Some(no));
    }
    let wanted = seats.iter().filter(|s| s.is_none()).count();
    let mut party = match wanted {
        0 => vec![],
        _ => map
            .best_fit_party(legs, wanted, layout)
            .ok_or_else(|| Refusal::LeaseDry {
                trip: trip.id,
                from: journey.from.clone(),
                to: journey.to.clone(),
                wanted,
                left: map.free_seats(legs).count(),
            })?,
    }
    .into_iter();
    for seat in &party.clone().collect::<Vec<_>>() {
        map.mark_taken(*seat, legs);
    }
    Ok(seats
        .into_iter()
        .filter_map(|s| s.or_else(|| party.next()))
        .collect())
}

/// Voids a ticket in the shift that sold it.
pub fn decide_void(
    state: &CounterState,
    ticket: TicketId,
    reason: VoidReason,
) -> Result<EventBody, Refusal> {
    let shift = state.shift().ok_or(Refusal::NoShift)?;
    let sold = state.tickets().get(&ticket).ok_or(Refusal::UnknownTicket)?;
    if sold.void {
        return Err(Refusal::AlreadyVoid);
    }
    if sold.shift != shift.shift {
        return Err(Refusal::OtherShift(sold.shift));
    }
    Ok(EventBody::Void(VoidRecord {
        shift: shift.shift,
        ticket,
        reason,
    }))
}

/// Accepts a delivered grant, so that it may be sold from.
pub fn decide_accept(
    state: &CounterState,
    trip: TripId,
    lease_no: LeaseNo,
) -> Result<EventBody, Refusal> {
    let grant = state
        .grant(trip, lease_no)
        .ok_or(Refusal::UnknownLease { trip, lease_no })?;
    Ok(EventBody::LeaseAccepted(LeaseAccepted {
        trip,
        lease_no,
        epoch: grant.epoch,
    }))
}

/// Gives a grant back, accepted or not. `next` is the position that the event will take.
pub fn decide_surrender(
    state: &CounterState,
    trip: TripId,
    lease_no: LeaseNo,
    next: Seq,
) -> Result<EventBody, Refusal> {
    let grant = state
        .grant(trip, lease_no)
        .ok_or(Refusal::UnknownLease { trip, lease_no })?;
    let last_seq = Seq(next.0.saturating_sub(1));
    let epoch = grant.epoch;
    Ok(EventBody::LeaseSurrendered(LeaseSurrendered {
        trip,
        lease_no,
        epoch,
        last_seq,
    }))
}
