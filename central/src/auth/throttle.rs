//! How often something may be tried.
//!
//! Counting is Postgres's: a try is charged before it is looked at, so that tries made side by
//! side count one by one. The cache stands in front and answers for what is locked already; when
//! it is away, only that fast path is lost.

use std::time::Duration;

use data_encoding::HEXLOWER;
use domain::time::Instant;

use super::db::throttle as rows;
use super::error::AuthError;
use crate::http::Api;

const MINUTE_MS: i64 = 60_000;

/// How often, in which time, and how long nothing goes after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The word it is stored under.
    pub(crate) kind: &'static str,
    /// Tries in a window.
    pub(crate) tries_max: i32,
    /// How long tries count together.
    pub(crate) window_ms: i64,
    /// How long the lock lasts, from the last allowed try.
    pub(crate) lock_ms: i64,
}

/// Passwords and second factors of one account, which need not exist.
pub(crate) const ACCOUNT: Rule = Rule {
    kind: "account",
    tries_max: 10,
    window_ms: 15 * MINUTE_MS,
    lock_ms: 15 * MINUTE_MS,
};
/// Passwords tried from one address, whatever the account: many people may share one.
pub(crate) const ADDRESS: Rule = Rule {
    kind: "address",
    tries_max: 100,
    window_ms: 15 * MINUTE_MS,
    lock_ms: 15 * MINUTE_MS,
};
/// Codes sent to one contact.
pub(crate) const CODES: Rule = Rule {
    kind: "codes",
    tries_max: 5,
    window_ms: 60 * MINUTE_MS,
    lock_ms: 60 * MINUTE_MS,
};
/// Codes sent on behalf of one address.
pub(crate) const CODES_FROM: Rule = Rule {
    kind: "codes-from",
    tries_max: 50,
    window_ms: 60 * MINUTE_MS,
    lock_ms: 60 * MINUTE_MS,
};

fn cache_key(rule: Rule, subject: &[u8]) -> String {
    format!("throttle:{}:{}", rule.kind, HEXLOWER.encode(subject))
}

fn too_many(ends: Instant, now: Instant) -> AuthError {
    let left_ms = ends.0.saturating_sub(now.0).max(0);
    AuthError::TooMany {
        retry_after_s: (left_ms + 999) / 1000,
    }
}

/// Charges one try; gives how many there were in this window.
pub(crate) async fn charge(
    api: &Api,
    rule: Rule,
    subject: &[u8],
    now: Instant,
) -> Result<i32, AuthError> {
    let key = cache_key(rule, subject);
    if let Ok(Some(value)) = api.cache.get(&key).await {
        let ends = std::str::from_utf8(&value)
            .ok()
            .and_then(|t| t.parse().ok());
        if let Some(ends) = ends.map(Instant).filter(|ends| *ends > now) {
            return Err(too_many(ends, now));
        }
    }
    let (tries, ends) = rows::charge(&api.db, rule, subject, now).await?;
    if tries <= rule.tries_max {
        return Ok(tries);
    }
    let left = Duration::from_millis(u64::try_from(ends.0.saturating_sub(now.0)).unwrap_or(0));
    // Without the cache the next one is answered by Postgres again.
    let _ = api
        .cache
        .put(&key, ends.0.to_string().as_bytes(), left)
        .await;
    Err(too_many(ends, now))
}

/// Forgets every try of this subject: it has proved itself.
pub(crate) async fn clear(api: &Api, rule: Rule, subject: &[u8]) -> Result<(), AuthError> {
    rows::clear(&api.db, rule, subject).await?;
    let _ = api.cache.forget(&cache_key(rule, subject)).await;
    Ok(())
}

/// Takes back one try that turned out to be none.
pub(crate) async fn give_back(api: &Api, rule: Rule, subject: &[u8]) -> Result<(), AuthError> {
    Ok(rows::give_back(&api.db, rule, subject).await?)
}
