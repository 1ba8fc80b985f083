//! The frames. `docs/sync-protocol.cddl` describes them; golden bytes keep them for ever.
//!
//! Every frame is one CBOR value with integer keys. A reader ignores fields that it does not
//! know; the variant and field numbers below are never reused.

use domain::codec::{from_cbor, to_cbor};
use domain::event::ChainHead;
use domain::fare::FareTable;
use domain::ids::{
    CompanyId, EventHash, HubIncarnation, Issuer, NodeId, NodeIncarnation, RequestId, SeatNo, Seq,
    StopCode, TicketId, TripId,
};
use domain::ids::{LeaseNo, SaleOrdinal};
use domain::ingest::{TicketState, Verdict};
use domain::layout::SeatLayout;
use domain::lease::{GrantRefusal, LeaseRequest, SignedGrant};
use domain::restore::FIRST;
use domain::ticket::{KeyRecord, ShortClaim};
use domain::time::Instant;
use domain::tracking::Fix;
use domain::trip::{Legs, Trip};

use crate::batch::EventBatch;

/// The protocol version spoken; the two before it would still be accepted.
pub const PROTOCOL_VERSION: u16 = 1;

/// A logical channel of a connection, in order of priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Hello, leases, server time.
    Control,
    /// Events up, verdicts down.
    Events,
    /// Buckets down.
    Buckets,
}

impl Channel {
    /// Every channel, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Control, Self::Events, Self::Buckets];

    /// Its number: the first byte of its stream. The smaller, the more urgent its bytes.
    pub const fn id(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Events => 1,
            Self::Buckets => 2,
        }
    }

    /// The channel with this number.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Control),
            1 => Some(Self::Events),
            2 => Some(Self::Buckets),
            _ => None,
        }
    }
}

impl core::fmt::Display for Channel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Control => "control",
            Self::Events => "events",
            Self::Buckets => "buckets",
        })
    }
}

/// A set of facts that the hub keeps a change log of.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
pub enum BucketId {
    /// The node's own: its grants and its own keys.
    #[n(0)]
    Node,
    /// The company's: layouts, fares, public keys.
    #[n(1)]
    Company,
    /// A trip's: keys of its issuers, grants, manifest.
    #[n(2)]
    Trip(#[n(0)] TripId),
    /// A station's: the trips that call there.
    #[n(3)]
    Station(#[n(0)] StopCode),
}

impl BucketId {
    /// The text it is stored and logged under.
    pub fn name(&self) -> String {
        match self {
            Self::Node => "node".to_owned(),
            Self::Company => "company".to_owned(),
            Self::Trip(trip) => format!("trip:{trip}"),
            Self::Station(stop) => format!("station:{stop}"),
        }
    }
}

/// How far a reader has applied a bucket.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct BucketCursor {
    /// Which bucket.
    #[n(0)]
    pub bucket: BucketId,
    /// The last change applied; 0 for none.
    #[n(1)]
    pub change: u64,
}

/// A ticket as a validator's manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct ListedTicket {
    /// Which ticket.
    #[n(0)]
    pub id: TicketId,
    /// The trip.
    #[n(1)]
    pub trip: TripId,
    /// Its seat as it is numbered today.
    #[n(2)]
    pub seat: SeatNo,
    /// Its legs.
    #[n(3)]
    pub legs: Legs,
    /// Who sold it.
    #[n(4)]
    pub issuer: Issuer,
    /// The grant it was sold under.
    #[n(5)]
    pub lease_no: Option<LeaseNo>,
    /// Which sale of that (lease, seat) it is.
    #[n(6)]
    pub ordinal: SaleOrdinal,
    /// Where it stands.
    #[n(7)]
    pub state: TicketState,
    /// What its short code says, where it has one.
    #[n(8)]
    pub code: Option<ShortClaim>,
}

