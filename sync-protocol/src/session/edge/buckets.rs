//! Putting buckets together: pieces are kept until the last one is there, then applied at once.

use std::collections::BTreeMap;

use domain::codec::from_cbor;

use super::EdgeOutput;
use crate::batch::unpack_bounded;
use crate::frame::{BucketChunk, BucketCursor, BucketId, EdgeFrame, Item};

/// The most bytes that one piece may unpack to.
const PIECE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most pieces of one answer.
const PIECES_MAX: u32 = 256;

#[derive(Debug, Default)]
struct Progress {
    cursor: u64,
    /// The answer that is being put together.
    parts: Option<Parts>,
    /// The driver is applying up to here.
    applying: Option<u64>,
}

#[derive(Debug)]
struct Parts {
    after: u64,
    checkpoint: u64,
    pieces: BTreeMap<u32, Vec<Item>>,
}

/// The buckets of one connection.
#[derive(Debug, Default)]
pub(super) struct BucketReader(BTreeMap<BucketId, Progress>);

impl BucketReader {
    pub(super) fn new(cursors: Vec<BucketCursor>) -> Self {
        let progress = |cursor| Progress {
            cursor,
            ..Progress::default()
        };
        Self(
            cursors
                .into_iter()
                .map(|c| (c.bucket, progress(c.change)))
                .collect(),
        )
    }

    pub(super) fn cursors(&self) -> Vec<BucketCursor> {
        self.0
            .iter()
            .map(|(bucket, p)| BucketCursor {
                bucket: bucket.clone(),
                change: p.cursor,
            })
            .collect()
    }

    /// The cursors belong to a hub that is lost: all is read from the beginning.
    pub(super) fn begin_anew(&mut self) {
        self.0.values_mut().for_each(|p| *p = Progress::default());
    }

    pub(super) fn checkpointed(&mut self, cursor: &BucketCursor) {
        if let Some(progress) = self.0.get_mut(&cursor.bucket) {
            progress.cursor = cursor.change;
            progress.applying = None;
        }
    }

    /// Takes a piece. One that does not continue the cursor is answered with the cursor, from
    /// which the hub starts again; so is one that came twice.
    pub(super) fn handle_chunk(&mut self, chunk: BucketChunk) -> Vec<EdgeOutput> {
        let progress = self.0.entry(chunk.bucket.clone()).or_default();
        if progress.applying.is_some() {
            return vec![];
        }
        let here = BucketCursor {
            bucket: chunk.bucket.clone(),
            change: progress.cursor,
        };
        let again = vec![EdgeOutput::Send(EdgeFrame::BucketAck(here))];
        let sound = chunk.pieces > 0 && chunk.pieces <= PIECES_MAX && chunk.piece < chunk.pieces;
        if chunk.after != progress.cursor || chunk.checkpoint < chunk.after || !sound {
            return again;
        }
        let Some(items) = unpack(&chunk.items) else {
            return again;
        };
        let parts = progress
            .parts
            .take()
            .filter(|p| p.after == chunk.after && p.checkpoint == chunk.checkpoint);
        let mut parts = parts.unwrap_or(Parts {
            after: chunk.after,
            checkpoint: chunk.checkpoint,
            pieces: BTreeMap::new(),
        });
        parts.pieces.insert(chunk.piece, items);
        if parts.pieces.len() < chunk.pieces as usize {
            progress.parts = Some(parts);
            return vec![];
        }
        progress.applying = Some(chunk.checkpoint);
        vec![EdgeOutput::ApplyBucket {
            cursor: BucketCursor {
                bucket: chunk.bucket,
                change: chunk.checkpoint,
            },
            items: parts.pieces.into_values().flatten().collect(),
        }]
    }
}

fn unpack(packed: &[u8]) -> Option<Vec<Item>> {
    from_cbor(&unpack_bounded(packed, PIECE_BYTES_MAX).ok()?).ok()
}
