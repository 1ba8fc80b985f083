//! Making holds and bookings inside the wish's transaction.

use std::collections::{BTreeMap, BTreeSet};

use domain::codec::to_hex;
use domain::ids::TripId;
use domain::ledger::Account;
use domain::money::{Currency, Minor};
use domain::ticket::SignedTicket;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::{
    BookingError, Decision, Made, MadeSeat, OfferedTo, Seats, Wanted, Who, open_hold, secret_hash,
    stop_code,
};
use crate::access::Identity;
use crate::audit::{self, Change};
use crate::booking::contact::{self, Passenger, Sealed};
use crate::booking::db::{self, Before, BookingRow, CouponRow, Named, NewRow};
use crate::booking::decide::{Journey, Price, Refusal, SeatSale, check_together, open_legs, seats};
use crate::booking::issue::issue;
use crate::booking::load::{Stock, lock_stocks};
use crate::booking::pay::{self, Paid};
use crate::booking::prices::{Asked, Prices, prices};
use crate::booking::state::{Deadline, State};
use crate::booking::{TOKEN_PREFIX, decide};
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::http::Api;
use crate::metrics::Counted;
use crate::pricing::{self, Redeemer};
use crate::tenant::TenantTx;
use crate::waiting;

/// Letters and digits that nobody confuses.
const REFERENCE_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Holds that ran out are freed for a wish at most so many at a time.
const FREED_MAX: i64 = 50;

pub(in crate::booking) type Stocks = BTreeMap<TripId, Stock>;

fn fresh_reference() -> Result<String, getrandom::Error> {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits)?;
    let digits: String = bits
        .iter()
        .map(|b| char::from(REFERENCE_DIGITS[usize::from(b & 31)]))
        .collect();
    let (first, second) = digits.split_at(4);
    Ok(format!("{first}-{second}"))
}

/// Picks seats for every journey, or says why not: all or nothing.
pub(in crate::booking) fn pick(
    stocks: &Stocks,
    journeys: &[Journey],
    prices: &[Price],
    now: Instant,
) -> Result<Vec<(TripId, SeatSale)>, Refusal> {
    let mut legs_of = Vec::with_capacity(journeys.len());
    for wish in journeys {
        let stock = stocks.get(&wish.trip);
        let stock = stock.ok_or(Refusal::UnknownTrip(wish.trip))?;
        let legs = open_legs(&stock.for_sale(), wish, now)?;
        legs_of.push((wish, &stock.facts.trip, legs));
    }
    check_together(&legs_of)?;
    let mut picked = vec![];
    let mut prices = prices.iter();
    let mut pools: BTreeMap<TripId, _> = BTreeMap::new();
    for (wish, _, legs) in legs_of {
        let Some(stock) = stocks.get(&wish.trip) else {
            continue;
        };
        let pool = pools.entry(wish.trip).or_insert_with(|| stock.pool.clone());
        let sale = decide::ForSale {
            pool,
            ..stock.for_sale()
        };
        let seats = seats(&sale, wish, legs)?;
        for ((seat, w), price) in seats.into_iter().zip(&wish.passengers).zip(prices.by_ref()) {
            pool.mark_taken(seat, legs);
            let class = w.class;
            let sale = SeatSale {
                seat,
                legs,
                class,
                price: *price,
            };
            picked.push((wish.trip, sale));
        }
    }
    Ok(picked)
}

