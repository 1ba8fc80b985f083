//! The verdict on one event. `judge` reads and updates the loaded state, so that the events of
//! a batch see one another.

use super::{
    Case, Effect, IngestState, Judgement, NewTicket, QuarantineReason, ShiftStanding,
    TicketStanding, TicketState, Verdict, unlisted,
};
use crate::codec::from_cbor;
use crate::event::{
    COUPONS_MAX, Coupon, EventBody, LeaseSurrendered, Sale, ShiftClosed, ShiftOpened, SignedEvent,
    TenderKind, VoidRecord,
};
use crate::ids::{SeatNo, TicketId};
use crate::lease::{LeaseStatus, SeatClaim};
use crate::ledger::{Account, Entry, EntryKind, Posting, sale_postings, shift_close_postings};
use crate::money::Minor;
use crate::swap::NO_SEAT;
use crate::ticket::SignedTicket;
use crate::weaken::{Weakness, weakened};

impl Judgement {
    fn applied(effects: Vec<Effect>) -> Self {
        Self {
            verdict: Verdict::Applied,
            effects,
        }
    }

    fn quarantined(reason: QuarantineReason, effects: Vec<Effect>) -> Self {
        Self {
            verdict: Verdict::Quarantined(reason),
            effects,
        }
    }
}

/// Judges one stored event.
pub fn judge(state: &mut IngestState, event: &SignedEvent) -> Judgement {
    let at = event.envelope.at;
    let Ok(body) = from_cbor::<EventBody>(&event.envelope.body) else {
        return Judgement::quarantined(QuarantineReason::NotUnderstood, vec![]);
    };
    match body {
        EventBody::ShiftOpened(opened) => open_shift(state, event, opened),
        EventBody::Sale(sale) => judge_sale(state, event, &sale),
        EventBody::Void(void) => judge_void(state, &void),
        EventBody::ShiftClosed(closed) => close_shift(state, event, &closed),
        EventBody::LeaseAccepted(e) => match state.leases.get_mut(&(e.trip, e.lease_no)) {
            None => Judgement::quarantined(QuarantineReason::LeaseUnknown, vec![]),
            Some(l) if l.grant.epoch != e.epoch => {
                Judgement::quarantined(QuarantineReason::StaleEpoch, vec![])
            }
            Some(l) if l.status == LeaseStatus::Closed => {
                Judgement::quarantined(QuarantineReason::LeaseClosed, vec![])
            }
            Some(l) => {
                l.status = LeaseStatus::Accepted;
                Judgement::applied(vec![Effect::AcceptLease(e.trip, e.lease_no)])
            }
        },
        EventBody::LeaseSurrendered(surrender) => judge_surrender(state, event, &surrender),
        EventBody::Scan(scan) => {
            let lost = unlisted(state, &scan).map(Box::new).map(Effect::KeepSeat);
            let record = Effect::RecordScan(scan, at);
            Judgement::applied([record].into_iter().chain(lost).collect())
        }
        EventBody::PrintAttempted(_) | EventBody::ClockStep(..) => Judgement::applied(vec![]),
    }
}

fn open_shift(state: &mut IngestState, event: &SignedEvent, opened: ShiftOpened) -> Judgement {
    let at = event.envelope.at;
    let Some(business_date) = at.local_date(&state.zone) else {
        return Judgement::quarantined(QuarantineReason::NotUnderstood, vec![]);
    };
    if state.shifts.contains_key(&opened.shift) {
        return Judgement::quarantined(QuarantineReason::ShiftNotOpen, vec![]);
    }
    let standing = ShiftStanding {
        currency: opened.currency,
        business_date,
        float_minor: opened.float_minor,
        cash_minor: Minor::ZERO,
        open: true,
    };
    state.shifts.insert(opened.shift, standing.clone());
    Judgement::applied(vec![Effect::OpenShift {
        shift: opened.shift,
        agent: opened.agent,
        standing,
        at,
    }])
}

