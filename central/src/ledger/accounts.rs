//! The numbers of accounts, remembered once they are committed.

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

/// Account numbers of one company.
#[derive(Debug, Default)]
pub struct AccountCache {
    known: HashMap<(Account, Currency), i64>,
    fresh: HashMap<(Account, Currency), i64>,
}

impl AccountCache {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps what the transaction made, or forgets it when that was not committed.
    pub fn settle(&mut self, committed: bool) {
        if committed {
            self.known.extend(self.fresh.drain());
        } else {
            self.fresh.clear();
        }
    }

    pub(super) fn id(&self, account: Account, currency: Currency) -> Result<i64, DbError> {
        let key = (account, currency);
        self.known
            .get(&key)
            .or_else(|| self.fresh.get(&key))
            .copied()
            .ok_or_else(|| DbError::damaged(format!("the account {account:?}")))
    }

    /// Finds or makes every account that the entries touch.
    pub(super) async fn make_known(
        &mut self,
        tx: &mut TenantTx,
        entries: &[NewEntry],
    ) -> Result<(), DbError> {
        let missing: BTreeSet<(Account, Currency)> = entries
            .iter()
            .flat_map(|e| {
                let currency = e.entry.currency();
                e.entry
                    .postings()
                    .iter()
                    .map(move |p| (p.account, currency))
            })
            .filter(|key| !self.known.contains_key(key) && !self.fresh.contains_key(key))
            .collect();
        if missing.is_empty() {
            return Ok(());
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
        for (stored, key) in keys {
            if let Some(id) = numbers.get(&stored) {
                self.fresh.insert(key, *id);
            }
        }
        Ok(())
    }
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
