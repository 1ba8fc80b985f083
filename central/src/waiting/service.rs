//! Joining a line, looking at it, leaving it.

use domain::codec::to_hex;
use domain::ids::{CompanyId, TripId};
use domain::passenger::PassengerClass;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::TOKEN_PREFIX;
use super::db::{self, NewEntry, Shown, Which};
use super::decide::OFFER_MIN_MS;
use super::serve::serve;
use crate::access::Identity;
use crate::audit::{self, Change};
use crate::booking::contact::Contact;
use crate::booking::pay::due;
use crate::booking::{self, BookingError, Journey, Refusal, State, Wish, secret_hash, try_out};
use crate::company::fresh_uuid;
use crate::db::DbError;
use crate::http::Api;
use crate::idempotency::{self, Answer, IdempotencyKey, Replay};
use crate::pricing::Channel;
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lock_trip;
use crate::vault::{Place, Vault, VaultError};

/// Parties that wait for one trip at a time.
const LINE_MAX: i64 = 200;
/// Journeys that one contact waits for at a time, of one company.
const OF_CONTACT_MAX: i64 = 5;
/// How often leaving looks again when an offer came meanwhile.
const LOOKS_MAX: u32 = 5;

/// Why something is refused: an answer of a healthy system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// As for a hold, but for seats.
    #[error(transparent)]
    Booking(#[from] Refusal),
    /// Nobody need wait.
    #[error("there are seats for everybody: hold them")]
    SeatsFree,
    /// More people than seats.
    #[error("the bus has {seat_count} seats, too few for {wanted} passengers")]
    TooLarge {
        /// Of the bus.
        seat_count: u16,
        /// Of the party.
        wanted: usize,
    },
    /// The same contact, the same journey.
    #[error("this phone number waits for this journey already: use the token it was given")]
    AlreadyWaiting,
    /// One contact, too many journeys.
    #[error("this phone number waits for {OF_CONTACT_MAX} journeys already: leave one first")]
    TooManyOfContact,
    /// Too many parties.
    #[error("{LINE_MAX} parties wait for this trip already: choose another trip")]
    LineFull,
    /// Nobody could take such an offer.
    #[error("`accept_until` has to be at least five minutes from now")]
    TooShort,
    /// Nobody knows the entry, or the token is another one's.
    #[error("nobody waits under this number and token")]
    Unknown,
    /// The seats offered were booked.
    #[error("the seats offered were booked: cancel the booking instead")]
    OfferTaken,
}

/// A party that wants to wait.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) trip: TripId,
    pub(super) from: domain::ids::StopCode,
    pub(super) to: domain::ids::StopCode,
    pub(super) classes: Vec<PassengerClass>,
    pub(super) contact: Contact,
    pub(super) accept_until: Option<Instant>,
    pub(super) identity: Identity,
    pub(super) person: Option<Uuid>,
    pub(super) channel: Channel,
}

/// An entry that was made.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    pub(super) shown: Shown,
    /// Told once.
    pub(super) token: String,
}

/// What was decided.
pub(super) type Decision = Result<Joined, Refused>;

fn place(company: CompanyId, row: &Uuid) -> Place<'_> {
    Place {
        company,
        table: "waiting_entry",
        row: row.as_bytes(),
        column: "contact",
    }
}

/// Who waits.
pub(super) fn contact_of(
    vault: &Vault,
    company: CompanyId,
    shown: &Shown,
) -> Result<Contact, VaultError> {
    open_contact(vault, company, shown.id, &shown.contact_sealed)
}

/// Opens the contact of an entry.
pub(crate) fn open_contact(
    vault: &Vault,
    company: CompanyId,
    waiting: Uuid,
    sealed: &[u8],
) -> Result<Contact, VaultError> {
    let text = vault.open(place(company, &waiting), sealed)?;
    serde_json::from_slice(&text).map_err(|_| VaultError::Unopenable)
}

/// Joins the line, or says again what was answered to this key.
pub(super) async fn join(
    api: &Api,
    company: CompanyId,
    key: &IdempotencyKey,
    wanted: &Wanted,
    now: Instant,
    render: impl Fn(&Decision) -> Answer,
) -> Result<Replay, BookingError> {
    let mut tx = api.db.tenant(company).await?;
    if let Some(known) = idempotency::claim(&mut tx, key).await? {
        return Ok(known);
    }
    let decision = decided(&mut tx, api, wanted, now).await?;
    let answer = render(&decision);
    idempotency::record(&mut tx, key, &answer, now).await?;
    tx.commit().await?;
    Ok(Replay::Again(answer))
}

