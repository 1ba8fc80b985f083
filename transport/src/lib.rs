//! The shell around `sync-protocol`: QUIC connections, certificates and enrolment.
//!
//! It carries opaque frames of bytes on three channels and knows nothing of their meaning;
//! the drivers in the hub and on the nodes encode and decode them.
//!
//! - [`pki`]: the hub's certificate authority and each node's key and certificate.
//! - [`enrolment`]: a one-use code turns a device into a node.
//! - [`endpoint`]: the hub's socket and the edge's way to it.
//! - [`channel`]: one connection, its channels and its frames.
//! - [`settings`]: every window and time-out, with its unit.
//! - [`error`]: what can go wrong, in words a shopkeeper can act on.

pub mod channel;
pub mod endpoint;
pub mod enrolment;
pub mod error;
pub mod pki;
pub mod settings;
pub mod tls;

#[cfg(test)]
mod tests;

pub use channel::{ByteCounters, Channel, Connection, FRAME_BYTES_MAX};
pub use endpoint::{
    Arrival, DeviceKeys, EnrolmentArrival, HubEndpoint, SyncArrival, connect, enrol,
};
pub use enrolment::{EnrolmentCode, EnrolmentDesk, EnrolmentGrant, EnrolmentRefusal};
pub use error::{CloseCode, TransportError};
pub use pki::{CaFingerprint, HubIdentity, NodeCredentials, NodeTlsKey};
pub use settings::TransportSettings;
