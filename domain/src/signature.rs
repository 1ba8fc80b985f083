//! Strict Ed25519 (RFC 8032): the one way to check a ticket's or an event's signature.
//!
//! What `ed25519_dalek::VerifyingKey::verify_strict` accepts is accepted here, nothing else. Where
//! the processor has the instructions for it, `graviola` does the arithmetic in two thirds of the
//! time; the strict rules that it does not know are kept here.

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};

/// A public key, ready to check signatures with.
#[derive(Clone)]
pub struct CheckingKey {
    portable: VerifyingKey,
    #[cfg(target_arch = "x86_64")]
    fast: Option<fast::Key>,
}

impl CheckingKey {
    /// Ready for use. Making one costs about a tenth of a check: keep it.
    pub fn new(key: VerifyingKey) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            fast: fast::key(&key),
            portable: key,
        }
    }

    /// The key itself.
    pub const fn public(&self) -> &VerifyingKey {
        &self.portable
    }

    /// Its 32 bytes, as they were given.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.portable.as_bytes()
    }

    /// Whether the key's owner signed the message, by the strict rules: one encoding per
    /// signature, and neither key nor commitment of small order.
    pub fn verify_strict(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        #[cfg(target_arch = "x86_64")]
        if let Some(fast) = &self.fast {
            return fast::verify_strict(fast, message, signature);
        }
        let signature = Signature::from_bytes(signature);
        self.portable.verify_strict(message, &signature).is_ok()
    }
}

impl From<VerifyingKey> for CheckingKey {
    fn from(key: VerifyingKey) -> Self {
        Self::new(key)
    }
}

impl PartialEq for CheckingKey {
    fn eq(&self, other: &Self) -> bool {
        self.portable == other.portable
    }
}

impl Eq for CheckingKey {}

impl fmt::Debug for CheckingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckingKey({})", crate::codec::to_hex(self.as_bytes()))
    }
}

/// Whether this processor has what `graviola` needs; it panics on one that lacks any of these.
#[cfg(target_arch = "x86_64")]
pub fn fast_arithmetic_fits() -> bool {
    is_x86_feature_detected!("adx")
        && is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("avx")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "x86_64")]
mod fast {
    use std::sync::Arc;

    use ed25519_dalek::VerifyingKey;
    use graviola::signing::eddsa::Ed25519VerifyingKey;

    pub(super) type Key = Arc<Ed25519VerifyingKey>;

    /// The eight points of small order, in their only canonical encodings. A commitment that is
    /// encoded otherwise never equals the canonical one that it is compared with.
    #[rustfmt::skip]
    pub(super) const SMALL_ORDER: [[u8; 32]; 8] = {
        let (mut one, zero) = ([0; 32], [0; 32]);
        one[0] = 1;
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        let mut zero_signed = zero;
        zero_signed[31] = 0x80;
        let a = [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ];
        let b = [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ];
        let (mut a_signed, mut b_signed) = (a, b);
        a_signed[31] |= 0x80;
        b_signed[31] |= 0x80;
        [one, zero, minus_one, zero_signed, a, b, a_signed, b_signed]
    };

    /// The key, if it may check anything at all and this processor can.
    pub(super) fn key(portable: &VerifyingKey) -> Option<Key> {
        if portable.is_weak() || !super::fast_arithmetic_fits() {
            return None;
        }
        let key = Ed25519VerifyingKey::from_bytes(portable.as_bytes()).ok()?;
        Some(Arc::new(key))
    }

