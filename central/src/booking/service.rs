//! Holds and bookings: one wish, one transaction.
//!
//! The trips' rows are locked in the order of their numbers, seats are picked and claimed, the
//! answer is kept under the request's key, and all of it commits at once. A seat that is taken
//! all the same is refused by the database, and the wish looks again.

mod make;

pub(crate) use make::free_what_ran_out;
pub(super) use make::pick;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::ids::{CompanyId, SeatNo, TripId};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::ticket::{ShortCode, SignedTicket};
use domain::time::Instant;
use domain::trip::{Legs, Trip};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::contact::{Contact, Passenger};
use super::db;
use super::decide::{Journey, Refusal, open_legs};
use super::load::lock_stocks;
use super::prices::{Asked, prices};
use super::state::{Deadline, State};
use crate::access::Identity;
use crate::db::DbError;
use crate::http::Api;
use crate::idempotency::{self, Answer, IdempotencyKey, Replay};
use crate::pricing::{Channel, PriceRefusal};
use crate::tenant::TenantTx;
use crate::vault::VaultError;

/// How often a booking looks again when somebody else took its seat meanwhile.
const ATTEMPTS_MAX: u32 = 50;
/// And for how long: who still loses then hears that the seat is taken, long before the request
/// itself would time out.
const LOOKS_AGAIN_FOR: Duration = Duration::from_secs(4);
/// Fires when a reference comes up twice.
const REFERENCE_ONCE: &str = "booking_company_id_reference_key";

static LOOKED_AGAIN: AtomicU64 = AtomicU64::new(0);

/// How often bookings of this process lost a race and looked again: never, while the trip's row
/// lock does its work.
pub fn looked_again() -> u64 {
    LOOKED_AGAIN.load(Ordering::Relaxed)
}

/// Which seats a booking is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seats {
    /// To be picked.
    Fresh(Vec<Journey>),
    /// Held before, by who knows the secret.
    Held {
        /// The hold.
        hold: Uuid,
        /// Of its token.
        secret_hash: [u8; 32],
    },
}

/// Who books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The customer.
    pub contact: Contact,
    /// A party that travels as one.
    pub group: Option<String>,
    /// One per coupon, or one per seat of a single journey when all have as many; or none.
    pub passengers: Vec<Passenger>,
    /// Paid in cash to the office, this moment.
    pub cash: bool,
}

/// A wish for seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which seats.
    pub seats: Seats,
    /// For whom; a hold has no name.
    pub who: Option<Who>,
    /// Who asks.
    pub identity: Identity,
    /// The account that the booking belongs to.
    pub person: Option<Uuid>,
    /// A voucher's code; a hold brings its own.
    pub voucher: Option<String>,
    /// Where it is sold.
    pub channel: Channel,
}

/// A seat of a booking that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeSeat {
    /// From 1.
    pub coupon_no: i16,
    /// On which trip.
    pub trip: TripId,
    /// The seat.
    pub seat: SeatNo,
    /// What is painted on it.
    pub label: String,
    /// Its legs.
    pub legs: Legs,
    /// Code of the stop to board at.
    pub from_stop: String,
    /// Code of the stop to leave at.
    pub to_stop: String,
    /// Who sits there.
    pub class: PassengerClass,
    /// What the fare table says.
    pub fare_minor: Minor,
    /// Off that.
    pub discount_minor: Minor,
    /// Once paid.
    pub ticket: Option<SignedTicket>,
    /// What its passenger shows instead.
    pub code: Option<ShortCode>,
}

/// A hold or booking that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its number.
    pub id: Uuid,
    /// What the customer is told.
    pub reference: String,
    /// Where it stands.
    pub state: State,
    /// What all seats cost.
    pub total_minor: Minor,
    /// ISO 4217.
    pub currency: Currency,
    /// When.
    pub created_at: Instant,
    /// While unpaid: when its seats go back.
    pub deadline: Option<Deadline>,
    /// Of a hold: what opens it again, told once.
    pub token: Option<String>,
    /// In the order of the wish.
    pub seats: Vec<MadeSeat>,
}

/// Who is offered seats after waiting for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferedTo {
    /// Of the token they wait with: it opens the hold too.
    pub(crate) secret_hash: [u8; 32],
    /// How long the offer stands.
    pub(crate) deadline: Deadline,
    /// Their account.
    pub(crate) person: Option<Uuid>,
    /// Where they asked.
    pub(crate) channel: Channel,
}

/// Holds the seats that fit best for who waited for them, in the transaction that has the trip
/// locked; no token but theirs opens the hold.
pub(crate) async fn offer(
    tx: &mut TenantTx,
    api: &Api,
    journey: &Journey,
    to: &OfferedTo,
    now: Instant,
) -> Result<Decision, BookingError> {
    make::offered(tx, api, journey, to, now).await
}

/// What a wish for seats of one trip would come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    /// Its legs.
    pub(crate) legs: Legs,
    /// Seats of the bus.
    pub(crate) seat_count: u16,
    /// Whether the whole party would have seats at this moment.
    pub(crate) fits: bool,
}