/// Why a coupon's seat cannot be taken as sold, and the live tickets it stands against.
fn coupon_fault(
    state: &IngestState,
    coupon: &Coupon,
    id: TicketId,
) -> Option<(QuarantineReason, Vec<TicketId>)> {
    let fault = |reason| Some((reason, vec![]));
    if state.tickets.contains_key(&id) {
        return fault(QuarantineReason::SeatTaken);
    }
    if !weakened(Weakness::NoContainmentCheck) {
        let Some(lease) = state.leases.get(&(coupon.trip, coupon.lease_no)) else {
            return fault(QuarantineReason::LeaseUnknown);
        };
        if lease.grant.epoch != coupon.epoch {
            return fault(QuarantineReason::StaleEpoch);
        }
        if lease.status == LeaseStatus::Closed {
            return fault(QuarantineReason::LeaseClosed);
        }
        if !lease.grant.allows(coupon.seat, coupon.legs) {
            return fault(QuarantineReason::OutsideLease);
        }
    }
    let Some(seat) = state.seat_now(coupon) else {
        return fault(QuarantineReason::NoPlace);
    };
    let live = state
        .seats
        .get(&(coupon.trip, seat))
        .map_or(&[][..], Vec::as_slice);
    let against: Vec<TicketId> = live
        .iter()
        .filter(|(_, legs)| legs.overlaps(coupon.legs))
        .map(|(id, _)| *id)
        .collect();
    (!against.is_empty()).then_some((QuarantineReason::SeatTaken, against))
}

/// The live tickets that a sale's seats stand against, whoever sold them. A hub that was restored
/// waits with such a sale while it may not have heard yet that those were taken back.
pub fn stands_against(state: &IngestState, event: &SignedEvent) -> Vec<TicketId> {
    let Ok(EventBody::Sale(sale)) = from_cbor::<EventBody>(&event.envelope.body) else {
        return vec![];
    };
    let live = sale.coupons.iter().flat_map(|coupon| {
        let seat = state.seat_now(coupon);
        let seat = seat.and_then(|seat| state.seats.get(&(coupon.trip, seat)));
        let live = seat.map_or(&[][..], Vec::as_slice);
        let over = live.iter().filter(|(_, legs)| legs.overlaps(coupon.legs));
        over.map(|(id, _)| *id)
    });
    live.filter(|id| !state.tickets.contains_key(id)).collect()
}

/// Whether two coupons of a trip are for one seat, as it is numbered today. Seats without a place
/// are compared as they were sold.
fn same_seat(state: &IngestState, one: &Coupon, other: &Coupon) -> bool {
    match (state.seat_now(one), state.seat_now(other)) {
        (None, None) => one.seat == other.seat,
        (one, other) => one == other,
    }
}

fn sale_contradicts_itself(sale: &Sale) -> bool {
    let tendered = Minor::checked_sum(sale.tender.iter().map(|t| t.amount_minor));
    sale.coupons.is_empty()
        || sale.coupons.len() > COUPONS_MAX
        || sale.coupons.iter().any(|c| c.fare_minor < Minor::ZERO)
        || sale.tender.iter().any(|t| t.amount_minor < Minor::ZERO)
        || sale.total().is_none()
        || tendered != sale.total()
}

/// Every fault of a sale: one reason for the whole, because a sale applies atomically.
fn sale_fault(
    state: &IngestState,
    sale: &Sale,
    tickets: &[SignedTicket],
) -> Option<(QuarantineReason, Vec<TicketId>)> {
    if state.frozen {
        return Some((QuarantineReason::Forked, vec![]));
    }
    if sale_contradicts_itself(sale) || tickets.len() != sale.coupons.len() {
        return Some((QuarantineReason::BadSale, vec![]));
    }
    if !state
        .shifts
        .get(&sale.shift)
        .is_some_and(|s| s.open && s.currency == sale.currency)
    {
        return Some((QuarantineReason::ShiftNotOpen, vec![]));
    }
    for (i, coupon) in sale.coupons.iter().enumerate() {
        let twice = sale.coupons[..i].iter().any(|other| {
            other.trip == coupon.trip
                && same_seat(state, other, coupon)
                && other.legs.overlaps(coupon.legs)
        });
        if twice {
            return Some((QuarantineReason::BadSale, vec![]));
        }
        if let Some(fault) = coupon_fault(state, coupon, tickets[i].claim.id) {
            return Some(fault);
        }
    }
    None
}

