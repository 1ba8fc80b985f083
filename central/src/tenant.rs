//! A transaction of one company.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use domain::ids::CompanyId;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::booking::catalog::{AccountKey, Catalog};
use crate::db::DbError;
use crate::metrics::{Counted, Metrics};
use crate::sync::bus::{Bus, BusEvent};

/// A transaction that row-level security ties to one company. What it published is told to
/// the bus once it has committed, and only then.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    company: CompanyId,
    bus: Bus,
    catalog: Arc<Catalog>,
    accounts: HashMap<AccountKey, i64>,
    changed: BTreeSet<String>,
    events: Vec<BusEvent>,
    metrics: Metrics,
    counted: Vec<Counted>,
}

impl TenantTx {
    pub(crate) fn new(
        tx: Transaction<'static, Postgres>,
        company: CompanyId,
        bus: Bus,
        catalog: Arc<Catalog>,
        metrics: Metrics,
    ) -> Self {
        Self {
            tx,
            company,
            bus,
            catalog,
            accounts: HashMap::new(),
            changed: BTreeSet::new(),
            events: vec![],
            metrics,
            counted: vec![],
        }
    }

    /// Whose transaction it is.
    pub fn company(&self) -> CompanyId {
        self.company
    }

    /// What selling remembers of this database.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What queries run on.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// The number of an account, where it is known.
    pub(crate) fn account(&self, key: AccountKey) -> Option<i64> {
        let fresh = self.accounts.get(&key).copied();
        fresh.or_else(|| self.catalog.account(self.company, key))
    }

    /// Notes the number of an account; others hear of it once this has committed.
    pub(crate) fn keep_account(&mut self, key: AccountKey, id: i64) {
        self.accounts.insert(key, id);
    }

    /// Forgets accounts that were taken back to a savepoint.
    pub(crate) fn forget_accounts(&mut self) {
        self.accounts.clear();
    }

    /// Notes that a bucket has changed.
    pub(crate) fn bucket_changed(&mut self, name: &str) {
        if !self.changed.contains(name) {
            self.changed.insert(name.to_owned());
        }
    }

    /// Notes what else to tell the bus.
    pub(crate) fn tell(&mut self, event: BusEvent) {
        self.events.push(event);
    }

    /// Notes what is to be counted once it is durable.
    pub(crate) fn count(&mut self, counted: Counted) {
        self.counted.push(counted);
    }

    /// Makes it durable, then wakes whoever waits for what it published.
    pub async fn commit(self) -> Result<(), DbError> {
        self.tx.commit().await?;
        let company = self.company;
        self.catalog.keep_accounts(company, self.accounts);
        for counted in self.counted {
            self.metrics.count(counted);
        }
        let changes = self.changed.into_iter().map(|name| BusEvent::Bucket {
            company,
            name: name.into(),
        });
        for event in self.events.into_iter().chain(changes) {
            self.bus.tell(event);
        }
        Ok(())
    }

    /// Gives it up.
    pub async fn rollback(self) -> Result<(), DbError> {
        Ok(self.tx.rollback().await?)
    }
}

#[cfg(test)]
pub(crate) mod tests;
