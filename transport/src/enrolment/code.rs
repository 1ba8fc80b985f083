//! The enrolment code as text.
//!
//! `MWE1-` and Crockford Base32 in groups of five, of these bytes:
//!
//! | bytes | what |
//! | --- | --- |
//! | 16 | the secret |
//! | 32 | the fingerprint of the hub's CA |
//! | 1 | the length of the hub's address |
//! | n | the hub's address, `host:port`, ASCII |
//! | 4 | the first bytes of SHA-256 over `MWE1` and all bytes before |
//!
//! The last character is filled up with zero bits. Lower case, `O` for 0, `I` and `L` for 1,
//! and spaces and hyphens anywhere are read too.

use core::fmt;
use core::str::FromStr;

use domain::base32::{self, Base32Error};
use sha2::{Digest, Sha256};

use crate::pki::CaFingerprint;

/// The longest address of a hub in a code, in bytes.
pub const HUB_ADDR_BYTES_MAX: usize = 128;

const PREFIX: &str = "MWE1";
const GROUP_CHARS: usize = 5;
const CHECK_BYTES: usize = 4;
/// Secret, fingerprint and the length of the address.
const FIXED_BYTES: usize = 16 + 32 + 1;
/// Room for the longest code with a separator after each character.
const TEXT_BYTES_MAX: usize = 1024;

/// What an admin hands to the person who sets up a device. One use only.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentCode {
    /// Where the hub is: `host:port`.
    pub hub_addr: String,
    /// What the hub knows the code by.
    pub secret: [u8; 16],
    /// What the device knows the hub by.
    pub ca_fingerprint: CaFingerprint,
}

/// What is wrong with the text of a code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// It is something else altogether.
    #[error("this is not an enrolment code: one begins with {PREFIX}")]
    NotACode,
    /// It is of a later version.
    #[error("this enrolment code is of a later version: update this device")]
    LaterVersion,
    /// A character that no code has.
    #[error(
        "the enrolment code cannot hold {found:?} (group {group} after {PREFIX}): check it \
         against the original"
    )]
    BadCharacter {
        /// The character.
        found: char,
        /// In which group of five, counted from 1.
        group: usize,
    },
    /// It ends too early or too late.
    #[error("the enrolment code is {}: check it against the original", if *too_long {"too long"} else {"not complete"})]
    WrongLength {
        /// Whether there is too much of it.
        too_long: bool,
    },
    /// Its check does not fit.
    #[error("the enrolment code has a typing error: check it against the original")]
    Mistyped,
    /// The address in it is not usable.
    #[error(
        "{address:?} is not the address of a hub: it has to be host:port, as in hub.example:7443"
    )]
    BadAddress {
        /// What was found, cut to 128 characters.
        address: String,
    },
}

impl EnrolmentCode {
    /// Makes a code; the address has to be `host:port`.
    pub fn new(
        hub_addr: &str,
        secret: [u8; 16],
        ca_fingerprint: CaFingerprint,
    ) -> Result<Self, CodeError> {
        check_address(hub_addr)?;
        Ok(Self {
            hub_addr: hub_addr.to_owned(),
            secret,
            ca_fingerprint,
        })
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.hub_addr.len() + CHECK_BYTES);
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(&self.ca_fingerprint.0);
        bytes.push(self.hub_addr.len() as u8);
        bytes.extend_from_slice(self.hub_addr.as_bytes());
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }
}

impl fmt::Debug for EnrolmentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentCode")
            .field("hub_addr", &self.hub_addr)
            .field("ca_fingerprint", &self.ca_fingerprint)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for EnrolmentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        for group in base32::encode(&self.payload())
            .as_bytes()
            .chunks(GROUP_CHARS)
        {
            f.write_str("-")?;
            for digit in group {
                write!(f, "{}", char::from(*digit))?;
            }
        }
        Ok(())
    }
}

impl FromStr for EnrolmentCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let text = text.trim();
        let head: String = text.chars().take(4).collect::<String>().to_uppercase();
        let body = text.get(4..).filter(|_| head == PREFIX).ok_or(
            // Nobody types a version, so what else begins like ours is a later one.
            if head.len() == 4 && head.starts_with("MWE") && head.ends_with(char::is_numeric) {
                CodeError::LaterVersion
            } else {
                CodeError::NotACode
            },
        )?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(CodeError::WrongLength { too_long: true });
        }
        let bytes = from_base32(body)?;
        let short = CodeError::WrongLength { too_long: false };
        let (secret, rest) = bytes.split_first_chunk::<16>().ok_or(short.clone())?;
        let (fingerprint, rest) = rest.split_first_chunk::<32>().ok_or(short.clone())?;
        let (address_bytes, rest) = rest.split_first().ok_or(short.clone())?;
        let expected = usize::from(*address_bytes) + CHECK_BYTES;
        // A mistyped length makes the check fall on the wrong place: try the end first.
        let (covered, check) = bytes
            .split_last_chunk::<CHECK_BYTES>()
            .ok_or(short.clone())?;
        if check_of(covered) != *check {
            return Err(match rest.len().cmp(&expected) {
                core::cmp::Ordering::Less => short,
                core::cmp::Ordering::Equal => CodeError::Mistyped,
                core::cmp::Ordering::Greater => CodeError::WrongLength { too_long: true },
            });
        }
        if rest.len() != expected {
            return Err(CodeError::Mistyped);
        }
        let address = &rest[..rest.len() - CHECK_BYTES];
        Self::new(
            &String::from_utf8_lossy(address),
            *secret,
            CaFingerprint(*fingerprint),
        )
    }
}

fn check_of(covered: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = Sha256::new();
    hash.update(PREFIX);
    hash.update(covered);
    let digest = hash.finalize();
    core::array::from_fn(|i| digest[i])
}

