//! Bus swaps at the hub: `domain::swap` over maps, as the real hub runs it over tables.

use std::collections::BTreeMap;

use domain::ids::{Issuer, LayoutVersion, SeatNo, TicketId, TripId};
use domain::ingest::TicketState;
use domain::layout::SeatLayout;
use domain::lease::{LeaseStatus, SeatClaim};
use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::swap::{
    Going, Moved, NO_SEAT, Rider, SeatMoves, Standing, SwapError, SwapPlan, SwapState, carry,
    carry_back, plan_swap,
};
use domain::time::Instant;
use domain::trip::Trip;
use sync_protocol::{BucketId, Item};
use uuid::Uuid;

use super::{Hub, HubTicket};

/// A swap that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwapRow {
    /// The numbering that it began.
    pub numbering: LayoutVersion,
    /// Where it took the live tickets.
    pub moved: BTreeMap<TicketId, Moved>,
}

/// What a passenger without a place is told: another trip or the money back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Whose.
    pub ticket: TicketId,
    /// Not taken back with the swap.
    pub open: bool,
}

impl Hub {
    /// Puts a trip into another bus; `None` where the office is refused.
    pub fn swap_bus(
        &mut self,
        trip: TripId,
        layout: &str,
        now: Instant,
    ) -> Result<Option<SwapPlan>, SwapError> {
        let Some(before) = self.swappable(trip, now) else {
            return Ok(None);
        };
        let layouts = &self.disk.layouts;
        let both = layouts.get(&before.layout).zip(layouts.get(layout));
        let Some((old, new)) = both.filter(|(old, new)| old.id != new.id) else {
            return Ok(None);
        };
        let state = self.state_of(&before, (old.clone(), new.clone()));
        let plan = plan_swap(&state)?;
        let Some(after) =
            before.in_other_bus(&state.new, plan.moves.clone(), self.disk.incarnation)
        else {
            return Ok(None);
        };
        let tickets = self.all_standing(trip);
        let goings = carry(&plan, &after, &tickets);
        self.follow(after, &tickets, &goings, now);
        Ok(Some(plan))
    }

    /// Takes the last swap that stands back; `false` where the office is refused, because
    /// something that came later is in the way or nothing stands.
    pub fn undo_swap(&mut self, trip: TripId, now: Instant) -> bool {
        let Some((after, tickets, goings)) = self.former(trip, now) else {
            return false;
        };
        self.follow(after, &tickets, &goings, now);
        true
    }

    fn former(&self, trip: TripId, now: Instant) -> Option<(Trip, Vec<Standing>, Vec<Going>)> {
        let before = self.swappable(trip, now)?;
        let undone = before.swaps.standing()?.numbering;
        let after = before.in_former_bus(self.disk.incarnation)?;
        let rows = self.disk.swaps.get(&trip)?;
        let row = rows.iter().find(|row| row.numbering == undone)?;
        let tickets = self.all_standing(trip);
        let goings = carry_back(&row.moved, &after, &tickets).ok()?;
        let back = &after.swaps.last()?.moves;
        let in_the_way = self
            .rights(&before)
            .iter()
            .any(|c| back.get(c.seat).is_none());
        (!in_the_way).then_some((after, tickets, goings))
    }

    /// The trip, where it still runs and nobody may hold rights that the hub has not heard of.
    fn swappable(&self, trip: TripId, now: Instant) -> Option<Trip> {
        let known = self.disk.trips.get(&trip)?;
        let over = known.stops.last().is_none_or(|stop| stop.arrives <= now);
        (!over && !self.disk.frozen.contains(&trip)).then(|| known.clone())
    }

    /// What is leased, as numbered today.
    pub(super) fn rights(&self, trip: &Trip) -> Vec<SeatClaim> {
        let open = self
            .disk
            .leases
            .iter()
            .filter(|((t, ..), lease)| *t == trip.id && lease.status != LeaseStatus::Closed);
        open.flat_map(|(_, lease)| lease.grant.claims_now(&trip.swaps))
            .collect()
    }

