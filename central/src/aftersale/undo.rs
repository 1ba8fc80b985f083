//! Taking tickets back inside an open transaction: seats, validators, money.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{SaleOrdinal, SeatNo, StopSeq, TicketId, TripId};
use domain::ingest::TicketState;
use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::swap::NO_SEAT;
use domain::ticket::{TicketClaim, sign_ticket};
use domain::time::Instant;
use domain::trip::{LEGS_MAX, Legs, Trip};
use uuid::Uuid;

use super::db::{self, Block, NewCoupon, Sold};
use super::names;
use super::offer::{AftersaleError, Refused, To};
use crate::company::{fresh_uuid, layout_of};
use crate::db::DbError;
use crate::http::Api;
use crate::ledger::{self, NewEntry, fares_account};
use crate::sync::buckets::{take_changes, trip_bucket};
use crate::tenant::TenantTx;
use crate::ticketing::inventory::{load_inventory, lock_trip};
use crate::ticketing::tickets::{TicketRow, insert_tickets};
use crate::waiting;

/// A seat of a trip and the legs that a new ticket has of it.
pub(super) type Reused = BTreeMap<(TripId, SeatNo), u64>;

/// Locks trips in the order of their numbers.
pub(super) async fn lock_trips(
    tx: &mut TenantTx,
    trips: impl Iterator<Item = TripId>,
) -> Result<BTreeMap<TripId, Trip>, DbError> {
    let mut locked = BTreeMap::new();
    for trip in trips.collect::<BTreeSet<_>>() {
        if let Some(run) = lock_trip(tx, trip).await? {
            locked.insert(trip, run);
        }
    }
    Ok(locked)
}

/// Numbers of a trip's bucket, one per ticket, in order.
async fn numbers(tx: &mut TenantTx, trips: &[TripId]) -> Result<Vec<i64>, DbError> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for trip in trips {
        *counts.entry(trip_bucket(*trip)).or_default() += 1;
    }
    let mut next = take_changes(tx, &counts).await?;
    for (bucket, last) in &mut next {
        *last -= counts.get(bucket).copied().unwrap_or(0);
    }
    let take = |trip: &TripId| {
        let change = next.entry(trip_bucket(*trip)).or_default();
        *change += 1;
        *change
    };
    Ok(trips.iter().map(take).collect())
}

/// Makes tickets void, which their trips' validators hear of. Where a trip has a validator on
/// board, the seats wait until it has: a passenger could still board with the old ticket. Trips
/// are locked.
pub(super) async fn void(
    tx: &mut TenantTx,
    tickets: &[Sold],
    coupon_state: &str,
) -> Result<Vec<Block>, DbError> {
    let trips: Vec<TripId> = tickets.iter().map(|t| t.trip).collect();
    let changes = numbers(tx, &trips).await?;
    let ids: Vec<Uuid> = tickets.iter().map(|t| t.id.0).collect();
    db::void(tx, &ids, &changes, coupon_state).await?;
    let waits = tickets.iter().zip(changes);
    let waits = waits.filter(|(t, _)| t.onboard && t.seat != NO_SEAT);
    let block = |(t, change): (&Sold, i64)| Block {
        trip: t.trip,
        seat: t.seat,
        legs: t.legs,
        change,
    };
    Ok(waits.map(block).collect())
}

/// Blocks what waits, but for the legs that a newer ticket of the same seat has: its higher
/// ordinal supersedes the old one at the door.
pub(super) async fn block(
    tx: &mut TenantTx,
    waiting: &[Block],
    reused: &Reused,
) -> Result<(), DbError> {
    let mut blocks = vec![];
    for b in waiting {
        let taken = reused.get(&(b.trip, b.seat)).copied().unwrap_or(0);
        let left = runs(b.legs.mask() & !taken);
        blocks.extend(left.into_iter().map(|legs| Block { legs, ..*b }));
    }
    db::block(tx, &blocks).await
}

/// The runs of set bits, as legs.
fn runs(mask: u64) -> Vec<Legs> {
    let is_set = |leg: u8| leg < LEGS_MAX && mask >> leg & 1 == 1;
    let starts = (0..LEGS_MAX).filter(|leg| is_set(*leg) && (*leg == 0 || !is_set(leg - 1)));
    let legs = starts.filter_map(|from| {
        let to = (from..=LEGS_MAX).find(|leg| !is_set(*leg))?;
        Legs::new(StopSeq(from), StopSeq(to))
    });
    legs.collect()
}

fn line(account: Account, amount: i64, ticket: Option<TicketId>) -> Posting {
    Posting {
        account,
        amount_minor: Minor(amount),
        ticket,
    }
}

async fn post(
    tx: &mut TenantTx,
    id: Uuid,
    kind: EntryKind,
    currency: Currency,
    postings: Vec<Posting>,
    now: Instant,
) -> Result<(), DbError> {
    let zone = db::company_zone(tx).await?;
    let day = now
        .local_date(&zone)
        .ok_or_else(|| DbError::damaged("the hub's clock"))?;
    let entry = Entry::new(kind, currency, day, postings)
        .map_err(|unbalanced| DbError::damaged(unbalanced.to_string()))?;
    ledger::post(tx, &[NewEntry { id, entry }], now).await
}

