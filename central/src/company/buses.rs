//! The fleet.

use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::db;
use super::records::{Record, Use};
use super::rules;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// The first year that a bus may have been built in.
const YEAR_MIN: i32 = 1950;
/// The last one.
const YEAR_MAX: i32 = 2100;

/// Whether a bus can be sent out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BusState {
    /// It can.
    InService,
    /// It is being repaired.
    Workshop,
    /// It never will again.
    Retired,
}

impl BusState {
    const ALL: [Self; 3] = [Self::InService, Self::Workshop, Self::Retired];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InService => "in_service",
            Self::Workshop => "workshop",
            Self::Retired => "retired",
        }
    }
}

impl std::str::FromStr for BusState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|s| s.as_str() == word)
            .ok_or_else(|| "a bus is in_service, workshop or retired".to_owned())
    }
}

/// A bus of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"registration": "BAE 1234", "layout": "COACH-49", "year": 2019,
    "state": "in_service", "wheelchair_lift": false}))]
pub struct Bus {
    /// Its plate, in capitals; never changes.
    #[schema(max_length = 16)]
    pub registration: String,
    /// How its seats stand: the newest version of this layout.
    #[schema(max_length = 64)]
    pub layout: String,
    /// When it was built.
    #[serde(default)]
    #[schema(minimum = 1950, maximum = 2100)]
    pub year: Option<i32>,
    /// Whether it can be sent out.
    pub state: BusState,
    /// A wheelchair can be lifted in.
    #[serde(default)]
    pub wheelchair_lift: bool,
}

/// Which buses.
#[derive(Debug, Clone, Default)]
pub(crate) struct BusFilter {
    /// The registration has this in it.
    pub(crate) text: Option<String>,
    /// In one state.
    pub(crate) state: Option<BusState>,
    /// Of one layout.
    pub(crate) layout: Option<String>,
}

impl Record for Bus {
    const KIND: &'static str = "bus";
    type Filter = BusFilter;

    fn key(&self) -> String {
        self.registration.clone()
    }

    fn checked(self) -> Result<Self, Fault> {
        if let Some(year) = self.year
            && !(YEAR_MIN..=YEAR_MAX).contains(&year)
        {
            let remedy = format!("write a year from {YEAR_MIN} to {YEAR_MAX}, or leave it out");
            return Err(Fault::new(
                "year",
                "no bus is that old or that young",
                remedy,
            ));
        }
        Ok(Self {
            registration: rules::registration("registration", &self.registration)?,
            layout: rules::code("layout", &self.layout)?,
            ..self
        })
    }

    async fn list(
        tx: &mut TenantTx,
        filter: &BusFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(i32, Self)>, DbError> {
        db::buses::list(tx, filter, after, limit).await
    }

    async fn lock(tx: &mut TenantTx, key: &str) -> Result<Option<(i32, Self)>, DbError> {
        db::buses::lock(tx, key).await
    }

    async fn refers(&self, tx: &mut TenantTx) -> Result<Option<Fault>, DbError> {
        db::layouts::missing(tx, "layout", &self.layout).await
    }

    async fn insert(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        db::buses::insert(tx, self).await
    }

    async fn update(&self, tx: &mut TenantTx) -> Result<i32, DbError> {
        db::buses::update(tx, self).await
    }

    async fn uses(_: &mut TenantTx, _: &str, _: Instant) -> Result<Vec<Use>, DbError> {
        Ok(vec![])
    }

    async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
        db::buses::delete(tx, key).await
    }
}
