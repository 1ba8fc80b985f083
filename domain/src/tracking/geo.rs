//! Places on the ground.

/// The mean radius of the Earth, in metres.
const EARTH_M: f64 = 6_371_008.8;
/// Of a degree: how places are stored.
const E7: f64 = 1e7;

/// A place in ten-millionths of a degree, WGS 84; always on the globe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    lat_e7: i32,
    lon_e7: i32,
}

impl Place {
    /// Of ten-millionths of a degree; `None` off the globe.
    pub const fn new(lat_e7: i32, lon_e7: i32) -> Option<Self> {
        let on_globe = lat_e7 >= -900_000_000
            && lat_e7 <= 900_000_000
            && lon_e7 >= -1_800_000_000
            && lon_e7 <= 1_800_000_000;
        if on_globe {
            Some(Self { lat_e7, lon_e7 })
        } else {
            None
        }
    }

    /// Of degrees; `None` off the globe and for what is no number.
    pub fn of_degrees(lat: f64, lon: f64) -> Option<Self> {
        let fits = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
        fits.then(|| Self {
            lat_e7: (lat * E7).round() as i32,
            lon_e7: (lon * E7).round() as i32,
        })
    }

    /// In ten-millionths of a degree, north positive.
    pub const fn lat_e7(self) -> i32 {
        self.lat_e7
    }

    /// In ten-millionths of a degree, east positive.
    pub const fn lon_e7(self) -> i32 {
        self.lon_e7
    }

    /// Degrees north.
    pub fn lat(self) -> f64 {
        f64::from(self.lat_e7) / E7
    }

    /// Degrees east.
    pub fn lon(self) -> f64 {
        f64::from(self.lon_e7) / E7
    }

    /// The way over the ground, in metres.
    pub fn metres_to(self, other: Self) -> f64 {
        let (here, there) = (self.lat().to_radians(), other.lat().to_radians());
        let (up, along) = (
            (there - here) / 2.0,
            (other.lon() - self.lon()).to_radians() / 2.0,
        );
        let h = up.sin().powi(2) + here.cos() * there.cos() * along.sin().powi(2);
        2.0 * EARTH_M * h.sqrt().min(1.0).asin()
    }

    /// Metres east and north of this place, on a plane that touches the globe here.
    pub(super) fn plane(self, other: Self) -> (f64, f64) {
        Plane::at(self).of(other)
    }

    /// The nearest place of whole hundred-thousandths of a degree, as lines are written.
    #[must_use]
    pub fn to_e5(self) -> Self {
        let rounded = |e7: i32| (f64::from(e7) / 100.0).round() as i32 * 100;
        Self {
            lat_e7: rounded(self.lat_e7),
            lon_e7: rounded(self.lon_e7),
        }
    }

    /// A part of the straight way to another place: 0 is here, 1 there.
    #[must_use]
    pub fn towards(self, other: Self, part: f64) -> Self {
        let part = part.clamp(0.0, 1.0);
        let between =
            |a: i32, b: i32| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as i32;
        Self {
            lat_e7: between(self.lat_e7, other.lat_e7),
            lon_e7: between(self.lon_e7, other.lon_e7),
        }
    }

    /// Which way another place lies, in degrees clockwise from north, 0 to 359.
    pub fn bearing_to(self, other: Self) -> u16 {
        let (east, north) = self.plane(other);
        (east.atan2(north).to_degrees().round() as i32).rem_euclid(360) as u16
    }
}

/// A plane that touches the globe at a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    origin: Place,
    /// Of the origin's latitude.
    cos: f64,
}

impl Plane {
    pub(super) fn at(origin: Place) -> Self {
        let cos = origin.lat().to_radians().cos();
        Self { origin, cos }
    }

    /// Metres east and north of its origin.
    pub(super) fn of(&self, place: Place) -> (f64, f64) {
        let mut lon = place.lon() - self.origin.lon();
        // The short way around.
        if lon > 180.0 {
            lon -= 360.0;
        } else if lon < -180.0 {
            lon += 360.0;
        }
        let east = lon.to_radians() * self.cos * EARTH_M;
        let north = (place.lat() - self.origin.lat()).to_radians() * EARTH_M;
        (east, north)
    }
}
