//! Who may see where a bus is: who has a ticket of the trip or a link, and the company's people.

use domain::ids::{CompanyId, TicketId, TripId};
use domain::ticket::parse_qr;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::db;
use super::links::Link;
use crate::access::{Caller, Permission};
use crate::booking::http::{Proof, locate};
use crate::clock;
use crate::company;
use crate::http::{Api, Problem};

/// The longest ticket or link that is read, in characters.
const TEXT_CHARS_MAX: usize = 600;

/// By what somebody may see where a bus is. The company's people need none.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Sight {
    /// A link's token, `track_…`.
    #[param(max_length = 600)]
    pub(super) link: Option<String>,
    /// A ticket of the trip: its id, or the text of its QR code.
    #[param(max_length = 600, example = "018f5e0a-7c1d-7a52-9f6e-0d2b6a4c8e11")]
    pub(super) ticket: Option<String>,
    /// The reference of a booking with a seat on the trip.
    #[param(max_length = 20, example = "7F3K22QX")]
    pub(super) reference: Option<String>,
    /// With `reference`: the phone number given at the booking.
    #[param(max_length = 100, example = "+260970000001")]
    pub(super) phone: Option<String>,
    /// With `reference`: the name given at the booking.
    #[param(max_length = 100)]
    pub(super) name: Option<String>,
}

/// What opened a trip.
#[derive(Debug, Clone)]
pub(super) enum Opened {
    /// A link, which may end before the trip does.
    Link(Link),
    /// A ticket or the company's own.
    Other,
}

/// Whether the caller may see where a trip's bus is.
///
/// # Errors
/// 404, the same whether there is no such trip or nothing that opens it; 400 without anything
/// that could.
pub(super) async fn may_see(
    api: &Api,
    caller: &Caller,
    trip: TripId,
    sight: &Sight,
) -> Result<(CompanyId, Opened), Problem> {
    let long = [&sight.link, &sight.ticket, &sight.reference];
    let longest = long.into_iter().flatten().map(|t| t.chars().count()).max();
    if longest.is_some_and(|chars| chars > TEXT_CHARS_MAX) {
        return Err(Problem::bad_request(
            "`link` and `ticket` have at most 600 characters",
        ));
    }
    let company = company::company_of_trip(&api.db, trip).await?;
    let staff = caller.may(Permission::CompanyRead).ok();
    if let Some(company) = company.filter(|c| staff.is_some_and(|s| s.company == *c)) {
        return Ok((company, Opened::Other));
    }
    let nothing = sight.link.is_none() && sight.ticket.is_none() && sight.reference.is_none();
    if nothing && staff.is_none() {
        return Err(Problem::bad_request(
            "give a `ticket`, a `link`, or a booking's `reference` with its `phone` or `name`",
        ));
    }
    let opened = match company {
        Some(company) => opens(api, caller, (company, trip), sight).await?,
        None => None,
    };
    match (company, opened) {
        (Some(company), Some(opened)) => Ok((company, opened)),
        _ => Err(closed(trip)),
    }
}

/// One answer for a trip that is not there and for what does not open it.
fn closed(trip: TripId) -> Problem {
    Problem::not_found(format!("there is no trip {trip} that this opens"))
}

async fn opens(
    api: &Api,
    caller: &Caller,
    (company, trip): (CompanyId, TripId),
    sight: &Sight,
) -> Result<Option<Opened>, Problem> {
    if let Some(token) = &sight.link {
        let link = Link::read(&api.keys.link_key(), token);
        let Some(link) = link.filter(|l| l.company == company && l.trip == trip) else {
            return Ok(None);
        };
        let good = api.tracking.opens(&link, clock::now()).await?;
        return Ok(good.then_some(Opened::Link(link)));
    }
    if let Some(text) = &sight.ticket {
        let Some(ticket) = ticket_of(text) else {
            return Ok(None);
        };
        let mut tx = api.db.tenant(company).await?;
        let travels = db::ticket_travels(&mut tx, ticket, trip).await?;
        return Ok(travels.then_some(Opened::Other));
    }
    let Some(reference) = &sight.reference else {
        return Ok(None);
    };
    let proof = Proof {
        phone: sight.phone.clone(),
        name: sight.name.clone(),
    };
    let (of, booking) = locate(api, caller, reference, &proof).await?;
    if of != company {
        return Ok(None);
    }
    let mut tx = api.db.tenant(company).await?;
    let travels = db::booking_travels(&mut tx, booking, trip).await?;
    Ok(travels.then_some(Opened::Other))
}

/// The ticket that a text names; the hub knows whether it is one.
fn ticket_of(text: &str) -> Option<TicketId> {
    let text = text.trim();
    if let Ok(id) = text.parse::<Uuid>() {
        return Some(TicketId(id));
    }
    Some(parse_qr(text).ok()?.claim.id)
}
