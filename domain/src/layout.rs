//! Seat layouts: numbered units, what is painted on them, and where they stand.

use crate::ids::{LayoutVersion, SeatNo};

/// The most seats a layout may have; a double-decker has about 90.
pub const SEATS_MAX: usize = 500;

/// What a passenger may ask of a seat, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(transparent)]
pub struct SeatAttributes(#[n(0)] pub u8);

impl SeatAttributes {
    /// Beside a window.
    pub const WINDOW: Self = Self(1);
    /// Beside the aisle.
    pub const AISLE: Self = Self(2);
    /// In the first row.
    pub const FRONT: Self = Self(4);
    /// A wheelchair can stand or be stowed here.
    pub const WHEELCHAIR: Self = Self(8);
    /// A standing place: numbered like any other unit.
    pub const STANDING: Self = Self(16);

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every attribute of `other` is here.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One numbered unit of a bus.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Seat {
    /// What is painted on it, like `12` or `3A`; at most 8 characters.
    #[n(0)]
    pub label: String,
    /// Row, counted from 1 at the front.
    #[n(1)]
    pub row: u16,
    /// Column, counted from 1 at the left; the aisle takes a column of its own.
    #[n(2)]
    pub column: u8,
    /// What a passenger may ask of it.
    #[n(3)]
    pub attributes: SeatAttributes,
}

/// The seats of a kind of bus; the seat numbered `n` stands at index `n - 1`.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct SeatLayout {
    /// The company's name for it, at most 64 characters.
    #[n(0)]
    pub id: String,
    /// Which numbering this is.
    #[n(1)]
    pub version: LayoutVersion,
    /// The seats in order of their numbers.
    #[n(2)]
    pub seats: Vec<Seat>,
}

/// A layout that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No seats, or more than [`SEATS_MAX`].
    #[error("a layout has 1 to {SEATS_MAX} seats, this one has {0}")]
    SeatCount(usize),
    /// Two seats carry one label.
    #[error("the label {0:?} stands on two seats")]
    LabelTwice(String),
    /// A label is empty or too long.
    #[error("the label {0:?} must have 1 to 8 characters")]
    BadLabel(String),
}

impl SeatLayout {
    /// Checks the seats and puts them together.
    pub fn new(id: &str, version: LayoutVersion, seats: Vec<Seat>) -> Result<Self, LayoutError> {
        if seats.is_empty() || seats.len() > SEATS_MAX {
            return Err(LayoutError::SeatCount(seats.len()));
        }
        let mut labels = std::collections::BTreeSet::new();
        for seat in &seats {
            if seat.label.is_empty() || seat.label.chars().count() > 8 {
                return Err(LayoutError::BadLabel(seat.label.clone()));
            }
            if !labels.insert(seat.label.as_str()) {
                return Err(LayoutError::LabelTwice(seat.label.clone()));
            }
        }
        Ok(Self {
            id: id.to_owned(),
            version,
            seats,
        })
    }

    /// How many seats it has.
    pub fn seat_count(&self) -> u16 {
        self.seats.len() as u16
    }

    /// The seat with this number.
    pub fn seat(&self, no: SeatNo) -> Option<&Seat> {
        self.seats.get(usize::from(no.0).checked_sub(1)?)
    }

    /// The number of the seat with this label.
    pub fn by_label(&self, label: &str) -> Option<SeatNo> {
        let at = self
            .seats
            .iter()
            .position(|s| s.label.eq_ignore_ascii_case(label))?;
        Some(SeatNo(at as u16 + 1))
    }

    /// The label of a seat, or its number where the layout does not know it; a dash for what has
    /// no seat.
    pub fn label(&self, no: SeatNo) -> String {
        if no == crate::swap::NO_SEAT {
            return "-".to_owned();
        }
        self.seat(no)
            .map_or_else(|| no.to_string(), |s| s.label.clone())
    }
}
