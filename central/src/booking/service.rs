//! One booking, one transaction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::fare::FareIndex;
use domain::ids::{CompanyId, SaleOrdinal, TicketId};
use domain::ingest::TicketState;
use domain::layout::SeatLayout;
use domain::ledger::{Account, Entry, EntryKind, sale_postings};
use domain::money::Minor;
use domain::ticket::{SignedTicket, TicketClaim, sign_ticket};
use domain::time::{Instant, Zone};
use domain::trip::Trip;
use uuid::Uuid;

use super::db;
use super::decide::{NewBooking, Refusal, SeatSale, decide};
use crate::company::{fares_of, fresh_uuid, layout_of};
use crate::db::{Db, DbError};
use crate::idempotency::{self, Answer, IdempotencyKey, Replay};
use crate::keys::HubKeys;
use crate::ledger::{self, AccountCache, NewEntry};
use crate::sync::buckets::{take_changes, trip_bucket};
use crate::tenant::TenantTx;
use crate::ticketing::inventory::{load_inventory, lock_trip};
use crate::ticketing::tickets::{TicketRow, insert_tickets};

/// How often a booking looks again when somebody else took its seat meanwhile.
const ATTEMPTS_MAX: u32 = 50;
/// What may fire when the application's lock did not hold, or a reference came up twice.
const WORTH_ANOTHER_LOOK: [&str; 2] = ["ticket_no_overlap", "booking_company_id_reference_key"];
/// Letters and digits that nobody confuses.
const REFERENCE_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static LOOKED_AGAIN: AtomicU64 = AtomicU64::new(0);

/// How often bookings of this process lost a race and looked again: never, while the trip's row
/// lock does its work.
pub fn looked_again() -> u64 {
    LOOKED_AGAIN.load(Ordering::Relaxed)
}

/// A ticket of a booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedTicket {
    /// As it goes into the QR code.
    pub ticket: SignedTicket,
    /// What is painted on the seat.
    pub seat_label: String,
    /// What was paid.
    pub fare_minor: Minor,
}

/// A booking that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// Its number.
    pub id: Uuid,
    /// What the customer is told.
    pub reference: String,
    /// Which trip.
    pub trip: Trip,
    /// What all tickets cost.
    pub total_minor: Minor,
    /// When.
    pub created_at: Instant,
    /// One per passenger, in the order of the wish.
    pub tickets: Vec<BookedTicket>,
}

/// What was decided.
pub type Decision = Result<Booked, Refusal>;

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum BookingError {
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoEntropy(getrandom::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<getrandom::Error> for BookingError {
    fn from(error: getrandom::Error) -> Self {
        Self::NoEntropy(error)
    }
}

/// Books seats, or says again what was answered to this key. `render` turns the decision into
/// the answer that is kept.
pub async fn book(
    db: &Db,
    keys: &HubKeys,
    company: CompanyId,
    key: &IdempotencyKey,
    wish: &NewBooking,
    now: Instant,
    render: impl Fn(&Decision) -> Answer,
) -> Result<Replay, BookingError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match book_once(db, keys, company, key, wish, now, &render).await {
            Err(BookingError::Db(error)) if attempts < ATTEMPTS_MAX && is_lost_race(&error) => {
                LOOKED_AGAIN.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, attempts, "a booking looks again");
            }
            done => return done,
        }
    }
}

fn is_lost_race(error: &DbError) -> bool {
    matches!(error, DbError::TryAgain(_))
        || error
            .constraint()
            .is_some_and(|name| WORTH_ANOTHER_LOOK.contains(&name))
}

async fn book_once(
    db: &Db,
    keys: &HubKeys,
    company: CompanyId,
    key: &IdempotencyKey,
    wish: &NewBooking,
    now: Instant,
    render: &impl Fn(&Decision) -> Answer,
) -> Result<Replay, BookingError> {
    let mut tx = db.tenant(company).await?;
    if let Some(known) = idempotency::claim(&mut tx, key).await? {
        return Ok(known);
    }
    let decision = decide_and_store(&mut tx, keys, wish, now).await?;
    let answer = render(&decision);
    idempotency::record(&mut tx, key, &answer, now).await?;
    tx.commit().await?;
    Ok(Replay::Again(answer))
}