/// One fact of a bucket; a later one with the same identity replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum Item {
    /// A seat layout.
    #[n(0)]
    Layout(#[n(0)] SeatLayout),
    /// A fare table.
    #[n(1)]
    Fares(#[n(0)] FareTable),
    /// A trip.
    #[n(2)]
    Trip(#[n(0)] Trip),
    /// A key that tickets are checked with.
    #[n(3)]
    Key(#[n(0)] KeyRecord),
    /// A grant, to its holder or to the validators of its trip.
    #[n(4)]
    Grant(#[n(0)] SignedGrant),
    /// A ticket of the manifest.
    #[n(5)]
    Ticket(#[n(0)] ListedTicket),
}

/// How far a log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct LogHead {
    /// Which installation.
    #[n(0)]
    pub incarnation: NodeIncarnation,
    /// The last position.
    #[n(1)]
    pub seq: Seq,
    /// The hash there.
    #[n(2)]
    pub hash: EventHash,
}

impl From<ChainHead> for LogHead {
    fn from(head: ChainHead) -> Self {
        Self {
            incarnation: head.incarnation,
            seq: head.seq,
            hash: head.hash,
        }
    }
}

impl From<LogHead> for ChainHead {
    fn from(head: LogHead) -> Self {
        Self {
            incarnation: head.incarnation,
            seq: head.seq,
            hash: head.hash,
        }
    }
}

/// The node's greeting.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Hello {
    /// The version the node speaks.
    #[n(0)]
    pub version: u16,
    /// The head of each installation's log that the node still keeps, the running one last.
    #[n(1)]
    pub logs: Vec<LogHead>,
    /// The sidecar disagrees with the log: the node sells nothing until it gets a new incarnation.
    #[n(2)]
    pub restored: bool,
    /// How far each bucket has been applied.
    #[n(3)]
    pub buckets: Vec<BucketCursor>,
    /// Which installation of the hub the cursors are of; none for one never restored.
    #[n(4)]
    pub hub: Option<HubIncarnation>,
    /// Who the node is, for a hub that was restored to before it was enrolled.
    #[n(5)]
    pub me: Option<Introduction>,
}

/// Who a node says that it is, beside the number in its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Introduction {
    /// Whose it is.
    #[n(0)]
    pub company: CompanyId,
    /// What its log is checked with: an Ed25519 public key.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub event_key: [u8; 32],
    /// What its tickets are checked with: an Ed25519 public key.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub ticket_key: [u8; 32],
}

/// A node that the hub told another one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct KnownIssuer {
    /// Which node.
    #[n(0)]
    pub node: NodeId,
    /// What its tickets are checked with: an Ed25519 public key.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub ticket_key: [u8; 32],
}

/// What a node knows that a hub which was restored may not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Every grant to the node as it was signed, those that it gave back too.
    pub grants: Vec<SignedGrant>,
    /// Grants to other nodes, on trips that it follows.
    pub others: Vec<SignedGrant>,
    /// Other nodes whose tickets it can check.
    pub issuers: Vec<KnownIssuer>,
}

impl Hello {
    /// Which installation of the hub the cursors are of.
    pub fn hub(&self) -> HubIncarnation {
        self.hub.unwrap_or(FIRST)
    }
}

/// The hub's answer to a greeting.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Welcome {
    /// The version spoken from here on.
    #[n(0)]
    pub version: u16,
    /// Which installation of the hub this is.
    #[n(1)]
    pub hub_incarnation: HubIncarnation,
    /// The hub's time.
    #[n(2)]
    pub now: Instant,
    /// For each log of the hello: the position to send after.
    #[n(3)]
    pub stored: Vec<StoredMark>,
    /// The node must begin this incarnation before it sells.
    #[n(4)]
    pub begin: Option<NodeIncarnation>,
    /// The buckets that will be sent.
    #[n(5)]
    pub buckets: Vec<BucketId>,
    /// The hub was restored: the node shall tell the grants that it holds.
    #[n(6)]
    #[cbor(default, skip_if = "is_false")]
    pub tell_grants: bool,
    /// What else this hub takes, as bits: [`TAKES_POSITIONS`]. A hub without it takes nothing else.
    #[n(7)]
    pub takes: Option<u32>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the derived encoder passes a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What a node holds, for a hub that was restored: a piece of it.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct GrantReport {
    /// For which installation of the hub.
    #[n(0)]
    pub hub: HubIncarnation,
    /// The heads of the node's logs when it told, the running one last.
    #[n(1)]
    pub logs: Vec<LogHead>,
    /// Which piece, from 0.
    #[n(2)]
    pub piece: u32,
    /// How many pieces.
    #[n(3)]
    pub pieces: u32,
    /// Grants to the node as they were signed, those that it gave back too.
    #[n(4)]
    pub grants: Vec<SignedGrant>,
    /// Grants to other nodes as they were signed.
    #[n(5)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub others: Vec<SignedGrant>,
    /// Other nodes that it knows; at most [`ISSUERS_MAX`] in all pieces.
    #[n(6)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub issuers: Vec<KnownIssuer>,
}

/// The most other nodes that a node tells of.
pub const ISSUERS_MAX: usize = 1024;

/// In [`Welcome::takes`]: the hub reads [`EdgeFrame::Positions`], and datagrams that hold one.
pub const TAKES_POSITIONS: u32 = 1;

/// The most fixes of one frame.
pub const FIXES_MAX: usize = 256;

