//! What an event says, and whom it concerns.

use domain::ids::StopSeq;
use domain::money::{Currency, Minor};
use domain::time::Instant;
use domain::trip::Trip;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Kind;
use super::db::{self, Booker, Company};
use super::plan::PlanError;
use super::template::Facts;
use crate::auth::person::member_place;
use crate::booking::contact::{self, phone_form};
use crate::broker::Message;
use crate::documents::{self, Papers};
use crate::http::Api;
use crate::tenant::TenantTx;

/// Seconds of an hour.
const HOUR_S: u64 = 3_600;
/// Who hears of shifts and nodes.
const OFFICE: [&str; 2] = ["company_admin", "clerk"];
/// The most tickets that a message lists.
const TICKETS_MAX: usize = 10;

/// Somebody to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Recipient {
    /// Their account, in whose inbox it goes too.
    pub(super) person: Option<Uuid>,
    /// In E.164.
    pub(super) phone: Option<String>,
    pub(super) email: Option<String>,
    /// What is said to them alone.
    pub(super) facts: Facts,
}

impl Recipient {
    /// What makes them one person, whichever event or booking names them.
    pub(super) fn key(&self) -> Option<String> {
        let person = self.person.map(|id| format!("person {id}"));
        let phone = || self.phone.as_ref().map(|phone| format!("phone {phone}"));
        let email = || self.email.as_ref().map(|email| format!("email {email}"));
        person.or_else(phone).or_else(email)
    }
}

/// An event as its message tells it.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) facts: Facts,
    pub(super) recipients: Vec<Recipient>,
    /// When its reader should know at the latest.
    pub(super) matters_by: Option<Instant>,
}

type Done<T> = Result<T, PlanError>;

fn unreadable(why: impl Into<String>) -> PlanError {
    PlanError::Unreadable(why.into())
}

fn body<T: DeserializeOwned>(message: &Message) -> Done<T> {
    serde_json::from_value(message.body.clone()).map_err(|e| unreadable(e.to_string()))
}

/// Everything that the message says and whom it is for.
pub(super) async fn gather(
    api: &Api,
    tx: &mut TenantTx,
    company: &Company,
    (kind, message): (Kind, &Message),
) -> Done<About> {
    let mut about = match kind {
        Kind::TicketSold => ticket_sold(api, tx, company, message).await?,
        Kind::PaymentReceived | Kind::PaymentReturned | Kind::PaymentFailed | Kind::RefundDone => {
            money(api, tx, company, message).await?
        }
        Kind::TripDelayed | Kind::TripCancelled => trip(api, tx, company, (kind, message)).await?,
        Kind::SeatChanged => seats(api, tx, company, message).await?,
        Kind::WaitingOffer => offer(api, tx, company, message).await?,
        Kind::ShiftAnomaly => shift(api, tx, message).await?,
        Kind::NodeSilent | Kind::NodeBack => node(api, tx, message).await?,
    };
    about.facts.insert("company", company.name.clone());
    about.facts.insert("phone", company.phone.clone());
    Ok(about)
}

fn amount(minor: i64, currency: &str) -> Done<String> {
    let known: Currency = currency
        .parse()
        .map_err(|_| unreadable(format!("{currency:?} is no currency")))?;
    Ok(format!("{known} {}", Minor(minor).display(known)))
}

/// Who booked, with their contact opened.
fn of_booker(api: &Api, tx: &TenantTx, company: &Company, booker: &Booker) -> Done<Recipient> {
    let mut to = Recipient {
        person: booker.person,
        ..Recipient::default()
    };
    if let Some(sealed) = &booker.contact_sealed {
        let contact = contact::open(&api.vault, tx.company(), booker.booking, sealed)?;
        to.phone = phone_form(&contact.phone, company.currency);
        to.email = contact.email;
    } else if let Some(phone) = &booker.phone {
        to.phone = phone_form(phone, company.currency);
    }
    Ok(to)
}

async fn booker(tx: &mut TenantTx, reference: &str) -> Done<Booker> {
    let found = db::booker(tx, reference).await?;
    found.ok_or_else(|| unreadable(format!("there is no booking {reference:?}")))
}

#[derive(Debug, Deserialize)]
struct BookingBody {
    reference: String,
}

async fn ticket_sold(
    api: &Api,
    tx: &mut TenantTx,
    company: &Company,
    message: &Message,
) -> Done<About> {
    let told: BookingBody = body(message)?;
    let booker = booker(tx, &told.reference).await?;
    let papers = documents::load(tx, &api.keys, booker.booking, |_, _| None).await?;
    let Some(papers) = papers.filter(|p| !p.tickets.is_empty()) else {
        // Taken back before anybody was told.
        return Ok(About::default());
    };
    let mut about = About::default();
    about.facts.insert("reference", told.reference);
    about
        .facts
        .insert("seats", papers.tickets.len().to_string());
    about.facts.insert("tickets", short_tickets(&papers));
    about.recipients.push(of_booker(api, tx, company, &booker)?);
    Ok(about)
}