    fn of_trip(&self, trip: TripId) -> impl Iterator<Item = (&TicketId, &HubTicket)> + Clone {
        let tickets = self.disk.tickets.iter();
        tickets.filter(move |(_, t)| t.ticket.claim.trip == trip)
    }

    fn state_of(&self, trip: &Trip, (old, new): (SeatLayout, SeatLayout)) -> SwapState {
        let live = self
            .of_trip(trip.id)
            .filter(|(_, t)| t.state == TicketState::Live);
        let mut parties: BTreeMap<Uuid, usize> = BTreeMap::new();
        for party in live.clone().filter_map(|(_, t)| party_of(t)) {
            *parties.entry(party).or_default() += 1;
        }
        let rider = |(id, t): (&TicketId, &HubTicket)| Rider {
            ticket: *id,
            seat: t.seat,
            legs: t.legs,
            class: t.ticket.claim.class,
            wheelchair: false,
            boarded: self.disk.boarded.contains(id),
            party: party_of(t).filter(|party| parties[party] > 1),
            volunteer: false,
        };
        let blocks = self.disk.blocks.iter().filter(|b| b.trip == trip.id);
        let kept = self.disk.kept.iter().filter(|(t, _)| *t == trip.id);
        SwapState {
            old,
            new,
            leg_count: trip.leg_count(),
            riders: live.map(rider).collect(),
            leases: self.rights(trip),
            holds: vec![],
            blocks: blocks
                .map(|b| b.claim)
                .chain(kept.map(|(_, claim)| *claim))
                .collect(),
        }
    }

    fn all_standing(&self, trip: TripId) -> Vec<Standing> {
        self.of_trip(trip)
            .map(|(id, t)| Standing {
                ticket: *id,
                seat: t.seat,
                state: t.state,
                printed: t.ticket.claim.seat,
                numbering: t.ticket.claim.layout_version,
                displaced: t.state == TicketState::Disputed && self.disk.displaced.contains(id),
            })
            .collect()
    }

    /// Writes a swap or its undoing down, and tells.
    fn follow(&mut self, after: Trip, tickets: &[Standing], goings: &[Going], now: Instant) {
        let trip = after.id;
        let Some(swap) = after.swaps.last() else {
            return;
        };
        self.move_claims(trip, &swap.moves);
        let both = || tickets.iter().zip(goings);
        let moved = both()
            .filter(|(_, going)| going.recorded)
            .map(|(t, going)| {
                let (old, new) = (t.seat, going.seat);
                (t.ticket, Moved { old, new })
            });
        let row = SwapRow {
            numbering: swap.numbering,
            moved: moved.collect(),
        };
        self.disk.swaps.entry(trip).or_default().push(row);
        self.publish_trip(&after);
        self.disk.trips.insert(trip, after);
        for (ticket, going) in both().filter(|(t, g)| g.seat != t.seat || g.state != t.state) {
            if let Some(known) = self.disk.tickets.get_mut(&ticket.ticket) {
                known.seat = going.seat;
                known.state = going.state;
            }
            self.list(ticket.ticket);
            match (ticket.state, going.state) {
                (TicketState::Live, TicketState::Disputed) => self.displace(ticket.ticket),
                (TicketState::Disputed, TicketState::Live) => self.place_again(ticket.ticket),
                _ => continue,
            }
            self.move_fare(trip, ticket.ticket, going.state, now);
        }
    }

    /// Blocks and kept seats go where their seats go, or away.
    fn move_claims(&mut self, trip: TripId, moves: &SeatMoves) {
        let place = |claim: &mut SeatClaim| match moves.get(claim.seat) {
            Some(seat) => {
                claim.seat = seat;
                true
            }
            None => false,
        };
        let disk = &mut self.disk;
        disk.blocks
            .retain_mut(|b| b.trip != trip || place(&mut b.claim));
        disk.kept
            .retain_mut(|(t, claim)| *t != trip || place(claim));
    }

