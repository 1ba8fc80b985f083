//! Instants, service dates and zones. Nothing here asks what time it is.

use core::fmt;
use core::str::FromStr;

use crate::ids::IdError;

/// A UTC instant in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct Instant(#[n(0)] pub i64);

impl Instant {
    /// `ms` later; saturates at the ends of time.
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    fn timestamp(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_millisecond(self.0).ok()
    }

    /// `2026-11-22 14:05` in the zone's local time, for people.
    pub fn local_minute(self, zone: &Zone) -> String {
        match (self.timestamp(), zone.time_zone()) {
            (Some(at), Some(tz)) => {
                let at = tz.to_datetime(at);
                format!(
                    "{:04}-{:02}-{:02} {:02}:{:02}",
                    at.year(),
                    at.month(),
                    at.day(),
                    at.hour(),
                    at.minute()
                )
            }
            _ => self.to_string(),
        }
    }

    /// The calendar date in the zone: the business date of a shift.
    pub fn local_date(self, zone: &Zone) -> Option<ServiceDate> {
        Some(ServiceDate(
            self.timestamp()?.to_zoned(zone.time_zone()?).date(),
        ))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timestamp() {
            Some(at) => at.fmt(f),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// A service day: the calendar date that a timetable counts a trip to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceDate(pub jiff::civil::Date);

impl ServiceDate {
    /// `days` later, or `None` at the end of the calendar.
    pub fn plus_days(self, days: i32) -> Option<Self> {
        self.0
            .checked_add(jiff::Span::new().days(days))
            .ok()
            .map(Self)
    }

    /// The instant `secs` after "noon minus 12 hours" of this day in `zone`
    /// (GTFS: how times past 24:00 and daylight saving are counted).
    pub fn instant_at(self, secs: i64, zone: &Zone) -> Option<Instant> {
        let noon = self.0.at(12, 0, 0, 0).to_zoned(zone.time_zone()?).ok()?;
        Some(Instant(
            noon.timestamp().as_millisecond() + (secs - 12 * 3600) * 1000,
        ))
    }
}

impl fmt::Debug for ServiceDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ServiceDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ServiceDate {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        // Databases begin their calendar with the year 1.
        let day: Option<jiff::civil::Date> = text.parse().ok();
        day.filter(|day| day.year() >= 1)
            .map(Self)
            .ok_or_else(|| IdError::new("date like 2026-11-22", text))
    }
}

impl<C> minicbor::Encode<C> for ServiceDate {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for ServiceDate {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?
            .parse()
            .map_err(|_| minicbor::decode::Error::message("not a date"))
    }
}

/// An IANA time zone name that is known to exist.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(String);

impl Zone {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The rules; always there for a constructed zone.
    pub fn time_zone(&self) -> Option<jiff::tz::TimeZone> {
        jiff::tz::TimeZone::get(&self.0).ok()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Zone {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        match jiff::tz::TimeZone::get(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(IdError::new("time zone like Africa/Lusaka", text)),
        }
    }
}

impl<C> minicbor::Encode<C> for Zone {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Zone {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?
            .parse()
            .map_err(|_| minicbor::decode::Error::message("not a known time zone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_departure_past_midnight_falls_on_the_next_day() {
        let lusaka: Zone = "Africa/Lusaka".parse().unwrap();
        let day: ServiceDate = "2026-11-22".parse().unwrap();
        let at = day.instant_at(25 * 3600, &lusaka).unwrap();
        assert_eq!(at.local_minute(&lusaka), "2026-11-23 01:00");
        assert_eq!(at.local_date(&lusaka), day.plus_days(1));
    }

    #[test]
    fn a_date_before_the_first_year_is_none() {
        for text in ["-000001-01-01", "0000-12-31", "2026-02-30", ""] {
            assert!(text.parse::<ServiceDate>().is_err(), "{text}");
        }
        assert!("0001-01-01".parse::<ServiceDate>().is_ok());
    }

    #[test]
    fn a_day_with_daylight_saving_counts_from_noon() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let day: ServiceDate = "2026-03-29".parse().unwrap();
        let at = day.instant_at(14 * 3600, &berlin).unwrap();
        assert_eq!(at.local_minute(&berlin), "2026-03-29 14:00");
    }
}
