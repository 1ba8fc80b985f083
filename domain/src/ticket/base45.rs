//! Base45 of RFC 9285, strict: upper case only, every group in range, every length possible.
//! Under these rules each byte string has one text, so nothing is left to canonicalise.

use super::{MESSAGE_LEN_MAX, TicketError};

/// The 45 characters of QR's alphanumeric mode, in the order of their values.
pub const ALPHABET: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

const NOT_A_DIGIT: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [NOT_A_DIGIT; 256];
    let mut i = 0;
    while i < ALPHABET.len() {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// Appends the Base45 text of `bytes` to `out`.
pub(super) fn encode(bytes: &[u8], out: &mut String) {
    let mut push = |value: u32| out.push(char::from(ALPHABET[(value % 45) as usize]));
    let (pairs, rest) = bytes.as_chunks::<2>();
    for &[hi, lo] in pairs {
        let n = u32::from(hi) << 8 | u32::from(lo);
        push(n);
        push(n / 45);
        push(n / 2025);
    }
    for &byte in rest {
        push(byte.into());
        push(u32::from(byte) / 45);
    }
}

/// Decodes `text` into the front of `out` and says how many bytes it made. Positions in errors
/// are counted from 1 and start after the first `offset` characters of the whole QR text.
pub(super) fn decode(
    text: &[u8],
    offset: usize,
    out: &mut [u8; MESSAGE_LEN_MAX],
) -> Result<usize, TicketError> {
    let mut len = 0;
    for (i, group) in text.chunks(3).enumerate() {
        let position = offset + i * 3 + 1;
        let mut n = 0;
        let mut weight = 1;
        for (j, &c) in group.iter().enumerate() {
            let value = VALUES[usize::from(c)];
            if value == NOT_A_DIGIT {
                return Err(TicketError::NotBase45 {
                    position: position + j,
                });
            }
            n += u32::from(value) * weight;
            weight *= 45;
        }
        let width = match group.len() {
            3 if n > 0xffff => return Err(TicketError::NotBase45 { position }),
            3 => 2,
            2 if n <= 0xff => 1,
            _ => return Err(TicketError::CutShort),
        };
        let room = out.get_mut(len..len + width).ok_or(TicketError::TooLong)?;
        room.copy_from_slice(&(n as u16).to_be_bytes()[2 - width..]);
        len += width;
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(bytes: &[u8]) -> String {
        let mut text = String::new();
        encode(bytes, &mut text);
        text
    }

    fn bytes_of(text: &str) -> Result<Vec<u8>, TicketError> {
        let mut out = [0; MESSAGE_LEN_MAX];
        decode(text.as_bytes(), 0, &mut out).map(|len| out[..len].to_vec())
    }

    #[test]
    fn the_examples_of_the_rfc_come_out_as_printed_there() {
        for (bytes, text) in [
            ("AB", "BB8"),
            ("Hello!!", "%69 VD92EX0"),
            ("base-45", "UJCLQE7W581"),
            ("ietf!", "QED8WEX0"),
        ] {
            assert_eq!(text_of(bytes.as_bytes()), text);
            assert_eq!(bytes_of(text).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn lower_case_lone_characters_and_overflowing_groups_are_refused() {
        assert_eq!(bytes_of("bB8"), Err(TicketError::NotBase45 { position: 1 }));
        assert_eq!(bytes_of("BBé"), Err(TicketError::NotBase45 { position: 3 }));
        assert_eq!(bytes_of("BB8B"), Err(TicketError::CutShort));
        assert_eq!(bytes_of("FGW"), Ok(vec![0xff, 0xff]));
        assert_eq!(bytes_of("GGW"), Err(TicketError::NotBase45 { position: 1 }));
        assert_eq!(
            bytes_of("BB8:::"),
            Err(TicketError::NotBase45 { position: 4 })
        );
        assert_eq!(bytes_of("U5"), Ok(vec![0xff]));
        assert_eq!(bytes_of("V5"), Err(TicketError::CutShort));
        assert_eq!(
            bytes_of(&text_of(&[7; MESSAGE_LEN_MAX + 1])),
            Err(TicketError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn bytes_and_text_map_one_to_one(
            bytes in proptest::collection::vec(any::<u8>(), 0..=MESSAGE_LEN_MAX),
            text in "[0-9A-Z $%*+./:-]{0,60}",
        ) {
            prop_assert_eq!(bytes_of(&text_of(&bytes)).unwrap(), bytes);
            if let Ok(bytes) = bytes_of(&text) {
                prop_assert_eq!(text_of(&bytes), text);
            }
        }
    }
}
