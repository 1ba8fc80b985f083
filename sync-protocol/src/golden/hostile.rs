//! What anybody could send: cut, garbled and boastful versions of every golden file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::codec::{from_cbor, to_hex};
use minicbor::Encoder;

use super::reading::{self, Read, Sample};
use super::{committed, samples};
use crate::batch::{EventBatch, UNPACKED_BYTES_MAX};
use crate::frame::{BucketChunk, BucketCursor, BucketId, EdgeFrame, HubFrame, Item};
use crate::session::{EdgeInput, EdgeOutput, EdgeSession};
use crate::uptime::Uptime;

const SEED: u64 = 0x6d77_696d_756c_6531;
const MUTATIONS: usize = 2_000;

/// splitmix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    /// One to four changes: a bit, a byte, an insertion, a removal, a repetition.
    fn mutate(&mut self, golden: &[u8]) -> Vec<u8> {
        let mut bytes = golden.to_vec();
        for _ in 0..=self.roll(4) {
            let at = self
                .roll(bytes.len().max(1))
                .min(bytes.len().saturating_sub(1));
            match self.roll(5) {
                _ if bytes.is_empty() => bytes.push(self.roll(256) as u8),
                0 => bytes[at] ^= 1 << self.roll(8),
                1 => bytes[at] = self.roll(256) as u8,
                2 => bytes.insert(at, self.roll(256) as u8),
                3 => {
                    let end = (at + 1 + self.roll(8)).min(bytes.len());
                    bytes.drain(at..end);
                }
                _ => {
                    let end = (at + 1 + self.roll(32)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    }
}

/// Reads bytes; a panic names the file and them.
fn read(sample: &Sample, bytes: &[u8]) -> Read {
    let answer = catch_unwind(AssertUnwindSafe(|| (sample.read)(bytes)));
    answer.unwrap_or_else(|_| panic!("{} panics on {}", sample.file, to_hex(bytes)))
}

/// Both decoders of a connection see whatever comes, whichever it was meant for.
fn read_by_all(bytes: &[u8]) {
    let _ = EdgeFrame::from_bytes(bytes);
    let _ = HubFrame::from_bytes(bytes);
}

#[test]
fn a_cut_golden_file_is_refused_at_every_length() {
    let committed = committed();
    for sample in reading::all() {
        let golden = &committed[sample.file];
        for len in 0..golden.len() {
            let answer = read(&sample, &golden[..len]);
            assert_eq!(answer, Read::Refused, "{} cut to {len} bytes", sample.file);
            read_by_all(&golden[..len]);
        }
    }
}

#[test]
fn a_garbled_golden_file_never_panics_and_never_grows() {
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let committed = committed();
    let (mut refused, mut other) = (0, 0);
    for sample in reading::all() {
        let golden = &committed[sample.file];
        for _ in 0..MUTATIONS {
            let bytes = dice.mutate(golden);
            match read(&sample, &bytes) {
                Read::Same => {}
                Read::Refused => refused += 1,
                Read::Other(len) => {
                    other += 1;
                    // What is compressed has its own cap; the rest cannot outgrow its bytes.
                    let most = if sample.packed {
                        UNPACKED_BYTES_MAX
                    } else {
                        2 * bytes.len()
                    };
                    assert!(
                        len <= most,
                        "{} grew to {len}: {}",
                        sample.file,
                        to_hex(&bytes)
                    );
                }
            }
            read_by_all(&bytes);
        }
    }
    assert!(
        refused > 0 && other > 0,
        "{refused} refused, {other} read as another value"
    );
}

#[test]
fn a_claimed_length_takes_no_memory() {
    let committed = committed();
    for sample in reading::all() {
        let golden = &committed[sample.file];
        for at in 0..golden.len() {
            // Byte string, text, array and map of as many members as 64 bits can say, or 31.
            for head in [0x5b, 0x7b, 0x9b, 0xbb] {
                for claim in [u64::MAX, u64::from(u32::MAX >> 1)] {
                    let boast = [&[head][..], &claim.to_be_bytes()].concat();
                    let bytes = [&golden[..at], &boast, &golden[at + 1..]].concat();
                    read(&sample, &bytes);
                    read_by_all(&bytes);
                }
            }
        }
    }
}

/// A time request with a further member, which a reader passes over.
fn with_unknown_member(member: &[u8]) -> Vec<u8> {
    [&[0x82, 0x04, 0x82, 0x07], member].concat()
}

#[test]
fn an_unknown_member_however_deep_is_passed_over_or_refused() {
    let shallow = with_unknown_member(&[0x81, 0x81, 0x80]);
    assert_eq!(
        EdgeFrame::from_bytes(&shallow),
        Ok(EdgeFrame::TimeRequest(7))
    );
    for opening in [0x81, 0x9f, 0xa1, 0xbf, 0xc1, 0x5f, 0x7f] {
        for last in [0x80, 0x00, 0xff] {
            let mut deep = vec![opening; 900_000];
            deep.push(last);
            read_by_all(&with_unknown_member(&deep));
        }
    }
}

#[test]
fn an_empty_input_and_one_with_something_behind_are_refused() {
    let committed = committed();
    for sample in reading::all() {
        let mut longer = committed[sample.file].clone();
        longer.push(0);
        assert_eq!(read(&sample, &[]), Read::Refused, "{}", sample.file);
        assert_eq!(read(&sample, &longer), Read::Refused, "{}", sample.file);
    }
}

/// CBOR of one byte string of zeros: compresses to almost nothing.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.bytes(&vec![0; bytes]).unwrap();
    zstd::bulk::compress(&e.into_writer(), 3).unwrap()
}

#[test]
fn a_batch_that_unpacks_to_more_than_its_cap_is_refused() {
    let packed = bomb(UNPACKED_BYTES_MAX + 1);
    assert!(packed.len() < 64 * 1024);
    let batch = EventBatch {
        packed,
        ..EventBatch::pack(&samples::events()).unwrap()
    };
    let key = samples::node_key().verifying_key();
    let error = batch.unpack(samples::NODE, &key).unwrap_err();
    assert!(
        error.to_string().contains("unpacks to more than"),
        "{error}"
    );
}

fn edge_hears(chunk: BucketChunk) -> Vec<EdgeOutput> {
    let mut edge = EdgeSession::new();
    let welcome = samples::hub_frames().remove(0);
    let connected = EdgeInput::Connected {
        logs: vec![],
        restored: false,
        buckets: vec![],
        hub: domain::restore::FIRST,
        me: None,
    };
    edge.handle_input(connected, Uptime(0));
    edge.handle_input(EdgeInput::Frame(welcome), Uptime(0));
    while edge.poll_output().is_some() {}
    edge.handle_input(EdgeInput::Frame(HubFrame::Bucket(chunk)), Uptime(0));
    std::iter::from_fn(|| edge.poll_output()).collect()
}

#[test]
fn a_piece_that_cannot_be_unpacked_is_answered_with_the_cursor() {
    let piece = |items| BucketChunk {
        bucket: BucketId::Company,
        after: 0,
        checkpoint: 5,
        piece: 0,
        pieces: 1,
        items,
    };
    let cursor = BucketCursor {
        bucket: BucketId::Company,
        change: 0,
    };
    let again = vec![EdgeOutput::Send(EdgeFrame::BucketAck(cursor))];
    assert_eq!(edge_hears(piece(bomb(UNPACKED_BYTES_MAX + 1))), again);
    assert_eq!(edge_hears(piece(vec![])), again);
    assert_eq!(edge_hears(piece(b"not zstd".to_vec())), again);
    let none = zstd::bulk::compress(&[0x80], 3).unwrap();
    assert!(from_cbor::<Vec<Item>>(&[0x80]).is_ok());
    let applied = edge_hears(piece(none));
    assert!(
        matches!(applied[..], [EdgeOutput::ApplyBucket { .. }]),
        "{applied:?}"
    );
}
