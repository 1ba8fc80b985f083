//! The engine's half of a conversation with the hub: what a driver of
//! [`sync_protocol::session::EdgeSession`] asks of it. The runtime and the simulated world use the
//! same functions.

use std::collections::BTreeMap;

use domain::counter::decide_accept;
use domain::event::{ChainHead, EventBody, encode_body};
use domain::ids::{HubIncarnation, Issuer, LeaseNo, NodeIncarnation, RequestId, Seq, TripId};
use domain::ingest::Verdict;
use domain::lease::{LeaseRequest, SignedGrant};
use domain::ticket::KeyMaterial;
use domain::time::Instant;
use sync_protocol::batch::EventBatch;
use sync_protocol::frame::{
    BucketCursor, BucketId, Introduction, Item, Known, KnownIssuer, LeaseAnswer, SeqVerdict,
};

use super::load::verified;
use super::log::envelope_after;
use super::{Engine, EngineError};
use crate::store::{BucketChange, EventRow, LogMark, StoredGrant, StoredWish, WishState};

/// The most events of one batch.
const BATCH_EVENTS_MAX: u32 = 512;
/// About how many bytes of bodies and blobs one batch carries before it is compressed.
const BATCH_BYTES: usize = 256 * 1024;

/// What `EdgeInput::Connected` carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Heads of the logs, the running one last.
    pub logs: Vec<ChainHead>,
    /// The sidecar disagrees with the log.
    pub restored: bool,
    /// How far each bucket has been applied.
    pub buckets: Vec<BucketCursor>,
    /// The installation of the hub that the cursors are of.
    pub hub: HubIncarnation,
    /// Who the node is.
    pub me: Introduction,
}

/// What came of a bucket or a lease answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// Leases that the node sells from now on.
    pub accepted: Vec<(TripId, LeaseNo)>,
    /// Grants to this node that it will never sell from: an earlier incarnation may have.
    pub in_doubt: Vec<(TripId, LeaseNo)>,
    /// Grants that the hub's key did not sign; they were left out.
    pub rejected: usize,
}

/// Acceptances on their way into the log.
struct Accepting {
    head: ChainHead,
    change: BucketChange,
    bodies: Vec<EventBody>,
    taken: Taken,
}

/// What makes a fact the same fact.
fn fact_key(item: &Item) -> String {
    match item {
        Item::Layout(layout) => format!("layout:{}", layout.id),
        Item::Fares(table) => format!("fares:{}", table.id),
        Item::Trip(trip) => format!("trip:{}", trip.id),
        Item::Key(key) => {
            let trip = key.trip.map_or(String::new(), |t| t.to_string());
            format!("key:{}:{}:{trip}", key.kid, key.issuer)
        }
        Item::Grant(_) => "grant".to_owned(),
        Item::Ticket(ticket) => format!("ticket:{}", ticket.id),
    }
}

impl Engine {
    /// What to greet the hub with.
    pub fn greeting(&self) -> Greeting {
        let mut logs = self.loaded.older.clone();
        logs.push(self.loaded.head);
        Greeting {
            logs,
            restored: self.loaded.doubt.is_some(),
            buckets: self.loaded.cursors.clone(),
            hub: self.loaded.hub,
            me: Introduction {
                company: self.config.company,
                event_key: self.config.keys.event.verifying_key().to_bytes(),
                ticket_key: self.config.keys.ticket.verifying_key().to_bytes(),
            },
        }
    }

    /// The hub was restored from a backup: its buckets are read anew. Leases, log and everything
    /// that selling needs stay as they are.
    pub fn begin_hub(&mut self, hub: HubIncarnation) -> Result<(), EngineError> {
        self.refresh()?;
        if hub <= self.loaded.hub {
            return Ok(());
        }
        self.write(|store| store.begin_hub(hub))?;
        let loaded = &mut self.loaded;
        loaded.hub = hub;
        loaded.cursors.iter_mut().for_each(|c| c.change = 0);
        loaded.views.values_mut().for_each(|v| v.listed.clear());
        Ok(())
    }

