//! Cases: what broke a rule, the evidence, and what a person decides.
//!
//! A decision moves the money of the tickets concerned out of suspense, or out of what was owed
//! for the loser's seat, by one entry. It changes tickets, never entries.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{NodeId, ShiftNo, TicketId, TripId};
use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::case_rows as rows;
use super::case_views::{CaseView, EvidenceView};
use super::rules::{Candidate, Consequence, propose};
use super::shift_rows;
use crate::access::Staff;
use crate::aftersale::AftersaleError;
use crate::aftersale::lost::{self, Because, Instead, Losing, Settled};
use crate::audit::{self, Change};
use crate::db::DbError;
use crate::http::Api;
use crate::ledger::{self, NewEntry, derived_id};
use crate::outbox::{self, Happened};
use crate::sync::buckets::{take_changes, trip_bucket};
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lock_trip;

/// Why a case is not decided.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// No such case.
    #[error("there is no case {0}")]
    NoSuchCase(i64),
    /// Decided before.
    #[error("case {0} is closed: its decision stands in the audit log")]
    Closed(i64),
    /// Not one of its tickets.
    #[error("the winner has to be one of the tickets of the case")]
    NotOfTheCase,
    /// A ticket cannot win twice.
    #[error("ticket {0} was taken back meanwhile: it cannot keep the seat")]
    Void(Uuid),
    /// A third ticket holds the seat.
    #[error("yet another live ticket holds this seat: decide its case first")]
    SeatTaken,
    /// The bus was swapped.
    #[error("the bus was swapped and has no place for this seat: refund the ticket, or rebook it")]
    NoPlace,
    /// Somebody is paying for the seat.
    #[error("somebody is buying this seat: decide once the hold is over")]
    SeatHeld,
    /// Nobody said where to.
    #[error("a booking loses its seat: name the `trip` that its passengers are to take instead")]
    NoTrip,
    /// What was decided cannot be done for the passenger.
    #[error(transparent)]
    Aftersale(#[from] AftersaleError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A ticket of a case, as the database has it.
pub(super) struct CaseTicket {
    pub id: TicketId,
    pub trip: TripId,
    /// 0 live, 1 void, 2 disputed.
    pub state: i16,
    pub fare_minor: i64,
    pub currency: Currency,
    pub shift: Option<(NodeId, ShiftNo)>,
    /// Owed in suspense, credit positive.
    pub suspense_minor: i64,
    /// Owed until the trip departs, credit positive.
    pub deferred_minor: i64,
    pub candidate: Candidate,
    pub view: EvidenceView,
}

/// A case, locked.
pub(super) struct OpenCase {
    pub number: i64,
    pub reason: String,
    pub is_open: bool,
    /// Those that broke the rule.
    pub tickets: Vec<TicketId>,
    /// Those they stand against.
    pub against: Vec<TicketId>,
}

/// What a person decides.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The ticket whose side keeps the seat; none when no sale stands.
    pub winner: Option<TicketId>,
    /// What happens to the others.
    pub consequence: Consequence,
    /// Of a rebooking: the trip that passengers of bookings take instead.
    pub trip: Option<TripId>,
    /// Why.
    pub reason: String,
}

/// What a decision did.
#[derive(Debug, Clone, Default)]
pub struct Decided {
    /// The entry that moved the money; none when none had to move.
    pub entry: Option<Uuid>,
    /// What the passengers of bookings got who lost their seat.
    pub settled: Settled,
}

/// A case with its evidence and the proposed winner.
pub async fn show(tx: &mut TenantTx, number: i64) -> Result<CaseView, CaseError> {
    let found = rows::view(tx, number).await?;
    let mut view = found.ok_or(CaseError::NoSuchCase(number))?;
    let of_case: BTreeSet<TicketId> = view.case.tickets.iter().copied().map(TicketId).collect();
    let all = view.case.tickets.iter().chain(&view.case.against);
    let all: Vec<Uuid> = all.copied().collect();
    let tickets = rows::tickets(tx, &all, &of_case, number).await?;
    let standing: Vec<Candidate> = tickets
        .iter()
        .filter(|t| t.state != 1)
        .map(|t| t.candidate)
        .collect();
    view.proposed_winner = propose(&standing).map(|t| t.0);
    view.evidence = tickets.into_iter().map(|t| t.view).collect();
    Ok(view)
}