fn judge_sale(state: &mut IngestState, event: &SignedEvent, sale: &Sale) -> Judgement {
    let tickets: Vec<SignedTicket> = (0..sale.coupons.len())
        .filter_map(|i| sale.ticket(&event.envelope, i))
        .collect();
    let fault = sale_fault(state, sale, &tickets);
    let ticket_state = if fault.is_some() {
        TicketState::Disputed
    } else {
        TicketState::Live
    };
    let mut effects = vec![];
    for (coupon, ticket) in sale.coupons.iter().zip(&tickets) {
        if state.tickets.contains_key(&ticket.claim.id) {
            continue;
        }
        let seat = state.seat_now(coupon).unwrap_or(NO_SEAT);
        admit_ticket(state, sale, coupon, seat, ticket, ticket_state);
        effects.push(Effect::InsertTicket(Box::new(NewTicket {
            ticket: *ticket,
            seat,
            legs: coupon.legs,
            shift: sale.shift,
            fare_minor: coupon.fare_minor,
            currency: sale.currency,
            state: ticket_state,
        })));
    }
    effects.extend(post_sale(state, event, sale, &tickets, fault.is_some()).map(Effect::Post));
    match fault {
        None => Judgement::applied(effects),
        Some((reason, against)) => {
            let tickets = tickets.iter().map(|t| t.claim.id).collect();
            effects.push(Effect::OpenCase(Case {
                reason,
                tickets,
                against,
            }));
            Judgement::quarantined(reason, effects)
        }
    }
}

fn admit_ticket(
    state: &mut IngestState,
    sale: &Sale,
    coupon: &Coupon,
    seat: SeatNo,
    ticket: &SignedTicket,
    ticket_state: TicketState,
) {
    let id = ticket.claim.id;
    if ticket_state == TicketState::Live {
        state
            .seats
            .entry((coupon.trip, seat))
            .or_default()
            .push((id, coupon.legs));
    }
    state.tickets.insert(
        id,
        TicketStanding {
            shift: sale.shift,
            place: (coupon.trip, seat, coupon.legs),
            lease_no: coupon.lease_no,
            fare_minor: coupon.fare_minor,
            state: ticket_state,
            lease_closed: false,
        },
    );
}

/// The entry of a sale. What a faulty sale took stands in suspense, in the drawer that took it.
fn post_sale(
    state: &mut IngestState,
    event: &SignedEvent,
    sale: &Sale,
    tickets: &[SignedTicket],
    disputed: bool,
) -> Option<Entry> {
    let shift = state.shifts.get_mut(&sale.shift);
    let business_date = match &shift {
        Some(shift) => shift.business_date,
        None => event.envelope.at.local_date(&state.zone)?,
    };
    if let Some(shift) = shift {
        let cash = sale.tender.iter().filter(|t| t.kind == TenderKind::Cash);
        let cash = Minor::checked_sum(cash.map(|t| t.amount_minor))?;
        shift.cash_minor = shift.cash_minor.checked_add(cash)?;
    }
    let tenders = sale.tender.iter().map(|t| {
        (
            Account::of_tender(t.kind, state.node, sale.shift),
            t.amount_minor,
        )
    });
    let credits = sale.coupons.iter().zip(tickets).map(|(coupon, ticket)| {
        let account = if disputed {
            Account::Suspense
        } else {
            Account::of_fares(coupon.trip, state.recognised.contains(&coupon.trip))
        };
        (ticket.claim.id, account, coupon.fare_minor)
    });
    Entry::new(
        EntryKind::Sale,
        sale.currency,
        business_date,
        sale_postings(tenders, credits),
    )
    .ok()
}

