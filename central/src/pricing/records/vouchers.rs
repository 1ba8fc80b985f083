//! Vouchers.

use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::discounts::ActiveFilter;
use super::{NAME_CHARS_MAX, at_least, currency, minor, off, text, validity, written};
use crate::company::Use;
use crate::company::records::Record;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::pricing::db::vouchers as rows;
use crate::pricing::rules::{Off, Voucher};
use crate::pricing::service::{VOUCHER_CHARS_MAX, written as code_written};
use crate::tenant::TenantTx;

fn all_active() -> bool {
    true
}

/// A code that takes something off a whole booking, after discounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "SUNNY26", "name": "Sunny days", "amount_minor": 5_000,
    "currency": "ZMW", "valid_from": "2026-12-01", "valid_until": "2026-12-31",
    "uses_max": 500, "uses_per_person_max": 1, "min_spend_minor": 20_000, "active": true}))]
pub struct VoucherEntry {
    /// What the customer types: 3 to 40 capitals, digits and dashes; never changes.
    #[schema(min_length = 3, max_length = 40)]
    pub code: String,
    /// Its name for people.
    #[schema(max_length = 120)]
    pub name: String,
    /// Off the booking, in hundredths of a percent; this or `amount_minor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub percent_bp: Option<i32>,
    /// Off the booking, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub amount_minor: Option<i64>,
    /// ISO 4217, of `amount_minor` and `min_spend_minor`; it is for such bookings only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 3)]
    pub currency: Option<String>,
    /// The first day of sale, YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_from: Option<String>,
    /// The last day of sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_until: Option<String>,
    /// In how many bookings it may be used; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub uses_max: Option<i32>,
    /// In how many by one person, known by account or phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub uses_per_person_max: Option<i32>,
    /// What the booking costs at least, after discounts, in minor units.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub min_spend_minor: i64,
    /// Whether it may be used.
    #[serde(default = "all_active")]
    pub active: bool,
}

impl VoucherEntry {
    /// In the form that people write.
    pub(crate) fn of(kept: rows::KeptVoucher) -> (i32, Self) {
        let v = kept.voucher;
        let (percent_bp, amount_minor) = match v.off {
            Off::PercentBp(bp) => (Some(i32::from(bp)), None),
            Off::Amount(amount, _) => (None, Some(amount.0)),
        };
        let (valid_from, valid_until) = written(&v.valid);
        let entry = Self {
            code: v.code,
            name: v.name,
            percent_bp,
            amount_minor,
            currency: v.currency.map(|c| c.to_string()),
            valid_from,
            valid_until,
            uses_max: v.uses_max,
            uses_per_person_max: v.uses_per_person_max,
            min_spend_minor: v.min_spend_minor.0,
            active: v.active,
        };
        (kept.version, entry)
    }

    fn read(&self) -> Result<rows::KeptVoucher, Fault> {
        let code = code_written(&self.code);
        let fits = (3..=VOUCHER_CHARS_MAX).contains(&code.chars().count());
        let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
        if !fits || !code.chars().all(plain) {
            let wrong = "it is no voucher code";
            let remedy = "write 3 to 40 capitals, digits and dashes";
            return Err(Fault::new("code", wrong, remedy));
        }
        let min_spend_minor = minor("min_spend_minor", self.min_spend_minor, 0)?;
        if min_spend_minor.0 > 0 && self.currency.is_none() {
            let wrong = "`min_spend_minor` has a currency";
            let remedy = "write three capital letters like ZMW";
            return Err(Fault::new("currency", wrong, remedy));
        }
        let money = self.currency.as_deref();
        let voucher = Voucher {
            code,
            name: text("name", &self.name, NAME_CHARS_MAX)?,
            off: off(self.percent_bp, self.amount_minor, money)?,
            valid: validity(self.valid_from.as_deref(), self.valid_until.as_deref())?,
            uses_max: at_least("uses_max", self.uses_max, 1)?,
            uses_per_person_max: at_least("uses_per_person_max", self.uses_per_person_max, 1)?,
            used: 0,
            min_spend_minor,
            currency: money.map(currency).transpose()?,
            active: self.active,
        };
        Ok(rows::KeptVoucher {
            voucher,
            version: 0,
        })
    }
}

impl Record for VoucherEntry {
    const KIND: &'static str = "voucher";
    type Filter = ActiveFilter;

    fn key(&self) -> String {
        self.code.clone()
    }

    fn checked(self) -> Result<Self, Fault> {
        Ok(Self::of(self.read()?).1)
    }

    async fn list(
        tx: &mut TenantTx,
        filter: &ActiveFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(i32, Self)>, DbError> {
        let found = rows::list(tx, filter.active, after, limit).await?;
        Ok(found.into_iter().map(Self::of).collect())
    }

    async fn lock(tx: &mut TenantTx, key: &str) -> Result<Option<(i32, Self)>, DbError> {
        Ok(rows::lock(tx, key).await?.map(Self::of))
    }

    async fn refers(&self, tx: &mut TenantTx) -> Result<Option<Fault>, DbError> {
        let used = rows::find(tx, &self.code).await?;
        let used = used.map_or(0, |kept| kept.voucher.used);
        Ok(self.uses_max.filter(|max| *max < used).map(|_| {
            let wrong = format!("it was used {used} times already");
            Fault::new("uses_max", wrong, "write as many, or stop it by `active`")
        }))
    }

    async fn insert(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        rows::insert(tx, &self.code).await?;
        self.update(tx).await.map(|_| ())
    }

    async fn update(&self, tx: &mut TenantTx) -> Result<i32, DbError> {
        let kept = self.read().map_err(|_| DbError::damaged("a voucher"))?;
        rows::put(tx, &kept.voucher).await
    }

    async fn uses(tx: &mut TenantTx, key: &str, _: Instant) -> Result<Vec<Use>, DbError> {
        let (count, names) = rows::ever_used(tx, key).await?;
        let what = "booking".to_owned();
        let found = (count > 0).then_some(Use { what, count, names });
        Ok(found.into_iter().collect())
    }

    async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
        rows::delete(tx, key).await
    }
}
