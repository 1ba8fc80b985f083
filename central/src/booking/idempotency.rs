//! One request, one effect: the permanent record of an answer.

use domain::ids::CompanyId;
use sha2::{Digest as _, Sha256};

use super::db;
use crate::db::DbError;
use crate::tenant::TenantTx;
use domain::time::Instant;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// A client's name for one request, and what it asked under that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: String,
    fingerprint: [u8; 32],
}

impl IdempotencyKey {
    /// A key for this request; `None` unless it has 1 to 255 visible ASCII characters.
    pub fn new(key: &str, method: &str, path: &str, body: &[u8]) -> Option<Self> {
        let fits = (1..=KEY_BYTES_MAX).contains(&key.len());
        if !fits || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let mut hash = Sha256::new();
        for part in [method.as_bytes(), path.as_bytes(), body] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Some(Self {
            key: key.to_owned(),
            fingerprint: hash.finalize().into(),
        })
    }

    /// What the database locks while the request is worked on.
    fn lock_number(&self, company: CompanyId) -> i64 {
        let hash = Sha256::new()
            .chain_update(company.as_bytes())
            .chain_update(&self.key)
            .finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        i64::from_be_bytes(first)
    }
}

/// An answer as it was given, to the byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body's type.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What a key that is known, or taken, leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// It was answered before: this again.
    Again(Answer),
    /// It was used for another request.
    OtherRequest,
    /// Somebody works on it at this moment.
    InFlight,
}

/// Claims a fresh key until the end of the transaction, or says what is known of it.
pub(super) async fn claim(
    tx: &mut TenantTx,
    key: &IdempotencyKey,
) -> Result<Option<Replay>, DbError> {
    let company = tx.company();
    if !db::try_lock(tx, key.lock_number(company)).await? {
        return Ok(Some(Replay::InFlight));
    }
    let known = db::find_answer(tx, &key.key).await?;
    Ok(known.map(|(fingerprint, answer)| {
        if fingerprint == key.fingerprint {
            Replay::Again(answer)
        } else {
            Replay::OtherRequest
        }
    }))
}

/// Keeps the answer, in the transaction that made it true.
pub(super) async fn record(
    tx: &mut TenantTx,
    key: &IdempotencyKey,
    answer: &Answer,
    now: Instant,
) -> Result<(), DbError> {
    db::insert_answer(tx, &key.key, &key.fingerprint, answer, now).await
}
