//! One request, one effect: the permanent record of an answer.
//!
//! A handler that moves money or seats claims the caller's key in its transaction, does its work,
//! records the answer in the same transaction and commits: the answer is kept exactly when the
//! effect is. [`remembered`] and [`remember`] put the cache in front of that for a day: losing
//! the cache costs only speed.

use std::time::Duration;

use domain::ids::CompanyId;
use sha2::{Digest as _, Sha256};

use crate::access::Identity;
use crate::cache::Cache;
use crate::db::DbError;
use crate::tenant::TenantTx;
use domain::time::Instant;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// A client's name for one request, and what it asked under that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    scope: String,
    key: String,
    fingerprint: [u8; 32],
}

impl IdempotencyKey {
    /// A key for this request of this caller; `None` unless it has 1 to 255 visible ASCII
    /// characters.
    pub fn new(caller: Identity, key: &str, method: &str, path: &str, body: &[u8]) -> Option<Self> {
        let fits = (1..=KEY_BYTES_MAX).contains(&key.len());
        if !fits || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let mut hash = Sha256::new();
        for part in [method.as_bytes(), path.as_bytes(), body] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let scope = caller
            .id()
            .map_or_else(String::new, |id| format!("{}:{id}", caller.kind()));
        Some(Self {
            scope,
            key: key.to_owned(),
            fingerprint: hash.finalize().into(),
        })
    }

    /// Where the cache keeps the answer.
    fn cache_name(&self, company: CompanyId) -> String {
        format!("idempotency:{company}:{}:{}", self.scope, self.key)
    }

    /// What the database locks while the request is worked on.
    fn lock_number(&self, company: CompanyId) -> i64 {
        let hash = Sha256::new()
            .chain_update(company.as_bytes())
            .chain_update((self.scope.len() as u64).to_be_bytes())
            .chain_update(&self.scope)
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
pub async fn claim(tx: &mut TenantTx, key: &IdempotencyKey) -> Result<Option<Replay>, DbError> {
    let company = tx.company();
    let row = sqlx::query!(
        "SELECT taken, fingerprint, status, content_type, response
         FROM claim_key($1, $2, $3, $4)",
        company.0,
        key.scope,
        key.key,
        key.lock_number(company)
    )
    .fetch_one(tx.conn())
    .await?;
    if row.taken != Some(true) {
        return Ok(Some(Replay::InFlight));
    }
    let (Some(fingerprint), Some(status)) = (row.fingerprint, row.status) else {
        return Ok(None);
    };
    if fingerprint != key.fingerprint {
        return Ok(Some(Replay::OtherRequest));
    }
    Ok(Some(Replay::Again(Answer {
        status: status as u16,
        content_type: row.content_type.unwrap_or_default(),
        body: row.response.unwrap_or_default(),
    })))
}

/// Keeps the answer, in the transaction that made it true.
pub async fn record(
    tx: &mut TenantTx,
    key: &IdempotencyKey,
    answer: &Answer,
    now: Instant,
) -> Result<(), DbError> {
    insert_answer(tx, key, answer, now).await
}

async fn insert_answer(
    tx: &mut TenantTx,
    key: &IdempotencyKey,
    answer: &Answer,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO idempotency (company_id, scope, key, fingerprint, status, content_type,
                                  response, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tx.company().0,
        key.scope,
        key.key,
        &key.fingerprint[..],
        answer.status as i16,
        answer.content_type,
        answer.body,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How long an answer is remembered in front of its permanent record.
const REMEMBERED: Duration = Duration::from_hours(24);
/// Larger answers are left to the permanent record, in bytes.
const REMEMBERED_BYTES_MAX: usize = 64 * 1024;

/// What the cache knows of a key, before any transaction is begun. A cache that is away, or has
/// forgotten, costs only speed: [`claim`] knows.
pub async fn remembered(cache: &Cache, company: CompanyId, key: &IdempotencyKey) -> Option<Replay> {
    let kept = cache.get(&key.cache_name(company)).await.ok()??;
    let (fingerprint, rest) = kept.split_first_chunk::<32>()?;
    if *fingerprint != key.fingerprint {
        return Some(Replay::OtherRequest);
    }
    let (status, rest) = rest.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first()?;
    let (content_type, body) = rest.split_at_checked(usize::from(*length))?;
    Some(Replay::Again(Answer {
        status: u16::from_be_bytes(*status),
        content_type: String::from_utf8(content_type.to_vec()).ok()?,
        body: body.to_vec(),
    }))
}

/// Remembers an answer once it is committed.
pub async fn remember(cache: &Cache, company: CompanyId, key: &IdempotencyKey, replay: &Replay) {
    let Replay::Again(answer) = replay else {
        return;
    };
    let Ok(length) = u8::try_from(answer.content_type.len()) else {
        return;
    };
    if answer.body.len() > REMEMBERED_BYTES_MAX {
        return;
    }
    let mut kept = key.fingerprint.to_vec();
    kept.extend_from_slice(&answer.status.to_be_bytes());
    kept.push(length);
    kept.extend_from_slice(answer.content_type.as_bytes());
    kept.extend_from_slice(&answer.body);
    // Without it the next look takes longer, and finds the same.
    let _ = cache.put(&key.cache_name(company), &kept, REMEMBERED).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::MemoryCache;

    #[tokio::test]
    async fn the_cache_gives_back_the_answer_to_its_request_and_to_no_other() {
        let cache: Cache = Arc::new(MemoryCache::new());
        let company = CompanyId(uuid::Uuid::from_u128(1));
        let key = |body: &[u8]| {
            IdempotencyKey::new(Identity::Anonymous, "k", "POST", "/x", body).unwrap()
        };
        assert_eq!(remembered(&cache, company, &key(b"a")).await, None);
        let answer = Replay::Again(Answer {
            status: 201,
            content_type: "application/json".to_owned(),
            body: b"{}".to_vec(),
        });
        remember(&cache, company, &key(b"a"), &answer).await;
        remember(&cache, company, &key(b"b"), &Replay::InFlight).await;
        assert_eq!(remembered(&cache, company, &key(b"a")).await, Some(answer));
        let other = remembered(&cache, company, &key(b"b")).await;
        assert_eq!(other, Some(Replay::OtherRequest));
        let stranger = CompanyId(uuid::Uuid::from_u128(2));
        assert_eq!(remembered(&cache, stranger, &key(b"a")).await, None);
    }
}
