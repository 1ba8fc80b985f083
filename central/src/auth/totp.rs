//! Time-based one-time passwords (RFC 6238) with HMAC-SHA1, six digits, 30 seconds: what every
//! authenticator speaks. Pure.

use core::fmt::Write as _;

use data_encoding::BASE32_NOPAD;
use domain::time::Instant;
use hmac::{Hmac, KeyInit as _, Mac as _};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use sha1::Sha1;

/// The length of a secret: that of the hash (RFC 4226).
pub(crate) const SECRET_BYTES: usize = 20;
const STEP_S: i64 = 30;
const DIGITS: u32 = 6;
/// Clocks of phones may be off by one step either way.
const STEPS_OFF: i64 = 1;

fn step_of(now: Instant) -> i64 {
    now.as_secs().div_euclid(STEP_S)
}

fn code_at(secret: &[u8], step: i64) -> Option<u32> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).ok()?;
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash.last()? & 15);
    let four: [u8; 4] = hash.get(offset..offset + 4)?.try_into().ok()?;
    Some((u32::from_be_bytes(four) & 0x7fff_ffff) % 10_u32.pow(DIGITS))
}

/// The step that a code belongs to, unless it or a later one was used: no code counts twice.
pub(crate) fn accepted_step(secret: &[u8], code: &str, now: Instant, used: i64) -> Option<i64> {
    let digits: String = code.chars().filter(|c| *c != ' ').collect();
    if digits.len() != DIGITS as usize || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let wanted: u32 = digits.parse().ok()?;
    let current = step_of(now);
    (current - STEPS_OFF..=current + STEPS_OFF)
        .find(|step| *step > used && code_at(secret, *step) == Some(wanted))
}

/// The code of this moment; for tests.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn code_now(secret: &[u8], now: Instant) -> String {
    format!("{:06}", code_at(secret, step_of(now)).unwrap_or(0))
}

/// A secret as people type it.
pub(crate) fn secret_text(secret: &[u8]) -> String {
    BASE32_NOPAD.encode(secret)
}

/// What authenticators read (Key URI format).
pub(crate) fn uri(secret: &[u8], account: &str) -> String {
    let mut label = String::new();
    for byte in account.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            label.push(char::from(byte));
        } else {
            // Writing into a string does not fail.
            let _ = write!(label, "%{byte:02X}");
        }
    }
    let secret = secret_text(secret);
    format!(
        "otpauth://totp/Mwimule:{label}?secret={secret}&issuer=Mwimule&algorithm=SHA1&digits=6&period=30"
    )
}

/// The URI as a QR code of characters, for a terminal or a `<pre>`.
pub(crate) fn qr_text(uri: &str) -> Option<String> {
    let code = QrCode::new(uri).ok()?;
    let text = code.render::<Dense1x2>().quiet_zone(true).build();
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        for (at_s, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let now = Instant(at_s * 1000);
            assert_eq!(code_now(SECRET, now), code);
            assert_eq!(accepted_step(SECRET, code, now, 0), Some(at_s / 30));
        }
    }

    #[test]
    fn a_code_counts_one_step_early_or_late_and_once() {
        let now = Instant(1_111_111_109_000);
        let code = code_now(SECRET, now);
        let step = step_of(now);
        for (late, wanted) in [(-60, None), (-30, Some(step)), (30, Some(step)), (60, None)] {
            let then = now.plus_ms(late * 1000);
            assert_eq!(accepted_step(SECRET, &code, then, 0), wanted, "{late}");
        }
        assert_eq!(accepted_step(SECRET, &code, now, step), None);
        assert_eq!(accepted_step(SECRET, &code, now, step - 1), Some(step));
        for bad in ["", "81804", "0818040", "08180a", "-81804", "+81804"] {
            assert_eq!(accepted_step(SECRET, bad, now, 0), None, "{bad}");
        }
        assert_eq!(accepted_step(SECRET, "081 804", now, 0), Some(step));
    }

    #[test]
    fn an_authenticator_can_read_the_uri() {
        let uri = uri(SECRET, "mutale banda@example.com");
        assert!(
            uri.starts_with("otpauth://totp/Mwimule:mutale%20banda@example.com?secret=GEZDGNBV")
        );
        assert!(qr_text(&uri).unwrap().lines().count() > 15);
    }
}
