//! Reading wishes: journeys, passengers, contacts.

use axum::http::HeaderMap;
use domain::ids::{CompanyId, SeatNo, StopCode, TripId};
use domain::layout::SeatAttributes;
use domain::money::Currency;
use domain::passenger::PassengerClass;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{Caller, Identity, Permission};
use crate::booking::contact::{Contact, Passenger, phone_form};
use crate::booking::load;
use crate::booking::read::read_token;
use crate::booking::service::secret_hash;
use crate::booking::{Journey, Refusal, Wish};
use crate::http::{Api, Problem};
use crate::pricing::Channel;

/// The most passengers of one journey.
const PASSENGERS_MAX: usize = 10;
/// The most passengers of one journey that an office books.
const GROUP_MAX: usize = 60;
/// The most journeys of one booking.
const JOURNEYS_MAX: usize = 2;
/// The longest name, phone number or document number, in characters.
const TEXT_CHARS_MAX: usize = 100;
/// The longest e-mail address, in characters (RFC 5321).
const EMAIL_CHARS_MAX: usize = 254;
/// The longest voucher code, in characters.
const VOUCHER_CHARS_MAX: usize = 40;
/// The header that opens a hold.
const TOKEN_HEADER: &str = "hold-token";

/// One who travels: a class alone, or more.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PassengerAsked {
    /// One of `adult`, `child`, `infant`, `prm`.
    #[schema(example = "adult")]
    Class(String),
    /// With what they wish of their seat, and who they are.
    Full(PassengerWish),
}

/// One who travels.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"class": "adult", "seat": 12, "name": "Mutale Banda"}))]
pub struct PassengerWish {
    /// `adult` (without it), `child`, `infant` or `prm`.
    class: Option<String>,
    /// This seat and no other, by its number.
    seat: Option<u16>,
    /// Any of `window`, `aisle`, `front`, `wheelchair`, `standing`: a seat with all of them.
    #[serde(default)]
    #[schema(max_items = 5)]
    attributes: Vec<String>,
    /// As on the ticket.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// The number of a passport or identity card.
    #[schema(max_length = 100)]
    document: Option<String>,
}

/// A party that travels on one trip.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"trip": 7, "from": "LUN", "to": "LVI", "passengers": ["adult", "child"]}))]
pub struct JourneyAsked {
    /// The trip's number.
    pub trip: u64,
    /// Code of the stop to board at.
    pub from: String,
    /// Code of the stop to leave at.
    pub to: String,
    /// One per seat, 1 to 10; 60 for an office.
    #[schema(min_items = 1, max_items = 60)]
    pub passengers: Vec<PassengerAsked>,
}

/// Who books.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Mutale Banda", "phone": "+260970000001"}))]
pub struct ContactAsked {
    /// A name.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// A phone number, with its country's code or as dialled there.
    #[schema(min_length = 7, max_length = 100)]
    phone: String,
    /// An e-mail address, for the tickets.
    #[schema(max_length = 254)]
    email: Option<String>,
}

/// A wish that can be read.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) journeys: Vec<Journey>,
    /// One per seat, in the order of the journeys.
    pub(super) passengers: Vec<Passenger>,
}

pub(crate) fn text(what: &str, text: &str, most: usize) -> Result<String, Problem> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.chars().count() > most {
        let detail = format!("{what} needs 1 to {most} characters");
        return Err(Problem::unprocessable(detail));
    }
    if trimmed.chars().any(char::is_control) {
        let detail = format!("{what} holds a control character");
        return Err(Problem::unprocessable(detail));
    }
    Ok(trimmed.to_owned())
}

fn attribute(word: &str) -> Result<SeatAttributes, Problem> {
    Ok(match word {
        "window" => SeatAttributes::WINDOW,
        "aisle" => SeatAttributes::AISLE,
        "front" => SeatAttributes::FRONT,
        "wheelchair" => SeatAttributes::WHEELCHAIR,
        "standing" => SeatAttributes::STANDING,
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(Problem::unprocessable(format!(
                "no seat has the attribute {other:?}: choose among window, aisle, front, \
                 wheelchair, standing"
            )));
        }
    })
}

pub(crate) fn class_of(word: &str) -> Result<PassengerClass, Problem> {
    word.parse()
        .map_err(|e: domain::ids::IdError| Problem::unprocessable(e.to_string()))
}

fn passenger(asked: &PassengerAsked) -> Result<(Wish, Passenger), Problem> {
    let full = match asked {
        PassengerAsked::Class(word) => {
            return Ok((Wish::any(class_of(word)?), Passenger::default()));
        }
        PassengerAsked::Full(full) => full,
    };
    if full.attributes.len() > 5 {
        return Err(Problem::unprocessable("at most 5 attributes of a seat"));
    }
    let mut wish = Wish::any(class_of(full.class.as_deref().unwrap_or("adult"))?);
    wish.seat = full.seat.map(SeatNo);
    for word in &full.attributes {
        wish.attributes = wish.attributes.with(attribute(word)?);
    }
    let said = |what, said: &Option<String>| {
        let text = said.as_deref().map(|t| text(what, t, TEXT_CHARS_MAX));
        text.transpose()
    };
    let who = Passenger {
        name: said("a passenger's name", &full.name)?,
        document: said("a passenger's document", &full.document)?,
    };
    Ok((wish, who))
}