    /// Every grant that this node ever got, and what the hub told it of others: for a hub that was
    /// restored, with the heads of this node's logs at this moment.
    pub fn all_known(&self) -> Result<(Vec<ChainHead>, Known), EngineError> {
        let me = self.config.node;
        let mut others = BTreeMap::new();
        let mut issuers = BTreeMap::new();
        for (_, item) in self.store.facts()? {
            match item {
                Item::Grant(signed) => {
                    let grant = verified(&signed, &self.config.hub_keys);
                    if let Some(grant) = grant.filter(|grant| grant.holder != me) {
                        others.insert((grant.trip, grant.holder, grant.lease_no), signed);
                    }
                }
                Item::Key(key) => {
                    if let (Issuer::Node(node), KeyMaterial::Ed25519(public)) =
                        (key.issuer, &key.material)
                        && node != me
                    {
                        issuers.insert(node, *public.as_bytes());
                    }
                }
                Item::Layout(_) | Item::Fares(_) | Item::Trip(_) | Item::Ticket(_) => {}
            }
        }
        let issuer = |(node, ticket_key)| KnownIssuer { node, ticket_key };
        let known = Known {
            grants: self.store.grants()?.into_iter().map(|g| g.signed).collect(),
            others: others.into_values().collect(),
            issuers: issuers.into_iter().map(issuer).collect(),
        };
        Ok((self.greeting().logs, known))
    }

    /// The next events of a log after a position, packed; `None` when there are none.
    pub fn load_events(
        &self,
        incarnation: NodeIncarnation,
        after: Seq,
    ) -> Result<Option<EventBatch>, EngineError> {
        let rows = self
            .store
            .events(self.config.node, incarnation, after, BATCH_EVENTS_MAX)?;
        let mut bytes = 0;
        let events: Vec<_> = rows
            .into_iter()
            .map(|row| row.event)
            .take_while(|event| {
                let fits = bytes < BATCH_BYTES;
                bytes += event.envelope.body.len() + event.personal.as_ref().map_or(0, Vec::len);
                fits
            })
            .collect();
        Ok(EventBatch::pack(&events))
    }

    /// Applies a bucket's facts and its cursor in one transaction. Grants to this node are
    /// accepted in it too, once their signature is checked.
    pub fn apply_bucket(
        &mut self,
        cursor: &BucketCursor,
        items: &[Item],
        now: Instant,
    ) -> Result<Taken, EngineError> {
        self.refresh()?;
        let mut accepting = self.accepting();
        let mut facts = vec![];
        for item in items {
            if let Item::Grant(signed) = item {
                let Some(grant) = verified(signed, &self.config.hub_keys) else {
                    accepting.taken.rejected += 1;
                    continue;
                };
                let key = format!("grant:{}:{}:{}", grant.trip, grant.holder, grant.lease_no);
                facts.push((key, item.clone()));
                if cursor.bucket == BucketId::Node {
                    self.take_grant(signed, &mut accepting, now)?;
                }
            } else {
                facts.push((fact_key(item), item.clone()));
            }
        }
        accepting.change.facts = facts;
        let change = &accepting.change;
        self.write(|store| store.apply_bucket(cursor, change, now))?;
        self.loaded.reached(cursor.clone(), now);
        for (_, item) in &accepting.change.facts {
            self.loaded.apply_fact(&cursor.bucket, item, &self.config);
        }
        Ok(self.accepted(accepting))
    }

    fn accepting(&self) -> Accepting {
        Accepting {
            head: self.loaded.head,
            change: BucketChange::default(),
            bodies: vec![],
            taken: Taken::default(),
        }
    }

