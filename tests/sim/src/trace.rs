//! The trace: every step, hashed, so that two runs of one seed can be compared.

use domain::codec::to_hex;
use sha2::{Digest as _, Sha256};

/// A running hash of lines.
#[derive(Debug, Clone, Default)]
pub struct Trace(Sha256);

impl Trace {
    /// Adds a line.
    pub fn line(&mut self, text: &str) {
        self.0.update(text.as_bytes());
        self.0.update(b"\n");
    }

    /// The hash in hexadecimal.
    pub fn finish(self) -> String {
        to_hex(&self.0.finalize())
    }
}
