//! One private key, and the fastest code on this processor that signs with it.
//!
//! Ed25519 is deterministic: whoever signs, the bytes are the same. What is signed here is
//! checked, strictly, by `ed25519_dalek` everywhere.

use ed25519_dalek::{Signature, SignatureError, Signer, SigningKey, VerifyingKey};

/// A private Ed25519 key.
#[derive(Clone)]
pub struct NodeKey {
    portable: SigningKey,
    #[cfg(target_arch = "x86_64")]
    fast: Option<std::sync::Arc<fast::Ed25519SigningKey>>,
}

impl core::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("NodeKey(secret)")
    }
}

impl NodeKey {
    /// The key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let portable = SigningKey::from_bytes(seed);
        Self {
            #[cfg(target_arch = "x86_64")]
            fast: fast::key(seed, &portable),
            portable,
        }
    }

    /// What its signatures are checked with.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.portable.verifying_key()
    }
}

impl Signer<Signature> for NodeKey {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, SignatureError> {
        #[cfg(target_arch = "x86_64")]
        if let Some(fast) = &self.fast {
            return Ok(Signature::from_bytes(&fast.sign(message)));
        }
        self.portable.try_sign(message)
    }
}

/// Signing in half the time, where the processor has the instructions for it.
#[cfg(target_arch = "x86_64")]
mod fast {
    use std::sync::Arc;

    use domain::signature::fast_arithmetic_fits;
    use ed25519_dalek::{Signer as _, SigningKey};
    pub(super) use graviola::signing::eddsa::Ed25519SigningKey;

    /// What stands before the seed in a private key's PKCS#8 file (RFC 8410, section 7).
    const PKCS8_BEFORE_SEED: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];

    /// The key, if it can be used here and signs as it must.
    pub(super) fn key(seed: &[u8; 32], portable: &SigningKey) -> Option<Arc<Ed25519SigningKey>> {
        if !fast_arithmetic_fits() {
            return None;
        }
        let mut pkcs8 = [0; PKCS8_BEFORE_SEED.len() + 32];
        pkcs8[..PKCS8_BEFORE_SEED.len()].copy_from_slice(&PKCS8_BEFORE_SEED);
        pkcs8[PKCS8_BEFORE_SEED.len()..].copy_from_slice(seed);
        let key = Ed25519SigningKey::from_pkcs8_der(&pkcs8).ok()?;
        let probe = b"mwimule signing probe";
        if key.sign(probe) != portable.sign(probe).to_bytes() {
            tracing::warn!("this processor's fast signing is wrong: signing the portable way");
            return None;
        }
        Some(Arc::new(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_signing_gives_the_same_bytes() {
        for n in 0..64u8 {
            let seed: [u8; 32] = core::array::from_fn(|i| n.wrapping_mul(31) ^ (i as u8));
            let key = NodeKey::from_seed(&seed);
            let message: Vec<u8> = (0..usize::from(n) * 9).map(|i| i as u8 ^ n).collect();
            let signature = key.sign(&message);
            assert_eq!(signature, key.portable.sign(&message));
            let public = key.verifying_key();
            assert!(public.verify_strict(&message, &signature).is_ok());
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_key_that_signs_otherwise_is_not_used() {
        let other = SigningKey::from_bytes(&[1; 32]);
        assert!(fast::key(&[2; 32], &other).is_none());
    }
}
