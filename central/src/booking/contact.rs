//! Who booked and who travels: one form to find them by, sealed where they are stored.

use domain::ids::CompanyId;
use domain::money::Currency;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use uuid::Uuid;

use crate::vault::{Place, Vault, VaultError};

/// The fewest and the most digits of a phone number (ITU-T E.164).
const PHONE_DIGITS: core::ops::RangeInclusive<usize> = 7..=15;

/// Country calling codes, by what is paid with there: how a number without one is read.
const CALLING_CODES: [(&str, &str); 14] = [
    ("AOA", "244"),
    ("BWP", "267"),
    ("CDF", "243"),
    ("KES", "254"),
    ("MWK", "265"),
    ("MZN", "258"),
    ("NAD", "264"),
    ("NGN", "234"),
    ("RWF", "250"),
    ("TZS", "255"),
    ("UGX", "256"),
    ("ZAR", "27"),
    ("ZMW", "260"),
    ("ZWG", "263"),
];

/// Who booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The customer's name.
    pub name: String,
    /// The customer's phone number, in E.164 where it could be read so.
    pub phone: String,
    /// The customer's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// One who travels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Passenger {
    /// As on the ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of a passport or identity card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
}

impl Passenger {
    /// Whether nothing is known of them.
    pub fn is_nobody(&self) -> bool {
        self.name.is_none() && self.document.is_none()
    }
}

/// A contact as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// AEAD of the whole.
    pub contact: Vec<u8>,
    /// What the phone is found by.
    pub phone_blind: Vec<u8>,
    /// What the name is found by.
    pub name_blind: Vec<u8>,
}

/// A phone number in E.164; `currency` tells the country of one that is written without. `None`
/// for what is no number.
pub fn phone_form(text: &str, currency: Currency) -> Option<String> {
    let text = text.trim();
    let mut digits = String::with_capacity(16);
    for (i, c) in text.chars().enumerate() {
        match c {
            '0'..='9' => digits.push(c),
            '+' if i == 0 => {}
            ' ' | '-' | '.' | '(' | ')' | '/' => {}
            _ => return None,
        }
        if digits.len() > 20 {
            return None;
        }
    }
    let code = CALLING_CODES.iter().find(|(c, _)| *c == currency.as_str());
    let whole = if text.starts_with('+') {
        digits
    } else if let Some(rest) = digits.strip_prefix("00") {
        rest.to_owned()
    } else if let (Some(rest), Some((_, code))) = (digits.strip_prefix('0'), code) {
        format!("{code}{rest}")
    } else {
        digits
    };
    PHONE_DIGITS
        .contains(&whole.len())
        .then(|| format!("+{whole}"))
}

/// A name without accents, case and double spaces.
pub fn name_form(text: &str) -> String {
    let bare: String = text
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .collect();
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn contact_place(company: CompanyId, booking: &Uuid) -> Place<'_> {
    Place {
        company,
        table: "booking",
        row: booking.as_bytes(),
        column: "contact",
    }
}

fn passenger_row(booking: Uuid, coupon_no: i16) -> [u8; 18] {
    let mut row = [0; 18];
    row[..16].copy_from_slice(booking.as_bytes());
    row[16..].copy_from_slice(&coupon_no.to_be_bytes());
    row
}

/// Seals a booking's contact.
pub fn seal(
    vault: &Vault,
    company: CompanyId,
    booking: Uuid,
    contact: &Contact,
) -> Result<Sealed, VaultError> {
    let text = serde_json::to_vec(contact).unwrap_or_default();
    Ok(Sealed {
        contact: vault.seal(contact_place(company, &booking), &text)?,
        phone_blind: vault.blind(company, "phone", &contact.phone)?,
        name_blind: vault.blind(company, "name", &name_form(&contact.name))?,
    })
}

/// Opens a booking's contact.
pub fn open(
    vault: &Vault,
    company: CompanyId,
    booking: Uuid,
    sealed: &[u8],
) -> Result<Contact, VaultError> {
    let text = vault.open(contact_place(company, &booking), sealed)?;
    serde_json::from_slice(&text).map_err(|_| VaultError::Unopenable)
}

/// Seals what is known of the passenger of a coupon.
pub fn seal_passenger(
    vault: &Vault,
    company: CompanyId,
    (booking, coupon_no): (Uuid, i16),
    passenger: &Passenger,
) -> Result<Vec<u8>, VaultError> {
    let row = passenger_row(booking, coupon_no);
    let place = Place {
        company,
        table: "coupon",
        row: &row,
        column: "passenger",
    };
    vault.seal(place, &serde_json::to_vec(passenger).unwrap_or_default())
}

/// Opens what is known of the passenger of a coupon.
pub fn open_passenger(
    vault: &Vault,
    company: CompanyId,
    (booking, coupon_no): (Uuid, i16),
    sealed: &[u8],
) -> Result<Passenger, VaultError> {
    let row = passenger_row(booking, coupon_no);
    let place = Place {
        company,
        table: "coupon",
        row: &row,
        column: "passenger",
    };
    let text = vault.open(place, sealed)?;
    serde_json::from_slice(&text).map_err(|_| VaultError::Unopenable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_has_one_form_however_it_is_typed() {
        let form = |text| phone_form(text, Currency::ZMW);
        let wanted = Some("+260970000001".to_owned());
        for typed in [
            "+260970000001",
            " +260 97 000-0001",
            "0970000001",
            "(097) 000 0001",
            "00260970000001",
            "260970000001",
        ] {
            assert_eq!(form(typed), wanted, "{typed}");
        }
        for wrong in ["", "1", "+", "call me", "+2609700000010000", "097000000x"] {
            assert_eq!(form(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_is_found_without_its_accents_case_and_spaces() {
        assert_eq!(name_form("  JOSÉ   d'Ávila "), "jose d'avila");
        assert_eq!(name_form("Jose\u{301} D'avila"), name_form("josé d'ávila"));
    }

    #[test]
    fn a_contact_opens_at_its_own_booking_only() {
        let vault = Vault::from_bytes([3; 32]);
        let company = CompanyId(Uuid::from_u128(1));
        let (here, elsewhere) = (Uuid::from_u128(2), Uuid::from_u128(3));
        let contact = Contact {
            name: "Mutale".to_owned(),
            phone: "+260970000001".to_owned(),
            email: None,
        };
        let sealed = seal(&vault, company, here, &contact).unwrap();
        assert_eq!(open(&vault, company, here, &sealed.contact), Ok(contact));
        assert!(open(&vault, company, elsewhere, &sealed.contact).is_err());
        let passenger = Passenger {
            name: Some("Bwalya".to_owned()),
            document: Some("123456/78/1".to_owned()),
        };
        let sealed = seal_passenger(&vault, company, (here, 1), &passenger).unwrap();
        let opened = open_passenger(&vault, company, (here, 1), &sealed);
        assert_eq!(opened, Ok(passenger));
        assert!(open_passenger(&vault, company, (here, 2), &sealed).is_err());
    }
}
