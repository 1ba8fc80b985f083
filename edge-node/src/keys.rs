//! The node's private keys: files that only their owner may read, never in the database and
//! never in a backup.

mod signer;

pub use signer::NodeKey;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sync_transport::NodeTlsKey;

/// What the node signs with.
#[derive(Clone)]
pub struct NodeKeys {
    /// Signs the log.
    pub event: NodeKey,
    /// Signs tickets.
    pub ticket: NodeKey,
}

impl core::fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("NodeKeys(secret)")
    }
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error(
        "{path}: {source}: check the folder and its permissions; a device without its keys has to be enrolled again"
    )]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not hold a key.
    #[error("{path} does not hold a key: this device has to be enrolled again")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The system gave no randomness.
    #[error("the system gives no random bytes ({0}): restart the device")]
    Random(String),
    /// No TLS key could be made.
    #[error(transparent)]
    Pki(#[from] sync_transport::pki::PkiError),
}

impl NodeKeys {
    /// Keys made of two seeds, for tests and simulations.
    pub fn from_seeds(event: [u8; 32], ticket: [u8; 32]) -> Self {
        Self {
            event: NodeKey::from_seed(&event),
            ticket: NodeKey::from_seed(&ticket),
        }
    }

    /// Reads the keys of an enrolled node.
    pub fn load(folder: &Path) -> Result<Self, KeyError> {
        Ok(Self::from_seeds(
            read_seed(&folder.join("event.key"))?,
            read_seed(&folder.join("ticket.key"))?,
        ))
    }

    /// Reads the keys, or makes those that are not there.
    pub fn load_or_generate(folder: &Path) -> Result<Self, KeyError> {
        for name in ["event.key", "ticket.key"] {
            let path = folder.join(name);
            if !path.exists() {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|e| KeyError::Random(e.to_string()))?;
                write_secret(&path, &seed)?;
            }
        }
        Self::load(folder)
    }
}

/// The TLS key that an enrolment is under way with; a repeated enrolment must use the same one.
pub fn pending_tls_key(folder: &Path) -> Result<NodeTlsKey, KeyError> {
    let path = folder.join("pending-tls.key");
    if let Ok(der) = fs::read(&path)
        && let Ok(key) = NodeTlsKey::from_pkcs8(&der)
    {
        return Ok(key);
    }
    let key = NodeTlsKey::generate()?;
    write_secret(&path, &key.to_pkcs8())?;
    Ok(key)
}

/// The enrolment is through: the TLS key has its place beside its certificate.
pub fn forget_pending_tls_key(folder: &Path) {
    let _ = fs::remove_file(folder.join("pending-tls.key"));
}

fn read_seed(path: &Path) -> Result<[u8; 32], KeyError> {
    let bytes = fs::read(path).map_err(|source| KeyError::File {
        path: path.to_owned(),
        source,
    })?;
    bytes.try_into().map_err(|_| KeyError::Damaged {
        path: path.to_owned(),
    })
}

/// Makes a folder that only its owner may enter.
pub fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Writes a file that only its owner may read: whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("draft");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    write_private(path, bytes).map_err(|source| KeyError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let first = NodeKeys::load_or_generate(folder.path()).unwrap();
        let second = NodeKeys::load_or_generate(folder.path()).unwrap();
        assert_eq!(first.event.verifying_key(), second.event.verifying_key());
        assert_ne!(first.event.verifying_key(), first.ticket.verifying_key());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.path().join("event.key"))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
