//! The values of GTFS fields: times, dates, prices, coordinates, zones.

use domain::money::{Currency, Minor};
use domain::time::{ServiceDate, Zone};
use jiff::civil::Date;

/// The latest time after a service day's start, in hours.
const HOURS_MAX: u32 = 240;
/// The farthest along a shape, in whatever unit.
const DISTANCE_MAX: f64 = 1e9;
/// The most digits of a price before its decimal point.
const PRICE_DIGITS_MAX: usize = 10;

/// Old names that publishers still use, with the name they link to.
const OLD_ZONES: &[(&str, &str)] = &[
    ("Africa/Asmera", "Africa/Asmara"),
    ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
    ("America/Indianapolis", "America/Indiana/Indianapolis"),
    ("Asia/Calcutta", "Asia/Kolkata"),
    ("Asia/Dacca", "Asia/Dhaka"),
    ("Asia/Katmandu", "Asia/Kathmandu"),
    ("Asia/Macao", "Asia/Macau"),
    ("Asia/Rangoon", "Asia/Yangon"),
    ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
    ("Asia/Ulan_Bator", "Asia/Ulaanbaatar"),
    ("Atlantic/Faeroe", "Atlantic/Faroe"),
    ("Europe/Kiev", "Europe/Kyiv"),
    ("US/Central", "America/Chicago"),
    ("US/Eastern", "America/New_York"),
    ("US/Mountain", "America/Denver"),
    ("US/Pacific", "America/Los_Angeles"),
];

/// `H:MM:SS` or `HH:MM:SS`, past 24:00 allowed, in seconds after the service day's start; the
/// flag says that the seconds were missing.
pub(super) fn time_s(text: &str) -> Option<(u32, bool)> {
    let mut parts = text.split(':');
    let hours = number(parts.next()?, 1, 3)?;
    let minutes = number(parts.next()?, 2, 2)?;
    let seconds = parts.next();
    if parts.next().is_some() || minutes > 59 || hours > HOURS_MAX {
        return None;
    }
    let secs = match seconds {
        Some(s) => number(s, 2, 2).filter(|s| *s < 60)?,
        None => 0,
    };
    Some((hours * 3600 + minutes * 60 + secs, seconds.is_none()))
}

/// `06:05:00` for seconds after the service day's start.
pub(super) fn time_text(secs: u32) -> String {
    format!("{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)
}

fn number(text: &str, digits_min: usize, digits_max: usize) -> Option<u32> {
    let fits = (digits_min..=digits_max).contains(&text.len());
    (fits && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// How a date was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateForm {
    /// `20260131`, as GTFS asks.
    Proper,
    /// `31012026` or `31/01/2026`.
    DayFirst,
    /// `2026-01-31`.
    Separated,
}

/// Reads a date in GTFS form, and in the two forms that spreadsheets make of it.
pub(super) fn date(text: &str) -> Option<(ServiceDate, DateForm)> {
    if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) {
        if let Some(day) = ymd(text.get(..4)?, text.get(4..6)?, text.get(6..)?) {
            return Some((day, DateForm::Proper));
        }
        return ymd(text.get(4..)?, text.get(2..4)?, text.get(..2)?)
            .map(|day| (day, DateForm::DayFirst));
    }
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let [a, b, c] = parts[..] else { return None };
    if a.len() == 4 {
        ymd(a, b, c).map(|day| (day, DateForm::Separated))
    } else {
        ymd(c, b, a).map(|day| (day, DateForm::DayFirst))
    }
}

fn ymd(year: &str, month: &str, day: &str) -> Option<ServiceDate> {
    let year = number(year, 4, 4).filter(|y| (1970..=2200).contains(y))?;
    let month = number(month, 1, 2)?;
    let day = number(day, 1, 2)?;
    Date::new(year as i16, month as i8, day as i8)
        .ok()
        .map(ServiceDate)
}

/// A decimal price in minor units, exactly; `None` when it has more decimals than the currency.
pub(super) fn price(text: &str, currency: Currency) -> Option<Minor> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let exponent = currency.exponent() as usize;
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction:0<exponent$}");
    let fits = !whole.is_empty() && whole.len() <= PRICE_DIGITS_MAX && fraction.len() <= exponent;
    (fits && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
        .map(Minor)
}

/// A coordinate in degrees between `-limit` and `limit`.
pub(super) fn degrees(text: &str, limit: f64) -> Option<f64> {
    text.parse::<f64>()
        .ok()
        .filter(|v| v.is_finite() && v.abs() <= limit)
}

/// A distance along a shape in millionths of the feed's unit, never negative.
pub(super) fn distance(text: &str) -> Option<i64> {
    let distance = text.parse::<f64>().ok()?;
    let fits = (0.0..=DISTANCE_MAX).contains(&distance);
    fits.then(|| (distance * 1e6).round() as i64)
}

/// A time zone; the flag says that an old name was replaced.
pub(super) fn zone(text: &str) -> Option<(Zone, bool)> {
    let current = OLD_ZONES
        .iter()
        .find(|(old, _)| *old == text)
        .map(|(_, current)| *current);
    let zone = current.unwrap_or(text).parse().ok()?;
    Some((zone, current.is_some()))
}

/// Six hexadecimal digits in capitals; the flag says that a leading `#` was dropped.
pub(super) fn colour(text: &str) -> Option<(String, bool)> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    (digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| (digits.to_ascii_uppercase(), digits.len() != text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_pass_midnight_and_may_lack_a_leading_zero() {
        assert_eq!(time_s("25:10:05"), Some((90_605, false)));
        assert_eq!(time_s("6:00:00"), Some((21_600, false)));
        assert_eq!(time_s("06:00"), Some((21_600, true)));
        for bad in [
            "",
            "6",
            "6:0:00",
            "06:60:00",
            "-1:00:00",
            "06:00:00:00",
            "999:00:00",
            "é:00:00",
        ] {
            assert_eq!(time_s(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_day_first_date_is_told_from_a_proper_one() {
        let first: ServiceDate = "2010-01-01".parse().unwrap();
        assert_eq!(date("20100101"), Some((first, DateForm::Proper)));
        assert_eq!(date("01012010"), Some((first, DateForm::DayFirst)));
        assert_eq!(date("1/1/2010"), Some((first, DateForm::DayFirst)));
        assert_eq!(date("2010-01-01"), Some((first, DateForm::Separated)));
        for bad in ["", "20101301", "32012010", "2010", "éé12010", "a/b/c"] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_price_is_read_exactly_or_not_at_all() {
        let ugx: Currency = "UGX".parse().unwrap();
        assert_eq!(price("105", Currency::ZMW), Some(Minor(10_500)));
        assert_eq!(price("0.5", Currency::ZMW), Some(Minor(50)));
        assert_eq!(price("700.00", ugx), Some(Minor(700)));
        for bad in ["", ".5", "1.005", "-1", "1e3", "1,5", "99999999999"] {
            assert_eq!(price(bad, Currency::ZMW), None, "{bad}");
        }
    }

    #[test]
    fn an_old_zone_name_becomes_the_current_one() {
        let (zone_now, old) = zone("Asia/Rangoon").unwrap();
        assert_eq!((zone_now.as_str(), old), ("Asia/Yangon", true));
        assert!(zone("Asia/Atlantis").is_none());
        assert!(OLD_ZONES.iter().all(|(_, current)| zone(current).is_some()));
    }
}
