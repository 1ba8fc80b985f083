//! What bookings need done by itself: seats that nobody paid for go back, contacts are sealed.

use std::time::Duration;

use domain::ids::CompanyId;
use domain::money::Currency;

use super::contact::{self, Contact, phone_form};
use super::db;
use super::pay::release;
use super::service::BookingError;
use super::state::State;
use crate::clock;
use crate::http::Api;
use crate::views::all_companies;
use crate::worker::{Job, Progress};
use domain::time::Instant;

/// Bookings of one piece of work.
const BATCH: i64 = 100;
const SWEEP_EVERY: Duration = Duration::from_secs(5);
const SEAL_EVERY: Duration = Duration::from_mins(10);

/// The jobs of this service.
pub(crate) fn jobs() -> Vec<Job> {
    vec![
        super::search::job(),
        Job {
            name: "expired holds",
            every: SWEEP_EVERY,
            run: |api| Box::pin(async move { Ok(sweep(&api, clock::now()).await?) }),
        },
        Job {
            name: "sealing contacts",
            every: SEAL_EVERY,
            run: |api| Box::pin(async move { Ok(seal(&api).await?) }),
        },
    ]
}

/// Gives back the seats of unpaid bookings whose time is over, a batch per company. What somebody
/// works on at this moment is left for the next turn.
pub(crate) async fn sweep(api: &Api, now: Instant) -> Result<Progress, BookingError> {
    let mut progress = Progress::Idle;
    for company in all_companies(&api.db).await? {
        let mut tx = api.db.tenant(company).await?;
        let over = db::run_out(&mut tx, None, now, BATCH).await?;
        for booking in &over {
            release(&mut tx, *booking, State::Expired, now).await?;
        }
        tx.commit().await?;
        if over.len() as i64 == BATCH {
            progress = Progress::More;
        }
    }
    Ok(progress)
}

/// Seals the contacts of bookings from before there was a vault.
pub(crate) async fn seal(api: &Api) -> Result<Progress, BookingError> {
    let mut progress = Progress::Idle;
    for company in all_companies(&api.db).await? {
        if seal_some(api, company).await? {
            progress = Progress::More;
        }
    }
    Ok(progress)
}

async fn seal_some(api: &Api, company: CompanyId) -> Result<bool, BookingError> {
    let mut tx = api.db.tenant(company).await?;
    let rows = db::plain_contacts(&mut tx, BATCH).await?;
    for row in &rows {
        let currency: Currency = row.currency.parse().unwrap_or(Currency::ZMW);
        let contact = Contact {
            name: row.name.clone(),
            phone: phone_form(&row.phone, currency).unwrap_or_else(|| row.phone.clone()),
            email: None,
        };
        let sealed = contact::seal(&api.vault, company, row.booking, &contact)?;
        db::seal_contact(&mut tx, row.booking, &sealed).await?;
    }
    tx.commit().await?;
    Ok(rows.len() as i64 == BATCH)
}
