//! The hub's own keys: the one it signs grants and tickets with, and the master that every
//! trip's MAC key is derived from. They stand in the data folder, readable by their owner only.

pub mod agreed;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use domain::ids::{Issuer, Kid, TripId};
use domain::lease::{Grant, SignedGrant};
use domain::ticket::{KeyRecord, ShortCode, TicketClaim, signing_kid};
use ed25519_dalek::{SigningKey, VerifyingKey};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use sync_transport::enrolment::{HubKey, HubKeyUse};

const SIGNING_FILE: &str = "hub-signing.key";
const TRIP_MASTER_FILE: &str = "trip-mac-master.key";
const NAME_LABEL: &[u8] = b"mwimule name of a secret v1";
const TRIP_KEY_LABEL: &[u8] = b"mwimule trip key v1";
const LINK_KEY_LABEL: &[u8] = b"mwimule tracking link v1";

/// Why the hub has no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read or written.
    #[error("{path}: {source}: check the disk and who may read and write this folder")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file does not hold a key.
    #[error("{path} is damaged: restore the whole folder from its backup")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// One of the two files is missing.
    #[error("{path} is missing while the other key is there: restore the folder from its backup")]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoEntropy(getrandom::Error),
}

/// The hub's keys. Debug output shows the public one only.
#[derive(Clone)]
pub struct HubKeys {
    signing: SigningKey,
    trip_master: [u8; 32],
}

impl core::fmt::Debug for HubKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "HubKeys({})", self.kid())
    }
}

impl HubKeys {
    /// From bytes that the caller keeps secret.
    pub fn from_bytes(signing: &[u8; 32], trip_master: [u8; 32]) -> Self {
        Self {
            signing: SigningKey::from_bytes(signing),
            trip_master,
        }
    }

    /// A name of the trips' master that does not give it away.
    pub fn trip_master_name(&self) -> [u8; 32] {
        one_way_name(&self.trip_master)
    }

    /// Reads the keys of a folder, or makes them when it has neither.
    ///
    /// Half a pair is an error: new keys would make every ticket and grant out there invalid.
    pub fn load_or_create(folder: &Path) -> Result<Self, KeyError> {
        let signing = folder.join(SIGNING_FILE);
        let master = folder.join(TRIP_MASTER_FILE);
        match (signing.exists(), master.exists()) {
            (true, true) => Ok(Self::from_bytes(&read_key(&signing)?, read_key(&master)?)),
            (true, false) => Err(KeyError::Missing { path: master }),
            (false, true) => Err(KeyError::Missing { path: signing }),
            (false, false) => {
                let (mut key, mut trip_master) = ([0; 32], [0; 32]);
                getrandom::fill(&mut key).map_err(KeyError::NoEntropy)?;
                getrandom::fill(&mut trip_master).map_err(KeyError::NoEntropy)?;
                make_folder(folder)?;
                write_key(folder, &master, &trip_master)?;
                write_key(folder, &signing, &key)?;
                Ok(Self::from_bytes(&key, trip_master))
            }
        }
    }

    /// Signs grants and the hub's own tickets.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// What they are checked with.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.signing.verifying_key()
    }

    /// The short name of the signing key.
    pub fn kid(&self) -> Kid {
        signing_kid(&self.verifying_key())
    }

    /// The record that validators check the hub's own tickets with.
    pub fn record(&self) -> KeyRecord {
        KeyRecord::signing(Issuer::Hub, self.verifying_key())
    }

    /// What an enrolling node is told to hold the hub to.
    pub fn enrolment_keys(&self) -> Vec<HubKey> {
        vec![HubKey {
            key_use: HubKeyUse::All,
            kid: self.kid(),
            public_key: self.verifying_key().to_bytes(),
        }]
    }

    /// Signs a grant.
    pub fn sign_grant(&self, grant: &Grant) -> SignedGrant {
        SignedGrant::sign(grant, &self.signing)
    }

    /// The key of one trip, from which each issuer's MAC key is derived.
    pub fn trip_key(&self, trip: TripId) -> [u8; 32] {
        let mut key = [0; 32];
        #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes")]
        Hkdf::<Sha256>::new(None, &self.trip_master)
            .expand_multi_info(&[TRIP_KEY_LABEL, &trip.0.to_be_bytes()], &mut key)
            .expect("32 bytes are within HKDF's reach");
        key
    }

    /// What links that show a trip are signed with. Secret.
    pub(crate) fn link_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes")]
        Hkdf::<Sha256>::new(None, &self.trip_master)
            .expand(LINK_KEY_LABEL, &mut key)
            .expect("32 bytes are within HKDF's reach");
        key
    }

    /// The MAC key of one issuer on one trip. Secret.
    pub fn mac_record(&self, trip: TripId, issuer: Issuer) -> KeyRecord {
        KeyRecord::mac(issuer, trip, &self.trip_key(trip))
    }

    /// What the holder of one of the hub's own tickets shows instead of its QR code.
    pub fn short_code(&self, claim: &TicketClaim) -> Option<ShortCode> {
        ShortCode::of(claim, &self.mac_record(claim.trip, Issuer::Hub))
    }
}

/// A name of a secret that does not give it away.
pub(crate) fn one_way_name(secret: &[u8; 32]) -> [u8; 32] {
    let name = Sha256::new().chain_update(NAME_LABEL);
    name.chain_update(secret).finalize().into()
}

/// One secret of 32 bytes in the folder, made at its first use.
pub fn load_or_create(folder: &Path, name: &str) -> Result<[u8; 32], KeyError> {
    let path = folder.join(name);
    if path.exists() {
        return read_key(&path);
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(KeyError::NoEntropy)?;
    make_folder(folder)?;
    write_key(folder, &path, &key)?;
    Ok(key)
}

fn make_folder(folder: &Path) -> Result<(), KeyError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| KeyError::File {
            path: folder.to_owned(),
            source,
        })
}

fn read_key(path: &Path) -> Result<[u8; 32], KeyError> {
    let mut bytes = Vec::with_capacity(32);
    File::open(path)
        .and_then(|file| file.take(64).read_to_end(&mut bytes))
        .map_err(|source| KeyError::File {
            path: path.to_owned(),
            source,
        })?;
    bytes.try_into().map_err(|_| KeyError::Damaged {
        path: path.to_owned(),
    })
}

fn write_key(folder: &Path, path: &Path, key: &[u8; 32]) -> Result<(), KeyError> {
    let fresh = path.with_extension("new");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(key).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&fresh, path))
        .and_then(|()| File::open(folder)?.sync_all());
    written.map_err(|source| KeyError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_keys_are_made_once_and_only_their_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let first = HubKeys::load_or_create(&keys).unwrap();
        let again = HubKeys::load_or_create(&keys).unwrap();
        assert_eq!(first.kid(), again.kid());
        assert_eq!(first.trip_key(TripId(7)), again.trip_key(TripId(7)));
        assert_ne!(first.trip_key(TripId(7)), first.trip_key(TripId(8)));
        let mode = |name| {
            let meta = std::fs::metadata(keys.join(name)).unwrap();
            meta.permissions().mode() & 0o777
        };
        assert_eq!((mode(SIGNING_FILE), mode(TRIP_MASTER_FILE)), (0o600, 0o600));
    }

    #[test]
    fn half_a_pair_of_keys_is_never_completed_with_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        HubKeys::load_or_create(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join(TRIP_MASTER_FILE)).unwrap();
        let error = HubKeys::load_or_create(folder.path()).unwrap_err();
        assert!(matches!(error, KeyError::Missing { .. }), "{error}");
    }
}