/// How far the hub has stored a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct StoredMark {
    /// Which log of the node.
    #[n(0)]
    pub incarnation: NodeIncarnation,
    /// Everything up to here is stored.
    #[n(1)]
    pub through: Seq,
}

/// What edge nodes say.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum EdgeFrame {
    /// The first frame of a connection.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// Some of the log.
    #[n(1)]
    Events(#[n(0)] EventBatch),
    /// A wish for rights; repeated until answered.
    #[n(2)]
    LeaseRequest(#[n(0)] LeaseRequest),
    /// A bucket has been applied up to here; also asks for what follows.
    #[n(3)]
    BucketAck(#[n(0)] BucketCursor),
    /// What time is it? Carries the sender's uptime, in ms, to be echoed.
    #[n(4)]
    TimeRequest(#[n(0)] u64),
    /// Grants that the node holds, where the welcome asked for them; repeated until `Reported`.
    #[n(5)]
    Report(#[n(0)] GrantReport),
    /// Where the bus was; only to a hub that takes them. As a datagram, or on the buckets channel.
    #[n(6)]
    Positions(#[n(0)] Vec<Fix>),
}

/// What the hub says.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum HubFrame {
    /// The answer to a hello.
    #[n(0)]
    Welcome(#[n(0)] Welcome),
    /// Events are stored, durably.
    #[n(1)]
    Stored(#[n(0)] StoredMark),
    /// Events have been judged: all up to the mark were applied but for those listed.
    #[n(2)]
    Verdicts(#[n(0)] StoredMark, #[n(1)] Vec<SeqVerdict>),
    /// The answer to a lease request.
    #[n(3)]
    Lease(#[n(0)] RequestId, #[n(1)] LeaseAnswer),
    /// A piece of a bucket.
    #[n(4)]
    Bucket(#[n(0)] BucketChunk),
    /// The hub's time, with the uptime that it was asked with.
    #[n(5)]
    Time(#[n(0)] u64, #[n(1)] Instant),
    /// The hub will not go on: why, in words.
    #[n(6)]
    Refused(#[n(0)] String),
    /// This installation of the hub has all the grants that the node told.
    #[n(7)]
    Reported(#[n(0)] HubIncarnation),
    /// Fixes with these numbers are stored, or will never be: forget them.
    #[n(8)]
    PositionsTaken(#[n(0)] Vec<u64>),
}

/// A verdict other than applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct SeqVerdict {
    /// The position.
    #[n(0)]
    pub seq: Seq,
    /// What became of it.
    #[n(1)]
    pub verdict: Verdict,
}

/// What a lease request got.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum LeaseAnswer {
    /// Rights.
    #[n(0)]
    Granted(#[n(0)] SignedGrant),
    /// None, and why.
    #[n(1)]
    Refused(#[n(0)] GrantRefusal),
}

/// A piece of a bucket's change log. Pieces apply together once the last one is there.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct BucketChunk {
    /// Which bucket.
    #[n(0)]
    pub bucket: BucketId,
    /// The change that the whole answer starts after.
    #[n(1)]
    pub after: u64,
    /// The change that the whole answer ends with: the checkpoint.
    #[n(2)]
    pub checkpoint: u64,
    /// Which piece, from 0.
    #[n(3)]
    pub piece: u32,
    /// How many pieces.
    #[n(4)]
    pub pieces: u32,
    /// CBOR array of items, zstd-compressed.
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub items: Vec<u8>,
}

/// A frame that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame could not be read ({0}): update the older of the two programs")]
pub struct FrameError(pub String);

macro_rules! frame_codec {
    ($frame:ident) => {
        impl $frame {
            /// The bytes to send.
            pub fn to_bytes(&self) -> Vec<u8> {
                to_cbor(self)
            }

            /// Reads a received frame.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrameError> {
                from_cbor(bytes).map_err(|e| FrameError(e.to_string()))
            }
        }
    };
}

frame_codec!(EdgeFrame);
frame_codec!(HubFrame);

impl EdgeFrame {
    /// The channel it travels on.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Hello(_) | Self::LeaseRequest(_) | Self::TimeRequest(_) | Self::Report(_) => {
                Channel::Control
            }
            Self::Events(_) => Channel::Events,
            Self::BucketAck(_) | Self::Positions(_) => Channel::Buckets,
        }
    }
}

impl HubFrame {
    /// The channel it travels on.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Welcome(_)
            | Self::Lease(..)
            | Self::Time(..)
            | Self::Refused(_)
            | Self::Reported(_) => Channel::Control,
            Self::Stored(_) | Self::Verdicts(..) => Channel::Events,
            Self::Bucket(_) | Self::PositionsTaken(_) => Channel::Buckets,
        }
    }
}
