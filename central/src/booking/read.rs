//! A booking as it stands, with its personal data opened for who may see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::codec::from_hex;
use domain::ids::{CompanyId, TripId};
use domain::money::Currency;
use domain::time::Instant;
use uuid::Uuid;

use super::TOKEN_PREFIX;
use super::catalog::TripFacts;
use super::contact::{self, Contact, Passenger, name_form, phone_form};
use super::db::{self, Shown};
use super::load;
use super::service::{BookingError, Made, MadeSeat, stop_code};
use super::state::State;
use crate::http::Api;
use crate::tenant::TenantTx;
use crate::vault::VaultError;

/// A booking as it stands.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The booking's seats and money.
    pub made: Made,
    /// What was paid.
    pub paid_minor: i64,
    /// Each coupon's state, in the order of the seats.
    pub coupon_states: Vec<String>,
    /// Each seat's passenger, in the order of the seats.
    pub passengers: Vec<Passenger>,
    /// Who booked.
    pub contact: Option<Contact>,
    /// A party that travels as one.
    pub group: Option<String>,
    /// Of its row.
    pub version: i32,
}

/// Proof that a booking is the asker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The phone number given at the booking.
    Phone(String),
    /// The name given at the booking.
    Name(String),
}

impl Proof {
    /// Whether it is what the booking was made with.
    fn holds(&self, api: &Api, company: CompanyId, row: &Shown) -> Result<bool, VaultError> {
        let currency = row.currency.parse().unwrap_or(Currency::ZMW);
        let (kind, form, blind) = match self {
            Self::Phone(text) => match phone_form(text, currency) {
                Some(form) => ("phone", form, &row.phone_blind),
                None => return Ok(false),
            },
            Self::Name(text) => ("name", name_form(text), &row.name_blind),
        };
        if let Some(blind) = blind {
            return Ok(api.vault.blind(company, kind, &form)? == *blind);
        }
        // A booking from before contacts were sealed.
        Ok(row.plain.as_ref().is_some_and(|(name, phone)| match self {
            Self::Phone(_) => phone_form(phone, currency) == Some(form),
            Self::Name(_) => name_form(name) == form,
        }))
    }
}

/// Who asks to see a booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// Who knows something about it.
    Knows(Proof),
    /// Who signed in, and the company whose bookings they may see.
    Is {
        /// A person's account.
        person: Option<Uuid>,
        /// The company whose office they are.
        office: Option<CompanyId>,
    },
}

/// The booking with a reference, where the asker may see it.
pub async fn by_reference(
    api: &Api,
    reference: &str,
    asker: &Asker,
) -> Result<Option<Whole>, BookingError> {
    let Some((mut tx, row)) = allowed(api, reference, asker).await? else {
        return Ok(None);
    };
    Ok(Some(whole(api, &mut tx, row).await?))
}

/// Company and number of the booking with a reference, where the asker may see it.
pub async fn locate(
    api: &Api,
    reference: &str,
    asker: &Asker,
) -> Result<Option<(CompanyId, Uuid)>, BookingError> {
    let found = allowed(api, reference, asker).await?;
    Ok(found.map(|(tx, row)| (tx.company(), row.id)))
}

async fn allowed(
    api: &Api,
    reference: &str,
    asker: &Asker,
) -> Result<Option<(TenantTx, Shown)>, BookingError> {
    for (company, booking) in db::of_reference(&api.db, reference).await? {
        let mut tx = api.db.tenant(company).await?;
        let Some(row) = db::find(&mut tx, booking).await? else {
            continue;
        };
        let allowed = match asker {
            Asker::Knows(proof) => proof.holds(api, company, &row)?,
            Asker::Is { person, office } => {
                *office == Some(company) || (person.is_some() && row.person == *person)
            }
        };
        if allowed {
            return Ok(Some((tx, row)));
        }
    }
    Ok(None)
}

/// A person's own bookings before a moment, the newest first.
pub async fn of_person(
    api: &Api,
    person: Uuid,
    before: (i64, Uuid),
    most: i64,
) -> Result<Vec<Whole>, BookingError> {
    let mut bookings = vec![];
    for (company, booking) in db::of_person(&api.db, person, before, most).await? {
        let mut tx = api.db.tenant(company).await?;
        if let Some(row) = db::find(&mut tx, booking).await? {
            bookings.push(whole(api, &mut tx, row).await?);
        }
    }
    Ok(bookings)
}

