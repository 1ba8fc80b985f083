//! Discounts.

use std::collections::BTreeSet;

use domain::passenger::PassengerClass;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{NAME_CHARS_MAX, at_least, code, off, off_members, text, validity, written};
use crate::company::Use;
use crate::company::records::Record;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::pricing::db::discounts as rows;
use crate::pricing::rules::{Channel, Discount};
use crate::tenant::TenantTx;

/// The most routes that one discount names.
const ROUTES_MAX: usize = 200;

/// Who travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassWord {
    /// Pays the full fare.
    Adult,
    /// Has a seat at the child's fare.
    Child,
    /// Travels on a lap, or in a seat if one was bought.
    Infant,
    /// A person with reduced mobility.
    Prm,
}

impl From<ClassWord> for PassengerClass {
    fn from(word: ClassWord) -> Self {
        match word {
            ClassWord::Adult => Self::Adult,
            ClassWord::Child => Self::Child,
            ClassWord::Infant => Self::Infant,
            ClassWord::Prm => Self::Prm,
        }
    }
}

impl From<PassengerClass> for ClassWord {
    fn from(class: PassengerClass) -> Self {
        match class {
            PassengerClass::Adult => Self::Adult,
            PassengerClass::Child => Self::Child,
            PassengerClass::Infant => Self::Infant,
            PassengerClass::Prm => Self::Prm,
        }
    }
}

/// Where a sale is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelWord {
    /// By the customer, over the network.
    Online,
    /// By an agent or clerk at the hub's screens.
    Counter,
    /// By another program, under an API key.
    Partner,
}

impl From<ChannelWord> for Channel {
    fn from(word: ChannelWord) -> Self {
        match word {
            ChannelWord::Online => Self::Online,
            ChannelWord::Counter => Self::Counter,
            ChannelWord::Partner => Self::Partner,
        }
    }
}

impl From<Channel> for ChannelWord {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Online => Self::Online,
            Channel::Counter => Self::Counter,
            Channel::Partner => Self::Partner,
        }
    }
}

fn all_active() -> bool {
    true
}

/// Something off the fare, by itself. Empty lists and absent members ask for nothing. Every
/// discount is reckoned from the full fare: those that combine are added up, of the others the
/// best counts and is added too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "EARLY", "name": "Early bird", "percent_bp": 1_000,
    "classes": ["adult"], "routes": ["LUN-LVI"], "weekdays": [2, 3], "channels": ["online"],
    "days_ahead_min": 14, "valid_from": "2026-11-01", "combines": false, "active": true}))]
pub struct DiscountEntry {
    /// The company's word for it; never changes.
    #[schema(max_length = 64)]
    pub code: String,
    /// Its name for people.
    #[schema(max_length = 120)]
    pub name: String,
    /// Off each fare, in hundredths of a percent; this or `amount_minor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000)]
    pub percent_bp: Option<i32>,
    /// Off each fare, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub amount_minor: Option<i64>,
    /// ISO 4217, of `amount_minor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 3)]
    pub currency: Option<String>,
    /// For these passengers.
    #[serde(default)]
    #[schema(max_items = 4)]
    pub classes: Vec<ClassWord>,
    /// On these routes, by code.
    #[serde(default)]
    #[schema(max_items = 200)]
    pub routes: Vec<String>,
    /// For departures on these days, 1 Monday to 7 Sunday.
    #[serde(default)]
    #[schema(max_items = 7)]
    pub weekdays: Vec<u8>,
    /// When sold here.
    #[serde(default)]
    #[schema(max_items = 3)]
    pub channels: Vec<ChannelWord>,
    /// When sold at least so many days before departure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub days_ahead_min: Option<i32>,
    /// When sold at most so many days before departure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub days_ahead_max: Option<i32>,
    /// The first day of sale, YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_from: Option<String>,
    /// The last day of sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_until: Option<String>,
    /// Whether it adds to other discounts.
    #[serde(default)]
    pub combines: bool,
    /// Whether it is given at all.
    #[serde(default = "all_active")]
    pub active: bool,
}

