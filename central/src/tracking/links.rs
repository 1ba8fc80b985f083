//! Links that show one trip to whoever has them: signed by the hub, ended by time or by the
//! company.

use data_encoding::BASE64URL_NOPAD;
use domain::ids::{CompanyId, TripId};
use domain::time::Instant;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::time::Instant as Moment;
use uuid::Uuid;

use super::db;
use super::tracker::{Tracker, locked};
use crate::db::DbError;

const PREFIX: &str = "track_";
const BODY_BYTES: usize = 48;
const MAC_BYTES: usize = 16;

/// What a link's token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) company: CompanyId,
    pub(super) id: Uuid,
    pub(super) trip: TripId,
    pub(super) expires_at: Instant,
}

fn mac(key: &[u8; 32], body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(body);
    Some(mac)
}

impl Link {
    fn body(&self) -> [u8; BODY_BYTES] {
        let mut body = [0; BODY_BYTES];
        body[..16].copy_from_slice(self.company.0.as_bytes());
        body[16..32].copy_from_slice(self.id.as_bytes());
        body[32..40].copy_from_slice(&self.trip.0.to_be_bytes());
        body[40..].copy_from_slice(&self.expires_at.0.to_be_bytes());
        body
    }

    /// The text that goes into an address.
    pub(super) fn token(&self, key: &[u8; 32]) -> String {
        let body = self.body();
        let tag = mac(key, &body).map(|mac| mac.finalize().into_bytes());
        let mut bytes = body.to_vec();
        bytes.extend(tag.iter().flat_map(|tag| &tag[..MAC_BYTES]));
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }

    /// Reads a token that the hub made; whether it still counts is another question.
    pub(super) fn read(key: &[u8; 32], token: &str) -> Option<Self> {
        let text = token.trim().strip_prefix(PREFIX)?;
        if text.len() > 200 {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        if bytes.len() != BODY_BYTES + MAC_BYTES {
            return None;
        }
        let (body, tag) = bytes.split_at(BODY_BYTES);
        mac(key, body)?.verify_truncated_left(tag).ok()?;
        let number = |at: usize| Some(u64::from_be_bytes(body.get(at..at + 8)?.try_into().ok()?));
        Some(Self {
            company: CompanyId(Uuid::from_slice(&body[..16]).ok()?),
            id: Uuid::from_slice(&body[16..32]).ok()?,
            trip: TripId(number(32)?),
            expires_at: Instant(number(40)? as i64),
        })
    }
}

impl Tracker {
    /// Whether a link counts at a moment; a revocation is seen within seconds.
    pub(super) async fn opens(&self, link: &Link, now: Instant) -> Result<bool, DbError> {
        if now >= link.expires_at {
            return Ok(false);
        }
        if let Some((_, good)) = locked(&self.0.links)
            .get(&link.id)
            .filter(|(at, _)| at.elapsed().as_secs() < 5)
        {
            return Ok(*good);
        }
        let mut tx = self.0.db.tenant(link.company).await?;
        let row = db::link(&mut tx, link.id).await?;
        let good = row.is_some_and(|row| row.revoked_at.is_none() && row.trip == link.trip);
        locked(&self.0.links).insert(link.id, (Moment::now(), good));
        Ok(good)
    }

    /// Forgets that a link counted.
    pub(super) fn link_changed(&self, id: Uuid) {
        locked(&self.0.links).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_was_touched_opens_nothing() {
        let link = Link {
            company: CompanyId(Uuid::from_u128(1)),
            id: Uuid::from_u128(2),
            trip: TripId(3),
            expires_at: Instant(4),
        };
        let key = [5; 32];
        let token = link.token(&key);
        assert_eq!(Link::read(&key, &token), Some(link));
        assert_eq!(Link::read(&[6; 32], &token), None);
        for at in PREFIX.len()..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let touched = String::from_utf8(bytes).unwrap();
            assert_eq!(Link::read(&key, &touched), None, "{at}");
        }
        assert_eq!(Link::read(&key, "track_"), None);
        assert_eq!(Link::read(&key, &"track_A".repeat(1_000)), None);
    }
}