/// Decides a case: who keeps the seat, what happens to the others, where the money goes.
///
/// Passengers of the hub's bookings get at once what was decided. A counter's tickets were paid
/// at a counter: what is owed for them stands in refunds payable until one pays it out.
pub async fn decide(
    tx: &mut TenantTx,
    api: &Api,
    staff: Staff,
    number: i64,
    decision: &Decision,
    now: Instant,
) -> Result<Decided, CaseError> {
    let case = rows::lock(tx, number).await?;
    let case = case.ok_or(CaseError::NoSuchCase(number))?;
    if !case.is_open {
        return Err(CaseError::Closed(number));
    }
    let is_rival = |id: &TicketId| case.against.contains(id);
    let offenders_win = match decision.winner {
        Some(winner) if case.tickets.contains(&winner) => true,
        Some(winner) if is_rival(&winner) => false,
        Some(_) => return Err(CaseError::NotOfTheCase),
        None => false,
    };
    let losing = losing(tx, &case, decision, offenders_win).await?;
    lock_trips(tx, &case, decision.trip).await?;
    let ids: Vec<Uuid> = case
        .tickets
        .iter()
        .chain(&case.against)
        .map(|t| t.0)
        .collect();
    let of_case = case.tickets.iter().copied().collect();
    let tickets = rows::tickets(tx, &ids, &of_case, number).await?;
    let mut plan = Plan::default();
    for ticket in &tickets {
        let offends = case.tickets.contains(&ticket.id);
        let wins = offends == offenders_win && (offends || decision.winner.is_some());
        // Without a winner the live tickets that stood against it are left as they are.
        if !offends && !offenders_win && decision.winner.is_none() {
            continue;
        }
        plan.take(tx, ticket, wins, decision.consequence).await?;
    }
    let entry = post(tx, number, &plan, now).await?;
    change_tickets(tx, &tickets, &plan).await?;
    let settled = settle(tx, api, staff, number, (losing, &plan, decision), now).await?;
    let shifts: Vec<_> = tickets.iter().filter_map(|t| t.shift).collect();
    let closed = rows::closed_of(tx, &shifts).await?;
    shift_rows::put_due(tx, &closed).await?;
    rows::close(tx, staff, number, decision, entry, now).await?;
    let decided = Decided { entry, settled };
    note(tx, staff, &case, decision, &decided, now).await?;
    Ok(decided)
}

/// Closes cases of sales that had no place: a swap was taken back, and their seats are there again.
/// The caller has made the tickets live and moved their money.
pub(crate) async fn seats_found(
    tx: &mut TenantTx,
    cases: &[i64],
    now: Instant,
) -> Result<(), DbError> {
    if cases.is_empty() {
        return Ok(());
    }
    let why = "the swap of the bus was taken back: the seat is there again";
    rows::settle(tx, cases, why, now).await?;
    let shifts = rows::shifts_of(tx, cases).await?;
    let closed = rows::closed_of(tx, &shifts).await?;
    shift_rows::put_due(tx, &closed).await
}

/// The bookings' tickets that lose, their bookings locked; none where nobody has to do anything
/// for their passengers.
async fn losing(
    tx: &mut TenantTx,
    case: &OpenCase,
    decision: &Decision,
    offenders_win: bool,
) -> Result<Vec<Losing>, CaseError> {
    if decision.consequence == Consequence::Carried {
        return Ok(vec![]);
    }
    let losers = if offenders_win {
        &case.against
    } else {
        &case.tickets
    };
    let losing = lost::losing(tx, losers).await?;
    let nowhere = decision.consequence == Consequence::Rebook && decision.trip.is_none();
    if nowhere && !losing.is_empty() {
        return Err(CaseError::NoTrip);
    }
    Ok(losing)
}

/// Gives passengers of bookings what was decided.
async fn settle(
    tx: &mut TenantTx,
    api: &Api,
    staff: Staff,
    number: i64,
    (losing, plan, decision): (Vec<Losing>, &Plan, &Decision),
    now: Instant,
) -> Result<Settled, CaseError> {
    let instead = match decision.consequence {
        Consequence::Refund | Consequence::Carried => Instead::Money,
        Consequence::OtherSeat => Instead::Ticket(None),
        Consequence::Rebook => Instead::Ticket(decision.trip),
    };
    let owed = |l: &Losing| Minor(plan.owed.get(&l.ticket()).copied().unwrap_or(0));
    let lost: Vec<(Losing, Minor)> = losing.into_iter().map(|l| (l.clone(), owed(&l))).collect();
    let because = Because {
        case: number,
        actor: staff.identity.into(),
        now,
    };
    Ok(lost::settle(tx, api, &lost, instead, because).await?)
}

/// In the order of their numbers, as everywhere.
async fn lock_trips(
    tx: &mut TenantTx,
    case: &OpenCase,
    other: Option<TripId>,
) -> Result<(), DbError> {
    let ids: Vec<Uuid> = case
        .tickets
        .iter()
        .chain(&case.against)
        .map(|t| t.0)
        .collect();
    let mut trips: BTreeSet<TripId> = rows::trips_of(tx, &ids).await?.into_iter().collect();
    trips.extend(other);
    for trip in trips {
        lock_trip(tx, trip).await?;
    }
    Ok(())
}

/// What a decision changes.
#[derive(Default)]
struct Plan {
    postings: BTreeMap<Currency, Vec<Posting>>,
    /// Which become live (0), void (1) or disputed (2).
    states: BTreeMap<TicketId, i16>,
    /// What came to stand in refunds payable for each, minor units.
    owed: BTreeMap<TicketId, i64>,
}