fn judge_void(state: &mut IngestState, void: &VoidRecord) -> Judgement {
    let refuse = |reason| Judgement::quarantined(reason, vec![]);
    let Some(ticket) = state.tickets.get_mut(&void.ticket) else {
        return refuse(QuarantineReason::TicketUnknown);
    };
    if ticket.state == TicketState::Void {
        return refuse(QuarantineReason::AlreadyVoid);
    }
    if ticket.shift != void.shift {
        return refuse(QuarantineReason::OtherShift);
    }
    let Some(shift) = state.shifts.get_mut(&void.shift).filter(|s| s.open) else {
        return refuse(QuarantineReason::ShiftNotOpen);
    };
    let (trip, seat, legs) = ticket.place;
    let account = match ticket.state {
        TicketState::Disputed => Account::Suspense,
        TicketState::Live | TicketState::Void => {
            Account::of_fares(trip, state.recognised.contains(&trip))
        }
    };
    ticket.state = TicketState::Void;
    shift.cash_minor = Minor(shift.cash_minor.0.saturating_sub(ticket.fare_minor.0));
    if let Some(live) = state.seats.get_mut(&(trip, seat)) {
        live.retain(|(id, _)| *id != void.ticket);
    }
    state
        .voided
        .entry((trip, ticket.lease_no))
        .or_default()
        .insert(SeatClaim { seat, legs });
    let lease = state.leases.get(&(trip, ticket.lease_no));
    let lease_closed = lease.map_or(ticket.lease_closed, |l| l.status == LeaseStatus::Closed);
    let line = |account, amount_minor, ticket| Posting {
        account,
        amount_minor,
        ticket,
    };
    let postings = vec![
        line(account, ticket.fare_minor, Some(void.ticket)),
        line(
            Account::AgentCash(state.node, void.shift),
            -ticket.fare_minor,
            None,
        ),
    ];
    let entry = Entry::new(
        EntryKind::Void,
        shift.currency,
        shift.business_date,
        postings,
    );
    let mut effects = vec![Effect::VoidTicket(void.ticket, trip)];
    if lease_closed {
        effects.push(Effect::Block(trip, SeatClaim { seat, legs }));
    }
    effects.extend(entry.ok().map(Effect::Post));
    Judgement::applied(effects)
}

fn close_shift(state: &mut IngestState, event: &SignedEvent, closed: &ShiftClosed) -> Judgement {
    let Some(shift) = state.shifts.get_mut(&closed.shift).filter(|s| s.open) else {
        return Judgement::quarantined(QuarantineReason::ShiftNotOpen, vec![]);
    };
    shift.open = false;
    let expected = Minor(shift.float_minor.0.saturating_add(shift.cash_minor.0));
    let handed_over = Minor(closed.declared_minor.0.saturating_sub(shift.float_minor.0));
    let lines = shift_close_postings(state.node, closed.shift, shift.cash_minor, handed_over);
    let entry = Entry::new(
        EntryKind::ShiftClose,
        shift.currency,
        shift.business_date,
        lines,
    );
    let mut effects = vec![Effect::CloseShift {
        shift: closed.shift,
        declared_minor: closed.declared_minor,
        expected_minor: expected,
        at: event.envelope.at,
    }];
    effects.extend(entry.ok().map(Effect::Post));
    Judgement::applied(effects)
}

fn judge_surrender(
    state: &mut IngestState,
    event: &SignedEvent,
    surrender: &LeaseSurrendered,
) -> Judgement {
    let key = (surrender.trip, surrender.lease_no);
    let refuse = |reason| Judgement::quarantined(reason, vec![]);
    let Some(lease) = state.leases.get_mut(&key) else {
        return refuse(QuarantineReason::LeaseUnknown);
    };
    if lease.grant.epoch != surrender.epoch || surrender.last_seq.0 + 1 != event.envelope.seq.0 {
        return refuse(QuarantineReason::StaleEpoch);
    }
    if lease.status == LeaseStatus::Closed {
        return refuse(QuarantineReason::LeaseClosed);
    }
    if state.frozen {
        return refuse(QuarantineReason::Forked);
    }
    lease.status = LeaseStatus::Closed;
    let blocked = state
        .voided
        .get(&key)
        .into_iter()
        .flatten()
        .copied()
        .collect();
    Judgement::applied(vec![Effect::CloseLease {
        trip: surrender.trip,
        lease_no: surrender.lease_no,
        blocked,
    }])
}

#[cfg(test)]
mod tests;
