//! One reading of a receiver, and whether a bus can have been there.

use crate::ids::TripId;
use crate::time::Instant;

use super::geo::Place;

/// How far a device's clock may be ahead, in ms.
const AHEAD_MS_MAX: i64 = 120_000;
/// The oldest fix that is worth keeping, in ms.
pub const FIX_AGE_MS_MAX: i64 = 7 * 24 * 3_600_000;
/// A fix that is less sure than this says nothing, in metres.
const ACCURACY_M_MAX: u16 = 500;
/// No bus is faster, in metres a second: 180 km/h.
pub(super) const SPEED_M_S_MAX: f64 = 50.0;
/// How far two good fixes of one moment may lie apart, in metres.
const SLACK_M: f64 = 100.0;

/// What a fix comes from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(index_only)]
pub enum Source {
    /// A receiver on the bus.
    #[n(0)]
    Receiver,
    /// A phone of its crew.
    #[n(1)]
    Phone,
    /// A drive that was made up; shown as such.
    #[n(2)]
    Simulated,
}

impl Source {
    /// Its number, as it travels and is stored.
    pub const fn number(self) -> u8 {
        match self {
            Self::Receiver => 0,
            Self::Phone => 1,
            Self::Simulated => 2,
        }
    }

    /// The one with this number.
    pub const fn of_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Receiver),
            1 => Some(Self::Phone),
            2 => Some(Self::Simulated),
            _ => None,
        }
    }

    /// The word it is shown as.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Phone => "phone",
            Self::Simulated => "simulated",
        }
    }
}

/// Where a bus was at a moment.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct Fix {
    /// The trip it drives.
    #[n(0)]
    pub trip: TripId,
    /// The device's own count, rising; the second key of its order.
    #[n(1)]
    pub seq: u64,
    /// When, by the device's clock.
    #[n(2)]
    pub at: Instant,
    /// In ten-millionths of a degree, north positive.
    #[n(3)]
    pub lat_e7: i32,
    /// In ten-millionths of a degree, east positive.
    #[n(4)]
    pub lon_e7: i32,
    /// Over the ground, in centimetres a second.
    #[n(5)]
    pub speed_cm_s: Option<u16>,
    /// Where it heads, in degrees clockwise from north, 0 to 359.
    #[n(6)]
    pub bearing_deg: Option<u16>,
    /// The true place is within so many metres, mostly.
    #[n(7)]
    pub accuracy_m: Option<u16>,
    /// What it comes from.
    #[n(8)]
    pub source: Source,
}

impl Fix {
    /// Where; `None` off the globe.
    pub const fn place(&self) -> Option<Place> {
        Place::new(self.lat_e7, self.lon_e7)
    }

    /// Whether it says more of the present than another: later by the device's clock or, at the
    /// same moment, counted later.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.at, self.seq) > (other.at, other.seq)
    }
}

/// Why a fix does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Implausible {
    /// No such place.
    #[error("latitude and longitude are off the globe")]
    OffGlobe,
    /// Where receivers are that have not found themselves.
    #[error("0° north, 0° east is where a receiver without a fix believes to be")]
    NullIsland,
    /// A heading beyond 359.
    #[error("a bearing is 0 to 359 degrees")]
    NoBearing,
    /// The device does not know where it is.
    #[error("it is surer of nothing than {0} m: wait for a better fix")]
    Vague(u16),
    /// The device's clock is ahead.
    #[error("its time is {0} ms ahead of the hub's: set the device's clock")]
    Ahead(i64),
    /// Nobody needs it any more.
    #[error("it is older than seven days")]
    TooOld,
    /// Farther from the one beside it than a bus drives.
    #[error("it is {metres} m from the fix beside it, {ms} ms apart: no bus is so fast")]
    Jump {
        /// How far.
        metres: u64,
        /// Within how long.
        ms: i64,
    },
}

/// Whether a bus can have been there: by itself, and beside the newest fix that counted.
pub fn plausible(fix: &Fix, beside: Option<&Fix>, now: Instant) -> Result<(), Implausible> {
    let place = fix.place().ok_or(Implausible::OffGlobe)?;
    if fix.lat_e7 == 0 && fix.lon_e7 == 0 {
        return Err(Implausible::NullIsland);
    }
    if fix.bearing_deg.is_some_and(|degrees| degrees > 359) {
        return Err(Implausible::NoBearing);
    }
    if let Some(metres) = fix.accuracy_m.filter(|m| *m > ACCURACY_M_MAX) {
        return Err(Implausible::Vague(metres));
    }
    let ahead_ms = fix.at.0.saturating_sub(now.0);
    if ahead_ms > AHEAD_MS_MAX {
        return Err(Implausible::Ahead(ahead_ms));
    }
    if ahead_ms < -FIX_AGE_MS_MAX {
        return Err(Implausible::TooOld);
    }
    let Some((other, there)) = beside.and_then(|other| Some((other, other.place()?))) else {
        return Ok(());
    };
    // A drive that was made up may be told faster than it could be driven.
    if fix.source == Source::Simulated {
        return Ok(());
    }
    let ms = fix.at.0.saturating_sub(other.at.0).saturating_abs();
    let metres = place.metres_to(there);
    let unsure = |fix: &Fix| f64::from(fix.accuracy_m.unwrap_or(0));
    let reach = SLACK_M + unsure(fix) + unsure(other) + SPEED_M_S_MAX * ms as f64 / 1_000.0;
    if metres > reach {
        let metres = metres.round() as u64;
        return Err(Implausible::Jump { metres, ms });
    }
    Ok(())
}
