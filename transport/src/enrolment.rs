//! Enrolment: a one-use code turns a device into a node.
//!
//! The device knows the hub only by the fingerprint in the code, and shows no certificate. It
//! sends one request and gets one answer: CBOR, each on a stream that ends with it.

mod code;
mod message;

use std::future::Future;
use std::net::SocketAddr;

pub use code::{CodeError, EnrolmentCode, HUB_ADDR_BYTES_MAX};
pub use message::{
    EnrolmentAnswer, EnrolmentGrant, EnrolmentRefusal, EnrolmentRequest, HubKey, HubKeyUse,
    NAME_HINT_BYTES_MAX,
};

/// The longest request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The longest answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Decides who becomes a node. The hub implements it; it must consume the secret atomically.
///
/// A device whose answer was lost asks again with the same secret and keys: give it the same
/// grant, or it needs a new code.
pub trait EnrolmentDesk: Sync {
    /// Decides one request, which came from `from`.
    fn enrol(
        &self,
        request: EnrolmentRequest,
        from: SocketAddr,
    ) -> impl Future<Output = Result<EnrolmentGrant, EnrolmentRefusal>> + Send;
}
