//! The application error codes with which one side closes a connection.

use core::fmt;

use quinn::VarInt;

/// Why one side closed a connection: the QUIC application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 0: nothing more to say.
    Done,
    /// 1: the sync protocol needs a certificate and there was none.
    CertificateMissing,
    /// 2: the node was revoked.
    Revoked,
    /// 3: the hub does not know the node.
    UnknownNode,
    /// 4: a frame was over the cap.
    FrameTooLarge,
    /// 5: a channel ended in the middle of a frame.
    FrameTruncated,
    /// 6: a stream named no channel, or one that was open already.
    UnknownChannel,
    /// 7: a frame's contents broke the protocol.
    ProtocolBroken,
    /// 8: the process is shutting down; come again.
    GoingAway,
    /// 9: the same node has connected anew.
    Superseded,
    /// 10: no time for this peer; come again later.
    Busy,
    /// A code of a later version.
    Other(u32),
}

impl CloseCode {
    const NAMED: [Self; 11] = [
        Self::Done,
        Self::CertificateMissing,
        Self::Revoked,
        Self::UnknownNode,
        Self::FrameTooLarge,
        Self::FrameTruncated,
        Self::UnknownChannel,
        Self::ProtocolBroken,
        Self::GoingAway,
        Self::Superseded,
        Self::Busy,
    ];

    /// The code on the wire.
    pub fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::CertificateMissing => 1,
            Self::Revoked => 2,
            Self::UnknownNode => 3,
            Self::FrameTooLarge => 4,
            Self::FrameTruncated => 5,
            Self::UnknownChannel => 6,
            Self::ProtocolBroken => 7,
            Self::GoingAway => 8,
            Self::Superseded => 9,
            Self::Busy => 10,
            Self::Other(number) => number,
        }
    }

    /// Reads a code from the wire.
    pub fn from_number(number: u32) -> Self {
        Self::NAMED
            .get(number as usize)
            .copied()
            .unwrap_or(Self::Other(number))
    }

    pub(crate) fn varint(self) -> VarInt {
        VarInt::from_u32(self.number())
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::CertificateMissing => f.write_str("no certificate"),
            Self::Revoked => f.write_str("revoked"),
            Self::UnknownNode => f.write_str("unknown node"),
            Self::FrameTooLarge => f.write_str("frame too large"),
            Self::FrameTruncated => f.write_str("frame cut short"),
            Self::UnknownChannel => f.write_str("unknown channel"),
            Self::ProtocolBroken => f.write_str("protocol broken"),
            Self::GoingAway => f.write_str("shutting down"),
            Self::Superseded => f.write_str("connected anew elsewhere"),
            Self::Busy => f.write_str("busy"),
            Self::Other(number) => write!(f, "code {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_read_back_what_they_wrote() {
        for number in 0..20 {
            assert_eq!(CloseCode::from_number(number).number(), number);
        }
        assert_eq!(CloseCode::from_number(11), CloseCode::Other(11));
    }
}
