//! Stations: where people sell.

use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::db;
use super::records::{Record, Use};
use super::rules;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// A place where people sell tickets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "LUN-1", "name": "Lusaka Intercity, counter hall",
    "stop": "LUN", "address": "Dedan Kimathi Road, Lusaka", "phone": "+260970000001",
    "opening_hours": "Mo-Fr 05:00-20:00; Sa,Su 06:00-18:00"}))]
pub struct Station {
    /// Its code, 1 to 64 characters; never changes.
    #[schema(max_length = 64)]
    pub code: String,
    /// Its name for people.
    #[schema(max_length = 120)]
    pub name: String,
    /// The stop where its passengers board.
    #[schema(max_length = 64)]
    pub stop: String,
    /// Where it stands.
    #[serde(default)]
    #[schema(max_length = 300)]
    pub address: String,
    /// Its phone, with the country's code.
    #[serde(default)]
    #[schema(max_length = 40)]
    pub phone: String,
    /// When it is open, as on OpenStreetMap: `Mo-Fr 06:00-20:00; Sa,Su 07:00-13:00` or `24/7`.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub opening_hours: String,
}

/// Which stations.
#[derive(Debug, Clone, Default)]
pub(crate) struct StationFilter {
    /// Code or name has this in it.
    pub(crate) text: Option<String>,
    /// At one stop.
    pub(crate) stop: Option<String>,
}

impl Record for Station {
    const KIND: &'static str = "station";
    type Filter = StationFilter;

    fn key(&self) -> String {
        self.code.clone()
    }

    fn checked(self) -> Result<Self, Fault> {
        Ok(Self {
            code: rules::code("code", &self.code)?,
            name: rules::name("name", &self.name, rules::NAME_CHARS_MAX)?,
            stop: rules::code("stop", &self.stop)?,
            address: rules::text("address", &self.address, rules::ADDRESS_CHARS_MAX)?,
            phone: rules::phone("phone", &self.phone)?,
            opening_hours: rules::opening_hours("opening_hours", &self.opening_hours)?,
        })
    }

    async fn list(
        tx: &mut TenantTx,
        filter: &StationFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(i32, Self)>, DbError> {
        db::stations::list(tx, filter, after, limit).await
    }

    async fn lock(tx: &mut TenantTx, key: &str) -> Result<Option<(i32, Self)>, DbError> {
        db::stations::lock(tx, key).await
    }

    async fn refers(&self, tx: &mut TenantTx) -> Result<Option<Fault>, DbError> {
        db::stops::missing(tx, "stop", &self.stop).await
    }

    async fn insert(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        db::stations::insert(tx, self).await
    }

    async fn update(&self, tx: &mut TenantTx) -> Result<i32, DbError> {
        db::stations::update(tx, self).await
    }

    async fn uses(_: &mut TenantTx, _: &str, _: Instant) -> Result<Vec<Use>, DbError> {
        Ok(vec![])
    }

    async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
        db::stations::delete(tx, key).await
    }
}