/// A held booking, for who holds its token.
pub async fn held(
    api: &Api,
    company: CompanyId,
    (hold, secret_hash): (Uuid, &[u8; 32]),
    now: Instant,
) -> Result<Result<Whole, super::Refusal>, BookingError> {
    let mut tx = api.db.tenant(company).await?;
    let open = super::service::open_hold(&mut tx, hold, secret_hash, now).await?;
    let deadline = match open {
        Ok((_, deadline)) => deadline,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(row) = db::find(&mut tx, hold).await? else {
        return Ok(Err(super::Refusal::UnknownHold));
    };
    let mut whole = whole(api, &mut tx, row).await?;
    whole.made.deadline = Some(deadline);
    Ok(Ok(whole))
}

/// Who booked, of a row.
pub(super) fn contact_of(
    api: &Api,
    company: CompanyId,
    row: &Shown,
) -> Result<Option<Contact>, VaultError> {
    if let Some(sealed) = &row.contact_sealed {
        return contact::open(&api.vault, company, row.id, sealed).map(Some);
    }
    Ok(row.plain.as_ref().map(|(name, phone)| Contact {
        name: name.clone(),
        phone: phone.clone(),
        email: None,
    }))
}

async fn whole(api: &Api, tx: &mut TenantTx, row: Shown) -> Result<Whole, BookingError> {
    let company = tx.company();
    let mut trips: BTreeMap<TripId, Arc<TripFacts>> = BTreeMap::new();
    let (mut seats, mut states, mut passengers) = (vec![], vec![], vec![]);
    for shown in db::show(tx, row.id).await? {
        let coupon = &shown.coupon;
        let facts = match trips.get(&coupon.trip) {
            Some(known) => Arc::clone(known),
            None => load::facts(tx, coupon.trip, shown.trip_version).await?,
        };
        trips.insert(coupon.trip, Arc::clone(&facts));
        let layout = load::layout(tx, &facts.trip).await?;
        let at = (row.id, coupon.no);
        let passenger = shown
            .passenger_sealed
            .as_deref()
            .map(|sealed| contact::open_passenger(&api.vault, company, at, sealed))
            .transpose()?;
        passengers.push(passenger.unwrap_or_default());
        states.push(shown.state);
        seats.push(MadeSeat {
            coupon_no: coupon.no,
            trip: coupon.trip,
            seat: coupon.seat,
            label: layout.map_or_else(|| coupon.seat.to_string(), |l| l.label(coupon.seat)),
            legs: coupon.legs,
            from_stop: stop_code(&facts.trip, coupon.legs.from()),
            to_stop: stop_code(&facts.trip, coupon.legs.to()),
            class: coupon.class,
            fare_minor: coupon.fare_minor,
            discount_minor: coupon.discount_minor,
            code: shown
                .ticket
                .and_then(|ticket| api.keys.short_code(&ticket.claim)),
            ticket: shown.ticket,
        });
    }
    let contact = contact_of(api, company, &row)?;
    let expires = row.expires_at.filter(|_| row.state.is_open());
    Ok(Whole {
        paid_minor: row.paid_minor,
        coupon_states: states,
        passengers,
        contact,
        group: row.group_name,
        version: row.version,
        made: Made {
            id: row.id,
            reference: row.reference,
            state: row.state,
            total_minor: domain::money::Minor(row.total_minor),
            currency: row.currency.parse().unwrap_or(Currency::ZMW),
            created_at: row.created_at,
            deadline: expires.map(|expires_at| super::Deadline {
                expires_at,
                last: expires_at,
            }),
            token: None,
            seats,
        },
    })
}

/// Which company's hold a token opens, and its secret; `None` for what is no token.
pub fn read_token(token: &str) -> Option<(CompanyId, Vec<u8>)> {
    let hex = token.strip_prefix(TOKEN_PREFIX).filter(|h| h.len() == 64)?;
    let bytes = from_hex(hex)?;
    let (company, secret) = bytes.split_at_checked(16)?;
    let company = Uuid::from_slice(company).ok()?;
    Some((CompanyId(company), secret.to_vec()))
}

/// Which state of a booking this word names.
pub fn state_of(word: &str) -> Option<State> {
    State::of(word)
}
