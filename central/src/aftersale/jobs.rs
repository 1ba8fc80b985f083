//! What happens after the sale by itself: refunds nobody chose, offers that ran out, no-shows.

use std::time::Duration;

use domain::ids::CompanyId;

use super::offer::AftersaleError;
use super::{db, manifest, service};
use crate::audit::Actor;
use crate::clock;
use crate::db::DbError;
use crate::http::Api;
use crate::views;
use crate::worker::{Job, JobError, Progress};

/// The most of one kind done for a company at a time.
const AT_ONCE: i64 = 50;

/// The jobs of this service.
pub fn jobs() -> Vec<Job> {
    vec![Job {
        name: "aftersale",
        every: Duration::from_secs(30),
        run: |api| Box::pin(sweep(api)),
    }]
}

async fn sweep(api: Api) -> Result<Progress, JobError> {
    let mut more = false;
    for company in views::all_companies(&api.db).await? {
        more |= refund_the_undecided(&api, company).await?;
        let mut tx = api.db.tenant(company).await?;
        db::lapse(&mut tx, clock::now()).await?;
        db::let_go_of_ended(&mut tx).await?;
        tx.commit().await?;
        more |= manifest::mark_from_scans(&api, company).await?;
    }
    Ok(if more { Progress::More } else { Progress::Idle })
}

/// Passengers of cancelled trips who chose nothing in time have all money back.
pub(super) async fn refund_the_undecided(api: &Api, company: CompanyId) -> Result<bool, DbError> {
    let now = clock::now();
    let mut tx = api.db.tenant(company).await?;
    let due = db::overdue(&mut tx, now, AT_ONCE).await?;
    tx.rollback().await?;
    for offer in &due {
        let mut tx = api.db.tenant(company).await?;
        let who = service::Confirming {
            actor: Actor::System,
            drawer: None,
            trip: None,
        };
        match service::confirm(&mut tx, api, *offer, who, now).await {
            Ok(_) => tx.commit().await?,
            Err(AftersaleError::Refused(why)) => {
                // Nothing is left to refund, or a person has to look: it is not tried again.
                tx.rollback().await?;
                let mut tx = api.db.tenant(company).await?;
                db::end_offer(&mut tx, *offer, "lapsed", now).await?;
                tx.commit().await?;
                tracing::warn!(%offer, %why, "an automatic refund was refused");
            }
            Err(AftersaleError::Db(error)) => return Err(error),
            Err(AftersaleError::NoEntropy(error)) => {
                tracing::warn!(%error, "an automatic refund waits");
                return Ok(false);
            }
            Err(AftersaleError::Vault(error)) => {
                tracing::warn!(%offer, %error, "an automatic refund waits");
            }
        }
    }
    Ok(due.len() as i64 == AT_ONCE)
}
