//! What callers send, checked before anything is asked of the database.

use domain::money::Currency;
use domain::time::ServiceDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::books::{AccountName, Adjustment, LINES_MAX};
use crate::http::Problem;

/// The longest reason, in characters.
const REASON_MAX: usize = 500;
/// The longest name of a kind of account.
const KIND_MAX: usize = 40;
/// More money than any entry moves, in minor units.
const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// One line of an entry by hand: `account` or `kind`, not both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLine {
    /// An account's number.
    pub account: Option<i64>,
    /// One of those of which there is one per currency: `bank`, `suspense`, `office_cash`, ….
    #[schema(max_length = 40)]
    pub kind: Option<String>,
    /// Debit positive, credit negative.
    pub amount_minor: i64,
}

/// An entry by hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"currency": "ZMW", "reason": "Deposit slip 4711",
    "lines": [{"kind": "bank", "amount_minor": 45000},
              {"kind": "office_cash", "amount_minor": -45000}]}))]
pub struct NewAdjustment {
    /// ISO 4217, of every line.
    #[schema(min_length = 3, max_length = 3)]
    pub currency: String,
    /// The day it counts to, YYYY-MM-DD; today when absent.
    pub business_date: Option<String>,
    /// Why; kept with the entry for ever.
    #[schema(min_length = 3, max_length = 500)]
    pub reason: String,
    /// They sum to zero.
    #[schema(min_items = 2, max_items = 100)]
    pub lines: Vec<NewLine>,
}

/// Why an entry is taken back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "Posted to the wrong account"}))]
pub struct NewReversal {
    /// Why; kept with the entry for ever.
    #[schema(min_length = 3, max_length = 500)]
    pub reason: String,
    /// The day it counts to, YYYY-MM-DD; today when absent.
    pub business_date: Option<String>,
}

/// Days to lock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "2026-10-01", "to": "2026-10-31",
    "reason": "October is closed"}))]
pub struct NewPeriod {
    /// First day, YYYY-MM-DD.
    pub from: String,
    /// Last day, YYYY-MM-DD; before today.
    pub to: String,
    /// Why.
    #[schema(min_length = 3, max_length = 500)]
    pub reason: String,
}

/// The entry that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"entry": "0197f2a0-0000-8000-8000-000000000001"}))]
pub struct MadeEntry {
    /// Its number.
    pub entry: Uuid,
}

/// The period that was locked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"period": 3}))]
pub struct MadePeriod {
    /// Its number.
    pub period: i64,
}

/// A reason as it is kept.
pub(crate) fn reason_of(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let count = text.chars().count();
    if (3..=REASON_MAX).contains(&count) && !text.contains('\0') {
        return Ok(text.to_owned());
    }
    Err(Problem::unprocessable(
        "`reason` has to say why in 3 to 500 characters",
    ))
}

pub(crate) fn date_of(name: &str, text: &str) -> Result<ServiceDate, Problem> {
    text.parse()
        .map_err(|_| Problem::unprocessable(format!("`{name}` has to be a day as YYYY-MM-DD")))
}

impl NewLine {
    fn checked(self) -> Result<(AccountName, i64), Problem> {
        if self.amount_minor == 0 || self.amount_minor.saturating_abs() > AMOUNT_MAX {
            let detail = "a line's `amount_minor` is neither zero nor beyond 10^15";
            return Err(Problem::unprocessable(detail));
        }
        let name = match (self.account, self.kind) {
            (Some(number), None) => AccountName::Number(number),
            (None, Some(kind)) if kind.len() <= KIND_MAX => AccountName::Shared(kind),
            _ => {
                let detail = "a line names its account by `account` or by `kind`";
                return Err(Problem::unprocessable(detail));
            }
        };
        Ok((name, self.amount_minor))
    }
}

impl NewAdjustment {
    pub(super) fn checked(self, today: ServiceDate) -> Result<Adjustment, Problem> {
        let currency: Result<Currency, _> = self.currency.parse();
        let currency = currency
            .map_err(|_| Problem::unprocessable("`currency` has to be a code of ISO 4217"))?;
        if !(2..=LINES_MAX).contains(&self.lines.len()) {
            return Err(Problem::unprocessable("an entry has 2 to 100 lines"));
        }
        let lines = self.lines.into_iter().map(NewLine::checked);
        Ok(Adjustment {
            currency,
            business_date: day_or(self.business_date.as_deref(), today)?,
            reason: reason_of(&self.reason)?,
            lines: lines.collect::<Result<_, _>>()?,
        })
    }
}

impl NewReversal {
    pub(super) fn checked(self, today: ServiceDate) -> Result<(String, ServiceDate), Problem> {
        let date = day_or(self.business_date.as_deref(), today)?;
        Ok((reason_of(&self.reason)?, date))
    }
}

impl NewPeriod {
    pub(super) fn checked(self) -> Result<((ServiceDate, ServiceDate), String), Problem> {
        let span = (date_of("from", &self.from)?, date_of("to", &self.to)?);
        Ok((span, reason_of(&self.reason)?))
    }
}

/// Nothing is posted to a day that has not come.
fn day_or(text: Option<&str>, today: ServiceDate) -> Result<ServiceDate, Problem> {
    let day = match text {
        None => today,
        Some(text) => date_of("business_date", text)?,
    };
    if day > today {
        let detail = format!("`business_date` is {today} at the latest");
        return Err(Problem::unprocessable(detail));
    }
    Ok(day)
}