    pub(super) fn verify_strict(key: &Key, message: &[u8], signature: &[u8; 64]) -> bool {
        let small = SMALL_ORDER.iter().any(|point| signature[..32] == point[..]);
        !small && key.verify(signature, message).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::edwards::EdwardsPoint;
    use curve25519_dalek::scalar::Scalar;
    use ed25519_dalek::{Signer as _, SigningKey};
    use sha2::{Digest as _, Sha512};

    use super::*;

    /// What this module says, after checking that the portable code says the same.
    #[track_caller]
    fn check(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
        let said = CheckingKey::new(*key).verify_strict(message, signature);
        let portable = key.verify_strict(message, &Signature::from_bytes(signature));
        assert_eq!(said, portable.is_ok(), "{key:?} {signature:?}");
        said
    }

    /// A signature with this commitment, by the secret scalar of the key's part of large order.
    fn forged(key: &VerifyingKey, secret: Scalar, commitment: [u8; 32], r: Scalar) -> [u8; 64] {
        let challenge = Sha512::new()
            .chain_update(commitment)
            .chain_update(key.as_bytes())
            .chain_update(b"message");
        let k = Scalar::from_bytes_mod_order_wide(&challenge.finalize().into());
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&commitment);
        signature[32..].copy_from_slice((r + k * secret).as_bytes());
        signature
    }

    fn key_of(point: EdwardsPoint) -> VerifyingKey {
        VerifyingKey::from_bytes(point.compress().as_bytes()).unwrap()
    }

    #[test]
    fn good_signatures_are_accepted_and_no_flipped_bit_is() {
        for n in 0..16u8 {
            let signer = SigningKey::from_bytes(&[n; 32]);
            let message: Vec<u8> = (0..usize::from(n) * 17).map(|i| i as u8 ^ n).collect();
            let signature = signer.sign(&message).to_bytes();
            assert!(check(&signer.verifying_key(), &message, &signature));
            for bit in 0..512 {
                let mut flipped = signature;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!check(&signer.verifying_key(), &message, &flipped));
            }
            assert!(!check(&signer.verifying_key(), b"another", &signature));
        }
    }

    #[test]
    fn commitments_of_small_order_are_refused() {
        let mut would_pass = 0;
        let secrets = (1..=8u64).map(Scalar::from);
        for (secret, torsion) in secrets.flat_map(|s| EIGHT_TORSION.map(|t| (s, t))) {
            // The key has a part of small order, so that a commitment of small order can match.
            let key = key_of(ED25519_BASEPOINT_POINT * secret + torsion);
            for commitment in EIGHT_TORSION {
                let bytes = commitment.compress().to_bytes();
                let signature = forged(&key, secret, bytes, Scalar::ZERO);
                assert!(!check(&key, b"message", &signature));
                let lax = Signature::from_bytes(&signature);
                let lax = ed25519_dalek::Verifier::verify(&key, b"message", &lax);
                would_pass += usize::from(lax.is_ok());
            }
        }
        assert!(would_pass >= 8, "only {would_pass} cases test anything");
    }

    #[test]
    fn a_key_of_mixed_order_is_judged_as_strict_code_judges_it() {
        let secret = Scalar::from(11u64);
        let mut accepted = 0;
        for torsion in EIGHT_TORSION {
            let key = key_of(ED25519_BASEPOINT_POINT * secret + torsion);
            for n in 1..40u64 {
                let r = Scalar::from(n);
                let commitment = (ED25519_BASEPOINT_POINT * r).compress().to_bytes();
                let signature = forged(&key, secret, commitment, r);
                accepted += usize::from(check(&key, b"message", &signature));
            }
        }
        assert!(accepted >= 39, "{accepted}");
    }

    #[test]
    fn a_second_encoding_of_a_signature_is_refused() {
        // The order of the base point, little endian: added to S it makes the same signature.
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let signer = SigningKey::from_bytes(&[9; 32]);
        let mut signature = signer.sign(b"message").to_bytes();
        let mut carry = 0u16;
        for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert!(!check(&signer.verifying_key(), b"message", &signature));
    }

    #[test]
    fn weak_keys_check_nothing() {
        for point in EIGHT_TORSION {
            let key = key_of(point);
            let mut signature = [0; 64];
            signature[0] = 1;
            assert!(!check(&key, b"message", &signature));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_list_of_small_orders_is_whole() {
        let mut listed = fast::SMALL_ORDER.to_vec();
        let mut real: Vec<_> = EIGHT_TORSION.map(|p| p.compress().to_bytes()).to_vec();
        listed.sort_unstable();
        real.sort_unstable();
        assert_eq!(listed, real);
    }
}
