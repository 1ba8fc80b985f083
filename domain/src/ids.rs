//! One type per identifier, so that a lease number can never be passed for a seat.

use core::fmt;
use core::str::FromStr;

use uuid::Uuid;

/// An identifier that could not be read from text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}")]
pub struct IdError {
    /// What was expected, in words.
    pub what: &'static str,
    /// What was found, cut to 64 characters.
    pub text: String,
}

impl IdError {
    pub(crate) fn new(what: &'static str, text: &str) -> Self {
        Self {
            what,
            text: text.chars().take(64).collect(),
        }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The 16 bytes, big endian.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
            /// From the 16 bytes, big endian.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| IdError::new($what, text))
            }
        }
        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(self.as_bytes())?.ok()
            }
        }
        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                Ok(Self::from_bytes(crate::codec::fixed_bytes(d)?))
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $repr:ty, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub $repr);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self).map_err(|_| IdError::new($what, text))
            }
        }
    };
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                crate::codec::from_hex(text)
                    .and_then(|v| v.try_into().ok())
                    .map(Self)
                    .ok_or_else(|| IdError::new($what, text))
            }
        }
        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }
        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                Ok(Self(crate::codec::fixed_bytes(d)?))
            }
        }
    };
}

uuid_id!(/** A bus company: the tenant. */ CompanyId, "company id");
uuid_id!(/** A device: a station counter or a bus. */ NodeId, "node id");
uuid_id!(/** A ticket, UUIDv7. */ TicketId, "ticket id");
uuid_id!(/** Whoever earns commission: a station, an agent, a person, a key. */ PartyId, "party id");
uuid_id!(/** One command given to a node or to the hub; replaying it gives the same answer. */ CommandId, "command id");
uuid_id!(/** One request for a lease; a retry carries the same one. */ RequestId, "request id");

number_id!(/** A trip: one run of a pattern on a service date. */ TripId, u64, "trip number");
number_id!(/** A seat of a layout, counted from 1; what is painted on it is the layout's label. */ SeatNo, u16, "seat number");
number_id!(/** A stop of a trip, counted from 0; leg `i` runs from stop `i` to stop `i + 1`. */ StopSeq, u8, "stop sequence");
number_id!(/** A grant, numbered per trip and node. */ LeaseNo, u16, "lease number");
number_id!(/** The fencing token of a grant: rises with every grant of a trip. */ LeaseEpoch, u32, "lease epoch");
number_id!(/** One installation of a node's store. */ NodeIncarnation, u32, "node incarnation");
number_id!(/** One installation of the hub's store: rises with every restore. 1 for one never restored. */ HubIncarnation, u32, "hub incarnation");
number_id!(/** A position in a node's log, counted from 1. */ Seq, u64, "log position");
number_id!(/** A shift, numbered per node. */ ShiftNo, u32, "shift number");
number_id!(/** How often a (lease, seat) has been sold, counted from 1; the higher supersedes the lower. */ SaleOrdinal, u16, "sale ordinal");
number_id!(/** Which seat numbering a ticket was sold under. */ LayoutVersion, u32, "layout version");

byte_id!(/** The short name of a key. */ Kid, 4, "key id of 8 hex digits");
byte_id!(/** SHA-256 of an event's signed bytes. */ EventHash, 32, "hash of 64 hex digits");

impl EventHash {
    /// What the first event of a log names as its predecessor.
    pub const GENESIS: Self = Self([0; 32]);
}

/// A stop as the company's timetable names it (GTFS `stop_id`), at most 64 characters.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct StopCode(#[n(0)] pub String);

impl fmt::Display for StopCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StopCode {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.chars().count() > 64 {
            return Err(IdError::new("stop code of 1 to 64 characters", text));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Who signed a ticket.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
pub enum Issuer {
    /// The central hub; its tickets need no grant.
    #[n(0)]
    Hub,
    /// A node, out of its own leases.
    #[n(1)]
    Node(#[n(0)] NodeId),
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub => f.write_str("hub"),
            Self::Node(node) => node.fmt(f),
        }
    }
}
