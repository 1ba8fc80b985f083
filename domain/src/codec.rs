//! Small helpers over minicbor and hex that every wire type shares.

use minicbor::decode::{Decoder, Error};

/// Reads a byte string of exactly `N` bytes.
pub fn fixed_bytes<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], Error> {
    d.bytes()?
        .try_into()
        .map_err(|_| Error::message("byte string has the wrong length"))
}

/// Encodes a value to bytes; encoding into a `Vec` cannot fail.
pub fn to_cbor<T: minicbor::Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    #[expect(clippy::expect_used, reason = "a Vec accepts every write")]
    minicbor::encode(value, &mut out).expect("a Vec accepts every write");
    out
}

/// Decodes a value that must fill the input exactly.
pub fn from_cbor<'b, T: minicbor::Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, Error> {
    let mut d = Decoder::new(bytes);
    let value = d.decode()?;
    if d.position() == bytes.len() {
        Ok(value)
    } else {
        Err(Error::message("bytes left over after the value"))
    }
}

/// Lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

/// Reads hexadecimal of either case; `None` on an odd length or another character.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[hi, lo]| hi << 4 | lo).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_reads_back_what_it_wrote() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        assert_eq!(from_hex("abc"), None);
        assert_eq!(from_hex("zz"), None);
    }
}