async fn decided(
    tx: &mut TenantTx,
    api: &Api,
    wanted: &Wanted,
    now: Instant,
) -> Result<Decision, BookingError> {
    if wanted
        .accept_until
        .is_some_and(|until| until < now.plus_ms(OFFER_MIN_MS))
    {
        return Ok(Err(Refused::TooShort));
    }
    // Those who came before have what is free; the trip is locked from here on.
    serve(tx, api, wanted.trip, now).await?;
    let journey = Journey {
        trip: wanted.trip,
        from: wanted.from.clone(),
        to: wanted.to.clone(),
        passengers: wanted.classes.iter().map(|c| Wish::any(*c)).collect(),
    };
    let tried = match try_out(tx, &journey, wanted.channel, now).await? {
        Ok(tried) => tried,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    if tried.fits {
        return Ok(Err(Refused::SeatsFree));
    }
    if wanted.classes.len() > usize::from(tried.seat_count) {
        return Ok(Err(Refused::TooLarge {
            seat_count: tried.seat_count,
            wanted: wanted.classes.len(),
        }));
    }
    let company = tx.company();
    let blind = api.vault.blind(company, "phone", &wanted.contact.phone)?;
    let waiting = db::waiting(tx, (wanted.trip, tried.legs), &blind).await?;
    let refused = if waiting.same {
        Some(Refused::AlreadyWaiting)
    } else if waiting.of_contact >= OF_CONTACT_MAX {
        Some(Refused::TooManyOfContact)
    } else {
        (waiting.of_trip >= LINE_MAX).then_some(Refused::LineFull)
    };
    if let Some(refused) = refused {
        return Ok(Err(refused));
    }
    let id = fresh_uuid(now)?;
    let mut secret = [0; 16];
    getrandom::fill(&mut secret)?;
    let contact = serde_json::to_vec(&wanted.contact).unwrap_or_default();
    let new = NewEntry {
        id,
        trip: wanted.trip,
        legs: tried.legs,
        from_stop: &wanted.from.0,
        to_stop: &wanted.to.0,
        classes: &wanted.classes,
        secret_hash: &secret_hash(&secret),
        contact_sealed: &api.vault.seal(place(company, &id), &contact)?,
        phone_blind: &blind,
        person: wanted.person,
        channel: wanted.channel,
        accept_until: wanted.accept_until,
    };
    db::insert(tx, &new, now).await?;
    let change = Change {
        action: "waiting_list.join",
        subject: &format!("waiting:{id}"),
        before: None,
        after: Some(json!({ "trip": wanted.trip.0, "seats": wanted.classes.len() })),
    };
    audit::note(tx, wanted.identity, change, now).await?;
    let one = Which {
        id: Some(id),
        ..Which::default()
    };
    let shown = db::shown(tx, &one, 1).await?.pop();
    let shown = shown.ok_or_else(|| DbError::damaged("an entry that was just made"))?;
    let company = to_hex(company.as_bytes());
    let token = format!("{TOKEN_PREFIX}{company}{}", to_hex(&secret));
    Ok(Ok(Joined { shown, token }))
}

/// An entry, for who has its token.
pub(super) async fn look(
    api: &Api,
    company: CompanyId,
    (id, secret_hash): (Uuid, &[u8; 32]),
) -> Result<Option<Shown>, DbError> {
    let mut tx = api.db.tenant(company).await?;
    let one = Which {
        id: Some(id),
        secret_hash: Some(secret_hash),
        ..Which::default()
    };
    Ok(db::shown(&mut tx, &one, 1).await?.pop())
}

/// Who takes an entry off the line.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    /// Who has its token.
    Token([u8; 32]),
    /// The company's staff, on this trip.
    Staff(TripId),
}

/// Takes an entry off the line; seats that it was offered go back. One that is over stays so.
pub(super) async fn leave(
    api: &Api,
    company: CompanyId,
    (id, by): (Uuid, By),
    identity: Identity,
    now: Instant,
) -> Result<Result<(), Refused>, BookingError> {
    for _ in 0..LOOKS_MAX {
        let mut tx = api.db.tenant(company).await?;
        if let Some(answer) = try_to_leave(&mut tx, (id, by), identity, now).await? {
            tx.commit().await?;
            return Ok(answer);
        }
        // An offer was made meanwhile: its hold is to be locked before the trip.
        tx.rollback().await?;
    }
    Ok(Err(Refused::OfferTaken))
}

async fn try_to_leave(
    tx: &mut TenantTx,
    (id, by): (Uuid, By),
    identity: Identity,
    now: Instant,
) -> Result<Option<Result<(), Refused>>, BookingError> {
    let which = match &by {
        By::Token(hash) => Which {
            id: Some(id),
            secret_hash: Some(hash),
            ..Which::default()
        },
        By::Staff(trip) => Which {
            id: Some(id),
            trip: Some(*trip),
            ..Which::default()
        },
    };
    let Some(seen) = db::shown(tx, &which, 1).await?.pop() else {
        return Ok(Some(Err(Refused::Unknown)));
    };
    match seen.state.as_str() {
        "taken" => return Ok(Some(Err(Refused::OfferTaken))),
        "waiting" | "offered" => {}
        _ => return Ok(Some(Ok(()))),
    }
    if let Some(booking) = seen.booking {
        match due(tx, booking).await?.map(|due| due.state) {
            Some(State::Held) => {
                booking::release(tx, booking, State::Cancelled, now).await?;
            }
            Some(State::AwaitingPayment | State::Confirmed) => {
                return Ok(Some(Err(Refused::OfferTaken)));
            }
            Some(State::Expired | State::Cancelled) | None => {}
        }
    }
    lock_trip(tx, seen.trip).await?;
    if !db::leave(tx, id, seen.booking, now).await? {
        return Ok(None);
    }
    let change = Change {
        action: "waiting_list.leave",
        subject: &format!("waiting:{id}"),
        before: Some(json!({ "state": seen.state })),
        after: Some(json!({ "state": "left" })),
    };
    audit::note(tx, identity, change, now).await?;
    Ok(Some(Ok(())))
}

/// A trip's line, as the office sees it; `None` where the company runs no such trip.
pub(super) async fn list(
    api: &Api,
    company: CompanyId,
    trip: TripId,
    (state, after): (Option<&str>, i64),
    most: i64,
) -> Result<Option<Vec<(Shown, Contact)>>, BookingError> {
    let mut tx = api.db.tenant(company).await?;
    if !db::runs(&mut tx, trip).await? {
        return Ok(None);
    }
    let which = Which {
        trip: Some(trip),
        state,
        after,
        ..Which::default()
    };
    let rows = db::shown(&mut tx, &which, most).await?;
    let mut line = Vec::with_capacity(rows.len());
    for shown in rows {
        let contact = contact_of(&api.vault, company, &shown)?;
        line.push((shown, contact));
    }
    Ok(Some(line))
}
