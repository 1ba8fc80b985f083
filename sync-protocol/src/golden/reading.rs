//! How each sample is written, and read back the way a peer would.

use domain::codec::{from_cbor, to_cbor};
use domain::event::{EventBody, SignedEvent};
use domain::ids::{NodeIncarnation, Seq};
use domain::lease::SignedGrant;
use ed25519_dalek::Signer as _;
use minicbor::{Decoder, Encode, Encoder};

use super::{kinds, samples};
use crate::batch::{EventBatch, UNPACKED_BYTES_MAX, unpack_bounded};
use crate::frame::{BucketChunk, EdgeFrame, HubFrame, Item, StoredMark};

/// What a decoder made of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The sample's value.
    Same,
    /// Another value, which takes this many bytes.
    Other(usize),
    /// Nothing: they are refused.
    Refused,
}

pub(super) type Reader = Box<dyn Fn(&[u8]) -> Read>;

/// One kind's sample: today's bytes, and how they are read back.
pub(super) struct Sample {
    pub(super) file: &'static str,
    /// Its rule in the CDDL.
    pub(super) rule: &'static str,
    pub(super) bytes: Vec<u8>,
    /// The compressor's output is inside: another version of it may make other bytes.
    pub(super) packed: bool,
    pub(super) read: Reader,
}

impl Sample {
    fn new<T: Encode<()> + PartialEq + 'static>(
        file: &'static str,
        rule: &'static str,
        value: T,
        decode: impl Fn(&[u8]) -> Option<T> + 'static,
    ) -> Self {
        Self {
            file,
            rule,
            bytes: to_cbor(&value),
            packed: false,
            read: Box::new(move |bytes| match decode(bytes) {
                None => Read::Refused,
                Some(read) if read == value => Read::Same,
                Some(read) => Read::Other(to_cbor(&read).len()),
            }),
        }
    }
}

/// Every sample there is.
pub(super) fn all() -> Vec<Sample> {
    let mut all = vec![columns(), envelope(), typed_grant(), bucket_items()];
    for frame in samples::edge_frames() {
        all.push(match frame {
            EdgeFrame::Events(batch) => packed_events(batch),
            EdgeFrame::Hello(_)
            | EdgeFrame::LeaseRequest(_)
            | EdgeFrame::BucketAck(_)
            | EdgeFrame::TimeRequest(_)
            | EdgeFrame::Report(_)
            | EdgeFrame::Positions(_) => {
                let decode = |bytes: &[u8]| EdgeFrame::from_bytes(bytes).ok();
                Sample::new(kinds::edge_kind(&frame), "edge-frame", frame, decode)
            }
        });
    }
    for frame in samples::hub_frames() {
        all.push(match frame {
            HubFrame::Bucket(chunk) => packed_items(chunk),
            HubFrame::Welcome(_)
            | HubFrame::Stored(_)
            | HubFrame::Verdicts(..)
            | HubFrame::Lease(..)
            | HubFrame::Time(..)
            | HubFrame::Refused(_)
            | HubFrame::Reported(_)
            | HubFrame::PositionsTaken(_) => {
                let decode = |bytes: &[u8]| HubFrame::from_bytes(bytes).ok();
                Sample::new(kinds::hub_kind(&frame), "hub-frame", frame, decode)
            }
        });
    }
    for item in samples::items() {
        let decode = |bytes: &[u8]| from_cbor::<Item>(bytes).ok();
        all.push(Sample::new(kinds::item_kind(&item), "item", item, decode));
    }
    all.push(Sample::new(
        "item-trip-swapped",
        "item",
        samples::swapped_trip(),
        |bytes: &[u8]| from_cbor::<Item>(bytes).ok(),
    ));
    let mark = StoredMark {
        incarnation: NodeIncarnation(2),
        through: Seq(270),
    };
    all.push(Sample::new(
        "hub-verdicts-later",
        "hub-frame",
        HubFrame::Verdicts(mark, samples::later_verdicts()),
        |bytes: &[u8]| HubFrame::from_bytes(bytes).ok(),
    ));
    for body in samples::bodies() {
        let decode = |bytes: &[u8]| from_cbor::<EventBody>(bytes).ok();
        let kind = kinds::body_kind(&body);
        all.push(Sample::new(kind, "event-body", body, decode));
    }
    all
}

fn read_events(batch: &EventBatch, expected: &[SignedEvent]) -> Read {
    match batch.unpack(samples::NODE, &samples::node_key().verifying_key()) {
        Err(_) => Read::Refused,
        Ok(events) if events == expected => Read::Same,
        Ok(events) => Read::Other(events.iter().map(|e| e.envelope.body.len()).sum()),
    }
}

