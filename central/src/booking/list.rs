//! A company's bookings, for its office.

use domain::ids::{CompanyId, TripId};
use domain::time::Instant;
use uuid::Uuid;

use super::contact::{Contact, name_form, phone_form};
use super::db::{self, Which};
use super::read::contact_of;
use super::service::BookingError;
use super::state::State;
use crate::company::zone_and_currency;
use crate::http::Api;

/// Which bookings.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) state: Option<State>,
    pub(super) trip: Option<TripId>,
    pub(super) reference: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) name: Option<String>,
    pub(super) from: Option<Instant>,
    pub(super) until: Option<Instant>,
    /// Older than this one: when it was made, and its number.
    pub(super) before: (i64, Uuid),
}

/// A booking in a list.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) id: Uuid,
    pub(super) reference: String,
    pub(super) state: State,
    pub(super) trip: TripId,
    pub(super) seats: i64,
    pub(super) total_minor: i64,
    pub(super) paid_minor: i64,
    pub(super) currency: String,
    pub(super) created_at: Instant,
    pub(super) expires_at: Option<Instant>,
    pub(super) contact: Option<Contact>,
    pub(super) group: Option<String>,
}

/// Some bookings of a company, the newest first.
pub(super) async fn of_company(
    api: &Api,
    company: CompanyId,
    wanted: &Wanted,
    most: i64,
) -> Result<Vec<Line>, BookingError> {
    let phone_blind = match &wanted.phone {
        None => None,
        Some(text) => {
            let (_, currency) = zone_and_currency(&api.db, company).await?;
            match phone_form(text, currency) {
                Some(form) => Some(api.vault.blind(company, "phone", &form)?),
                None => return Ok(vec![]),
            }
        }
    };
    let name_blind = wanted
        .name
        .as_deref()
        .map(|name| api.vault.blind(company, "name", &name_form(name)));
    let which = Which {
        reference: wanted.reference.clone(),
        state: wanted.state,
        trip: wanted.trip,
        phone_blind,
        name_blind: name_blind.transpose()?,
        from: wanted.from,
        until: wanted.until,
        before: Some(wanted.before),
    };
    let mut tx = api.db.tenant(company).await?;
    let mut lines = vec![];
    for row in db::list(&mut tx, &which, most).await? {
        lines.push(Line {
            contact: contact_of(api, company, &row)?,
            id: row.id,
            reference: row.reference,
            state: row.state,
            trip: row.trip,
            seats: row.seats,
            total_minor: row.total_minor,
            paid_minor: row.paid_minor,
            currency: row.currency,
            created_at: row.created_at,
            expires_at: row.expires_at.filter(|_| row.state.is_open()),
            group: row.group_name,
        });
    }
    Ok(lines)
}