    /// Prepares the acceptance of a grant to this node, once.
    fn take_grant(
        &mut self,
        signed: &SignedGrant,
        accepting: &mut Accepting,
        now: Instant,
    ) -> Result<(), EngineError> {
        let Some(grant) = verified(signed, &self.config.hub_keys) else {
            accepting.taken.rejected += 1;
            return Ok(());
        };
        let key = (grant.trip, grant.lease_no);
        let coming = accepting
            .change
            .grants
            .iter()
            .any(|g| (g.trip, g.lease_no) == key);
        if grant.holder != self.config.node || self.loaded.grants.contains_key(&key) || coming {
            return Ok(());
        }
        let running = self.loaded.head.incarnation;
        let asked_by = self
            .loaded
            .wishes
            .get(&grant.request)
            .map(|w| w.incarnation);
        // A grant from before this incarnation may have been sold from by a log that is lost.
        let ours = self.loaded.doubt.is_none()
            && asked_by.map_or(running == NodeIncarnation(1), |i| i == running);
        accepting
            .change
            .answered
            .push((grant.request, grant.lease_no));
        accepting.change.grants.push(StoredGrant {
            trip: grant.trip,
            lease_no: grant.lease_no,
            incarnation: if ours { running } else { NodeIncarnation(0) },
            signed: signed.clone(),
        });
        if !ours {
            accepting.taken.in_doubt.push(key);
            return Ok(());
        }
        // Until the commit memory is ahead of disk; whatever fails before it reads all anew.
        self.loaded.state.deliver(grant);
        self.stale = true;
        let body = decide_accept(&self.loaded.state, key.0, key.1)?;
        let mut envelope = envelope_after(self.config.node, &accepting.head, now)?;
        envelope.body = encode_body(&body);
        let row = self.sign(envelope, None, None, None);
        accepting.head = row.event.head();
        accepting.change.events.push(row);
        accepting.bodies.push(body);
        accepting.taken.accepted.push(key);
        Ok(())
    }

    /// Applies acceptances that were committed.
    fn accepted(&mut self, accepting: Accepting) -> Taken {
        for grant in &accepting.change.grants {
            self.loaded
                .grants
                .insert((grant.trip, grant.lease_no), grant.incarnation);
        }
        for (request, lease_no) in &accepting.change.answered {
            if let Some(wish) = self.loaded.wishes.get_mut(request)
                && wish.state == WishState::Waiting
            {
                wish.state = WishState::Granted(*lease_no);
            }
        }
        let rows: &[EventRow] = &accepting.change.events;
        for (row, body) in rows.iter().zip(&accepting.bodies) {
            self.committed(row, body);
        }
        self.stale = false;
        accepting.taken
    }

    /// The hub has stored a log up to here.
    pub fn mark_stored(&mut self, incarnation: NodeIncarnation, through: Seq) {
        if let Some(mark) = self.loaded.marks.get_mut(&incarnation) {
            mark.stored = through;
            self.loaded.marks_dirty = true;
        }
    }

    /// The hub has judged a log up to here; all but these were applied.
    pub fn judged(
        &mut self,
        incarnation: NodeIncarnation,
        through: Seq,
        exceptions: &[SeqVerdict],
    ) -> Result<(), EngineError> {
        let Some(mark) = self.loaded.marks.get_mut(&incarnation) else {
            return Ok(());
        };
        mark.judged = mark.judged.max(through);
        self.loaded.marks_dirty = true;
        if exceptions.is_empty() {
            return Ok(());
        }
        let rows: Vec<(NodeIncarnation, Seq, Verdict)> = exceptions
            .iter()
            .map(|e| (incarnation, e.seq, e.verdict))
            .collect();
        self.write_marks(&rows)
    }

    /// Writes down how far the hub has come. It is kept in memory otherwise: the hub says it
    /// again at every greeting, and a sale should not wait for it.
    pub fn flush_marks(&mut self) -> Result<(), EngineError> {
        if self.loaded.marks_dirty {
            self.write_marks(&[])?;
        }
        Ok(())
    }