impl Plan {
    async fn take(
        &mut self,
        tx: &mut TenantTx,
        ticket: &CaseTicket,
        wins: bool,
        consequence: Consequence,
    ) -> Result<(), CaseError> {
        let fares = ledger::fares_account(tx, ticket.trip).await?;
        let earned = fares == Account::Revenue;
        let carried = consequence == Consequence::Carried;
        if wins {
            if ticket.state == 1 {
                return Err(CaseError::Void(ticket.id.0));
            }
            if ticket.view.seat == 0 {
                return Err(CaseError::NoPlace);
            }
            self.states.insert(ticket.id, 0);
            self.shift_money(ticket, Account::Suspense, fares, ticket.suspense_minor);
            return Ok(());
        }
        if ticket.state == 1 {
            return Ok(());
        }
        let goes_to = if carried {
            fares
        } else {
            Account::RefundsPayable
        };
        self.shift_money(ticket, Account::Suspense, goes_to, ticket.suspense_minor);
        if ticket.state == 0 && !carried {
            let owed = if earned {
                ticket.fare_minor
            } else {
                ticket.deferred_minor
            };
            self.shift_money(ticket, fares, goes_to, owed);
        }
        // Whoever was carried keeps a ticket, but no seat.
        self.states.insert(ticket.id, if carried { 2 } else { 1 });
        Ok(())
    }

    fn shift_money(&mut self, ticket: &CaseTicket, from: Account, to: Account, amount: i64) {
        if amount == 0 || from == to {
            return;
        }
        if to == Account::RefundsPayable {
            *self.owed.entry(ticket.id).or_default() += amount;
        }
        let lines = self.postings.entry(ticket.currency).or_default();
        for (account, amount) in [(from, amount), (to, -amount)] {
            lines.push(Posting {
                account,
                amount_minor: Minor(amount),
                ticket: Some(ticket.id),
            });
        }
    }
}

/// Posts one entry per currency; gives the first.
async fn post(
    tx: &mut TenantTx,
    number: i64,
    plan: &Plan,
    now: Instant,
) -> Result<Option<Uuid>, DbError> {
    let (day, _) = ledger::db::today(tx, now).await?;
    let mut entries = vec![];
    for (currency, lines) in &plan.postings {
        let entry = Entry::new(EntryKind::Adjustment, *currency, day, lines.clone())
            .map_err(|e| DbError::damaged(format!("the money of case {number}: {e}")))?;
        let id = derived_id(&[
            b"case",
            tx.company().as_bytes(),
            &number.to_be_bytes(),
            currency.as_str().as_bytes(),
        ]);
        entries.push(NewEntry { id, entry });
    }
    ledger::post(tx, &entries, now).await?;
    Ok(entries.first().map(|e| e.id))
}

/// Losers first, so that the seat is free when its winner takes it.
async fn change_tickets(
    tx: &mut TenantTx,
    tickets: &[CaseTicket],
    plan: &Plan,
) -> Result<(), CaseError> {
    let mut changed: Vec<(&CaseTicket, i16)> = tickets
        .iter()
        .filter_map(|t| Some((t, *plan.states.get(&t.id)?)))
        .filter(|(t, state)| t.state != *state)
        .collect();
    changed.sort_by_key(|(t, state)| (*state == 0, t.id));
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (ticket, _) in &changed {
        *counts.entry(trip_bucket(ticket.trip)).or_default() += 1;
    }
    let last = take_changes(tx, &counts).await?;
    let mut next: BTreeMap<String, i64> = counts
        .iter()
        .filter_map(|(name, count)| Some((name.clone(), last.get(name)? - count)))
        .collect();
    for (ticket, state) in changed {
        let change = next.entry(trip_bucket(ticket.trip)).or_default();
        *change += 1;
        match rows::set_state(tx, ticket.id, state, *change).await {
            Err(error) if error.constraint() == Some("ticket_no_overlap") => {
                return Err(CaseError::SeatTaken);
            }
            Err(error) if error.constraint() == Some("seat_owned_once") => {
                return Err(CaseError::SeatHeld);
            }
            done => done?,
        }
    }
    Ok(())
}

async fn note(
    tx: &mut TenantTx,
    staff: Staff,
    case: &OpenCase,
    decision: &Decision,
    decided: &Decided,
    now: Instant,
) -> Result<(), DbError> {
    let number = case.number;
    let body = json!({
        "case": number,
        "reason": case.reason,
        "winner": decision.winner.map(|t| t.0),
        "consequence": decision.consequence.as_str(),
        "entry": decided.entry,
        "refunds": decided.settled.refunds,
        "new_tickets": decided.settled.tickets,
        "tickets": case.tickets.iter().map(|t| t.0).collect::<Vec<_>>(),
        "against": case.against.iter().map(|t| t.0).collect::<Vec<_>>(),
    });
    let subject = format!("case:{number}");
    let change = Change {
        action: "case.decide",
        subject: &subject,
        before: None,
        after: Some(json!({ "decision": body, "why": decision.reason })),
    };
    audit::note(tx, staff.identity, change, now).await?;
    let happened = Happened {
        kind: "case.decided",
        subject: &subject,
        body,
    };
    outbox::put(tx, happened, now).await?;
    Ok(())
}
