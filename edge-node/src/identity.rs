//! Who this node is and which hub it belongs to: `node.json` in its data folder. No secrets.

use std::path::{Path, PathBuf};

use domain::codec::{from_hex, to_hex};
use domain::ids::{CompanyId, Kid, NodeId};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use sync_transport::enrolment::{EnrolmentGrant, HubKey, HubKeyUse};

use crate::keys::write_private;

/// The longest `node.json` that is looked at, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What enrolment made of this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// Whose it is.
    pub company: CompanyId,
    /// Where the hub is, `host:port`.
    pub hub_addr: String,
    /// The keys that the hub signs with.
    pub hub_keys: Vec<HubKey>,
}

/// An identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Nobody enrolled this device.
    #[error(
        "no device is set up in {folder}: get a code from the office (`mwimule-hub node enrol`) and enrol with it first"
    )]
    NotEnrolled {
        /// The data folder.
        folder: PathBuf,
    },
    /// Somebody did before.
    #[error("{folder} holds node {node} already: use another folder for another node")]
    AlreadyEnrolled {
        /// The data folder.
        folder: PathBuf,
        /// Who is there.
        node: NodeId,
    },
    /// The file cannot be read or written.
    #[error("{path}: {source}: check the folder and its permissions")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not hold an identity.
    #[error("{path} is damaged ({what}): put it back from a backup, or enrol this device again")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was wrong.
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileShape {
    node: String,
    company: String,
    hub_addr: String,
    hub_keys: Vec<KeyShape>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyShape {
    #[serde(rename = "use")]
    key_use: String,
    kid: String,
    public_key: String,
}

const fn use_name(key_use: HubKeyUse) -> &'static str {
    match key_use {
        HubKeyUse::Tickets => "tickets",
        HubKeyUse::Grants => "grants",
        HubKeyUse::All => "all",
    }
}

fn use_of(name: &str) -> Option<HubKeyUse> {
    [HubKeyUse::Tickets, HubKeyUse::Grants, HubKeyUse::All]
        .into_iter()
        .find(|key_use| use_name(*key_use) == name)
}

fn key_of(shape: &KeyShape) -> Option<HubKey> {
    Some(HubKey {
        key_use: use_of(&shape.key_use)?,
        kid: shape.kid.parse::<Kid>().ok()?,
        public_key: from_hex(&shape.public_key)?.try_into().ok()?,
    })
}

impl Identity {
    /// What a grant of enrolment says.
    pub fn of_grant(grant: &EnrolmentGrant, hub_addr: &str) -> Self {
        Self {
            node: grant.node_id,
            company: grant.company_id,
            hub_addr: hub_addr.to_owned(),
            hub_keys: grant.hub_keys.clone(),
        }
    }

    /// The keys that grants are checked with.
    pub fn grant_keys(&self) -> Vec<VerifyingKey> {
        self.hub_keys
            .iter()
            .filter(|key| matches!(key.key_use, HubKeyUse::Grants | HubKeyUse::All))
            .filter_map(|key| VerifyingKey::from_bytes(&key.public_key).ok())
            .collect()
    }

    fn path(folder: &Path) -> PathBuf {
        folder.join("node.json")
    }

    /// Reads the identity of a data folder.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let path = Self::path(folder);
        let file = |source| IdentityError::File {
            path: path.clone(),
            source,
        };
        let damaged = |what: &dyn core::fmt::Display| IdentityError::Damaged {
            path: path.clone(),
            what: what.to_string(),
        };
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(damaged(&"it is far too long"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(IdentityError::NotEnrolled {
                    folder: folder.to_owned(),
                });
            }
            Err(error) => return Err(file(error)),
        }
        let text = std::fs::read_to_string(&path).map_err(file)?;
        let shape: FileShape = serde_json::from_str(&text).map_err(|e| damaged(&e))?;
        let hub_keys: Option<Vec<HubKey>> = shape.hub_keys.iter().map(key_of).collect();
        Ok(Self {
            node: shape.node.parse().map_err(|e| damaged(&e))?,
            company: shape.company.parse().map_err(|e| damaged(&e))?,
            hub_addr: shape.hub_addr,
            hub_keys: hub_keys.ok_or_else(|| damaged(&"a key of the hub cannot be read"))?,
        })
    }

    /// Writes the identity into a data folder.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        let path = Self::path(folder);
        let shape = FileShape {
            node: self.node.to_string(),
            company: self.company.to_string(),
            hub_addr: self.hub_addr.clone(),
            hub_keys: self
                .hub_keys
                .iter()
                .map(|key| KeyShape {
                    key_use: use_name(key.key_use).to_owned(),
                    kid: key.kid.to_string(),
                    public_key: to_hex(&key.public_key),
                })
                .collect(),
        };
        let text = serde_json::to_vec_pretty(&shape).map_err(|e| IdentityError::Damaged {
            path: path.clone(),
            what: e.to_string(),
        })?;
        write_private(&path, &text).map_err(|source| IdentityError::File { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_and_a_damaged_one_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let not_there = Identity::load(folder.path()).unwrap_err();
        assert!(not_there.to_string().contains("enrol"), "{not_there}");
        let identity = Identity {
            node: NodeId::from_bytes([1; 16]),
            company: CompanyId::from_bytes([2; 16]),
            hub_addr: "hub.example:7443".to_owned(),
            hub_keys: vec![HubKey {
                key_use: HubKeyUse::All,
                kid: Kid([1, 2, 3, 4]),
                public_key: ed25519_dalek::SigningKey::from_bytes(&[5; 32])
                    .verifying_key()
                    .to_bytes(),
            }],
        };
        identity.save(folder.path()).unwrap();
        assert_eq!(Identity::load(folder.path()).unwrap(), identity);
        assert_eq!(identity.grant_keys().len(), 1);
        std::fs::write(folder.path().join("node.json"), "{").unwrap();
        let damaged = Identity::load(folder.path()).unwrap_err();
        assert!(
            damaged.to_string().contains("node.json is damaged"),
            "{damaged}"
        );
    }
}
