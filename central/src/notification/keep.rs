//! What was told long ago goes, so that nothing grows for ever.

use domain::time::Instant;

use super::db;
use crate::db::{Db, DbError};
use crate::outbox;
use crate::payment::webhooks;
use crate::views::all_companies;
use crate::worker::Progress;

/// Rows of each table that one piece of work deletes per company.
pub(super) const BATCH: i64 = 1_000;

/// Deletes a batch of what each company does not keep any longer; what is still under way stays.
pub(super) async fn prune(db: &Db, now: Instant) -> Result<Progress, DbError> {
    let mut progress = Progress::Idle;
    for company in all_companies(db).await? {
        let mut tx = db.tenant(company).await?;
        let (_, settings) = db::settings(&mut tx).await?;
        let before = settings.kept_since(now);
        let gone = [
            db::prune(&mut tx, before, BATCH).await?,
            webhooks::prune(&mut tx, before, BATCH).await?,
            outbox::prune(&mut tx, before, BATCH).await?,
        ];
        tx.commit().await?;
        if gone.contains(&BATCH.cast_unsigned()) {
            progress = Progress::More;
        }
    }
    Ok(progress)
}