    /// The trip with its maps, for its validator and its stations.
    pub fn publish_trip(&mut self, trip: &Trip) {
        let stations = trip
            .stops
            .iter()
            .map(|stop| BucketId::Station(stop.code.clone()));
        let key = format!("trip:{}", trip.id);
        for bucket in stations.chain([BucketId::Trip(trip.id)]) {
            let fact = Item::Trip(trip.clone());
            self.disk.buckets.publish(&bucket.name(), &key, fact);
        }
    }

    /// Whoever booked and does not sit in the bus is offered something; who bought at a counter is
    /// sent there.
    fn displace(&mut self, ticket: TicketId) {
        self.disk.displaced.insert(ticket);
        if self.owes_an_offer(ticket) {
            let open = true;
            self.disk.offers.push(Offer { ticket, open });
        }
    }

    /// Whether a passenger without a place has to be told of something else.
    pub fn owes_an_offer(&self, ticket: TicketId) -> bool {
        let sold = self.disk.tickets.get(&ticket);
        sold.is_some_and(|t| t.issuer != Issuer::Hub) || !self.disk.boarded.contains(&ticket)
    }

    fn place_again(&mut self, ticket: TicketId) {
        self.disk.displaced.remove(&ticket);
        let offers = self.disk.offers.iter_mut();
        offers
            .filter(|o| o.ticket == ticket)
            .for_each(|o| o.open = false);
    }

    /// What was paid for a seat stands in suspense as long as there is none.
    fn move_fare(&mut self, trip: TripId, ticket: TicketId, state: TicketState, now: Instant) {
        let fare = self.disk.tickets.get(&ticket).map_or(0, |t| t.fare_minor.0);
        let fares = Account::DeferredRevenue(trip);
        let (from, to) = if state == TicketState::Disputed {
            (fares, Account::Suspense)
        } else {
            (Account::Suspense, fares)
        };
        let line = |(account, amount)| Posting {
            account,
            amount_minor: Minor(amount),
            ticket: Some(ticket),
        };
        let lines = [(from, fare), (to, -fare)].map(line).into();
        let Some(day) = now.local_date(&self.zone) else {
            return;
        };
        let entry = Entry::new(EntryKind::Adjustment, Currency::ZMW, day, lines);
        self.disk.ledger.extend(entry.ok());
    }

    /// Whether the passenger of a ticket is known to have no seat: a swap took it, or it was sold
    /// late on one that has no place.
    pub fn is_overflow(&self, id: TicketId) -> bool {
        let disputed = |t: &HubTicket| t.state == TicketState::Disputed;
        self.disk.tickets.get(&id).is_some_and(disputed)
            && (self.disk.displaced.contains(&id) || self.cases_without_place(id) > 0)
    }

    /// How many cases say that a ticket was sold on a seat without a place.
    pub fn cases_without_place(&self, id: TicketId) -> usize {
        use domain::ingest::QuarantineReason;
        let cases = self.disk.cases.iter();
        let cases = cases.filter(|c| c.reason == QuarantineReason::NoPlace);
        cases.filter(|c| c.tickets.contains(&id)).count()
    }

    /// Where a ticket sits by the hub's books; `None` for none.
    pub fn seat_of(&self, id: TicketId) -> Option<SeatNo> {
        let seat = self.disk.tickets.get(&id)?.seat;
        (seat != NO_SEAT).then_some(seat)
    }
}

/// What a counter sold at once travels together.
fn party_of(ticket: &HubTicket) -> Option<Uuid> {
    let Issuer::Node(node) = ticket.issuer else {
        return None;
    };
    let at = ticket.ticket.claim.issued_at.0 as u128;
    Some(Uuid::from_u128(node.0.as_u128() ^ at << 32))
}
