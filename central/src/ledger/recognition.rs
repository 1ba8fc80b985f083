//! A trip departs: what was owed to its passengers is earned, and whoever sold it has earned
//! the commission.
//!
//! Recognising again finds what came in between and nothing else, so a sale that raced with the
//! departure is earned by the next run.

use std::collections::BTreeMap;

use domain::ids::{TicketId, TripId};
use domain::ledger::{Account, Entry, EntryKind, Posting};
use domain::money::{Currency, Minor};
use domain::time::{Instant, Zone};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{NewEntry, commission, post};
use crate::db::DbError;
use crate::tenant::TenantTx;

/// How long after a trip's recognition a sale that was under way meanwhile may commit, in ms.
const STRAGGLE_MS: i64 = 15 * 60_000;
/// The most trips that one look for stragglers gives.
const STRAGGLERS_MAX: i64 = 100;

/// What became revenue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recognised {
    /// Tickets whose fare is earned.
    pub tickets: usize,
    /// Revenue, in minor units, of all currencies together.
    pub revenue_minor: i64,
    /// Commission earned on it.
    pub commission_minor: i64,
}

/// What a ticket still owes its passenger.
struct Owed {
    ticket: Option<TicketId>,
    amount_minor: i64,
}

/// The trip has departed: debits what is deferred for it, credits revenue and the commission
/// earned on it. A second call changes nothing; what is sold afterwards is revenue at once.
pub async fn recognise(
    tx: &mut TenantTx,
    trip: TripId,
    now: Instant,
) -> Result<Recognised, DbError> {
    let run = begin_run(tx, trip, now).await?;
    let mut done = Recognised::default();
    let owed = deferred(tx, trip).await?;
    if owed.is_empty() {
        return Ok(done);
    }
    let departed = departure(tx, trip, now).await?;
    let mut entries = vec![];
    for (currency, owed) in owed {
        let sold: Vec<(TicketId, i64)> = owed
            .iter()
            .filter_map(|o| Some((o.ticket?, o.amount_minor)))
            .collect();
        let earned = commission::earned(tx, &sold, currency, departed).await?;
        let mut postings = vec![];
        let mut revenue: i64 = 0;
        for line in &owed {
            revenue = revenue.saturating_add(line.amount_minor);
            postings.push(Posting {
                account: Account::DeferredRevenue(trip),
                amount_minor: Minor(line.amount_minor),
                ticket: line.ticket,
            });
        }
        let line = |account, amount| Posting {
            account,
            amount_minor: Minor(amount),
            ticket: None,
        };
        postings.push(line(Account::Revenue, revenue.saturating_neg()));
        postings.extend(earned.iter().flat_map(commission::of_party));
        done.commission_minor += earned.values().sum::<i64>();
        done.tickets += sold.len();
        done.revenue_minor = done.revenue_minor.saturating_add(revenue);
        let entry = Entry::new(EntryKind::Recognition, currency, departed, postings)
            .map_err(|e| DbError::damaged(format!("the deferred revenue of trip {trip}: {e}")))?;
        let id = entry_id(tx, trip, run, currency);
        entries.push(NewEntry { id, entry });
    }
    post(tx, &entries, now).await?;
    Ok(done)
}

/// Where the fares of a trip's tickets stand at this moment.
pub async fn fares_account(tx: &mut TenantTx, trip: TripId) -> Result<Account, DbError> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ledger_recognition
                          WHERE company_id = $1 AND trip_id = $2) AS "known!""#,
        tx.company().0,
        trip.0 as i64
    );
    Ok(Account::of_fares(trip, known.fetch_one(tx.conn()).await?))
}

/// Trips that were recognised a moment ago and hold deferred revenue again.
pub(crate) async fn straggling_trips(
    tx: &mut TenantTx,
    now: Instant,
) -> Result<Vec<TripId>, DbError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT r.trip_id FROM ledger_recognition r
           WHERE r.company_id = $1 AND r.first_at_ms > $2
             AND EXISTS (SELECT FROM ledger_account a
                         JOIN ledger_posting p USING (company_id, account_id)
                         WHERE a.company_id = r.company_id AND a.kind = 'deferred_revenue'
                           AND a.trip_id = r.trip_id
                         GROUP BY a.account_id HAVING sum(p.amount_minor) <> 0)
           ORDER BY r.trip_id LIMIT $3"#,
        tx.company().0,
        now.0 - STRAGGLE_MS,
        STRAGGLERS_MAX
    );
    let rows = rows.fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|id| TripId(id as u64)).collect())
}

/// Counts the run; its row is locked, so that two runs never see the same balance.
async fn begin_run(tx: &mut TenantTx, trip: TripId, now: Instant) -> Result<i32, DbError> {
    let run = sqlx::query_scalar!(
        "INSERT INTO ledger_recognition AS r (company_id, trip_id, first_at_ms)
         VALUES ($1, $2, $3)
         ON CONFLICT (company_id, trip_id) DO UPDATE SET runs = r.runs + 1
         RETURNING runs",
        tx.company().0,
        trip.0 as i64,
        now.0
    );
    Ok(run.fetch_one(tx.conn()).await?)
}

/// What is deferred for a trip, by currency and ticket.
async fn deferred(
    tx: &mut TenantTx,
    trip: TripId,
) -> Result<BTreeMap<Currency, Vec<Owed>>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT a.currency, p.ticket_id, -sum(p.amount_minor)::bigint AS "owed!"
           FROM ledger_account a JOIN ledger_posting p USING (company_id, account_id)
           WHERE a.company_id = $1 AND a.kind = 'deferred_revenue' AND a.trip_id = $2
           GROUP BY a.currency, p.ticket_id HAVING sum(p.amount_minor) <> 0
           ORDER BY a.currency, p.ticket_id"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    let mut owed: BTreeMap<Currency, Vec<Owed>> = BTreeMap::new();
    for row in rows {
        let currency = row.currency.parse();
        let currency = currency.map_err(|_| DbError::damaged("an account's currency"))?;
        owed.entry(currency).or_default().push(Owed {
            ticket: row.ticket_id.map(TicketId),
            amount_minor: row.owed,
        });
    }
    Ok(owed)
}

/// The company's day of the departure, as planned or as late as it is, never after now.
async fn departure(
    tx: &mut TenantTx,
    trip: TripId,
    now: Instant,
) -> Result<domain::time::ServiceDate, DbError> {
    let row = sqlx::query!(
        r#"SELECT c.zone, t.departs_at_ms + t.delay_ms AS "departs_ms!"
           FROM trip t JOIN company c USING (company_id)
           WHERE t.company_id = $1 AND t.trip_id = $2"#,
        tx.company().0,
        trip.0 as i64
    )
    .fetch_one(tx.conn())
    .await?;
    let zone: Option<Zone> = row.zone.parse().ok();
    let at = Instant(row.departs_ms.min(now.0));
    zone.and_then(|zone| at.local_date(&zone))
        .ok_or_else(|| DbError::damaged(format!("the departure of trip {trip}")))
}

fn entry_id(tx: &TenantTx, trip: TripId, run: i32, currency: Currency) -> Uuid {
    super::derived_id(&[
        b"recognition",
        tx.company().as_bytes(),
        &trip.0.to_be_bytes(),
        &run.to_be_bytes(),
        currency.as_str().as_bytes(),
    ])
}

/// An entry's id from what makes it happen once.
pub(crate) fn derived_id(parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hash.finalize()[..16]);
    Uuid::from_bytes(first)
}
