//! Events on the wire: what the receiver can rebuild is left out, the rest is compressed.
//!
//! Left out: node, incarnation, position, previous hash, and the hash of a personal blob that
//! travels beside its event. The receiver rebuilds the signed bytes exactly.

use std::io::Read as _;

use domain::codec::{from_cbor, to_cbor};
use domain::event::{Envelope, EventError, PERSONAL_BYTES_MAX, SignedEvent, personal_hash};
use domain::ids::{EventHash, NodeId, NodeIncarnation, Seq};
use domain::signature::CheckingKey;
use domain::time::Instant;
use ed25519_dalek::VerifyingKey;

/// The most events of one batch.
pub const EVENTS_MAX: usize = 1024;
/// The most bytes that a batch may unpack to.
pub const UNPACKED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// zstd's level: the default, which compresses a batch in about a millisecond.
const LEVEL: i32 = 3;

/// Some consecutive events of one log.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct EventBatch {
    /// Which log of the node.
    #[n(0)]
    pub incarnation: NodeIncarnation,
    /// The position of the first event.
    #[n(1)]
    pub first: Seq,
    /// The hash of the event before it.
    #[n(2)]
    pub prev: EventHash,
    /// How many events.
    #[n(3)]
    pub count: u32,
    /// [`Columns`], zstd-compressed.
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    pub packed: Vec<u8>,
}

/// The events by column, so that like stands beside like when it is compressed.
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Columns {
    /// Milliseconds since the event before; the first counts from the epoch.
    #[n(0)]
    at_deltas: Vec<i64>,
    /// Signatures, 64 bytes each.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    signatures: Vec<u8>,
    /// Bodies, untouched.
    #[n(2)]
    bodies: Vec<Blob>,
    /// What there is of each personal blob.
    #[n(3)]
    personal: Vec<Personal>,
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(transparent)]
struct Blob(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    Vec<u8>,
);

#[derive(minicbor::Encode, minicbor::Decode)]
enum Personal {
    #[n(0)]
    None,
    #[n(1)]
    Blob(
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        Vec<u8>,
    ),
    #[n(2)]
    Erased(
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        [u8; 32],
    ),
}

/// A batch that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Not what a batch looks like, or over a cap.
    #[error("the batch from position {first} cannot be unpacked: {why}")]
    Malformed {
        /// Where it starts.
        first: Seq,
        /// What was wrong.
        why: String,
    },
    /// An event in it is not what it says it is.
    #[error(transparent)]
    Event(#[from] EventError),
}

impl EventBatch {
    /// Packs consecutive events of one log; `None` when there are none.
    pub fn pack(events: &[SignedEvent]) -> Option<Self> {
        let first = &events.first()?.envelope;
        let mut last_at = 0;
        let mut columns = Columns {
            at_deltas: Vec::with_capacity(events.len()),
            signatures: Vec::with_capacity(events.len() * 64),
            bodies: Vec::with_capacity(events.len()),
            personal: Vec::with_capacity(events.len()),
        };
        for event in events {
            let at = event.envelope.at.0;
            columns.at_deltas.push(at - last_at);
            last_at = at;
            columns.signatures.extend_from_slice(&event.signature);
            columns.bodies.push(Blob(event.envelope.body.clone()));
            columns
                .personal
                .push(match (&event.personal, event.envelope.personal) {
                    (Some(blob), Some(_)) => Personal::Blob(blob.clone()),
                    (None, Some(hash)) => Personal::Erased(hash),
                    (_, None) => Personal::None,
                });
        }
        let plain = to_cbor(&columns);
        Some(Self {
            incarnation: first.incarnation,
            first: first.seq,
            prev: first.prev,
            count: events.len() as u32,
            packed: zstd::bulk::compress(&plain, LEVEL).ok()?,
        })
    }

    /// The position of the last event.
    pub fn last(&self) -> Seq {
        Seq((self.first.0 + u64::from(self.count)).saturating_sub(1))
    }

    fn malformed(&self, why: impl ToString) -> BatchError {
        BatchError::Malformed {
            first: self.first,
            why: why.to_string(),
        }
    }

    /// Unpacks the events and checks every signature strictly.
    pub fn unpack(&self, node: NodeId, key: &VerifyingKey) -> Result<Vec<SignedEvent>, BatchError> {
        let plain =
            unpack_bounded(&self.packed, UNPACKED_BYTES_MAX).map_err(|e| self.malformed(e))?;
        let columns: Columns = from_cbor(&plain).map_err(|e| self.malformed(e))?;
        let count = self.count as usize;
        let fits = (1..=EVENTS_MAX).contains(&count)
            && columns.at_deltas.len() == count
            && columns.signatures.len() == count * 64
            && columns.bodies.len() == count
            && columns.personal.len() == count
            && self.first.0 > 0
            && self.first.0.checked_add(u64::from(self.count)).is_some();
        if !fits {
            return Err(self.malformed("its columns differ in length"));
        }
        let (signatures, _) = columns.signatures.as_chunks::<64>();
        let rows = columns
            .at_deltas
            .into_iter()
            .zip(signatures)
            .zip(columns.bodies)
            .zip(columns.personal);
        let key = CheckingKey::new(*key);
        let (mut prev, mut at, mut seq) = (self.prev, 0i64, self.first.0);
        let mut events = Vec::with_capacity(count);
        for (((delta, signature), body), personal) in rows {
            at = at
                .checked_add(delta)
                .ok_or_else(|| self.malformed("a time is out of bounds"))?;
            let (hash, blob) = match personal {
                Personal::None => (None, None),
                Personal::Erased(hash) => (Some(hash), None),
                Personal::Blob(blob) if blob.len() > PERSONAL_BYTES_MAX => {
                    return Err(EventError::TooLarge(Seq(seq)).into());
                }
                Personal::Blob(blob) => (Some(personal_hash(&blob)), Some(blob)),
            };
            let envelope = Envelope {
                node,
                incarnation: self.incarnation,
                seq: Seq(seq),
                prev,
                at: Instant(at),
                personal: hash,
                body: body.0,
            };
            let event = SignedEvent::rebuild(envelope, *signature, blob, &key)?;
            prev = event.hash;
            seq += 1;
            events.push(event);
        }
        Ok(events)
    }
}

/// Unpacks zstd, refusing to grow beyond `most` bytes.
pub(crate) fn unpack_bounded(packed: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(|e| e.to_string())?;
    let mut plain = Vec::new();
    decoder
        .take(most as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|e| e.to_string())?;
    if plain.len() > most {
        return Err(format!("it unpacks to more than {most} bytes"));
    }
    Ok(plain)
}
