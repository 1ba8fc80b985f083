//! Writing the log out as JSON lines, proving it event by event.

use std::io::Write;

use domain::codec::to_hex;
use domain::event::ChainHead;
use domain::ids::{NodeId, NodeIncarnation};
use ed25519_dalek::VerifyingKey;

use crate::engine::{EngineError, VerifiedEvent, verify_log};
use crate::store::Store;

/// An export that ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log is not whole, or cannot be read. What stands before it was written.
    #[error("the log is whole up to here and no further: {0}")]
    Log(#[from] EngineError),
    /// The output cannot be written.
    #[error("the export cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Writes every log on the disk, the oldest incarnation first, one JSON object a line:
/// `node`, `incarnation`, `seq`, `at_ms`, `hash`, `prev`, `personal_hash`, `body`, `signature`,
/// `personal` and `command_id`, bytes in hex. A verifier rebuilds the signed bytes from them.
/// The answer is the head of each log.
pub fn export(
    store: &Store,
    node: NodeId,
    key: &VerifyingKey,
    out: &mut dyn Write,
) -> Result<Vec<ChainHead>, ExportError> {
    let marks = store.marks().map_err(EngineError::from)?;
    let mut heads = Vec::with_capacity(marks.len());
    for mark in marks {
        let mut head = ChainHead::empty(mark.incarnation);
        verify_log(store, node, key, mark.incarnation, |verified| {
            head = verified.event.head();
            write_line(out, node, mark.incarnation, &verified)
        })?;
        heads.push(head);
    }
    out.flush()?;
    Ok(heads)
}

fn write_line(
    out: &mut dyn Write,
    node: NodeId,
    incarnation: NodeIncarnation,
    verified: &VerifiedEvent,
) -> Result<(), ExportError> {
    let event = &verified.event;
    let at = &event.envelope;
    let line = serde_json::json!({
        "node": node.to_string(),
        "incarnation": incarnation.0,
        "seq": at.seq.0,
        "at_ms": at.at.0,
        "hash": event.hash.to_string(),
        "prev": at.prev.to_string(),
        "personal_hash": at.personal.map(|hash| to_hex(&hash)),
        "body": to_hex(&at.body),
        "signature": to_hex(&event.signature),
        "personal": event.personal.as_deref().map(to_hex),
        "command_id": verified.command.map(|id| id.to_string()),
    });
    writeln!(out, "{line}")?;
    Ok(())
}
