//! Passengers of the hub's own tickets whose seat a person gave to another sale.

use std::collections::BTreeMap;

use domain::ids::{TicketId, TripId};
use domain::ledger::Account;
use domain::money::Minor;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, Sold, Whose};
use super::offer::{AftersaleError, Refused, To};
use super::undo::{self, Paying};
use crate::audit::Actor;
use crate::http::Api;
use crate::ledger;
use crate::outbox::{self, Happened};
use crate::payment::refunds;
use crate::pricing;
use crate::tenant::TenantTx;

/// A live ticket of a booking, before it loses its seat.
#[derive(Debug, Clone)]
pub(crate) struct Losing(Sold);

impl Losing {
    /// Which.
    pub(crate) fn ticket(&self) -> TicketId {
        self.0.id
    }
}

/// What its passenger gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instead {
    /// The money, the way it came.
    Money,
    /// A ticket between the same stops at the price that was paid: on this trip, or on its own.
    Ticket(Option<TripId>),
}

/// Why, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Because {
    /// The case that was decided.
    pub(crate) case: i64,
    /// Whoever decided.
    pub(crate) actor: Actor,
    /// When.
    pub(crate) now: Instant,
}

/// What was done for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Money on its way back.
    pub refunds: Vec<Uuid>,
    /// Issued instead.
    pub tickets: Vec<Uuid>,
}

/// Those of some tickets that are live and of a booking, the bookings locked.
pub(crate) async fn losing(
    tx: &mut TenantTx,
    tickets: &[TicketId],
) -> Result<Vec<Losing>, AftersaleError> {
    let mut found: BTreeMap<(Uuid, TicketId), Sold> = BTreeMap::new();
    for ticket in tickets {
        for sold in db::sold(tx, Whose::Ticket(ticket.0)).await? {
            if let Some(booking) = sold.booking {
                found.insert((booking, sold.id), sold);
            }
        }
    }
    let mut last = None;
    for (booking, _) in found.keys() {
        if last != Some(*booking) {
            db::lock_booking(tx, *booking).await?;
            last = Some(*booking);
        }
    }
    Ok(found.into_values().map(Losing).collect())
}

/// A booking, a trip of it, and the codes of the stops to board and to leave at.
type Journey<'a> = (Uuid, TripId, &'a str, &'a str);

/// Does for the passengers what was decided. Their tickets are void by now, and what they paid
/// stands in refunds payable: so much for each. Tickets of one booking and journey stay together.
pub(crate) async fn settle(
    tx: &mut TenantTx,
    api: &Api,
    lost: &[(Losing, Minor)],
    instead: Instead,
    because: Because,
) -> Result<Settled, AftersaleError> {
    let mut parties: BTreeMap<Journey<'_>, Vec<(Sold, Minor)>> = BTreeMap::new();
    for (Losing(sold), owed) in lost {
        if let Some(booking) = sold.booking {
            let journey = (booking, sold.trip, &*sold.from_stop, &*sold.to_stop);
            let party = parties.entry(journey).or_default();
            party.push((sold.clone(), *owed));
        }
    }
    let mut done = Settled::default();
    for (no, ((booking, ..), party)) in (0_u32..).zip(parties) {
        let (tickets, owed): (Vec<Sold>, Vec<Minor>) = party.into_iter().unzip();
        let party = Party {
            booking,
            no,
            tickets,
            owed,
        };
        let (refunds, issued) = match instead {
            Instead::Money => (give_back(tx, &party, because).await?, vec![]),
            Instead::Ticket(trip) => (vec![], replace(tx, api, &party, trip, because).await?),
        };
        tell(tx, &party, &issued, because).await?;
        done.refunds.extend(refunds);
        done.tickets.extend(issued);
    }
    Ok(done)
}

/// Passengers of one booking who travel together.
struct Party {
    booking: Uuid,
    /// Its place among those of the case.
    no: u32,
    tickets: Vec<Sold>,
    owed: Vec<Minor>,
}

impl Party {
    fn ids(&self) -> Vec<Uuid> {
        self.tickets.iter().map(|t| t.id.0).collect()
    }
}

async fn give_back(
    tx: &mut TenantTx,
    party: &Party,
    because: Because,
) -> Result<Vec<Uuid>, AftersaleError> {
    let why = format!("case {}", because.case);
    let owed = Minor(party.owed.iter().map(|o| o.0).sum());
    let (actor, now) = (because.actor, because.now);
    let refunds = if owed > Minor::ZERO {
        refunds::request(tx, party.booking, owed, &why, actor, now).await?
    } else {
        vec![]
    };
    db::end_coupons(tx, &party.ids(), "void").await?;
    db::end_extras(tx, &party.ids()).await?;
    if db::settle_booking(tx, party.booking, Minor::ZERO, Minor::ZERO).await? {
        pricing::give_back(tx, party.booking, now).await?;
    }
    Ok(refunds)
}

async fn replace(
    tx: &mut TenantTx,
    api: &Api,
    party: &Party,
    trip: Option<TripId>,
    because: Because,
) -> Result<Vec<Uuid>, AftersaleError> {
    let first = party.tickets.first().ok_or(Refused::NoTickets)?;
    let to = To {
        trip: trip.unwrap_or(first.trip).0,
        from: first.from_stop.clone(),
        to: first.to_stop.clone(),
        fares_minor: party.owed.iter().map(|o| o.0).collect(),
        discounts_minor: vec![0; party.owed.len()],
    };
    let numbers = [&because.case.to_be_bytes()[..], &party.no.to_be_bytes()];
    let paying = Paying {
        offer: ledger::derived_id(&[
            b"lost seat",
            tx.company().as_bytes(),
            numbers[0],
            numbers[1],
        ]),
        booking: party.booking,
        used_minor: to.total_minor(),
        fee_minor: 0,
        due: (0, Account::RefundsPayable),
    };
    // Who has lost a seat comes before who waits for one.
    let to = (&to, &undo::Aside::new());
    let (issued, _) = undo::replace(tx, api, &party.tickets, to, &paying, because.now).await?;
    for (from, to) in party.tickets.iter().zip(&issued) {
        db::move_extras(tx, from.id.0, *to).await?;
    }
    db::end_coupons(tx, &party.ids(), "exchanged").await?;
    db::settle_booking(tx, party.booking, Minor::ZERO, Minor::ZERO).await?;
    Ok(issued)
}

async fn tell(
    tx: &mut TenantTx,
    party: &Party,
    issued: &[Uuid],
    because: Because,
) -> Result<(), AftersaleError> {
    let booking = db::lock_booking(tx, party.booking).await?;
    let reference = booking.map(|b| b.reference).unwrap_or_default();
    let kind = if issued.is_empty() {
        "ticket.void"
    } else {
        "booking.exchanged"
    };
    let happened = Happened {
        kind,
        subject: &format!("booking:{reference}"),
        body: json!({
            "booking": party.booking,
            "reference": reference,
            "case": because.case,
            "tickets": party.ids(),
            "new_tickets": issued,
        }),
    };
    outbox::put(tx, happened, because.now).await?;
    Ok(())
}
