//! The grants that a node tells to a hub that was restored, in pieces that fit into frames.

use domain::codec::to_cbor;
use domain::event::ChainHead;
use domain::ids::HubIncarnation;

use crate::frame::{GrantReport, ISSUERS_MAX, Known, LogHead};
use crate::session::REPORT_PIECES_MAX;

/// About how many bytes of grants one piece carries.
const PIECE_BYTES: usize = 128 * 1024;

/// What is being told; empty when there is nothing to tell.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<GrantReport>);

impl Report {
    /// Lays out the pieces. Without grants there is one, which says so. More than the hub would
    /// take is cut off at the front: grants to others, then the node's oldest, which are over for
    /// longest.
    pub(super) fn prepare(&mut self, hub: HubIncarnation, logs: &[ChainHead], known: Known) {
        let logs: Vec<LogHead> = logs.iter().map(|head| LogHead::from(*head)).collect();
        let mut parts = vec![Known::default()];
        let mut bytes = 0;
        let others = known.others.into_iter().map(|grant| (false, grant));
        for (own, grant) in others.chain(known.grants.into_iter().map(|grant| (true, grant))) {
            let size = to_cbor(&grant).len();
            if bytes + size > PIECE_BYTES && bytes > 0 {
                parts.push(Known::default());
                bytes = 0;
            }
            bytes += size;
            if let Some(part) = parts.last_mut() {
                let kind = if own {
                    &mut part.grants
                } else {
                    &mut part.others
                };
                kind.push(grant);
            }
        }
        if let Some(last) = parts.last_mut() {
            last.issuers = known.issuers;
            last.issuers.truncate(ISSUERS_MAX);
        }
        let over = parts.len().saturating_sub(REPORT_PIECES_MAX as usize);
        parts.drain(..over);
        let pieces = parts.len() as u32;
        self.0 = (0..)
            .zip(parts)
            .map(|(piece, part)| GrantReport {
                hub,
                logs: logs.clone(),
                piece,
                pieces,
                grants: part.grants,
                others: part.others,
                issuers: part.issuers,
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