/// The text tickets: each journey once, with all of its seats and what to show for each.
fn short_tickets(papers: &Papers) -> String {
    let mut journeys: Vec<(String, Vec<String>)> = vec![];
    for ticket in papers.tickets.iter().take(TICKETS_MAX) {
        let (from, to) = (&ticket.from, &ticket.to);
        let journey = format!("{} {} - {}", from.stop, from.local(), to.stop);
        let code = ticket.code.map(|code| format!(" ({code})"));
        let seat = format!("{}{}", ticket.seat_label, code.unwrap_or_default());
        match journeys.iter_mut().find(|(known, _)| *known == journey) {
            Some((_, seats)) => seats.push(seat),
            None => journeys.push((journey, vec![seat])),
        }
    }
    let mut parts: Vec<String> = journeys
        .into_iter()
        .map(|(journey, seats)| format!("{journey}, seat {}", seats.join(", ")))
        .collect();
    let more = papers.tickets.len().saturating_sub(TICKETS_MAX);
    if more > 0 {
        parts.push(format!("+{more}"));
    }
    parts.join("; ")
}

#[derive(Debug, Deserialize)]
struct MoneyBody {
    /// Its reference.
    booking: String,
    amount_minor: i64,
    currency: String,
}

async fn money(api: &Api, tx: &mut TenantTx, company: &Company, message: &Message) -> Done<About> {
    let told: MoneyBody = body(message)?;
    let mut about = About::default();
    if told.amount_minor == 0 {
        // A voucher paid for everything: the tickets say it.
        return Ok(about);
    }
    let booker = booker(tx, &told.booking).await?;
    about.recipients.push(of_booker(api, tx, company, &booker)?);
    about.facts.insert("reference", told.booking);
    let amount = amount(told.amount_minor, &told.currency)?;
    about.facts.insert("amount", amount);
    Ok(about)
}

async fn known_trip(tx: &mut TenantTx, number: u64) -> Done<Trip> {
    let wanted = i64::try_from(number).unwrap_or(i64::MAX);
    let found = db::trip(tx, wanted).await?;
    found.ok_or_else(|| unreadable(format!("there is no trip {number}")))
}

/// What every message about a trip says of it.
fn say_trip(about: &mut About, trip: &Trip) {
    let first = trip.stop(StopSeq(0));
    let last = trip.stops.last();
    let ends = first.zip(last);
    let name = ends.map(|(a, b)| format!("{} {} - {}", trip.route, a.name, b.name));
    about.facts.insert("trip", name.unwrap_or_default());
    if let Some(first) = first {
        let departs = first.departs.local_minute(&first.zone);
        about.facts.insert("departs", departs);
        about.matters_by = Some(first.departs);
    }
}

#[derive(Debug, Deserialize)]
struct TripBody {
    trip: u64,
    #[serde(default)]
    delay_ms: i64,
}

async fn trip(
    api: &Api,
    tx: &mut TenantTx,
    company: &Company,
    (kind, message): (Kind, &Message),
) -> Done<About> {
    let told: TripBody = body(message)?;
    let trip = known_trip(tx, told.trip).await?;
    let mut about = About::default();
    say_trip(&mut about, &trip);
    if let Some(first) = trip.stop(StopSeq(0)) {
        let expected = first.departs.plus_ms(told.delay_ms);
        let expected = expected.local_minute(&first.zone);
        about.facts.insert("expected", expected);
    }
    let number = trip.id.0 as i64;
    let bookers = if kind == Kind::TripCancelled {
        db::bookers_of_cancelled(tx, number).await?
    } else {
        db::bookers_of_trip(tx, number).await?
    };
    for booker in &bookers {
        about.recipients.push(of_booker(api, tx, company, booker)?);
    }
    for blob in db::counter_blobs(tx, number).await? {
        about.recipients.extend(of_counter(&blob, company));
    }
    Ok(about)
}

