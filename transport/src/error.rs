//! What can go wrong between a node and the hub, in words a shopkeeper can act on.

mod close_code;

use core::fmt;

use quinn::ConnectionError;

use crate::channel::{Channel, FRAME_BYTES_MAX};
use crate::enrolment::EnrolmentRefusal;
use crate::pki::{CaFingerprint, PkiError};
use crate::tls::ALERT_NO_ALPN;

pub use close_code::CloseCode;

/// The longest reason that a close carries or that we show, in bytes.
const REASON_BYTES_MAX: usize = 200;

/// What went wrong with a connection. `peer` is the hub's address as it was given, or the node.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nobody answered at the hub's address.
    #[error(
        "the hub at {hub} did not answer within {} s: check the connection; sales go on",
        Seconds(*waited_ms)
    )]
    HubUnreachable {
        /// The address as it was given.
        hub: String,
        /// How long it was tried, in ms.
        waited_ms: u64,
    },
    /// The hub's name has no address here and now.
    #[error(
        "the address of the hub, {hub}, cannot be found ({reason}): check the connection and \
         the spelling; sales go on"
    )]
    HubNotFound {
        /// The address as it was given.
        hub: String,
        /// What the resolver said.
        reason: String,
    },
    /// What answers at the address is no hub, or one of another protocol version.
    #[error(
        "what answers at {hub} is not a hub of this version: check the address, or update this \
         device; sales go on"
    )]
    NotAHub {
        /// The address as it was given.
        hub: String,
    },
    /// What answers could not prove to be the hub that enrolled this device.
    #[error(
        "what answers at {hub} is not the hub that enrolled this device: nothing was sent to it; \
         check the address and tell the office; sales go on"
    )]
    WrongHub {
        /// The address as it was given.
        hub: String,
    },
    /// What answers is not the hub that made the enrolment code.
    #[error(
        "what answers at {hub} is not the hub that made this enrolment code (its fingerprint is \
         not {expected}): the code was not sent to it; ask the office for a new code"
    )]
    WrongFingerprint {
        /// The address in the code.
        hub: String,
        /// The fingerprint in the code.
        expected: CaFingerprint,
    },
    /// The hub did not accept this device's certificate.
    #[error(
        "this device's certificate was not issued by the hub at {hub}: enrol again; sales go on"
    )]
    CertificateRefused {
        /// The address as it was given.
        hub: String,
    },
    /// The hub wants a certificate and was shown none.
    #[error("the hub at {hub} wants a certificate and this device showed none: enrol first")]
    CertificateMissing {
        /// The address as it was given.
        hub: String,
    },
    /// The hub has revoked this device.
    #[error("the hub at {hub} has revoked this device ({reason}): ask the office")]
    Revoked {
        /// The address as it was given.
        hub: String,
        /// What the hub said.
        reason: String,
    },
    /// The peer ended the connection.
    #[error("{peer} closed the connection: {code}{}", Detail(reason))]
    ClosedByPeer {
        /// Who.
        peer: String,
        /// Why.
        code: CloseCode,
        /// What it said, cut to 200 bytes.
        reason: String,
    },
    /// We ended the connection.
    #[error("the connection was closed here")]
    ClosedHere,
    /// The connection broke, or was silent for too long.
    #[error("the connection with {peer} was lost: it will be tried again; sales go on")]
    ConnectionLost {
        /// Who.
        peer: String,
    },
    /// A frame over the cap, ours or the peer's.
    #[error(
        "a frame of {bytes} bytes on the {channel} channel is over the cap of {FRAME_BYTES_MAX} \
         bytes: it was not carried"
    )]
    FrameTooLarge {
        /// Where.
        channel: Channel,
        /// What its length field says, in bytes.
        bytes: u64,
    },
    /// A channel ended in the middle of a frame.
    #[error(
        "a frame on the {channel} channel was cut short: {got_bytes} of {expected_bytes} bytes \
         came; it will be asked for again"
    )]
    FrameTruncated {
        /// Where.
        channel: Channel,
        /// What came, in bytes; of the length field where that was cut.
        got_bytes: u64,
        /// What was due, in bytes; 4 where the length field was cut.
        expected_bytes: u64,
    },
    /// A stream began with a byte that names no channel.
    #[error("{peer} opened a channel {id} that this version does not know: update this device")]
    UnknownChannel {
        /// Who.
        peer: String,
        /// The first byte of the stream.
        id: u8,
    },
    /// The peer did something that the protocol does not allow.
    #[error("{peer} broke the protocol: {what}")]
    ProtocolBroken {
        /// Who.
        peer: String,
        /// What it did.
        what: String,
    },
    /// The hub refused the enrolment.
    #[error("the hub at {hub} refused the enrolment: {refusal}")]
    EnrolmentRefused {
        /// The address in the code.
        hub: String,
        /// Why.
        refusal: EnrolmentRefusal,
    },
    /// This machine's own network could not be used.
    #[error("this device cannot use its network ({what}: {source}); sales go on")]
    LocalNetwork {
        /// What was tried.
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Keys or certificates on this side are not usable.
    #[error(transparent)]
    Identity(#[from] PkiError),
}

impl TransportError {
    /// Whether trying again by itself can help; otherwise a person has to act first.
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::HubUnreachable { .. }
            | Self::HubNotFound { .. }
            | Self::NotAHub { .. }
            | Self::WrongHub { .. }
            | Self::ClosedHere
            | Self::ConnectionLost { .. }
            | Self::FrameTruncated { .. }
            | Self::LocalNetwork { .. } => true,
            Self::ClosedByPeer { code, .. } => !matches!(
                code,
                CloseCode::UnknownNode | CloseCode::Revoked | CloseCode::CertificateMissing
            ),
            Self::EnrolmentRefused { refusal, .. } => refusal.is_worth_retrying(),
            Self::WrongFingerprint { .. }
            | Self::CertificateRefused { .. }
            | Self::CertificateMissing { .. }
            | Self::Revoked { .. }
            | Self::FrameTooLarge { .. }
            | Self::UnknownChannel { .. }
            | Self::ProtocolBroken { .. }
            | Self::Identity(_) => false,
        }
    }

    /// What a lost or closed connection means, by who says so.
    pub(crate) fn of_connection(error: &ConnectionError, peer: &str) -> Self {
        let hub = || peer.to_owned();
        match error {
            ConnectionError::VersionMismatch => Self::NotAHub { hub: hub() },
            ConnectionError::TransportError(local) => {
                if u64::from(local.code) >> 8 == 1 {
                    Self::WrongHub { hub: hub() }
                } else {
                    Self::ProtocolBroken {
                        peer: hub(),
                        what: local.to_string(),
                    }
                }
            }
            ConnectionError::ConnectionClosed(close) => {
                let code = u64::from(close.error_code);
                if code == 0x100 | u64::from(ALERT_NO_ALPN) {
                    Self::NotAHub { hub: hub() }
                } else if code >> 8 == 1 {
                    Self::CertificateRefused { hub: hub() }
                } else if close.error_code == quinn::TransportErrorCode::CONNECTION_REFUSED {
                    Self::closed_by(peer, CloseCode::Busy, b"")
                } else {
                    Self::ConnectionLost { peer: hub() }
                }
            }
            ConnectionError::ApplicationClosed(close) => {
                let number = u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX);
                Self::closed_by(peer, CloseCode::from_number(number), &close.reason)
            }
            ConnectionError::Reset | ConnectionError::TimedOut | ConnectionError::CidsExhausted => {
                Self::ConnectionLost { peer: hub() }
            }
            ConnectionError::LocallyClosed => Self::ClosedHere,
        }
    }

    fn closed_by(peer: &str, code: CloseCode, reason: &[u8]) -> Self {
        let reason = printable(reason);
        match code {
            CloseCode::Revoked => Self::Revoked {
                hub: peer.to_owned(),
                reason,
            },
            CloseCode::CertificateMissing => Self::CertificateMissing {
                hub: peer.to_owned(),
            },
            CloseCode::Done
            | CloseCode::UnknownNode
            | CloseCode::FrameTooLarge
            | CloseCode::FrameTruncated
            | CloseCode::UnknownChannel
            | CloseCode::ProtocolBroken
            | CloseCode::GoingAway
            | CloseCode::Superseded
            | CloseCode::Busy
            | CloseCode::Other(_) => Self::ClosedByPeer {
                peer: peer.to_owned(),
                code,
                reason,
            },
        }
    }

    /// The code that tells the peer what it did, where this is the peer's doing.
    pub(crate) fn close_code(&self) -> Option<CloseCode> {
        if let Self::FrameTooLarge { .. } = self {
            Some(CloseCode::FrameTooLarge)
        } else if let Self::FrameTruncated { .. } = self {
            Some(CloseCode::FrameTruncated)
        } else if let Self::UnknownChannel { .. } = self {
            Some(CloseCode::UnknownChannel)
        } else if let Self::ProtocolBroken { .. } = self {
            Some(CloseCode::ProtocolBroken)
        } else {
            None
        }
    }
}