/// Books tickets taken back: their price leaves where fares stand, what the rules keep is earned,
/// the rest is owed to the passenger.
pub(super) async fn post_void(
    tx: &mut TenantTx,
    entry: Uuid,
    tickets: &[Sold],
    kept: i64,
    now: Instant,
) -> Result<(), DbError> {
    let Some(currency) = tickets.first().map(|t| t.currency) else {
        return Ok(());
    };
    let mut postings = vec![];
    let mut whole = 0i64;
    for t in tickets {
        let account = fares_account(tx, t.trip).await?;
        let suspended = t.displaced.unwrap_or(Minor::ZERO).0;
        if t.displaced.is_some() {
            postings.push(line(Account::Suspense, suspended, Some(t.id)));
            postings.push(line(account, t.price_minor.0 - suspended, None));
        } else {
            postings.push(line(account, t.price_minor.0, Some(t.id)));
        }
        whole = whole.saturating_add(t.price_minor.0);
    }
    postings.push(line(Account::Revenue, kept.saturating_neg(), None));
    postings.push(line(
        Account::RefundsPayable,
        kept.saturating_sub(whole),
        None,
    ));
    post(tx, entry, EntryKind::Void, currency, postings, now).await
}

/// An extra paid in cash: owed to its passenger until the trip departs.
pub(super) async fn post_extra(
    tx: &mut TenantTx,
    entry: Uuid,
    (ticket, trip, amount): (TicketId, TripId, i64),
    (currency, drawer): (Currency, Account),
    now: Instant,
) -> Result<(), DbError> {
    let account = fares_account(tx, trip).await?;
    let postings = vec![
        line(drawer, amount, None),
        line(account, -amount, Some(ticket)),
    ];
    post(tx, entry, EntryKind::Payment, currency, postings, now).await
}

/// Cash that went out over the counter.
pub(super) async fn post_paid_out(
    tx: &mut TenantTx,
    offer: Uuid,
    (amount, currency): (Minor, Currency),
    drawer: Account,
    now: Instant,
) -> Result<(), DbError> {
    let postings = vec![
        line(Account::RefundsPayable, amount.0, None),
        line(drawer, -amount.0, None),
    ];
    let id = ledger::derived_id(&[b"aftersale paid out", offer.as_bytes()]);
    post(tx, id, EntryKind::Refund, currency, postings, now).await
}

/// How an exchange is paid.
pub(super) struct Paying {
    pub(super) offer: Uuid,
    pub(super) booking: Uuid,
    /// Of the old tickets' price.
    pub(super) used_minor: i64,
    pub(super) fee_minor: i64,
    /// Beside it, and where it stands.
    pub(super) due: (i64, Account),
}

/// Seats on legs that who waits would be offered.
pub(super) type Aside = Vec<(SeatNo, Legs)>;

/// Seats of a trip that may be had.
pub(super) struct Free {
    pub(super) run: Trip,
    pub(super) legs: Legs,
    pub(super) seats: Vec<SeatNo>,
}

/// What who waits for seats of a trip would be offered at this moment; the trip is locked from here
/// on. To be asked before tickets of it are voided or held seats let go: those are the party's own.
pub(super) async fn set_aside(
    tx: &mut TenantTx,
    trip: TripId,
    now: Instant,
) -> Result<Aside, AftersaleError> {
    let inventory = load_inventory(tx, trip).await?;
    let inventory = inventory.ok_or(Refused::Unknown("trip"))?;
    let for_sale = (&inventory.pool, &inventory.boarding_closes[..]);
    Ok(waiting::set_aside(tx, trip, for_sale, now).await?)
}

/// The seats that fit a party best, without those that are set aside; its trip is locked from here
/// on.
pub(super) async fn free_seats(
    tx: &mut TenantTx,
    (to, aside): (&To, &Aside),
    count: usize,
    now: Instant,
) -> Result<Free, AftersaleError> {
    let trip = TripId(to.trip);
    let run = lock_trip(tx, trip).await?;
    let run = run.ok_or(Refused::Unknown("trip"))?;
    let legs = journey(&run, to)?;
    let inventory = load_inventory(tx, trip).await?;
    let mut inventory = inventory.ok_or(Refused::Unknown("trip"))?;
    for (seat, legs) in aside {
        inventory.pool.mark_taken(*seat, *legs);
    }
    if inventory.frozen {
        return Err(Refused::Frozen(trip).into());
    }
    let closes = inventory.boarding_closes.get(usize::from(legs.from().0));
    let state = db::trip_state(tx, trip).await?;
    let runs_still = matches!(state.as_str(), "scheduled" | "boarding");
    if !runs_still || closes.is_none_or(|closes| now > *closes) {
        return Err(Refused::Closed(trip).into());
    }
    let layout = layout_of(tx, &run).await?;
    let seats = inventory.pool.best_fit_party(legs, count, layout.as_ref());
    let seats = seats.ok_or_else(|| Refused::SoldOut {
        trip,
        wanted: count,
        seats_left: inventory.pool.free_seats(legs).count(),
    })?;
    Ok(Free { run, legs, seats })
}

