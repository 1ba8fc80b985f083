//! The grants that a node tells to a hub that was restored, in pieces that fit into frames.

use domain::codec::to_cbor;
use domain::event::ChainHead;
use domain::ids::HubIncarnation;
use domain::lease::SignedGrant;

use crate::frame::{GrantReport, LogHead};
use crate::session::REPORT_PIECES_MAX;

/// About how many bytes of grants one piece carries.
const PIECE_BYTES: usize = 128 * 1024;

/// What is being told; empty when there is nothing to tell.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<GrantReport>);

impl Report {
    /// Lays out the pieces. Without grants there is one, which says so. More than the hub would
    /// take is cut off at the oldest: what is over for longest.
    pub(super) fn prepare(
        &mut self,
        hub: HubIncarnation,
        logs: &[ChainHead],
        grants: Vec<SignedGrant>,
    ) {
        let logs: Vec<LogHead> = logs.iter().map(|head| LogHead::from(*head)).collect();
        let mut parts: Vec<Vec<SignedGrant>> = vec![vec![]];
        let mut bytes = 0;
        for grant in grants {
            let size = to_cbor(&grant).len();
            if bytes + size > PIECE_BYTES && bytes > 0 {
                parts.push(vec![]);
                bytes = 0;
            }
            bytes += size;
            if let Some(part) = parts.last_mut() {
                part.push(grant);
            }
        }
        let over = parts.len().saturating_sub(REPORT_PIECES_MAX as usize);
        parts.drain(..over);
        let pieces = parts.len() as u32;
        self.0 = (0..)
            .zip(parts)
            .map(|(piece, grants)| GrantReport {
                hub,
                logs: logs.clone(),
                piece,
                pieces,
                grants,
            })
            .collect();
    }

    pub(super) fn pieces(&self) -> &[GrantReport] {
        &self.0
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