async fn decide_and_store(
    tx: &mut TenantTx,
    keys: &HubKeys,
    wish: &NewBooking,
    now: Instant,
) -> Result<Decision, BookingError> {
    let Some(trip) = lock_trip(tx, wish.trip).await? else {
        return Ok(Err(Refusal::UnknownTrip(wish.trip)));
    };
    let Some(inventory) = load_inventory(tx, wish.trip).await? else {
        return Ok(Err(Refusal::UnknownTrip(wish.trip)));
    };
    let fares = fares_of(tx, &trip).await?;
    let fares = fares.as_ref().map(FareIndex::new).unwrap_or_default();
    let layout = layout_of(tx, &trip).await?;
    let sales = match decide(&trip, &inventory, &fares, layout.as_ref(), wish, now) {
        Ok(sales) => sales,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let seats: Vec<_> = sales.iter().map(|s| s.seat).collect();
    let ordinals = db::hub_ordinals(tx, trip.id, &seats).await?;
    let id = fresh_uuid(now)?;
    let mut tickets = Vec::with_capacity(sales.len());
    for sale in &sales {
        let ordinal = ordinals.get(&sale.seat).copied().unwrap_or(0);
        let claim = claim_of(&trip, sale, SaleOrdinal(ordinal.saturating_add(1)), now)?;
        tickets.push(BookedTicket {
            ticket: sign_ticket(&claim, keys.kid(), keys.signing_key()),
            seat_label: label(layout.as_ref(), sale),
            fare_minor: sale.fare_minor,
        });
    }
    let total = Minor::checked_sum(sales.iter().map(|s| s.fare_minor));
    let booked = Booked {
        id,
        reference: fresh_reference()?,
        total_minor: total.ok_or_else(|| DbError::damaged("a fare beyond all money"))?,
        trip,
        created_at: now,
        tickets,
    };
    store(tx, &booked, &sales, wish).await?;
    Ok(Ok(booked))
}

fn label(layout: Option<&SeatLayout>, sale: &SeatSale) -> String {
    layout.map_or_else(|| sale.seat.to_string(), |l| l.label(sale.seat))
}

fn claim_of(
    trip: &Trip,
    sale: &SeatSale,
    ordinal: SaleOrdinal,
    now: Instant,
) -> Result<TicketClaim, getrandom::Error> {
    Ok(TicketClaim {
        id: TicketId(fresh_uuid(now)?),
        trip: trip.id,
        seat: sale.seat,
        from: sale.legs.from(),
        to: sale.legs.to(),
        class: sale.class,
        ordinal,
        issued_at: now,
        lease: None,
        layout_version: trip.layout_version,
        test: false,
    })
}

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

/// Writes the tickets, the booking and its entry.
async fn store(
    tx: &mut TenantTx,
    booked: &Booked,
    sales: &[SeatSale],
    wish: &NewBooking,
) -> Result<(), BookingError> {
    let zone = db::company_zone(tx).await?;
    let bucket = trip_bucket(booked.trip.id);
    let count = booked.tickets.len() as i64;
    let taken = take_changes(tx, &BTreeMap::from([(bucket.clone(), count)])).await?;
    let first = taken.get(&bucket).copied().unwrap_or(count) - count + 1;
    let rows: Vec<TicketRow> = booked
        .tickets
        .iter()
        .zip(sales)
        .zip(first..)
        .map(|((booked_ticket, sale), change_no)| TicketRow {
            ticket: booked_ticket.ticket,
            legs: sale.legs,
            issuer: None,
            shift: None,
            booking: Some(booked.id),
            fare_minor: sale.fare_minor,
            currency: booked.trip.currency,
            state: TicketState::Live,
            change_no,
        })
        .collect();
    insert_tickets(tx, &rows).await?;
    db::insert_booking(tx, booked, &wish.contact.name, &wish.contact.phone).await?;
    let entry = NewEntry {
        id: booked.id,
        entry: entry_of(booked, &zone)?,
    };
    let mut accounts = AccountCache::new();
    ledger::post(tx, &mut accounts, &[entry], booked.created_at).await?;
    Ok(())
}

/// Paid online, owed to the passenger until the trip departs.
fn entry_of(booked: &Booked, zone: &Zone) -> Result<Entry, DbError> {
    let date = booked
        .created_at
        .local_date(zone)
        .ok_or_else(|| DbError::damaged("the hub's clock"))?;
    let owed = Account::DeferredRevenue(booked.trip.id);
    let lines = booked
        .tickets
        .iter()
        .map(|t| (t.ticket.claim.id, owed, t.fare_minor));
    let postings = sale_postings([(Account::OnlineClearing, booked.total_minor)], lines);
    Entry::new(EntryKind::Sale, booked.trip.currency, date, postings)
        .map_err(|unbalanced| DbError::damaged(unbalanced.to_string()))
}