/// Issues tickets in place of others, each for its passenger, and books the sale.
pub(super) async fn replace(
    tx: &mut TenantTx,
    api: &Api,
    old: &[Sold],
    (to, aside): (&To, &Aside),
    paying: &Paying,
    now: Instant,
) -> Result<(Vec<Uuid>, Reused), AftersaleError> {
    let trip = TripId(to.trip);
    let Free { run, legs, seats } = free_seats(tx, (to, aside), old.len(), now).await?;
    let changes = numbers(tx, &vec![trip; old.len()]).await?;
    let (mut rows, mut coupons, mut reused) = (vec![], vec![], Reused::new());
    let first = db::last_coupon(tx, paying.booking).await?;
    let known = db::passengers(tx, paying.booking).await?;
    let amounts = to.fares_minor.iter().zip(&to.discounts_minor);
    let each = old.iter().zip(seats).zip(changes).zip(amounts);
    for ((((t, seat), change_no), (fare, discount)), no) in each.zip(first + 1..) {
        let last = db::last_ordinal(tx, trip, seat).await?;
        let claim = TicketClaim {
            id: TicketId(fresh_uuid(now)?),
            trip,
            seat,
            from: legs.from(),
            to: legs.to(),
            class: t.class,
            ordinal: SaleOrdinal(last.saturating_add(1)),
            issued_at: now,
            lease: None,
            layout_version: run.numbering(),
            test: false,
        };
        *reused.entry((trip, seat)).or_default() |= legs.mask();
        // Who travels stays who travels.
        let passenger = t.coupon_no.and_then(|old| Some((old, known.get(&old)?)));
        let passenger_sealed = passenger
            .map(|(old, sealed)| {
                let company = tx.company();
                names::moved(&api.vault, company, paying.booking, (old, no), sealed)
            })
            .transpose()?;
        coupons.push(NewCoupon {
            booking: paying.booking,
            no,
            trip,
            seat,
            legs,
            class: t.class,
            fare_minor: Minor(*fare),
            discount_minor: Minor(*discount),
            passenger_sealed,
            ticket: claim.id.0,
        });
        rows.push(TicketRow {
            ticket: sign_ticket(&claim, api.keys.kid(), api.keys.signing_key()),
            seat,
            legs,
            issuer: None,
            shift: None,
            booking: Some(paying.booking),
            fare_minor: Minor(fare - discount),
            currency: run.currency,
            state: TicketState::Live,
            change_no,
        });
    }
    insert_tickets(tx, &rows).await?;
    for (coupon, t) in coupons.iter().zip(old) {
        db::insert_coupon(tx, coupon).await?;
        if let Some(old) = t.coupon_no {
            db::move_corrections(tx, paying.booking, (old, coupon.no)).await?;
        }
    }
    post_sale(tx, &rows, paying, run.currency, now).await?;
    Ok((coupons.iter().map(|c| c.ticket).collect(), reused))
}

/// The legs of a wish on a trip.
pub(super) fn journey(run: &Trip, to: &To) -> Result<Legs, Refused> {
    let none = || Refused::NoSuchJourney(run.id);
    let seq = |code: &str| code.parse().ok().and_then(|code| run.seq_of(&code));
    let from = seq(&to.from).ok_or_else(none)?;
    let rest = run.stops.iter().enumerate().skip(usize::from(from.0) + 1);
    let end = rest.into_iter().find(|(_, stop)| stop.code.0 == to.to);
    let end = end.and_then(|(at, _)| u8::try_from(at).ok()).map(StopSeq);
    run.legs(from, end.ok_or_else(none)?).ok_or_else(none)
}

async fn post_sale(
    tx: &mut TenantTx,
    rows: &[TicketRow],
    paying: &Paying,
    currency: Currency,
    now: Instant,
) -> Result<(), DbError> {
    let mut postings = vec![
        line(Account::RefundsPayable, paying.used_minor, None),
        line(paying.due.1, paying.due.0, None),
        line(Account::Revenue, paying.fee_minor.saturating_neg(), None),
    ];
    for row in rows {
        let claim = &row.ticket.claim;
        let account = fares_account(tx, claim.trip).await?;
        postings.push(line(account, -row.fare_minor.0, Some(claim.id)));
    }
    let id = ledger::derived_id(&[b"aftersale exchange", paying.offer.as_bytes()]);
    post(tx, id, EntryKind::Sale, currency, postings, now).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_the_legs_they_came_from(mask in any::<u64>()) {
            let legs = runs(mask);
            prop_assert_eq!(legs.iter().fold(0, |m, l| m | l.mask()), mask);
            prop_assert!(legs.windows(2).all(|w| w[0].to().0 < w[1].from().0));
        }
    }
}
