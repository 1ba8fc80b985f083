//! Rebuilding what the engine knows from its store: the hub's facts, then the log, event by event.

use std::collections::{BTreeMap, HashMap};

use domain::codec::from_cbor;
use domain::counter::{Catalogue, CounterState};
use domain::event::{ChainHead, EventBody, ticket_id};
use domain::fare::FareIndex;
use domain::ids::{
    CommandId, HubIncarnation, Issuer, LeaseNo, NodeId, NodeIncarnation, RequestId, Seq, TicketId,
    TripId,
};
use domain::ingest::TicketState;
use domain::lease::{Grant, SignedGrant};
use domain::scan::{SeatHold, TicketUse, TripView};
use domain::ticket::{KeyMaterial, KeyRecord};
use domain::time::Instant;
use ed25519_dalek::VerifyingKey;
use sync_protocol::frame::{BucketCursor, BucketId, Item, ListedTicket};

use super::log::check_link;
use super::scan::ScanAside;
use super::{EngineConfig, EngineError};
use crate::sidecar::{Doubt, Sidecar};
use crate::store::{EventRow, LogMark, Opened, Store, StoredWish};

/// Events that are read at once.
const CHUNK: u32 = 2_000;

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub incarnation: NodeIncarnation,
    pub seq: Seq,
}

/// Everything in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub state: CounterState,
    pub catalogue: Catalogue,
    pub views: BTreeMap<TripId, TripView>,
    /// Every key that the hub told of: a validator must know them to say "wrong trip".
    pub keys: Vec<KeyRecord>,
    /// The node's own MAC keys, by trip.
    pub mac_keys: BTreeMap<TripId, KeyRecord>,
    pub head: ChainHead,
    /// Heads of the closed incarnations.
    pub older: Vec<ChainHead>,
    pub marks: BTreeMap<NodeIncarnation, LogMark>,
    pub marks_dirty: bool,
    pub cursors: Vec<BucketCursor>,
    /// The installation of the hub that the cursors are of.
    pub hub: HubIncarnation,
    pub wishes: BTreeMap<RequestId, StoredWish>,
    /// Grants to this node, and which incarnation may sell from each.
    pub grants: BTreeMap<(TripId, LeaseNo), NodeIncarnation>,
    pub sales: BTreeMap<TicketId, Place>,
    /// The event that each command led to. Kept here and not as an index of the table: the page
    /// of a random key would double what a sale writes.
    pub commands: HashMap<CommandId, Place>,
    pub doubt: Option<Doubt>,
}

/// A grant, if one of the hub's keys signed it.
pub(super) fn verified(signed: &SignedGrant, hub_keys: &[VerifyingKey]) -> Option<Grant> {
    hub_keys.iter().find_map(|key| signed.verify(key).ok())
}

impl Loaded {
    pub(super) fn load(
        store: &Store,
        sidecar: &Sidecar,
        opened: Opened,
        config: &EngineConfig,
    ) -> Result<Self, EngineError> {
        let mut loaded = Self {
            state: CounterState::default(),
            catalogue: Catalogue::default(),
            views: BTreeMap::new(),
            keys: vec![],
            mac_keys: BTreeMap::new(),
            head: ChainHead::empty(opened.incarnation),
            older: vec![],
            marks: store
                .marks()?
                .into_iter()
                .map(|m| (m.incarnation, m))
                .collect(),
            marks_dirty: false,
            cursors: vec![],
            hub: opened.hub,
            wishes: store
                .wishes()?
                .into_iter()
                .map(|w| (w.request.request, w))
                .collect(),
            grants: BTreeMap::new(),
            sales: BTreeMap::new(),
            commands: HashMap::new(),
            doubt: None,
        };
        loaded.load_facts(store, config)?;
        loaded.load_log(store, opened.incarnation, config)?;
        loaded.doubt = if opened.doubt {
            Some(Doubt::DatabaseMissing)
        } else {
            sidecar.doubt(store, &loaded.head)?
        };
        Ok(loaded)
    }

    fn load_facts(&mut self, store: &Store, config: &EngineConfig) -> Result<(), EngineError> {
        let cursors = store.cursors()?;
        let buckets: BTreeMap<String, BucketId> = cursors
            .iter()
            .map(|(c, _)| (c.bucket.name(), c.bucket.clone()))
            .collect();
        for (cursor, at) in cursors {
            self.reached(cursor, at);
        }
        for (bucket, item) in store.facts()? {
            if let Some(bucket) = buckets.get(&bucket) {
                self.apply_fact(bucket, &item, config);
            }
        }
        Ok(())
    }

    /// A bucket was applied up to here.
    pub(super) fn reached(&mut self, cursor: BucketCursor, at: Instant) {
        if let BucketId::Trip(trip) = cursor.bucket {
            let (keys, known) = (&self.keys, self.catalogue.trips.get(&trip));
            let view = self.views.entry(trip).or_insert_with(|| {
                let mut view = TripView::new(trip);
                for key in keys {
                    view.add_key(key.clone());
                }
                if let Some(trip) = known {
                    view.renumber(&trip.swaps, trip.numbering());
                }
                view
            });
            view.bundle_at = Some(at);
        }
        match self.cursors.iter_mut().find(|c| c.bucket == cursor.bucket) {
            Some(known) => known.change = cursor.change,
            None => self.cursors.push(cursor),
        }
    }

