//! Enrolment: an admin makes a one-use code, a device shows it and becomes a node.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use domain::codec::to_cbor;
use domain::ids::{CompanyId, Issuer, NodeId, StopCode};
use domain::ticket::KeyRecord;
use domain::time::{Instant, Zone};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};
use sync_protocol::{BucketId, Item};
use sync_transport::enrolment::{CodeError, EnrolmentRequest};
use sync_transport::pki::PkiError;
use sync_transport::{EnrolmentCode, EnrolmentDesk, EnrolmentGrant, EnrolmentRefusal, HubIdentity};
#[cfg(any(test, feature = "testing"))]
use uuid::Uuid;

use super::{NodeError, NodeKind};
use crate::clock;
use crate::db::{Db, DbError};
use crate::keys::HubKeys;
use crate::sync::buckets::{Publication, key_item_key, publish_all};
use crate::sync::server::Hub;
use crate::tenant::TenantTx;

/// How long a code is good for, in ms.
pub const CODE_LASTS_MS: i64 = 15 * 60_000;
/// Wrong codes from one address before it has to wait.
const WRONG_CODES_MAX: u32 = 10;
/// For how long wrong codes are counted.
const WRONG_CODES_WINDOW: Duration = Duration::from_mins(1);
/// Addresses that are remembered; more than that and all are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// What the node is told about itself at enrolment: a CBOR map.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct NodeConfig {
    /// What people call it.
    #[n(0)]
    pub name: String,
    /// `station` or `onboard`.
    #[n(1)]
    pub kind: String,
    /// A station's own stop.
    #[n(2)]
    pub stop: Option<StopCode>,
    /// The local time of its business dates.
    #[n(3)]
    pub zone: Zone,
    /// Whose it is, in words.
    #[n(4)]
    pub company: String,
    /// What the company is paid in.
    #[n(5)]
    pub currency: String,
}

/// Why no code was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateCodeError {
    /// The hub's address cannot stand in a code.
    #[error(transparent)]
    Address(#[from] CodeError),
    /// The hub's certificates are not usable.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoEntropy(getrandom::Error),
    /// The node cannot be made.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl From<DbError> for CreateCodeError {
    fn from(error: DbError) -> Self {
        Self::Node(error.into())
    }
}

/// Makes a node that nobody is yet, and the code that turns one device into it.
pub async fn create_code(
    db: &Db,
    identity: &HubIdentity,
    hub_addr: &str,
    company: CompanyId,
    name: &str,
    kind: &NodeKind,
) -> Result<(NodeId, EnrolmentCode), CreateCodeError> {
    let (mut secret, mut id) = ([0; 16], [0; 16]);
    getrandom::fill(&mut secret).map_err(CreateCodeError::NoEntropy)?;
    getrandom::fill(&mut id).map_err(CreateCodeError::NoEntropy)?;
    let node = NodeId(uuid::Builder::from_random_bytes(id).into_uuid());
    let code = EnrolmentCode::new(hub_addr, secret, identity.ca_fingerprint()?)?;
    let mut tx = db.tenant(company).await?;
    refuse_unknown_stop(&mut tx, kind).await?;
    insert_node(&mut tx, node, name, kind).await?;
    sqlx::query!(
        "INSERT INTO enrolment_code (company_id, secret_hash, node_id, expires_at_ms)
         VALUES ($1, $2, $3, $4)",
        company.0,
        &hash_of(&secret)[..],
        node.0,
        clock::now().plus_ms(CODE_LASTS_MS).0
    )
    .execute(tx.conn())
    .await
    .map_err(DbError::from)?;
    tx.commit().await?;
    Ok((node, code))
}

/// Refuses a station at a stop that the company has not.
pub(crate) async fn refuse_unknown_stop(
    tx: &mut TenantTx,
    kind: &NodeKind,
) -> Result<(), NodeError> {
    let Some(stop) = kind.stop() else {
        return Ok(());
    };
    let known = sqlx::query_scalar!(
        "SELECT stop_code FROM stop WHERE company_id = $1 AND stop_code = $2",
        tx.company().0,
        stop.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DbError::from)?;
    known
        .map(drop)
        .ok_or_else(|| NodeError::UnknownStop(stop.clone()))
}

