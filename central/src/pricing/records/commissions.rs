//! Commission rates.

use domain::ids::StopCode;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{NAME_CHARS_MAX, code, off, off_members, text, validity, written};
use crate::company::Use;
use crate::company::records::Record;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::pricing::commission::{CommissionRate, RateFor};
use crate::pricing::db::commissions as rows;
use crate::pricing::db::fares::knows_stops;
use crate::tenant::TenantTx;

/// Whom a rate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SellerKind {
    /// One agent.
    Agent,
    /// Everybody who sells at a stop.
    Station,
    /// Whoever has no rate nearer.
    Company,
}

impl SellerKind {
    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Station => "station",
            Self::Company => "company",
        }
    }
}

/// What a seller earns per ticket. An agent's own rate comes before the station's, that before
/// the company's; of several that hold, the one whose period began last counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "agent", "seller": "Mutinta", "percent_bp": 500,
    "valid_from": "2026-12-01"}))]
pub struct CommissionEntry {
    /// Whom it is for.
    pub kind: SellerKind,
    /// The agent's name as its shifts carry it, or an account's number; the stop's code; empty
    /// for the company.
    #[serde(default)]
    #[schema(max_length = 120)]
    pub seller: String,
    /// Of the fare paid, in hundredths of a percent; this or `amount_minor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub percent_bp: Option<i32>,
    /// Per ticket, in minor units; never more than was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub amount_minor: Option<i64>,
    /// ISO 4217, of `amount_minor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 3)]
    pub currency: Option<String>,
    /// The first business date, YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_from: Option<String>,
    /// The last business date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_until: Option<String>,
}

/// Which rates.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommissionFilter {
    /// Of one kind.
    pub(crate) kind: Option<SellerKind>,
    /// Of one seller.
    pub(crate) seller: Option<String>,
}

impl CommissionEntry {
    fn of(rate: CommissionRate) -> (i32, Self) {
        let (percent_bp, amount_minor, currency) = off_members(&rate.part);
        let (valid_from, valid_until) = written(&rate.valid);
        let entry = Self {
            kind: match &rate.whose {
                RateFor::Company => SellerKind::Company,
                RateFor::Station(_) => SellerKind::Station,
                RateFor::Agent(_) => SellerKind::Agent,
            },
            seller: rate.whose.who().to_owned(),
            percent_bp,
            amount_minor,
            currency,
            valid_from,
            valid_until,
        };
        (rate.version, entry)
    }

    fn read(&self) -> Result<CommissionRate, Fault> {
        let whose = match self.kind {
            SellerKind::Company if self.seller.trim().is_empty() => RateFor::Company,
            SellerKind::Company => {
                let wrong = "the company's rate has no seller";
                return Err(Fault::new("seller", wrong, "leave it empty"));
            }
            SellerKind::Station => RateFor::Station(StopCode(code("seller", &self.seller)?)),
            SellerKind::Agent => {
                let name = text("seller", &self.seller, NAME_CHARS_MAX)?;
                if name.contains('~') {
                    let wrong = "it has a ~ in it";
                    return Err(Fault::new("seller", wrong, "leave the ~ out"));
                }
                RateFor::Agent(name)
            }
        };
        Ok(CommissionRate {
            whose,
            part: off(self.percent_bp, self.amount_minor, self.currency.as_deref())?,
            valid: validity(self.valid_from.as_deref(), self.valid_until.as_deref())?,
            version: 0,
        })
    }

    fn stored(&self) -> Result<CommissionRate, DbError> {
        self.read()
            .map_err(|_| DbError::damaged("a commission rate"))
    }
}

impl Record for CommissionEntry {
    const KIND: &'static str = "commission";
    type Filter = CommissionFilter;

    fn key(&self) -> String {
        let from = self.valid_from.as_deref().unwrap_or("always");
        format!("{}~{}~{from}", self.kind.as_str(), self.seller)
    }

    fn checked(self) -> Result<Self, Fault> {
        Ok(Self::of(self.read()?).1)
    }

    async fn list(
        tx: &mut TenantTx,
        filter: &CommissionFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(i32, Self)>, DbError> {
        let wanted = (
            filter.kind.map(SellerKind::as_str),
            filter.seller.as_deref(),
        );
        let found = rows::list(tx, wanted, after, limit).await?;
        Ok(found.into_iter().map(Self::of).collect())
    }

    async fn lock(tx: &mut TenantTx, key: &str) -> Result<Option<(i32, Self)>, DbError> {
        Ok(rows::lock(tx, key).await?.map(Self::of))
    }

    async fn refers(&self, tx: &mut TenantTx) -> Result<Option<Fault>, DbError> {
        if self.kind != SellerKind::Station {
            return Ok(None);
        }
        let unknown = knows_stops(tx, std::slice::from_ref(&self.seller)).await?;
        Ok(unknown.first().map(|stop| {
            let wrong = format!("there is no stop {stop:?}");
            Fault::new("seller", wrong, "make the stop first")
        }))
    }

    async fn insert(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        rows::insert(tx, &self.stored()?).await
    }

    async fn update(&self, tx: &mut TenantTx) -> Result<i32, DbError> {
        rows::update(tx, &self.key(), &self.stored()?).await
    }

    async fn uses(_: &mut TenantTx, _: &str, _: Instant) -> Result<Vec<Use>, DbError> {
        Ok(vec![])
    }

    async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
        rows::delete(tx, key).await
    }
}