fn check_address(address: &str) -> Result<(), CodeError> {
    let good = address.len() <= HUB_ADDR_BYTES_MAX
        && address.bytes().all(|b| b.is_ascii_graphic())
        && address.rsplit_once(':').is_some_and(|(host, port)| {
            let bare = host
                .strip_prefix('[')
                .and_then(|inner| inner.strip_suffix(']'));
            !bare.unwrap_or(host).is_empty()
                && (bare.is_some() || !host.contains(':'))
                && port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
    if good {
        Ok(())
    } else {
        Err(CodeError::BadAddress {
            address: address.chars().take(HUB_ADDR_BYTES_MAX).collect(),
        })
    }
}

fn from_base32(text: &str) -> Result<Vec<u8>, CodeError> {
    base32::decode(text).map_err(|error| match error {
        Base32Error::BadCharacter { found, after } => CodeError::BadCharacter {
            found,
            group: after / GROUP_CHARS + 1,
        },
        Base32Error::Length => CodeError::WrongLength { too_long: false },
        Base32Error::Trailing => CodeError::Mistyped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> EnrolmentCode {
        EnrolmentCode::new("10.0.0.1:7443", [0x5a; 16], CaFingerprint([0xc3; 32])).unwrap()
    }

    #[test]
    fn a_code_keeps_its_text() {
        assert_eq!(
            code().to_string(),
            "MWE1-B9D5M-PJTB9-D5MPJ-TB9D5-MPJTB-B1W7G-Y3RF1-W7GY3-RF1W7-GY3RF-1W7GY-3RF1W-\
             7GY3R-F1W7G-Y3RF1-W639H-60Q30-BHG5R-RKMDS-M6GSV-87M64-W"
        );
    }

    #[test]
    fn a_code_reads_back_however_it_was_typed() {
        for address in ["10.0.0.1:7443", "[::1]:1", "hub.example.com:65535", "h:1"] {
            let code = EnrolmentCode::new(address, [7; 16], CaFingerprint([0; 32])).unwrap();
            let text = code.to_string();
            assert_eq!(text.parse::<EnrolmentCode>().unwrap(), code);
            let sloppy = text
                .replacen("MWE1", "mwe1", 1)
                .replace('-', " ")
                .to_lowercase();
            assert_eq!(sloppy.parse::<EnrolmentCode>().unwrap(), code);
            let confused = format!("MWE1{}", text[4..].replace('0', "o").replace('1', "l"));
            assert_eq!(confused.parse::<EnrolmentCode>().unwrap(), code);
        }
    }

    #[test]
    fn no_single_wrong_character_and_no_swap_of_neighbours_is_taken() {
        let text = code().to_string();
        for place in 5..text.len() {
            let mut typed = text.clone().into_bytes();
            if typed[place] == b'-' {
                continue;
            }
            for digit in b"0123456789ABCDEFGHJKMNPQRSTVWXYZ" {
                if text.as_bytes()[place] != *digit {
                    typed[place] = *digit;
                    let typed = String::from_utf8(typed.clone()).unwrap();
                    assert!(typed.parse::<EnrolmentCode>().is_err(), "{typed}");
                }
            }
            let mut swapped = text.clone().into_bytes();
            let next = place + 1;
            if swapped.get(next).is_some_and(|b| *b != b'-') && swapped[next] != swapped[place] {
                swapped.swap(place, next);
                let swapped = String::from_utf8(swapped).unwrap();
                assert!(swapped.parse::<EnrolmentCode>().is_err(), "{swapped}");
            }
        }
    }

    #[test]
    fn a_cut_code_says_that_it_is_not_complete() {
        let text = code().to_string();
        for end in 5..text.len() {
            if text.as_bytes()[end - 1] == b'-' {
                continue;
            }
            let error = text[..end].parse::<EnrolmentCode>().unwrap_err();
            assert!(
                matches!(
                    error,
                    CodeError::WrongLength { too_long: false } | CodeError::Mistyped
                ),
                "{end}: {error}"
            );
        }
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        let text = code().to_string();
        let error = |text: &str| text.parse::<EnrolmentCode>().unwrap_err();
        assert_eq!(error(""), CodeError::NotACode);
        assert_eq!(error("hello there"), CodeError::NotACode);
        assert_eq!(error("éééé"), CodeError::NotACode);
        assert_eq!(error("MWE2-AAAAA"), CodeError::LaterVersion);
        assert_eq!(
            error(&text.replacen("B9D5M", "B9U5M", 1)),
            CodeError::BadCharacter {
                found: 'U',
                group: 1
            }
        );
        assert_eq!(
            error(&text.replacen("B9D5M", "B9D5N", 1)),
            CodeError::Mistyped
        );
        assert_eq!(
            error(&format!("{text}-00000-00000")),
            CodeError::WrongLength { too_long: true }
        );
        assert_eq!(
            error(&format!("MWE1{}", "0".repeat(5000))),
            CodeError::WrongLength { too_long: true }
        );
    }

    #[test]
    fn an_address_without_a_port_makes_no_code() {
        let long = format!("{}:1", "h".repeat(127));
        for address in [
            "hub",
            "hub:",
            "hub:0",
            "hub:+1",
            ":1",
            "[]:1",
            "::1:7",
            "a b:1",
            "hub:65536",
            &long,
        ] {
            let made = EnrolmentCode::new(address, [0; 16], CaFingerprint([0; 32]));
            assert!(
                matches!(made, Err(CodeError::BadAddress { .. })),
                "{address}"
            );
        }
    }

    #[test]
    fn a_code_does_not_show_its_secret_by_accident() {
        let shown = format!("{:?}", code());
        assert!(
            !shown.contains("90") && shown.contains("10.0.0.1:7443"),
            "{shown}"
        );
    }
}