    fn write_marks(
        &mut self,
        verdicts: &[(NodeIncarnation, Seq, Verdict)],
    ) -> Result<(), EngineError> {
        let marks: Vec<LogMark> = self.loaded.marks.values().copied().collect();
        self.write(|store| store.set_marks(&marks, verdicts))?;
        self.loaded.marks_dirty = false;
        Ok(())
    }

    /// Closes the running incarnation and begins another; its head is what `LogGrew` carries.
    /// Leases of the older one are never sold from again. Beginning it twice is once.
    pub fn begin_incarnation(
        &mut self,
        incarnation: NodeIncarnation,
    ) -> Result<ChainHead, EngineError> {
        self.refresh()?;
        if incarnation <= self.loaded.head.incarnation {
            return Ok(self.loaded.head);
        }
        const WHY: &str = "this device began anew before the answer came: ask again";
        self.write(|store| store.begin_incarnation(incarnation, WHY))?;
        let loaded = &mut self.loaded;
        loaded.older.push(loaded.head);
        loaded.head = ChainHead::empty(incarnation);
        loaded.marks.insert(
            incarnation,
            LogMark {
                incarnation,
                stored: Seq(0),
                judged: Seq(0),
            },
        );
        for wish in loaded.wishes.values_mut() {
            if wish.state == WishState::Waiting {
                wish.state = WishState::Refused(WHY.to_owned());
            }
        }
        loaded.state.begin_incarnation(incarnation);
        loaded.doubt = None;
        self.sidecar.note(&self.loaded.head);
        Ok(self.loaded.head)
    }

    /// Keeps a lease request until it is answered. The same id again changes nothing.
    pub fn wish(&mut self, request: &LeaseRequest, now: Instant) -> Result<(), EngineError> {
        self.refresh()?;
        if let Some(doubt) = &self.loaded.doubt {
            return Err(EngineError::Blocked(doubt.clone()));
        }
        if self.loaded.wishes.contains_key(&request.request) {
            return Ok(());
        }
        let incarnation = self.loaded.head.incarnation;
        self.write(|store| store.add_wish(request, incarnation, now))?;
        let wish = StoredWish {
            incarnation,
            request: request.clone(),
            made_at: now,
            state: WishState::Waiting,
        };
        self.loaded.wishes.insert(request.request, wish);
        Ok(())
    }

    /// Lease requests without an answer: each goes into a new session as `WantLease`.
    pub fn open_wishes(&self) -> Vec<LeaseRequest> {
        let waiting = self.loaded.wishes.values();
        waiting
            .filter(|w| w.state == WishState::Waiting)
            .map(|w| w.request.clone())
            .collect()
    }

    /// Where a lease request stands.
    pub fn wish_state(&self, request: RequestId) -> Option<&StoredWish> {
        self.loaded.wishes.get(&request)
    }

    /// A lease request has its answer. A grant is accepted at once; the node's bucket brings it
    /// again, which changes nothing.
    pub fn lease_answered(
        &mut self,
        request: RequestId,
        answer: &LeaseAnswer,
        now: Instant,
    ) -> Result<Taken, EngineError> {
        self.refresh()?;
        match answer {
            LeaseAnswer::Granted(signed) => {
                let mut accepting = self.accepting();
                self.take_grant(signed, &mut accepting, now)?;
                if !accepting.change.grants.is_empty() {
                    let change = &accepting.change;
                    self.write(|store| store.keep_grants(change))?;
                }
                Ok(self.accepted(accepting))
            }
            LeaseAnswer::Refused(why) => {
                let why = why.to_string();
                self.write(|store| store.refuse_wish(request, &why))?;
                if let Some(wish) = self.loaded.wishes.get_mut(&request)
                    && wish.state == WishState::Waiting
                {
                    wish.state = WishState::Refused(why);
                }
                Ok(Taken::default())
            }
        }
    }
}