/// Passengers by themselves, as they are named for a hold.
pub(super) fn named(asked: &[PassengerAsked]) -> Result<Vec<Passenger>, Problem> {
    if asked.len() > JOURNEYS_MAX * GROUP_MAX {
        return Err(Problem::unprocessable("too many passengers"));
    }
    asked.iter().map(|p| Ok(passenger(p)?.1)).collect()
}

/// The journeys of a wish.
pub(super) fn read(caller: &Caller, asked: &[JourneyAsked]) -> Result<Read, Problem> {
    let wrong = |error: domain::ids::IdError| Problem::unprocessable(error.to_string());
    if asked.is_empty() || asked.len() > JOURNEYS_MAX {
        let detail = format!(
            "a booking is of 1 to {JOURNEYS_MAX} journeys, not {}",
            asked.len()
        );
        return Err(Problem::unprocessable(detail));
    }
    let most = if caller.permissions.has(Permission::Sell) {
        GROUP_MAX
    } else {
        PASSENGERS_MAX
    };
    let mut read = Read {
        journeys: vec![],
        passengers: vec![],
    };
    for journey in asked {
        let count = journey.passengers.len();
        if count == 0 || count > most {
            let detail = format!("a booking is for 1 to {most} passengers, not {count}");
            return Err(Problem::unprocessable(detail));
        }
        let mut wishes = Vec::with_capacity(count);
        for p in &journey.passengers {
            let (wish, who) = passenger(p)?;
            wishes.push(wish);
            read.passengers.push(who);
        }
        read.journeys.push(Journey {
            trip: TripId(journey.trip),
            from: journey.from.parse::<StopCode>().map_err(wrong)?,
            to: journey.to.parse::<StopCode>().map_err(wrong)?,
            passengers: wishes,
        });
    }
    Ok(read)
}

/// The one company that runs all the trips.
pub(super) async fn company_of(api: &Api, journeys: &[Journey]) -> Result<CompanyId, Problem> {
    let mut company = None;
    for journey in journeys {
        let found = load::company_of(&api.db, journey.trip).await?;
        let found = found.ok_or_else(|| Problem::from(&Refusal::UnknownTrip(journey.trip)))?;
        if *company.get_or_insert(found) != found {
            return Err(Problem::from(&Refusal::OtherCompany(journey.trip)));
        }
    }
    company.ok_or_else(|| Problem::unprocessable("a booking is of 1 to 2 journeys"))
}

/// Who books, in the forms that they are found by.
pub(crate) fn contact(asked: &ContactAsked, currency: Currency) -> Result<Contact, Problem> {
    let phone = text("the contact's phone", &asked.phone, TEXT_CHARS_MAX)?;
    let phone = phone_form(&phone, currency).ok_or_else(|| {
        Problem::unprocessable(
            "the contact's phone is no number: write it like +260 97 0000001, 7 to 15 digits",
        )
    })?;
    let email = asked.email.as_deref().map(|e| {
        let email = text("the contact's e-mail", e, EMAIL_CHARS_MAX)?;
        let whole = email.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && host.contains('.') && !email.contains(char::is_whitespace)
        });
        whole
            .then_some(email)
            .ok_or_else(|| Problem::unprocessable("the contact's e-mail is no address"))
    });
    Ok(Contact {
        name: text("the contact's name", &asked.name, TEXT_CHARS_MAX)?,
        phone,
        email: email.transpose()?,
    })
}

/// A name for a party, checked.
pub(super) fn group(name: Option<&str>) -> Result<Option<String>, Problem> {
    name.map(|n| text("the group's name", n, TEXT_CHARS_MAX))
        .transpose()
}

/// A voucher's code, checked.
pub(super) fn voucher(code: Option<&str>) -> Result<Option<String>, Problem> {
    code.map(|c| text("the voucher's code", c, VOUCHER_CHARS_MAX))
        .transpose()
}

/// Where this caller's sale is made.
pub(crate) fn channel(caller: &Caller, company: CompanyId) -> Channel {
    match caller.identity {
        Identity::Key(_) => Channel::Partner,
        Identity::Person(_) if caller.may_in(Permission::Sell, company) => Channel::Counter,
        Identity::Anonymous | Identity::Person(_) => Channel::Online,
    }
}

/// The account that a booking of this caller belongs to: none where an office books for somebody.
pub(crate) fn account(caller: &Caller, company: CompanyId) -> Option<Uuid> {
    let sells = caller.may_in(Permission::Sell, company);
    caller.person().ok().filter(|_| !sells)
}

/// What a hold's token opens.
pub(super) fn token(text: &str) -> Result<(CompanyId, [u8; 32]), Problem> {
    let (company, secret) = read_token(text.trim())
        .ok_or_else(|| Problem::unprocessable("the hold's token is damaged: send it as it came"))?;
    Ok((company, secret_hash(&secret)))
}

/// What the token in the header opens.
pub(super) fn header_token(headers: &HeaderMap) -> Result<(CompanyId, [u8; 32]), Problem> {
    let sent = headers.get(TOKEN_HEADER).and_then(|h| h.to_str().ok());
    let sent =
        sent.ok_or_else(|| Problem::bad_request("send the hold's token in the header Hold-Token"))?;
    token(sent).map_err(|p| Problem::bad_request(p.detail))
}