/// A hold or booking of seats that are to be picked.
pub(super) async fn fresh(
    tx: &mut TenantTx,
    api: &Api,
    journeys: &[Journey],
    who: Option<&Who>,
    wanted: &Wanted,
    now: Instant,
) -> Result<Decision, BookingError> {
    let trips = || journeys.iter().map(|j| j.trip);
    let mut stocks = lock_stocks(tx, trips()).await?;
    let waited_for: Vec<TripId> = stocks
        .iter()
        .filter(|(_, stock)| stock.waited_for)
        .map(|(trip, _)| *trip)
        .collect();
    if !waited_for.is_empty() {
        // Who waits comes first: nobody passes the line by asking at the right moment.
        for trip in waited_for {
            waiting::serve(tx, api, trip, now).await?;
        }
        stocks = lock_stocks(tx, trips()).await?;
    }
    let asked = Asked {
        journeys,
        voucher: wanted.voucher.as_deref(),
        channel: wanted.channel,
    };
    let priced = match prices(tx, &stocks, asked, now).await? {
        Ok(priced) => priced,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut picked = pick(&stocks, journeys, &priced.each, now);
    if picked.as_ref().is_err_and(Refusal::is_about_seats)
        && free_what_ran_out(tx, trips().collect(), now).await?
    {
        stocks = lock_stocks(tx, trips()).await?;
        picked = pick(&stocks, journeys, &priced.each, now);
    }
    let picked = match picked {
        Ok(picked) => picked,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (head, coupons) = drafted(&picked, priced, now)?;
    let keep = Keep {
        deadline: Deadline::starting(now),
        token: who.is_none().then(|| fresh_token(tx)).transpose()?,
    };
    let wish = (wanted, keep);
    store(tx, api, (&head, &coupons, &stocks), who, wish, now).await
}

/// The rows of a booking of these seats.
fn drafted(
    picked: &[(TripId, SeatSale)],
    priced: Prices,
    now: Instant,
) -> Result<(Head, Vec<CouponRow>), BookingError> {
    let coupons: Vec<CouponRow> = picked
        .iter()
        .zip(1..)
        .map(|((trip, sale), no)| CouponRow {
            no,
            trip: *trip,
            seat: sale.seat,
            legs: sale.legs,
            class: sale.class,
            fare_minor: sale.price.fare_minor,
            discount_minor: sale.price.discount_minor,
        })
        .collect();
    let total = Minor::checked_sum(coupons.iter().map(CouponRow::price));
    let head = Head {
        id: fresh_uuid(now)?,
        reference: fresh_reference()?,
        currency: priced.currency,
        total_minor: total.ok_or_else(|| DbError::damaged("a fare beyond all money"))?,
        voucher: priced.voucher,
    };
    Ok((head, coupons))
}

/// Holds seats for somebody who waited, whose own secret opens the hold.
pub(in crate::booking) async fn offered(
    tx: &mut TenantTx,
    api: &Api,
    journey: &Journey,
    to: &OfferedTo,
    now: Instant,
) -> Result<Decision, BookingError> {
    let journeys = core::slice::from_ref(journey);
    let stocks = lock_stocks(tx, core::iter::once(journey.trip)).await?;
    let asked = Asked {
        journeys,
        voucher: None,
        channel: to.channel,
    };
    let priced = match prices(tx, &stocks, asked, now).await? {
        Ok(priced) => priced,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let picked = match pick(&stocks, journeys, &priced.each, now) {
        Ok(picked) => picked,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (head, coupons) = drafted(&picked, priced, now)?;
    let wanted = Wanted {
        seats: Seats::Fresh(vec![]),
        who: None,
        identity: Identity::Anonymous,
        person: to.person,
        voucher: None,
        channel: to.channel,
    };
    let keep = Keep {
        deadline: to.deadline,
        token: Some((String::new(), to.secret_hash)),
    };
    store(
        tx,
        api,
        (&head, &coupons, &stocks),
        None,
        (&wanted, keep),
        now,
    )
    .await
}

/// Releases unpaid bookings of these trips whose time is over; whether there were any.
pub(crate) async fn free_what_ran_out(
    tx: &mut TenantTx,
    trips: BTreeSet<TripId>,
    now: Instant,
) -> Result<bool, DbError> {
    let mut any = false;
    for trip in trips {
        for booking in db::run_out(tx, Some(trip), now, FREED_MAX).await? {
            any |= pay::release(tx, booking, State::Expired, now).await?;
        }
    }
    Ok(any)
}

/// How long seats wait for money, and what opens their hold.
struct Keep {
    deadline: Deadline,
    /// The token and its secret's hash.
    token: Option<(String, [u8; 32])>,
}

/// A booking before it is stored.
struct Head {
    id: Uuid,
    reference: String,
    currency: Currency,
    total_minor: Minor,
    /// The voucher that counts, and what it takes off.
    voucher: Option<(String, Minor)>,
}

/// One passenger per coupon, as sealed; `None` where the numbers do not fit.
fn sealed_passengers(
    tx: &TenantTx,
    api: &Api,
    booking: Uuid,
    coupons: &[CouponRow],
    given: &[Passenger],
) -> Result<Option<Vec<Option<Vec<u8>>>>, BookingError> {
    let count = coupons.len();
    let fits = given.is_empty() || (count.is_multiple_of(given.len()) && given.len() <= count);
    if !fits {
        return Ok(None);
    }
    let nobody = Passenger::default();
    let mut sealed = Vec::with_capacity(count);
    for (i, coupon) in coupons.iter().enumerate() {
        let passenger = given.get(i % given.len().max(1)).unwrap_or(&nobody);
        sealed.push(if passenger.is_nobody() {
            None
        } else {
            let row = (booking, coupon.no);
            let bytes = contact::seal_passenger(&api.vault, tx.company(), row, passenger)?;
            Some(bytes)
        });
    }
    Ok(Some(sealed))
}

async fn store(
    tx: &mut TenantTx,
    api: &Api,
    (head, coupons, stocks): (&Head, &[CouponRow], &Stocks),
    who: Option<&Who>,
    (wanted, keep): (&Wanted, Keep),
    now: Instant,
) -> Result<Decision, BookingError> {
    let given = who.map_or(&[][..], |w| &w.passengers);
    let Some(passengers) = sealed_passengers(tx, api, head.id, coupons, given)? else {
        return Ok(Err(Refusal::OtherCount {
            given: given.len(),
            held: coupons.len(),
        }));
    };
    let sealed: Option<Sealed> = who
        .map(|w| contact::seal(&api.vault, tx.company(), head.id, &w.contact))
        .transpose()?;
    let Keep { deadline, token } = keep;
    let cash = who.is_some_and(|w| w.cash);
    let state = if who.is_some() {
        State::AwaitingPayment
    } else {
        State::Held
    };
    let row = NewRow {
        id: head.id,
        reference: &head.reference,
        state,
        currency: head.currency.as_str(),
        total_minor: head.total_minor.0,
        secret_hash: token.as_ref().map(|t| &t.1[..]),
        deadline,
        person: wanted.person,
        seller_kind: wanted.identity.kind(),
        seller: wanted.identity.id(),
        contact: sealed.as_ref(),
        group_name: who.and_then(|w| w.group.as_deref()),
        created_at: now,
        claims: !cash,
    };
    db::insert(tx, &row, coupons, &passengers).await?;
    if let Some((code, off)) = &head.voucher {
        let redeemer = Redeemer {
            person: wanted.person,
            phone_blind: sealed.as_ref().map(|s| s.phone_blind.clone()),
        };
        let used = pricing::redeem(tx, head.id, code, *off, &redeemer, now).await?;
        if let Err(refusal) = used {
            return Ok(Err(Refusal::voucher(refusal)));
        }
    }
    let mut made = Made {
        id: head.id,
        reference: head.reference.clone(),
        state,
        total_minor: head.total_minor,
        currency: head.currency,
        created_at: now,
        deadline: Some(deadline),
        token: token.map(|t| t.0),
        seats: made_seats(coupons, stocks),
    };
    if who.is_some() {
        note(tx, wanted, &made, now).await?;
    }
    if cash {
        let row = BookingRow {
            id: head.id,
            reference: head.reference.clone(),
            state,
            total_minor: head.total_minor,
            paid_minor: Minor::ZERO,
            currency: head.currency,
            expires_at: None,
            expires_last: None,
            secret_hash: None,
            paid_by: None,
            created_at: now,
            version: 1,
        };
        let before = db::before(tx, coupons).await?;
        pay_cash(tx, api, &row, (coupons, stocks, &before), &mut made, now).await?;
    }
    tx.count(Counted::Booking);
    Ok(Ok(made))
}

/// Who booked, where it was somebody.
async fn note(
    tx: &mut TenantTx,
    wanted: &Wanted,
    made: &Made,
    now: Instant,
) -> Result<(), DbError> {
    if wanted.identity.id().is_none() {
        return Ok(());
    }
    let change = Change {
        action: "booking.create",
        subject: &format!("booking:{}", made.reference),
        before: None,
        after: Some(json!({
            "booking": made.id,
            "seats": made.seats.len(),
            "total_minor": made.total_minor.0,
            "currency": made.currency.as_str(),
        })),
    };
    audit::note(tx, wanted.identity, change, now).await
}

fn made_seats(coupons: &[CouponRow], stocks: &Stocks) -> Vec<MadeSeat> {
    let seat = |c: &CouponRow| {
        let stock = stocks.get(&c.trip)?;
        let trip = &stock.facts.trip;
        Some(MadeSeat {
            coupon_no: c.no,
            trip: c.trip,
            seat: c.seat,
            label: stock.label(c.seat),
            legs: c.legs,
            from_stop: stop_code(trip, c.legs.from()),
            to_stop: stop_code(trip, c.legs.to()),
            class: c.class,
            fare_minor: c.fare_minor,
            discount_minor: c.discount_minor,
            ticket: None,
            code: None,
        })
    };
    coupons.iter().filter_map(seat).collect()
}

/// A hold's token: its company, so that it is found, and a secret. Only the secret's hash stays.
fn fresh_token(tx: &TenantTx) -> Result<(String, [u8; 32]), getrandom::Error> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret)?;
    let token = format!(
        "{TOKEN_PREFIX}{}{}",
        to_hex(tx.company().as_bytes()),
        to_hex(&secret)
    );
    Ok((token, secret_hash(&secret)))
}

/// Cash over the office's counter: tickets at once.
async fn pay_cash(
    tx: &mut TenantTx,
    api: &Api,
    row: &BookingRow,
    (coupons, stocks, before): (&[CouponRow], &Stocks, &BTreeMap<i16, Before>),
    made: &mut Made,
    now: Instant,
) -> Result<(), BookingError> {
    let money = Paid {
        payment: fresh_uuid(now)?,
        account: Account::OfficeCash,
        amount_minor: row.total_minor,
    };
    let tickets: Vec<SignedTicket> =
        issue(tx, &api.keys, row, coupons, (stocks, before), &money, now).await?;
    for (seat, ticket) in made.seats.iter_mut().zip(tickets) {
        seat.code = api.keys.short_code(&ticket.claim);
        seat.ticket = Some(ticket);
    }
    made.state = State::Confirmed;
    made.deadline = None;
    Ok(())
}

/// Makes a hold a booking.
pub(super) async fn named(
    tx: &mut TenantTx,
    api: &Api,
    (hold, secret_hash): (Uuid, &[u8; 32]),
    who: &Who,
    wanted: &Wanted,
    now: Instant,
) -> Result<Decision, BookingError> {
    let (row, deadline) = match open_hold(tx, hold, secret_hash, now).await? {
        Ok(open) => open,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let coupons = db::coupons(tx, hold).await?;
    let Some(passengers) = sealed_passengers(tx, api, hold, &coupons, &who.passengers)? else {
        return Ok(Err(Refusal::OtherCount {
            given: who.passengers.len(),
            held: coupons.len(),
        }));
    };
    let stocks = lock_stocks(tx, coupons.iter().map(|c| c.trip)).await?;
    if let Some(trip) = pay::frozen_of(&stocks) {
        return Ok(Err(Refusal::Frozen(trip)));
    }
    let before = db::before(tx, &coupons).await?;
    if !pay::is_still_to_be_had(&row, &coupons, &stocks, &before) {
        return Ok(Err(Refusal::HoldOver));
    }
    let sealed = contact::seal(&api.vault, tx.company(), hold, &who.contact)?;
    let deadline = deadline.extended(now).unwrap_or(deadline);
    let named = Named {
        contact: &sealed,
        person: wanted.person,
        seller_kind: wanted.identity.kind(),
        seller: wanted.identity.id(),
        group_name: who.group.as_deref(),
        expires_at: deadline.expires_at,
    };
    let passengers: Vec<(i16, Option<Vec<u8>>)> =
        coupons.iter().map(|c| c.no).zip(passengers).collect();
    db::name(tx, hold, &named, &passengers).await?;
    let mut made = Made {
        id: hold,
        reference: row.reference.clone(),
        state: State::AwaitingPayment,
        total_minor: row.total_minor,
        currency: row.currency,
        created_at: row.created_at,
        deadline: Some(deadline),
        token: None,
        seats: made_seats(&coupons, &stocks),
    };
    note(tx, wanted, &made, now).await?;
    if who.cash {
        let seats = (&coupons[..], &stocks, &before);
        pay_cash(tx, api, &row, seats, &mut made, now).await?;
    }
    Ok(Ok(made))
}