/// Who bought at a counter, where they left a phone number.
fn of_counter(blob: &[u8], company: &Company) -> Option<Recipient> {
    #[derive(minicbor::Decode)]
    #[cbor(map)]
    struct Blob {
        #[n(1)]
        phone: Option<String>,
    }
    let blob: Blob = minicbor::decode(blob).ok()?;
    let phone = phone_form(&blob.phone?, company.currency)?;
    Some(Recipient {
        phone: Some(phone),
        ..Recipient::default()
    })
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SeatsBody {
    Booking {
        /// Its reference.
        booking: String,
        trip: u64,
        seats: Vec<Moved>,
    },
    Ticket {
        ticket: Uuid,
        trip: u64,
        #[serde(flatten)]
        moved: Moved,
    },
}

#[derive(Debug, Deserialize)]
struct Moved {
    old: String,
    new: String,
}

async fn seats(api: &Api, tx: &mut TenantTx, company: &Company, message: &Message) -> Done<About> {
    let mut about = About::default();
    let (trip, moved) = match body(message)? {
        SeatsBody::Booking {
            booking,
            trip,
            seats,
        } => {
            let booker = booker(tx, &booking).await?;
            about.recipients.push(of_booker(api, tx, company, &booker)?);
            (trip, seats)
        }
        SeatsBody::Ticket {
            ticket,
            trip,
            moved,
        } => {
            let blob = db::counter_blob(tx, ticket).await?;
            let to = blob.and_then(|blob| of_counter(&blob, company));
            about.recipients.extend(to);
            (trip, vec![moved])
        }
    };
    let trip = known_trip(tx, trip).await?;
    say_trip(&mut about, &trip);
    let seats: Vec<String> = moved
        .iter()
        .map(|m| format!("{} -> {}", m.old, m.new))
        .collect();
    about.facts.insert("seats", seats.join(", "));
    Ok(about)
}

#[derive(Debug, Deserialize)]
struct OfferBody {
    waiting: Uuid,
    trip: u64,
    reference: String,
    seats: u32,
    total_minor: i64,
    currency: String,
    expires_at: Option<String>,
}

async fn offer(api: &Api, tx: &mut TenantTx, company: &Company, message: &Message) -> Done<About> {
    let told: OfferBody = body(message)?;
    let trip = known_trip(tx, told.trip).await?;
    let found = db::waiting(tx, told.waiting).await?;
    let (person, sealed) = found.ok_or_else(|| unreadable("nobody waits there"))?;
    let contact = crate::waiting::open_contact(&api.vault, tx.company(), told.waiting, &sealed)?;
    let mut about = About::default();
    say_trip(&mut about, &trip);
    let until = told.expires_at.as_deref().and_then(|at| {
        let at: Option<jiff::Timestamp> = at.parse().ok();
        at.map(|at| Instant(at.as_millisecond()))
    });
    about.matters_by = until.or(about.matters_by);
    let until = until.map(|at| at.local_minute(&company.zone));
    about.facts.insert("until", until.unwrap_or_default());
    about.facts.insert("reference", told.reference);
    about.facts.insert("seats", told.seats.to_string());
    let amount = amount(told.total_minor, &told.currency)?;
    about.facts.insert("amount", amount);
    about.recipients.push(Recipient {
        person,
        phone: phone_form(&contact.phone, company.currency),
        email: contact.email,
        facts: Facts::new(),
    });
    Ok(about)
}

async fn office(api: &Api, tx: &mut TenantTx) -> Done<Vec<Recipient>> {
    let company = tx.company();
    let mut all = vec![];
    for (person, sealed) in db::staff(tx, &OFFICE).await? {
        let place = member_place(company, &person, "contact");
        let contact = api.vault.open(place, &sealed)?;
        let contact = String::from_utf8(contact).map_err(|_| unreadable("a member's contact"))?;
        let is_email = contact.contains('@');
        all.push(Recipient {
            person: Some(person),
            email: is_email.then(|| contact.clone()),
            phone: (!is_email).then_some(contact),
            facts: Facts::new(),
        });
    }
    Ok(all)
}

#[derive(Debug, Deserialize)]
struct ShiftBody {
    node_name: String,
    shift: i64,
    agent: String,
    difference_minor: i64,
    currency: String,
    in_question: i64,
}

async fn shift(api: &Api, tx: &mut TenantTx, message: &Message) -> Done<About> {
    let told: ShiftBody = body(message)?;
    let mut about = About {
        recipients: office(api, tx).await?,
        ..About::default()
    };
    let difference = amount(told.difference_minor, &told.currency)?;
    about.facts.insert("difference", difference);
    about.facts.insert("node", told.node_name);
    about.facts.insert("shift", told.shift.to_string());
    about.facts.insert("agent", told.agent);
    let in_question = told.in_question.to_string();
    about.facts.insert("in_question", in_question);
    Ok(about)
}

#[derive(Debug, Deserialize)]
struct NodeBody {
    name: String,
    silent_s: u64,
}

async fn node(api: &Api, tx: &mut TenantTx, message: &Message) -> Done<About> {
    let told: NodeBody = body(message)?;
    let mut about = About {
        recipients: office(api, tx).await?,
        ..About::default()
    };
    about.facts.insert("node", told.name);
    let hours = told.silent_s / HOUR_S;
    about.facts.insert("hours", hours.to_string());
    Ok(about)
}
