//! Enrolment: a code from the office makes this device a node.

use std::path::Path;

use sync_transport::{DeviceKeys, EnrolmentCode, NodeCredentials, TransportSettings};

use crate::identity::{Identity, IdentityError};
use crate::keys::{
    KeyError, NodeKeys, forget_pending_tls_key, make_private_folder, pending_tls_key,
};
use crate::runtime::node::{DataDir, RuntimeError};

/// Why a device did not become a node.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The code cannot be read.
    #[error(transparent)]
    Code(#[from] sync_transport::enrolment::CodeError),
    /// The folder cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The keys cannot be made.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The hub did not enrol it.
    #[error(transparent)]
    Transport(#[from] sync_transport::TransportError),
    /// What the hub sent is not usable.
    #[error(transparent)]
    Pki(#[from] sync_transport::pki::PkiError),
    /// The data folder or the store cannot be made.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Enrols the device whose data folder this is. Repeating it with the same code after a lost
/// answer is safe: the keys are kept.
pub async fn enrol(
    code: &str,
    data_dir: &Path,
    name_hint: &str,
    settings: &TransportSettings,
) -> Result<Identity, EnrolError> {
    let code: EnrolmentCode = code.parse()?;
    let dir = DataDir::new(data_dir);
    make_private_folder(&dir.keys()).map_err(|source| KeyError::File {
        path: dir.keys(),
        source,
    })?;
    let _lock = dir.lock()?;
    match Identity::load(data_dir) {
        Ok(known) => {
            return Err(IdentityError::AlreadyEnrolled {
                folder: data_dir.to_owned(),
                node: known.node,
            }
            .into());
        }
        Err(IdentityError::NotEnrolled { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let keys = NodeKeys::load_or_generate(&dir.keys())?;
    let tls_key = pending_tls_key(&dir.keys())?;
    let device = DeviceKeys {
        event_public_key: keys.event.verifying_key().to_bytes(),
        ticket_public_key: keys.ticket.verifying_key().to_bytes(),
        name_hint: name_hint.to_owned(),
    };
    let grant = sync_transport::enrol(&code, &tls_key, &device, settings).await?;
    let credentials = NodeCredentials::new(tls_key, &grant.certificate, &grant.ca_certificate)?;
    credentials.save(&dir.keys())?;
    let identity = Identity::of_grant(&grant, &code.hub_addr);
    // The store comes before the identity: an identity without a store means that one was lost.
    let config = dir.engine_config(&identity, domain::ticket::Suite::Ed25519, false)?;
    crate::engine::Engine::open(&dir.disk(), config).map_err(RuntimeError::from)?;
    identity.save(data_dir)?;
    forget_pending_tls_key(&dir.keys());
    Ok(identity)
}