/// Tells the company's nodes what the tickets of an enrolled one are checked with.
pub(crate) async fn publish_keys(
    tx: &mut TenantTx,
    keys: &HubKeys,
    node: NodeId,
    ticket_key: VerifyingKey,
) -> Result<(), DbError> {
    let records = [
        keys.record(),
        KeyRecord::signing(Issuer::Node(node), ticket_key),
    ];
    let facts = records.into_iter().map(|record| Publication {
        bucket: BucketId::Company.name(),
        key: key_item_key(&record),
        item: Item::Key(record),
    });
    publish_all(tx, facts.collect()).await
}

async fn insert_node(
    tx: &mut TenantTx,
    node: NodeId,
    name: &str,
    kind: &NodeKind,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO node (company_id, node_id, name, kind, stop_code) VALUES ($1, $2, $3, $4, $5)",
        tx.company().0,
        node.0,
        name,
        kind.as_str(),
        kind.stop().map(|s| s.0.as_str())
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn hash_of(secret: &[u8; 16]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Wrong codes of one address, since when.
type Attempts = HashMap<IpAddr, (Monotonic, u32)>;

/// Decides who becomes a node.
#[derive(Debug)]
pub struct Desk {
    hub: Arc<Hub>,
    wrong: Mutex<Attempts>,
}

/// A request that was not decided, or not granted.
enum Undecided {
    Refused(EnrolmentRefusal),
    Db(DbError),
}

impl From<DbError> for Undecided {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<sqlx::Error> for Undecided {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<EnrolmentRefusal> for Undecided {
    fn from(refusal: EnrolmentRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl EnrolmentDesk for Desk {
    async fn enrol(
        &self,
        request: EnrolmentRequest,
        from: SocketAddr,
    ) -> Result<EnrolmentGrant, EnrolmentRefusal> {
        self.may_try(from.ip())?;
        match self.decide(&request).await {
            Ok(grant) => {
                tracing::info!(node = %grant.node_id, %from, "a device has enrolled");
                Ok(grant)
            }
            Err(Undecided::Refused(refusal)) => {
                if refusal == EnrolmentRefusal::UnknownCode {
                    self.count_wrong(from.ip());
                }
                Err(refusal)
            }
            Err(Undecided::Db(error)) => {
                tracing::error!(%from, %error, "an enrolment could not be decided");
                let what = "its database is away".to_owned();
                Err(EnrolmentRefusal::NotNow { what })
            }
        }
    }
}

impl Desk {
    /// A desk that has seen nobody yet.
    pub fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            wrong: Mutex::default(),
        }
    }

    fn may_try(&self, from: IpAddr) -> Result<(), EnrolmentRefusal> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, count)) = wrong.get(&from) else {
            return Ok(());
        };
        let left = WRONG_CODES_WINDOW.saturating_sub(since.elapsed());
        if *count < WRONG_CODES_MAX || left.is_zero() {
            return Ok(());
        }
        Err(EnrolmentRefusal::TooManyAttempts {
            retry_after_ms: left.as_millis() as u64,
        })
    }

    fn count_wrong(&self, from: IpAddr) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= ADDRESSES_MAX {
            wrong.clear();
        }
        let (since, count) = wrong.entry(from).or_insert((Monotonic::now(), 0));
        if since.elapsed() >= WRONG_CODES_WINDOW {
            (*since, *count) = (Monotonic::now(), 0);
        }
        *count += 1;
    }

    async fn decide(&self, request: &EnrolmentRequest) -> Result<EnrolmentGrant, Undecided> {
        let hash = hash_of(&request.secret);
        let company = sqlx::query_scalar!("SELECT company_of_code($1)", &hash[..])
            .fetch_one(self.hub.db.pool())
            .await?;
        let company = company
            .map(CompanyId)
            .ok_or(EnrolmentRefusal::UnknownCode)?;
        let mut tx = self.hub.db.tenant(company).await?;
        let code = sqlx::query!(
            "SELECT node_id, expires_at_ms, used_at_ms FROM enrolment_code
             WHERE company_id = $1 AND secret_hash = $2 FOR UPDATE",
            company.0,
            &hash[..]
        )
        .fetch_one(tx.conn())
        .await?;
        let node = NodeId(code.node_id);
        if code.used_at_ms.is_some() {
            // The answer was lost on its way: the same device gets it again.
            if !has_these_keys(&mut tx, node, request).await? {
                return Err(EnrolmentRefusal::UsedCode.into());
            }
            return self.grant(&mut tx, node, request).await;
        }
        let now = clock::now();
        if now.0 > code.expires_at_ms {
            return Err(EnrolmentRefusal::ExpiredCode.into());
        }
        let ticket_key = usable(&request.ticket_public_key)?;
        usable(&request.event_public_key)?;
        let grant = self.grant(&mut tx, node, request).await?;
        take_in(&mut tx, node, request, now).await?;
        publish_keys(&mut tx, &self.hub.keys, node, ticket_key).await?;
        tx.commit().await?;
        Ok(grant)
    }

    async fn grant(
        &self,
        tx: &mut TenantTx,
        node: NodeId,
        request: &EnrolmentRequest,
    ) -> Result<EnrolmentGrant, Undecided> {
        let certificate = self
            .hub
            .identity
            .issue_node_certificate(&request.csr, node)
            .map_err(|error| EnrolmentRefusal::BadRequest {
                what: error.to_string(),
            })?;
        Ok(EnrolmentGrant {
            node_id: node,
            company_id: tx.company(),
            certificate,
            ca_certificate: self.hub.identity.ca_certificate().to_vec(),
            hub_keys: self.hub.keys.enrolment_keys(),
            config: to_cbor(&node_config(tx, node).await?),
        })
    }
}

