//! The numbers of accounts: made when money first touches them, remembered once committed.

use std::collections::{BTreeSet, HashMap};

use domain::ids::{NodeId, PartyId, ShiftNo, TripId};
use domain::ledger::Account;
use domain::money::Currency;

use super::NewEntry;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// What an account is known by, as stored.
type Key = (
    String,
    Option<uuid::Uuid>,
    Option<i32>,
    Option<i64>,
    Option<uuid::Uuid>,
    String,
);

/// The numbers of the accounts that some entries touch.
#[derive(Debug, Default)]
pub(super) struct Numbers(HashMap<(Account, Currency), i64>);

impl Numbers {
    pub(super) fn of(&self, account: Account, currency: Currency) -> Result<i64, DbError> {
        let known = self.0.get(&(account, currency)).copied();
        known.ok_or_else(|| DbError::damaged(format!("the account {account:?}")))
    }
}

/// Finds or makes every account that the entries touch. Making one locks its row until the
/// transaction ends: what is committed is remembered, so that money of many buyers does not queue
/// at the one account that takes it.
pub(super) async fn numbers(tx: &mut TenantTx, entries: &[&NewEntry]) -> Result<Numbers, DbError> {
    let touched: BTreeSet<(Account, Currency)> = entries
        .iter()
        .flat_map(|e| {
            let currency = e.entry.currency();
            let postings = e.entry.postings().iter();
            postings.map(move |p| (p.account, currency))
        })
        .collect();
    let mut found = Numbers::default();
    let mut missing = vec![];
    for key in touched {
        match tx.account(key) {
            Some(id) => {
                found.0.insert(key, id);
            }
            None => missing.push(key),
        }
    }
    for (key, id) in make(tx, missing).await? {
        tx.keep_account(key, id);
        found.0.insert(key, id);
    }
    Ok(found)
}

async fn make(
    tx: &mut TenantTx,
    missing: Vec<(Account, Currency)>,
) -> Result<Vec<((Account, Currency), i64)>, DbError> {
    if missing.is_empty() {
        return Ok(vec![]);
    }
    // In one order everywhere, so that two nodes never wait for each other.
    let mut keys: Vec<(Key, (Account, Currency))> = missing
        .into_iter()
        .map(|key| (stored_key(key), key))
        .collect();
    keys.sort();
    let kinds: Vec<&str> = keys.iter().map(|(k, _)| k.0.as_str()).collect();
    let nodes: Vec<_> = keys.iter().map(|(k, _)| k.1).collect();
    let shifts: Vec<_> = keys.iter().map(|(k, _)| k.2).collect();
    let trips: Vec<_> = keys.iter().map(|(k, _)| k.3).collect();
    let parties: Vec<_> = keys.iter().map(|(k, _)| k.4).collect();
    let currencies: Vec<&str> = keys.iter().map(|(k, _)| k.5.as_str()).collect();
    let rows = sqlx::query!(
        "INSERT INTO ledger_account (company_id, kind, node_id, shift, trip_id, party_id,
             currency)
         SELECT $1, w.* FROM UNNEST($2::text[], $3::uuid[], $4::int[], $5::bigint[],
             $6::uuid[], $7::text[]) AS w
         ON CONFLICT (company_id, kind, node_id, shift, trip_id, party_id, currency)
         DO UPDATE SET kind = EXCLUDED.kind
         RETURNING account_id, kind, node_id, shift, trip_id, party_id, currency",
        tx.company().0,
        &kinds as _,
        &nodes as _,
        &shifts as _,
        &trips as _,
        &parties as _,
        &currencies as _
    )
    .fetch_all(tx.conn())
    .await?;
    let numbers: HashMap<Key, i64> = rows
        .into_iter()
        .map(|r| {
            (
                (
                    r.kind, r.node_id, r.shift, r.trip_id, r.party_id, r.currency,
                ),
                r.account_id,
            )
        })
        .collect();
    let numbered = keys.into_iter().filter_map(|(stored, key)| {
        let id = numbers.get(&stored)?;
        Some((key, *id))
    });
    Ok(numbered.collect())
}

fn stored_key((account, currency): (Account, Currency)) -> Key {
    let (kind, node, shift, trip) = account.key();
    (
        kind.to_owned(),
        node.map(|NodeId(id)| id),
        shift.map(|ShiftNo(no)| no as i32),
        trip.map(|TripId(no)| no as i64),
        account.party().map(|PartyId(id)| id),
        currency.as_str().to_owned(),
    )
}