/// Which discounts or vouchers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ActiveFilter {
    /// Only those that are given, or only those that are not.
    pub(crate) active: Option<bool>,
}

impl DiscountEntry {
    fn of(kept: rows::KeptDiscount) -> (i32, Self) {
        let d = kept.discount;
        let (percent_bp, amount_minor, currency) = off_members(&d.off);
        let (valid_from, valid_until) = written(&d.valid);
        let entry = Self {
            code: d.code,
            name: d.name,
            percent_bp,
            amount_minor,
            currency,
            classes: d.classes.into_iter().map(ClassWord::from).collect(),
            routes: d.routes,
            weekdays: d.weekdays,
            channels: d.channels.into_iter().map(ChannelWord::from).collect(),
            days_ahead_min: d.days_ahead_min,
            days_ahead_max: d.days_ahead_max,
            valid_from,
            valid_until,
            combines: d.combines,
            active: kept.active,
        };
        (kept.version, entry)
    }

    fn read(&self) -> Result<rows::KeptDiscount, Fault> {
        let weekdays: BTreeSet<u8> = self.weekdays.iter().copied().collect();
        if weekdays.iter().any(|d| !(1..=7).contains(d)) {
            let remedy = "write 1 for Monday to 7 for Sunday";
            return Err(Fault::new("weekdays", "a day is no weekday", remedy));
        }
        if self.routes.len() > ROUTES_MAX {
            let wrong = format!("it names more than {ROUTES_MAX} routes");
            return Err(Fault::new("routes", wrong, "leave the list empty for all"));
        }
        let routes: Result<BTreeSet<String>, Fault> =
            self.routes.iter().map(|r| text("routes", r, 64)).collect();
        let classes: BTreeSet<ClassWord> = self.classes.iter().copied().collect();
        let channels: BTreeSet<ChannelWord> = self.channels.iter().copied().collect();
        let (least, most) = (self.days_ahead_min, self.days_ahead_max);
        if least.zip(most).is_some_and(|(least, most)| least > most) {
            let wrong = "it is less than `days_ahead_min`";
            return Err(Fault::new("days_ahead_max", wrong, "swap the two numbers"));
        }
        let (money, percent) = (self.currency.as_deref(), self.percent_bp);
        Ok(rows::KeptDiscount {
            discount: Discount {
                code: code("code", &self.code)?,
                name: text("name", &self.name, NAME_CHARS_MAX)?,
                off: off(percent, self.amount_minor, money)?,
                classes: classes.into_iter().map(PassengerClass::from).collect(),
                routes: routes?.into_iter().collect(),
                weekdays: weekdays.into_iter().collect(),
                channels: channels.into_iter().map(Channel::from).collect(),
                days_ahead_min: at_least("days_ahead_min", least, 0)?,
                days_ahead_max: at_least("days_ahead_max", most, 0)?,
                valid: validity(self.valid_from.as_deref(), self.valid_until.as_deref())?,
                combines: self.combines,
            },
            active: self.active,
            version: 0,
        })
    }
}

impl Record for DiscountEntry {
    const KIND: &'static str = "discount";
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
        let unknown = rows::unknown_route(tx, &self.routes).await?;
        Ok(unknown.map(|route| {
            let wrong = format!("there is no route {route:?}");
            Fault::new("routes", wrong, "make the route first")
        }))
    }

    async fn insert(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        rows::insert(tx, &self.code).await?;
        self.update(tx).await.map(|_| ())
    }

    async fn update(&self, tx: &mut TenantTx) -> Result<i32, DbError> {
        let kept = self.read().map_err(|_| DbError::damaged("a discount"))?;
        rows::put(tx, &kept).await
    }

    async fn uses(_: &mut TenantTx, _: &str, _: Instant) -> Result<Vec<Use>, DbError> {
        Ok(vec![])
    }

    async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
        rows::delete(tx, key).await
    }
}