fn usable(key: &[u8; 32]) -> Result<VerifyingKey, EnrolmentRefusal> {
    match VerifyingKey::from_bytes(key) {
        Ok(key) if !key.is_weak() => Ok(key),
        _ => Err(EnrolmentRefusal::BadRequest {
            what: "a key that is not a usable Ed25519 public key".to_owned(),
        }),
    }
}

async fn has_these_keys(
    tx: &mut TenantTx,
    node: NodeId,
    request: &EnrolmentRequest,
) -> Result<bool, DbError> {
    let same = sqlx::query_scalar!(
        r#"SELECT event_key = $3 AND ticket_key = $4 AS "same" FROM node
           WHERE company_id = $1 AND node_id = $2"#,
        tx.company().0,
        node.0,
        &request.event_public_key[..],
        &request.ticket_public_key[..]
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(same.unwrap_or(false))
}

async fn take_in(
    tx: &mut TenantTx,
    node: NodeId,
    request: &EnrolmentRequest,
    now: Instant,
) -> Result<(), DbError> {
    let company = tx.company().0;
    let secret_hash = hash_of(&request.secret);
    sqlx::query!(
        "UPDATE enrolment_code SET used_at_ms = $3 WHERE company_id = $1 AND secret_hash = $2",
        company,
        &secret_hash[..],
        now.0
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE node SET event_key = $3, ticket_key = $4, enrolled_at_ms = $5
         WHERE company_id = $1 AND node_id = $2",
        company,
        node.0,
        &request.event_public_key[..],
        &request.ticket_public_key[..],
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn node_config(tx: &mut TenantTx, node: NodeId) -> Result<NodeConfig, DbError> {
    let row = sqlx::query!(
        r#"SELECT n.name, n.kind, n.stop_code, coalesce(s.zone, c.zone) AS "zone!",
                  c.name AS company, c.currency
           FROM node n
           JOIN company c ON c.company_id = n.company_id
           LEFT JOIN stop s ON s.company_id = n.company_id AND s.stop_code = n.stop_code
           WHERE n.company_id = $1 AND n.node_id = $2"#,
        tx.company().0,
        node.0
    )
    .fetch_one(tx.conn())
    .await?;
    let damaged = |_| DbError::damaged(format!("device {node}"));
    Ok(NodeConfig {
        name: row.name,
        kind: row.kind,
        stop: row
            .stop_code
            .map(|s| s.parse().map_err(damaged))
            .transpose()?,
        zone: row.zone.parse().map_err(damaged)?,
        company: row.company,
        currency: row.currency,
    })
}

/// A node of a test, enrolled without a device: its keys are the caller's.
#[cfg(any(test, feature = "testing"))]
pub async fn enrol_for_test(
    db: &Db,
    company: CompanyId,
    name: &str,
    kind: &NodeKind,
    event_key: &VerifyingKey,
    ticket_key: &VerifyingKey,
) -> Result<NodeId, DbError> {
    let mut id = [0; 16];
    id.copy_from_slice(&event_key.as_bytes()[..16]);
    let node = NodeId(Uuid::from_bytes(id));
    let mut tx = db.tenant(company).await?;
    insert_node(&mut tx, node, name, kind).await?;
    sqlx::query!(
        "UPDATE node SET event_key = $3, ticket_key = $4 WHERE company_id = $1 AND node_id = $2",
        company.0,
        node.0,
        &event_key.as_bytes()[..],
        &ticket_key.as_bytes()[..]
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(node)
}