/// Says what a wish would come to, without holding anything; the trip stays locked.
pub(crate) async fn try_out(
    tx: &mut TenantTx,
    journey: &Journey,
    channel: Channel,
    now: Instant,
) -> Result<Result<Tried, Refusal>, BookingError> {
    let journeys = core::slice::from_ref(journey);
    let stocks = lock_stocks(tx, core::iter::once(journey.trip)).await?;
    let asked = Asked {
        journeys,
        voucher: None,
        channel,
    };
    let priced = match prices(tx, &stocks, asked, now).await? {
        Ok(priced) => priced,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(stock) = stocks.get(&journey.trip) else {
        return Ok(Err(Refusal::UnknownTrip(journey.trip)));
    };
    let legs = match open_legs(&stock.for_sale(), journey, now) {
        Ok(legs) => legs,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let fits = match pick(&stocks, journeys, &priced.each, now) {
        Ok(_) => true,
        Err(refusal) if refusal.is_about_seats() => false,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(Ok(Tried {
        legs,
        seat_count: stock.facts.trip.seat_count,
        fits,
    }))
}

/// What was decided.
pub type Decision = Result<Made, Refusal>;

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum BookingError {
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoEntropy(getrandom::Error),
    /// Personal data could not be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The hub was restored and waits with this trip.
    #[error("trip {0} is frozen since the hub was restored: it is tried again")]
    Frozen(TripId),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<getrandom::Error> for BookingError {
    fn from(error: getrandom::Error) -> Self {
        Self::NoEntropy(error)
    }
}

/// Holds or books seats, or says again what was answered to this key. `render` turns the decision
/// into the answer that is kept.
pub async fn make(
    api: &Api,
    company: CompanyId,
    key: &IdempotencyKey,
    wanted: &Wanted,
    now: Instant,
    render: impl Fn(&Decision) -> Answer,
) -> Result<Replay, BookingError> {
    let (began, mut attempts) = (tokio::time::Instant::now(), 0);
    loop {
        attempts += 1;
        match make_once(api, company, key, wanted, now, &render).await {
            Err(BookingError::Db(error))
                if attempts < ATTEMPTS_MAX
                    && began.elapsed() < LOOKS_AGAIN_FOR
                    && is_lost_race(&error) =>
            {
                LOOKED_AGAIN.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, attempts, "a booking looks again");
            }
            done => return done,
        }
    }
}

fn is_lost_race(error: &DbError) -> bool {
    matches!(error, DbError::TryAgain(_))
        || error.is_seat_taken()
        || error.constraint() == Some(REFERENCE_ONCE)
}

async fn make_once(
    api: &Api,
    company: CompanyId,
    key: &IdempotencyKey,
    wanted: &Wanted,
    now: Instant,
    render: &impl Fn(&Decision) -> Answer,
) -> Result<Replay, BookingError> {
    let mut tx = api.db.tenant(company).await?;
    if let Some(known) = idempotency::claim(&mut tx, key).await? {
        return Ok(known);
    }
    let decision = match (&wanted.seats, &wanted.who) {
        (Seats::Fresh(journeys), who) => {
            make::fresh(&mut tx, api, journeys, who.as_ref(), wanted, now).await?
        }
        (Seats::Held { hold, secret_hash }, Some(who)) => {
            make::named(&mut tx, api, (*hold, secret_hash), who, wanted, now).await?
        }
        (Seats::Held { .. }, None) => Err(Refusal::UnknownHold),
    };
    if let Err(Refusal::NoPrice(PriceRefusal::Voucher(_))) = &decision {
        // The seats were taken before the voucher was: undone, and the refusal alone is kept.
        tx.rollback().await?;
        tx = api.db.tenant(company).await?;
        if let Some(known) = idempotency::claim(&mut tx, key).await? {
            return Ok(known);
        }
    }
    let answer = render(&decision);
    idempotency::record(&mut tx, key, &answer, now).await?;
    tx.commit().await?;
    Ok(Replay::Again(answer))
}

/// What a hold's token is known by.
pub fn secret_hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// The unpaid hold that this secret opens, its row locked.
pub(super) async fn open_hold(
    tx: &mut TenantTx,
    hold: Uuid,
    secret_hash: &[u8; 32],
    now: Instant,
) -> Result<Result<(db::BookingRow, Deadline), Refusal>, DbError> {
    let Some(row) = db::lock_booking(tx, hold).await? else {
        return Ok(Err(Refusal::UnknownHold));
    };
    let Some(deadline) = row.deadline().filter(|_| row.state == State::Held) else {
        return Ok(Err(Refusal::HoldOver));
    };
    if row.secret_hash.as_deref() != Some(&secret_hash[..]) {
        return Ok(Err(Refusal::UnknownHold));
    }
    if deadline.expires_at <= now {
        return Ok(Err(Refusal::HoldOver));
    }
    Ok(Ok((row, deadline)))
}

/// Keeps held seats longer, as far as the limit allows.
pub async fn extend(
    api: &Api,
    company: CompanyId,
    (hold, secret_hash): (Uuid, &[u8; 32]),
    now: Instant,
) -> Result<Result<(Deadline, i32), Refusal>, BookingError> {
    let mut tx = api.db.tenant(company).await?;
    let (row, deadline) = match open_hold(&mut tx, hold, secret_hash, now).await? {
        Ok(open) => open,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(longer) = deadline.extended(now) else {
        return Ok(Err(Refusal::HoldLimit {
            until: deadline.expires_at,
        }));
    };
    db::set_expiry(&mut tx, hold, longer.expires_at).await?;
    tx.commit().await?;
    Ok(Ok((longer, row.version + 1)))
}

/// Gives held seats back.
pub async fn give_back(
    api: &Api,
    company: CompanyId,
    (hold, secret_hash): (Uuid, &[u8; 32]),
    now: Instant,
) -> Result<Result<(), Refusal>, BookingError> {
    let mut tx = api.db.tenant(company).await?;
    if let Err(refusal) = open_hold(&mut tx, hold, secret_hash, now).await? {
        return Ok(Err(refusal));
    }
    super::release(&mut tx, hold, State::Cancelled, now).await?;
    tx.commit().await?;
    Ok(Ok(()))
}

/// Code of a stop of a trip.
pub(super) fn stop_code(trip: &Trip, seq: domain::ids::StopSeq) -> String {
    trip.stop(seq).map(|s| s.code.0.clone()).unwrap_or_default()
}
