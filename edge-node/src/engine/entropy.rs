//! Where random bytes come from.

use sha2::{Digest as _, Sha256};

/// A source of random bytes.
pub trait Entropy: Send {
    /// 16 bytes that nobody can guess, or why there are none.
    fn salt(&mut self) -> Result<[u8; 16], String>;
}

/// The system's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn salt(&mut self) -> Result<[u8; 16], String> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|e| e.to_string())?;
        Ok(salt)
    }
}

/// The same bytes for the same seed: for simulated worlds only.
#[derive(Debug, Clone)]
pub struct SeededEntropy {
    seed: u64,
    drawn: u64,
}

impl SeededEntropy {
    /// Starts from a seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }
}

impl Entropy for SeededEntropy {
    fn salt(&mut self) -> Result<[u8; 16], String> {
        self.drawn += 1;
        let mut salt = [0; 16];
        let hash = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(self.drawn.to_be_bytes())
            .finalize();
        salt.copy_from_slice(&hash[..16]);
        Ok(salt)
    }
}
