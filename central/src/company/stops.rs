//! Stops: where buses call.

use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::db;
use super::records::{Record, Use};
use super::rules;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// A place where buses call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "LUN", "name": "Lusaka Intercity Terminus", "lat": -15.419,
    "lon": 28.279, "fare_zone": "LUN", "zone": "Africa/Lusaka"}))]
pub struct Stop {
    /// Its code, 1 to 64 characters; never changes.
    #[schema(max_length = 64)]
    pub code: String,
    /// Its name for people.
    #[schema(max_length = 120)]
    pub name: String,
    /// Degrees north.
    #[serde(default)]
    #[schema(minimum = -90, maximum = 90)]
    pub lat: Option<f64>,
    /// Degrees east.
    #[serde(default)]
    #[schema(minimum = -180, maximum = 180)]
    pub lon: Option<f64>,
    /// Its fare zone; its own code when left out.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub fare_zone: String,
    /// Whose local time it keeps: an IANA name.
    #[schema(max_length = 64)]
    pub zone: String,
}

/// Which stops.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopFilter {
    /// Code or name has this in it.
    pub(crate) text: Option<String>,
    /// Of one fare zone.
    pub(crate) fare_zone: Option<String>,
}

fn degrees(field: &str, value: Option<f64>, limit: f64) -> Result<(), Fault> {
    if value.is_none_or(|v| v.is_finite() && v.abs() <= limit) {
        return Ok(());
    }
    let remedy = format!("write degrees from -{limit} to {limit}");
    Err(Fault::new(field, "it is no position", remedy))
}

impl Record for Stop {
    const KIND: &'static str = "stop";
    type Filter = StopFilter;

    fn key(&self) -> String {
        self.code.clone()
    }

    fn checked(self) -> Result<Self, Fault> {
        let code = rules::code("code", &self.code)?;
        degrees("lat", self.lat, 90.0)?;
        degrees("lon", self.lon, 180.0)?;
        if self.lat.is_some() != self.lon.is_some() {
            let wrong = "a position has both lat and lon";
            return Err(Fault::new("lat", wrong, "give both, or neither"));
        }
        let fare_zone = rules::text("fare_zone", &self.fare_zone, rules::CODE_CHARS_MAX)?;
        Ok(Self {
            name: rules::name("name", &self.name, rules::NAME_CHARS_MAX)?,
            fare_zone: if fare_zone.is_empty() {
                code.clone()
            } else {
                fare_zone
            },
            zone: rules::zone("zone", &self.zone)?,
            code,
            ..self
        })
    }

    async fn list(
        tx: &mut TenantTx,
        filter: &StopFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(i32, Self)>, DbError> {
        db::stops::list(tx, filter, after, limit).await
    }

    async fn lock(tx: &mut TenantTx, key: &str) -> Result<Option<(i32, Self)>, DbError> {
        db::stops::lock(tx, key).await
    }

    async fn refers(&self, _: &mut TenantTx) -> Result<Option<Fault>, DbError> {
        Ok(None)
    }

    async fn insert(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        db::stops::insert(tx, self).await
    }

    async fn update(&self, tx: &mut TenantTx) -> Result<i32, DbError> {
        db::stops::update(tx, self).await
    }

    async fn uses(tx: &mut TenantTx, key: &str, now: Instant) -> Result<Vec<Use>, DbError> {
        db::stops::uses(tx, key, now).await
    }

    async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
        db::stops::delete(tx, key).await
    }
}
