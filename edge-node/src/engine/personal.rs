//! Names and phone numbers: a salted blob beside the event, which can be erased without breaking
//! the chain.

use domain::codec::{from_cbor, to_cbor};

use super::EngineError;

const NAME_CHARS_MAX: usize = 80;
const PHONE_CHARS_MAX: usize = 24;

/// Who travels and how to reach them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Personal {
    /// A phone number for the whole sale.
    pub phone: Option<String>,
    /// A name for each passenger, in the order of the journeys; may be shorter.
    pub names: Vec<Option<String>>,
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
struct Blob {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    salt: [u8; 16],
    #[n(1)]
    phone: Option<String>,
    #[n(2)]
    names: Vec<Option<String>>,
}

impl Personal {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.phone.is_none() && self.names.iter().all(Option::is_none)
    }

    /// Checks lengths.
    pub fn check(&self) -> Result<(), EngineError> {
        let fits = |text: &str, most: usize| {
            !text.trim().is_empty()
                && text.chars().count() <= most
                && !text.chars().any(char::is_control)
        };
        if self.names.len() > domain::event::COUPONS_MAX
            || !self.names.iter().flatten().all(|n| fits(n, NAME_CHARS_MAX))
        {
            return Err(EngineError::BadInput(format!(
                "a passenger's name has 1 to {NAME_CHARS_MAX} characters"
            )));
        }
        if !self.phone.iter().all(|p| fits(p, PHONE_CHARS_MAX)) {
            return Err(EngineError::BadInput(format!(
                "a phone number has 1 to {PHONE_CHARS_MAX} characters"
            )));
        }
        Ok(())
    }

    /// The blob, with its salt.
    pub fn to_blob(&self, salt: [u8; 16]) -> Vec<u8> {
        to_cbor(&Blob {
            salt,
            phone: self.phone.clone(),
            names: self.names.clone(),
        })
    }

    /// What a blob says; nothing where it was erased or cannot be read.
    pub fn of_blob(blob: Option<&[u8]>) -> Self {
        blob.and_then(|bytes| from_cbor::<Blob>(bytes).ok())
            .map_or_else(Self::default, |blob| Self {
                phone: blob.phone,
                names: blob.names,
            })
    }
}
