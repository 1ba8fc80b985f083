//! Writing events, and proving that a log is whole.

use domain::event::{ChainHead, Envelope, EventBody, SignedEvent, encode_body, personal_hash};
use domain::ids::{CommandId, EventHash, NodeId, NodeIncarnation, Seq};
use domain::signature::CheckingKey;
use domain::time::Instant;
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

use super::{Engine, EngineError};
use crate::store::{EventRow, SEQ_MAX, Store, StoreError};

/// An event whose place, hash and signature were checked, for an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEvent {
    /// The event.
    pub event: SignedEvent,
    /// The command it answers.
    pub command: Option<CommandId>,
}

/// Checks that an event continues a log and is what its hash says.
pub(super) fn check_link(head: &ChainHead, event: &SignedEvent) -> Result<(), &'static str> {
    let at = &event.envelope;
    if at.incarnation != head.incarnation || at.seq.0 != head.seq.0 + 1 {
        return Err("the event before it is missing");
    }
    if at.prev != head.hash {
        return Err("it does not continue the event before it");
    }
    if EventHash(Sha256::digest(at.signed_bytes()).into()) != event.hash {
        return Err("its content was altered");
    }
    let blob_fits = match (&event.personal, at.personal) {
        (Some(blob), Some(hash)) => personal_hash(blob) == hash,
        (None, _) => true,
        (Some(_), None) => false,
    };
    if blob_fits {
        Ok(())
    } else {
        Err("its personal data was altered")
    }
}

impl Engine {
    /// The envelope of the next event; its body is filled in by the caller.
    pub(super) fn next_envelope(&self, now: Instant) -> Result<Envelope, EngineError> {
        envelope_after(self.config.node, &self.loaded.head, now)
    }

    /// Signs an event and puts what belongs to its row beside it.
    pub(super) fn sign(
        &self,
        envelope: Envelope,
        personal: Option<Vec<u8>>,
        command: Option<CommandId>,
        aside: Option<Vec<u8>>,
    ) -> EventRow {
        EventRow {
            event: envelope.sign(&self.config.keys.event, personal),
            command,
            aside,
        }
    }

    /// Commits one event and applies it.
    pub(super) fn commit(&mut self, row: &EventRow, body: &EventBody) -> Result<(), EngineError> {
        self.write(|store| store.append(row))?;
        self.committed(row, body);
        Ok(())
    }

    /// Applies what was committed.
    pub(super) fn committed(&mut self, row: &EventRow, body: &EventBody) {
        self.loaded.head = row.event.head();
        self.sidecar.note(&self.loaded.head);
        self.loaded.apply(row, body);
    }

    /// Notes that the device's clock jumped.
    pub fn clock_step(&mut self, from: Instant, to: Instant) -> Result<(), EngineError> {
        self.refresh()?;
        if self.loaded.doubt.is_some() {
            return Ok(());
        }
        let body = EventBody::ClockStep(from, to);
        let mut envelope = self.next_envelope(to)?;
        envelope.body = encode_body(&body);
        let row = self.sign(envelope, None, None, None);
        self.commit(&row, &body)
    }

    /// Proves the log of an incarnation on this disk; see [`verify_log`].
    pub fn verify_log<E: From<EngineError>>(
        &self,
        incarnation: NodeIncarnation,
        take: impl FnMut(VerifiedEvent) -> Result<(), E>,
    ) -> Result<u64, E> {
        let key = self.config.keys.event.verifying_key();
        verify_log(&self.store, self.config.node, &key, incarnation, take)
    }

    /// The incarnations whose logs are on this disk, the running one last.
    pub fn incarnations(&self) -> Vec<NodeIncarnation> {
        self.loaded.marks.keys().copied().collect()
    }
}

/// The envelope that follows a head.
pub(super) fn envelope_after(
    node: NodeId,
    head: &ChainHead,
    now: Instant,
) -> Result<Envelope, EngineError> {
    if head.seq.0 >= SEQ_MAX {
        return Err(StoreError::Other {
            path: "the log".to_owned(),
            detail: "it has no positions left".to_owned(),
        }
        .into());
    }
    Ok(Envelope {
        node,
        incarnation: head.incarnation,
        seq: Seq(head.seq.0 + 1),
        prev: head.hash,
        at: now,
        personal: None,
        body: vec![],
    })
}

/// Reads a log from its first event and proves each: its place, its hash, its signature.
/// `take` gets the events in order; the answer is how many there were.
pub fn verify_log<E: From<EngineError>>(
    store: &Store,
    node: NodeId,
    key: &VerifyingKey,
    incarnation: NodeIncarnation,
    mut take: impl FnMut(VerifiedEvent) -> Result<(), E>,
) -> Result<u64, E> {
    let key = CheckingKey::new(*key);
    let mut head = ChainHead::empty(incarnation);
    loop {
        let rows = store
            .events(node, incarnation, head.seq, 1_000)
            .map_err(EngineError::from)?;
        if rows.is_empty() {
            return Ok(head.seq.0);
        }
        for row in rows {
            let bad = |what| EngineError::from(store.bad_event(&row.event, what));
            check_link(&head, &row.event).map_err(bad)?;
            let bytes = row.event.envelope.signed_bytes();
            if !key.verify_strict(&bytes, &row.event.signature) {
                return Err(bad("its signature is not this device's").into());
            }
            head = row.event.head();
            take(VerifiedEvent {
                event: row.event,
                command: row.command,
            })?;
        }
    }
}
