//! Who travels, as far as the fare is concerned.

use core::fmt;
use core::str::FromStr;

use crate::ids::IdError;

/// A fare class. The numbers are on the wire and on printed tickets: they never change.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(index_only)]
pub enum PassengerClass {
    /// Pays the full fare.
    #[n(0)]
    Adult,
    /// Has a seat at the child's fare.
    #[n(1)]
    Child,
    /// Travels on a lap, or in a seat if one was bought.
    #[n(2)]
    Infant,
    /// A person with reduced mobility.
    #[n(3)]
    Prm,
}

impl PassengerClass {
    /// Every class, in code order.
    pub const ALL: [Self; 4] = [Self::Adult, Self::Child, Self::Infant, Self::Prm];

    /// The stable number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Adult => 0,
            Self::Child => 1,
            Self::Infant => 2,
            Self::Prm => 3,
        }
    }

    /// The class with this number.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Adult),
            1 => Some(Self::Child),
            2 => Some(Self::Infant),
            3 => Some(Self::Prm),
            _ => None,
        }
    }

    /// The name in files, APIs and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adult => "adult",
            Self::Child => "child",
            Self::Infant => "infant",
            Self::Prm => "prm",
        }
    }
}

impl fmt::Display for PassengerClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for PassengerClass {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| IdError::new("passenger class (adult, child, infant or prm)", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{from_cbor, to_cbor};

    #[test]
    fn every_class_reads_back_from_its_code_its_name_and_its_bytes() {
        for class in PassengerClass::ALL {
            assert_eq!(PassengerClass::from_code(class.code()), Some(class));
            assert_eq!(class.as_str().parse(), Ok(class));
            assert_eq!(to_cbor(&class), [class.code()]);
            assert_eq!(from_cbor(&[class.code()]).ok(), Some(class));
        }
        assert_eq!(PassengerClass::from_code(4), None);
        assert!("senior".parse::<PassengerClass>().is_err());
    }
}