    /// Takes one fact of a bucket.
    pub(super) fn apply_fact(&mut self, bucket: &BucketId, item: &Item, config: &EngineConfig) {
        match item {
            Item::Layout(layout) => {
                self.catalogue
                    .layouts
                    .insert(layout.id.clone(), layout.clone());
            }
            Item::Fares(table) => {
                let index = FareIndex::new(table);
                self.catalogue.fares.insert(table.id.clone(), index);
            }
            Item::Trip(trip) => {
                if let Some(view) = self.views.get_mut(&trip.id) {
                    view.renumber(&trip.swaps, trip.numbering());
                }
                self.catalogue.trips.insert(trip.id, trip.clone());
            }
            Item::Key(record) => self.apply_key(record, config.node),
            Item::Grant(signed) => {
                if let BucketId::Trip(trip) = bucket
                    && let Some(grant) = verified(signed, &config.hub_keys)
                    && grant.trip == *trip
                    && let Some(view) = self.views.get_mut(trip)
                {
                    view.add_grant(grant);
                }
            }
            Item::Ticket(listed) => {
                if let Some(view) = self.views.get_mut(&listed.trip) {
                    list(view, listed);
                }
            }
        }
    }

    fn apply_key(&mut self, record: &KeyRecord, node: NodeId) {
        if !self.keys.contains(record) {
            self.keys.push(record.clone());
        }
        for view in self.views.values_mut() {
            view.add_key(record.clone());
        }
        if let (KeyMaterial::Hmac256(_), Some(trip)) = (&record.material, record.trip)
            && record.issuer == Issuer::Node(node)
        {
            self.mac_keys.insert(trip, record.clone());
        }
    }

    fn load_log(
        &mut self,
        store: &Store,
        running: NodeIncarnation,
        config: &EngineConfig,
    ) -> Result<(), EngineError> {
        let grants = store.grants()?;
        let incarnations: Vec<NodeIncarnation> = self.marks.keys().copied().collect();
        for incarnation in incarnations {
            if incarnation > running {
                continue;
            }
            self.state.begin_incarnation(incarnation);
            for grant in grants.iter().filter(|g| g.incarnation == incarnation) {
                if let Some(grant) = verified(&grant.signed, &config.hub_keys) {
                    self.state.deliver(grant);
                } else {
                    tracing::warn!(
                        trip = %grant.trip, lease = %grant.lease_no,
                        "a stored grant is not signed by the hub: it is left alone"
                    );
                }
            }
            let head = self.replay(store, incarnation, config.node)?;
            if incarnation == running {
                self.head = head;
            } else {
                self.older.push(head);
            }
        }
        for grant in grants {
            self.grants
                .insert((grant.trip, grant.lease_no), grant.incarnation);
        }
        Ok(())
    }

    fn replay(
        &mut self,
        store: &Store,
        incarnation: NodeIncarnation,
        node: NodeId,
    ) -> Result<ChainHead, EngineError> {
        let mut head = ChainHead::empty(incarnation);
        loop {
            let rows = store.events(node, incarnation, head.seq, CHUNK)?;
            if rows.is_empty() {
                return Ok(head);
            }
            for row in rows {
                check_link(&head, &row.event).map_err(|what| store.bad_event(&row.event, what))?;
                let body: EventBody = from_cbor(&row.event.envelope.body)
                    .map_err(|e| store.bad_event(&row.event, e))?;
                head = row.event.head();
                self.apply(&row, &body);
            }
        }
    }

    /// Takes what was committed.
    pub(super) fn apply(&mut self, row: &EventRow, body: &EventBody) {
        let envelope = &row.event.envelope;
        self.state.apply(envelope, body);
        let at = Place {
            incarnation: envelope.incarnation,
            seq: envelope.seq,
        };
        if let Some(command) = row.command {
            self.commands.insert(command, at);
        }
        if let EventBody::Sale(sale) = body {
            for (i, c) in sale.coupons.iter().enumerate() {
                self.sales
                    .insert(ticket_id(envelope, i, c.trip, c.seat), at);
            }
        }
        if let EventBody::Scan(scan) = body {
            let aside = row.aside.as_deref().and_then(ScanAside::read);
            if let (Some(view), Some(aside)) = (self.views.get_mut(&scan.trip), aside) {
                let used = scan.answer.lets_on().then_some(TicketUse {
                    at: envelope.at,
                    by: envelope.node,
                });
                aside.recall(view, scan.ticket, used, envelope.at);
            }
        }
    }
}

/// The manifest as the hub tells it: a ticket that is void is refused, one in dispute is merely
/// not on the manifest.
fn list(view: &mut TripView, listed: &ListedTicket) {
    let hold = SeatHold {
        seat: listed.seat,
        legs: listed.legs,
        issuer: listed.issuer,
        lease_no: listed.lease_no,
        ordinal: listed.ordinal,
    };
    if let Some(code) = listed.code {
        // Where two tickets have one code, it is the live one's.
        match listed.state {
            TicketState::Live => view.codes.insert(code, listed.id),
            TicketState::Void | TicketState::Disputed => {
                Some(*view.codes.entry(code).or_insert(listed.id))
            }
        };
    }
    match listed.state {
        TicketState::Live => {
            view.listed.insert(listed.id, hold);
            view.revoked.remove(&listed.id);
        }
        TicketState::Void => {
            view.listed.remove(&listed.id);
            view.revoked.insert(listed.id);
        }
        TicketState::Disputed => {
            view.listed.remove(&listed.id);
        }
    }
}