fn packed_events(batch: EventBatch) -> Sample {
    let events = samples::events();
    let bytes = EdgeFrame::Events(batch.clone()).to_bytes();
    let read = move |bytes: &[u8]| match EdgeFrame::from_bytes(bytes) {
        Ok(EdgeFrame::Events(read)) => {
            let packed = read.packed.clone();
            let same_head = EventBatch {
                packed,
                ..batch.clone()
            } == read;
            let answer = read_events(&read, &events);
            if answer == Read::Same && !same_head {
                return Read::Other(bytes.len());
            }
            answer
        }
        Ok(other) => Read::Other(other.to_bytes().len()),
        Err(_) => Read::Refused,
    };
    Sample {
        file: "edge-events",
        rule: "edge-frame",
        bytes,
        packed: true,
        read: Box::new(read),
    }
}

fn packed_items(chunk: BucketChunk) -> Sample {
    let bytes = HubFrame::Bucket(chunk.clone()).to_bytes();
    let read = move |bytes: &[u8]| match HubFrame::from_bytes(bytes) {
        Ok(HubFrame::Bucket(read)) => {
            let packed = read.items.clone();
            let same_head = BucketChunk {
                items: packed,
                ..chunk.clone()
            } == read;
            let items = unpack_bounded(&read.items, UNPACKED_BYTES_MAX)
                .ok()
                .and_then(|plain| from_cbor::<Vec<Item>>(&plain).ok());
            match items {
                None => Read::Refused,
                Some(items) if same_head && items == samples::items() => Read::Same,
                Some(items) => Read::Other(to_cbor(&items).len()),
            }
        }
        Ok(other) => Read::Other(other.to_bytes().len()),
        Err(_) => Read::Refused,
    };
    Sample {
        file: "hub-bucket",
        rule: "hub-frame",
        bytes,
        packed: true,
        read: Box::new(read),
    }
}

/// The columns of the event batch before they are compressed.
fn columns() -> Sample {
    let events = samples::events();
    let batch = EventBatch::pack(&events).unwrap();
    let bytes = unpack_bounded(&batch.packed, UNPACKED_BYTES_MAX).unwrap();
    let read = move |plain: &[u8]| {
        let packed = zstd::bulk::compress(plain, 1).unwrap();
        read_events(
            &EventBatch {
                packed,
                ..batch.clone()
            },
            &events,
        )
    };
    Sample {
        file: "event-columns",
        rule: "event-columns",
        bytes,
        packed: false,
        read: Box::new(read),
    }
}

/// The bytes that a node signs. Nothing decodes them: they are rebuilt, and must be the same.
fn envelope() -> Sample {
    let event = samples::events().remove(1);
    let bytes = event.envelope.signed_bytes();
    let expected = bytes.clone();
    let read = move |read: &[u8]| {
        if read == expected {
            Read::Same
        } else {
            Read::Refused
        }
    };
    Sample {
        file: "event-envelope",
        rule: "event-envelope",
        bytes,
        packed: false,
        read: Box::new(read),
    }
}

/// The bytes that the hub signs for a grant; read back through a signature over whatever they are.
fn typed_grant() -> Sample {
    let key = samples::hub_key();
    let signed = to_cbor(&SignedGrant::sign(&samples::grant(), &key));
    let mut d = Decoder::new(&signed);
    d.array().unwrap();
    let bytes = d.bytes().unwrap().to_vec();
    let read = move |bytes: &[u8]| {
        let mut e = Encoder::new(Vec::new());
        let signature = key.sign(bytes).to_bytes();
        e.array(2)
            .unwrap()
            .bytes(bytes)
            .unwrap()
            .bytes(&signature)
            .unwrap();
        let signed: SignedGrant = from_cbor(&e.into_writer()).unwrap();
        match signed.verify(&key.verifying_key()) {
            Err(_) => Read::Refused,
            Ok(grant) if grant == samples::grant() => Read::Same,
            Ok(grant) => Read::Other(to_cbor(&grant).len()),
        }
    };
    Sample {
        file: "grant",
        rule: "typed-grant",
        bytes,
        packed: false,
        read: Box::new(read),
    }
}

/// The items of a bucket's piece before they are compressed.
fn bucket_items() -> Sample {
    let decode = |bytes: &[u8]| from_cbor::<Vec<Item>>(bytes).ok();
    Sample::new("bucket-items", "bucket-items", samples::items(), decode)
}
