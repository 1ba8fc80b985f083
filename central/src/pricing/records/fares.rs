//! Fares with their days of sale.

use domain::ids::StopCode;
use domain::passenger::PassengerClass;
use domain::time::{Instant, ServiceDate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::discounts::ClassWord;
use super::{code, currency, minor, validity, written};
use crate::company::Use;
use crate::company::records::Record;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::pricing::db::fares as rows;
use crate::pricing::fares::{self, Fare};
use crate::pricing::rules::DatedFare;
use crate::tenant::TenantTx;

/// What one class pays between two stops when sold on some days. Of several that hold on the day
/// of sale the one whose period began last counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"table": "STD", "from": "LUN", "to": "LVI", "class": "adult",
    "fare_minor": 35_000, "currency": "ZMW", "valid_from": "2026-12-15",
    "valid_until": "2027-01-10"}))]
pub struct FareEntry {
    /// The fare table; routes name it.
    #[schema(max_length = 64)]
    pub table: String,
    /// Code of the stop to board at.
    #[schema(max_length = 64)]
    pub from: String,
    /// Code of the stop to leave at.
    #[schema(max_length = 64)]
    pub to: String,
    /// Who travels.
    pub class: ClassWord,
    /// What it costs, in minor units.
    #[schema(minimum = 0)]
    pub fare_minor: i64,
    /// ISO 4217; the table's.
    #[schema(max_length = 3)]
    pub currency: String,
    /// The first day of sale, YYYY-MM-DD; absent: it always was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_from: Option<String>,
    /// The last day of sale; absent: until further notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_until: Option<String>,
}

/// Which fares.
#[derive(Debug, Clone, Default)]
pub(crate) struct FareAsked {
    /// Of one table.
    pub(crate) table: Option<String>,
    /// From one stop.
    pub(crate) from: Option<String>,
    /// To one stop.
    pub(crate) to: Option<String>,
    /// Of one class.
    pub(crate) class: Option<PassengerClass>,
    /// That hold on a day.
    pub(crate) on: Option<ServiceDate>,
}

impl FareEntry {
    fn of(fare: Fare) -> (i32, Self) {
        let (valid_from, valid_until) = written(&fare.fare.valid);
        let entry = Self {
            table: fare.table,
            from: fare.from.0,
            to: fare.to.0,
            class: fare.fare.class.into(),
            fare_minor: fare.fare.fare_minor.0,
            currency: fare.currency.to_string(),
            valid_from,
            valid_until,
        };
        (fare.version, entry)
    }

    fn read(&self) -> Result<Fare, Fault> {
        let valid = validity(self.valid_from.as_deref(), self.valid_until.as_deref())?;
        Ok(Fare {
            table: code("table", &self.table)?,
            currency: currency(&self.currency)?,
            from: StopCode(code("from", &self.from)?),
            to: StopCode(code("to", &self.to)?),
            fare: DatedFare {
                class: self.class.into(),
                fare_minor: minor("fare_minor", self.fare_minor, 0)?,
                valid,
            },
            version: 0,
        })
    }

    fn stored(&self) -> Result<Fare, DbError> {
        self.read().map_err(|_| DbError::damaged("a fare"))
    }
}

impl Record for FareEntry {
    const KIND: &'static str = "fare";
    type Filter = FareAsked;

    fn key(&self) -> String {
        let class = PassengerClass::from(self.class).code();
        let from = self.valid_from.as_deref().unwrap_or("always");
        format!("{}~{}~{}~{class}~{from}", self.table, self.from, self.to)
    }

    fn checked(self) -> Result<Self, Fault> {
        let fare = self.read()?;
        if fare.from == fare.to {
            let wrong = "it goes nowhere";
            return Err(Fault::new("to", wrong, "name another stop than `from`"));
        }
        Ok(Self::of(fare).1)
    }

    async fn list(
        tx: &mut TenantTx,
        asked: &FareAsked,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(i32, Self)>, DbError> {
        let filter = rows::FareFilter {
            table: asked.table.clone(),
            from: asked.from.clone(),
            to: asked.to.clone(),
            class: asked.class.map(|c| i16::from(c.code())),
            on: asked.on,
        };
        let found = rows::list(tx, &filter, after, limit).await?;
        Ok(found.into_iter().map(Self::of).collect())
    }

    async fn lock(tx: &mut TenantTx, key: &str) -> Result<Option<(i32, Self)>, DbError> {
        Ok(rows::lock(tx, key).await?.map(Self::of))
    }

    async fn refers(&self, tx: &mut TenantTx) -> Result<Option<Fault>, DbError> {
        let Some(own) = fares::open(tx, &self.table).await? else {
            let wrong = format!("there is no fare table {:?}", self.table);
            return Ok(Some(Fault::new("table", wrong, "make the table first")));
        };
        if own.as_str() != self.currency {
            let wrong = format!("the table is in {own}");
            return Ok(Some(Fault::new("currency", wrong, format!("write {own}"))));
        }
        let stops = [self.from.clone(), self.to.clone()];
        let unknown = rows::knows_stops(tx, &stops).await?;
        Ok(unknown.first().map(|stop| {
            let column = if *stop == self.from { "from" } else { "to" };
            let wrong = format!("there is no stop {stop:?}");
            Fault::new(column, wrong, "make the stop first")
        }))
    }

    async fn insert(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        rows::insert(tx, &self.stored()?).await?;
        rows::touch(tx, &self.table).await
    }

    async fn update(&self, tx: &mut TenantTx) -> Result<i32, DbError> {
        let version = rows::update(tx, &self.stored()?).await?;
        rows::touch(tx, &self.table).await?;
        Ok(version)
    }

    async fn uses(_: &mut TenantTx, _: &str, _: Instant) -> Result<Vec<Use>, DbError> {
        Ok(vec![])
    }

    async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
        if let Some((_, fare)) = Self::lock(tx, key).await? {
            rows::delete(tx, key).await?;
            rows::touch(tx, &fare.table).await?;
        }
        Ok(())
    }
}
