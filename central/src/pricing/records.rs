//! What the office keeps of prices, in the form that people edit: JSON and CSV.

mod commissions;
mod discounts;
mod fares;
mod vouchers;

pub use commissions::{CommissionEntry, SellerKind};
pub use discounts::{ChannelWord, ClassWord, DiscountEntry};
pub use fares::FareEntry;
pub use vouchers::VoucherEntry;

pub(crate) use commissions::CommissionFilter;
pub(crate) use discounts::ActiveFilter;
pub(crate) use fares::FareAsked;

use domain::money::{Currency, Minor};
use domain::time::ServiceDate;

use super::rules::{Off, Validity};
use crate::csvio::Fault;

/// The most that anything may cost or take off, in minor units.
const MINOR_MAX: i64 = 1_000_000_000_000;
/// The longest code, in characters.
const CODE_CHARS_MAX: usize = 64;
/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 120;

/// Text on one line, not empty.
fn text(column: &str, value: &str, chars_max: usize) -> Result<String, Fault> {
    let value = value.trim();
    let fits = (1..=chars_max).contains(&value.chars().count());
    if fits && !value.chars().any(char::is_control) {
        return Ok(value.to_owned());
    }
    let remedy = format!("write 1 to {chars_max} characters on one line");
    Err(Fault::new(column, "it is empty or too long", remedy))
}

/// A code that a key can be made of.
fn code(column: &str, value: &str) -> Result<String, Fault> {
    let value = text(column, value, CODE_CHARS_MAX)?;
    if value.contains('~') {
        return Err(Fault::new(column, "it has a ~ in it", "leave the ~ out"));
    }
    Ok(value)
}

fn day(column: &str, value: &str) -> Result<ServiceDate, Fault> {
    value.trim().parse().map_err(|_| {
        let shown: String = value.chars().take(20).collect();
        let wrong = format!("{shown:?} is no date");
        Fault::new(column, wrong, "write a date like 2026-12-25")
    })
}

/// Days as people write them.
fn validity(from: Option<&str>, until: Option<&str>) -> Result<Validity, Fault> {
    let valid = Validity {
        from: from.map(|d| day("valid_from", d)).transpose()?,
        until: until.map(|d| day("valid_until", d)).transpose()?,
    };
    if !valid.is_ordered() {
        let wrong = "the last day is before the first";
        return Err(Fault::new("valid_until", wrong, "swap the two dates"));
    }
    Ok(valid)
}

/// Days in the form they are written in.
fn written(valid: &Validity) -> (Option<String>, Option<String>) {
    let text = |day: Option<ServiceDate>| day.map(|d| d.to_string());
    (text(valid.from), text(valid.until))
}

fn currency(value: &str) -> Result<Currency, Fault> {
    value.trim().parse().map_err(|_| {
        let wrong = "it is no currency";
        Fault::new("currency", wrong, "write three capital letters like ZMW")
    })
}

/// A fare table's name and currency.
pub(crate) fn table_of(name: &str, money: &str) -> Result<(String, Currency), Fault> {
    Ok((code("table", name)?, currency(money)?))
}

fn minor(column: &str, value: i64, least: i64) -> Result<Minor, Fault> {
    if (least..=MINOR_MAX).contains(&value) {
        return Ok(Minor(value));
    }
    let wrong = format!("{value} is out of bounds");
    Err(Fault::new(
        column,
        wrong,
        format!("write {least} to {MINOR_MAX}"),
    ))
}

fn at_least(column: &str, value: Option<i32>, least: i32) -> Result<Option<i32>, Fault> {
    match value {
        Some(number) if number < least => {
            let wrong = format!("{number} is out of bounds");
            Err(Fault::new(column, wrong, format!("write {least} or more")))
        }
        value => Ok(value),
    }
}

/// A percentage or an amount, one of the two.
fn off(
    percent_bp: Option<i32>,
    amount_minor: Option<i64>,
    money: Option<&str>,
) -> Result<Off, Fault> {
    match (percent_bp, amount_minor) {
        (Some(bp), None) => u16::try_from(bp)
            .ok()
            .filter(|bp| (1..=10_000).contains(bp))
            .map(Off::PercentBp)
            .ok_or_else(|| {
                let wrong = format!("{bp} is out of bounds");
                let remedy = "write hundredths of a percent, 1 to 10000";
                Fault::new("percent_bp", wrong, remedy)
            }),
        (None, Some(amount)) => {
            let money = money.ok_or_else(|| {
                let wrong = "an amount has a currency";
                Fault::new("currency", wrong, "write three capital letters like ZMW")
            })?;
            Ok(Off::Amount(
                minor("amount_minor", amount, 1)?,
                currency(money)?,
            ))
        }
        (Some(_), Some(_)) | (None, None) => {
            let wrong = "it takes a percentage or an amount, one of the two";
            Err(Fault::new(
                "percent_bp",
                wrong,
                "write percent_bp or amount_minor",
            ))
        }
    }
}

/// A percentage or an amount in the members that people write.
fn off_members(off: &Off) -> (Option<i32>, Option<i64>, Option<String>) {
    match off {
        Off::PercentBp(bp) => (Some(i32::from(*bp)), None, None),
        Off::Amount(amount, currency) => (None, Some(amount.0), Some(currency.to_string())),
    }
}
