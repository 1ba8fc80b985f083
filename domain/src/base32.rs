//! Crockford's Base32 (<https://www.crockford.com/base32.html>): digits that people read out, type
//! and mistake for each other. Lower case, `O` for 0, `I` and `L` for 1 are read too, hyphens and
//! white space anywhere are passed over.

use std::sync::LazyLock;

use data_encoding::{DecodeKind, Encoding, Specification};

const IGNORED: &str = "- \t\r\n";

#[expect(clippy::expect_used, reason = "the specification is a constant")]
static CROCKFORD: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    spec.translate.from.push_str("abcdefghjkmnpqrstvwxyzOoIiLl");
    spec.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    spec.ignore.push_str(IGNORED);
    spec.encoding().expect("the specification is sound")
});

/// Why a text is not Base32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base32Error {
    /// A character that is no digit.
    BadCharacter {
        /// The character.
        found: char,
        /// How many digits stand before it.
        after: usize,
    },
    /// No number of bytes has so many digits.
    Length,
    /// The last digit has bits that fill no byte and are not zero.
    Trailing,
}

/// The digits of some bytes, the last one filled up with zero bits.
pub fn encode(bytes: &[u8]) -> String {
    CROCKFORD.encode(bytes)
}

/// How many digits a text has, whatever else stands in it; `None` where it cannot be Base32.
pub fn digits_in(text: &str) -> Option<usize> {
    let mut digits = 0;
    for byte in text.bytes() {
        if !IGNORED.as_bytes().contains(&byte) {
            // U is left out of the alphabet, but who types it means a digit.
            byte.is_ascii_alphanumeric().then_some(())?;
            digits += 1;
        }
    }
    Some(digits)
}

/// The bytes of a text as typed. Its length is for the caller to bound.
pub fn decode(text: &str) -> Result<Vec<u8>, Base32Error> {
    CROCKFORD
        .decode(text.as_bytes())
        .map_err(|error| match error.kind {
            DecodeKind::Length => Base32Error::Length,
            DecodeKind::Trailing => Base32Error::Trailing,
            DecodeKind::Symbol | DecodeKind::Padding => {
                let at = text.floor_char_boundary(error.position);
                let (before, rest) = text.split_at(at);
                let is_digit = |c: &char| !IGNORED.contains(*c);
                Base32Error::BadCharacter {
                    found: rest.chars().next().unwrap_or_default(),
                    after: before.chars().filter(is_digit).count(),
                }
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_carelessly_is_read_all_the_same() {
        let bytes = [0x00, 0x44, 0x32, 0x14, 0xc7];
        assert_eq!(encode(&bytes), "01234567");
        for text in ["01234567", "oI23-4567", " 0l23 4567\r\n", "Oi234567"] {
            assert_eq!(decode(text).as_deref(), Ok(&bytes[..]), "{text}");
        }
        assert_eq!(digits_in("oI23-45 67"), Some(8));
        assert_eq!(digits_in("MW1:AB"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let bad = |found, after| Err(Base32Error::BadCharacter { found, after });
        assert_eq!(decode("01-2U4567"), bad('U', 3));
        assert_eq!(decode("012é4567"), bad('é', 3));
        assert_eq!(decode("01"), Err(Base32Error::Trailing));
        assert_eq!(decode("0"), Err(Base32Error::Length));
    }
}