/// Cuts a reason to what a close may carry, at a character boundary.
pub(crate) fn cut(reason: &str) -> &[u8] {
    &reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

/// A peer's words, made safe to show on a terminal.
fn printable(reason: &[u8]) -> String {
    String::from_utf8_lossy(&reason[..reason.len().min(REASON_BYTES_MAX)])
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(f, "{}", self.0 / 1000)
        } else {
            write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 100)
        }
    }
}

struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_reason_is_cut_and_cannot_drive_the_terminal() {
        let error = TransportError::closed_by("hub", CloseCode::Busy, b"\x1b[2Jlater");
        assert_eq!(
            error.to_string(),
            "hub closed the connection: busy ( [2Jlater)"
        );
        assert_eq!(cut(&"é".repeat(150)).len(), 200);
        assert_eq!(cut(&format!("x{}", "é".repeat(150))).len(), 199);
    }

    #[test]
    fn an_unreachable_hub_says_where_how_long_and_what_to_do() {
        let error = TransportError::HubUnreachable {
            hub: "10.0.0.1:7443".to_owned(),
            waited_ms: 5_000,
        };
        assert_eq!(
            error.to_string(),
            "the hub at 10.0.0.1:7443 did not answer within 5 s: check the connection; sales go on"
        );
    }
}
