//! What each operation does. `true` means that it took effect.

use domain::counter::{JourneyWish, PassengerWish, SellCommand};
use domain::event::{
    Coupon, Envelope, EventBody, Sale, TenderKind, TenderLine, VoidReason, encode_body, ticket_id,
    uuid_v7,
};
use domain::ids::{
    CommandId, Issuer, LayoutVersion, LeaseEpoch, LeaseNo, RequestId, SaleOrdinal, SeatNo, Seq,
    ShiftNo, StopSeq, TicketId,
};
use domain::ingest::TicketState;
use domain::lease::{LeaseRequest, SeatWant};
use domain::ledger::{Account, Entry, EntryKind, sale_postings};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::ticket::{Suite, TicketClaim, parse_qr, sign_ticket, signing_kid};
use edge_node::engine::{Command, IssuedTicket, Outcome, Personal, SellOrder};
use edge_node::store::{CommitFault, Disk, EventRow, Store};
use sync_protocol::session::EdgeInput;
use uuid::Uuid;

use super::World;
use crate::hub::HubTicket;
use crate::model::Held;
use crate::ops::{BUS, Op};

impl World {
    pub(super) fn act(&mut self, op: Op) -> bool {
        match op {
            // It counts where it happens: a sale opens a shift where none is open.
            Op::OpenShift { node } => {
                self.open_shift(node);
                false
            }
            Op::CloseShift { node, off_by } => self.close_shift(node, off_by),
            Op::Sell {
                node,
                trip,
                to,
                party,
            } => self.sell(node, trip, to, party),
            Op::Retry { node } => self.retry(node),
            Op::Void { node, nth } => self.void(node, nth),
            Op::Scan { nth, trip } => self.scan(nth, trip),
            Op::TopUp {
                node,
                trip,
                to,
                count,
            } => self.top_up(node, trip, to, count),
            Op::Surrender { node, nth } => self.surrender(node, nth),
            Op::Book { trip, from, to } => self.book(trip, from, to).is_some(),
            Op::SwapBus { trip, layout } => self.swap_bus(trip, layout),
            Op::UndoSwap { nth } => self.undo_swap(nth),
            Op::SellOutsideLease { node, trip, seat } => {
                self.sell_outside_lease(node, trip, seat).is_some()
            }
            Op::Crash { node } => {
                self.reboot(node);
                true
            }
            Op::CrashInCommit { node, trip, to } => self.crash_in_commit(node, trip, to),
            Op::LoseUnsyncedDisk { node, writes } => self.lose_unsynced(node, writes),
            Op::RestoreOldDisk { node, back } => self.restore_old_disk(node, back),
            Op::CrashHub => self.crash_hub(),
            Op::RestoreHub { back } => self.restore_hub(back),
            Op::Partition { node } => {
                let link = &mut self.links[usize::from(node)];
                !std::mem::replace(&mut link.cut, true)
            }
            Op::Heal { node, reconnect } => self.heal(node, reconnect),
            Op::Drop { node } => self.arm(node, |link| link.drop_next += 1),
            Op::Duplicate { node } => self.arm(node, |link| link.duplicate_next += 1),
            Op::Reorder { node } => self.arm(node, |link| link.reorder_next += 1),
            Op::ClockStep { node, secs } => {
                self.nodes[usize::from(node)].clock_ms = i64::from(secs) * 1_000;
                secs != 0
            }
        }
    }

    /// A fault counts when it strikes, not when it is armed.
    fn arm(&mut self, node: u8, arm: impl FnOnce(&mut crate::network::Link)) -> bool {
        arm(&mut self.links[usize::from(node)]);
        false
    }

    pub(super) fn command(&mut self, index: u8, command: &Command) -> Option<Outcome> {
        let id = self.command_id();
        self.command_with(index, id, command)
    }

    /// Gives a command; what was handed out is true from then on, whatever the answer was.
    fn command_with(&mut self, index: u8, id: CommandId, command: &Command) -> Option<Outcome> {
        let now = self.instant();
        let (outcome, printed) = self.nodes[usize::from(index)].command(id, command, now);
        for ticket in &printed {
            self.hand_out(index, ticket);
        }
        match outcome {
            Ok(outcome) => {
                self.log_grew(index);
                Some(outcome)
            }
            Err(error) => {
                self.note(&format!("refused: {}", error.code()));
                None
            }
        }
    }

    fn hand_out(&mut self, index: u8, ticket: &IssuedTicket) {
        let claim = match parse_qr(&ticket.qr) {
            Ok(signed) => signed.claim,
            Err(error) => {
                let what = format!("ticket {}: {error}", ticket.id);
                return self.violate("every ticket can be read", what);
            }
        };
        self.truth.hand_out(
            ticket.id,
            Held {
                code: ticket.code.map(|code| code.to_string()),
                void: ticket.void,
                ..Held::new(
                    ticket.qr.clone(),
                    (ticket.trip, ticket.legs),
                    (claim.seat, claim.layout_version),
                    Some(index),
                )
            },
        );
    }

    fn open_shift(&mut self, node: u8) -> bool {
        let command = Command::OpenShift {
            agent: format!("agent {node}"),
            float_minor: Minor(10_000),
            currency: Currency::ZMW,
        };
        let opened = self.command(node, &command).is_some();
        self.count("open_shift", opened.into());
        opened
    }

    fn close_shift(&mut self, node: u8, off_by: i8) -> bool {
        let Some(shift) = self.nodes[usize::from(node)].engine.state().shift() else {
            return false;
        };
        let counted = shift.float_minor.0 + shift.cash_minor.0 + i64::from(off_by);
        self.command(
            node,
            &Command::CloseShift {
                declared_minor: Minor(counted.max(0)),
            },
        )
        .is_some()
    }

    /// The trip, and the stop that a journey from this node's stop ends at.
    fn journey(
        &self,
        node: u8,
        trip: u8,
        to: u8,
    ) -> Option<(domain::ids::TripId, StopSeq, StopSeq)> {
        let id = self.trips[usize::from(trip)];
        let known = &self.hub.disk.trips[&id];
        let from = known.seq_of(self.nodes[usize::from(node)].stop.as_ref()?)?;
        let further = known.leg_count() - from.0;
        Some((id, from, StopSeq(from.0 + 1 + to % further)))
    }

    fn order(&self, node: u8, trip: u8, to: u8, party: u8) -> Option<Command> {
        let (id, from, to) = self.journey(node, trip, to)?;
        let known = &self.hub.disk.trips[&id];
        let class = |i: u8| {
            if i % 3 == 2 {
                PassengerClass::Child
            } else {
                PassengerClass::Adult
            }
        };
        let sell = SellCommand {
            journeys: vec![JourneyWish {
                trip: id,
                from: known.stop(from)?.code.clone(),
                to: known.stop(to)?.code.clone(),
                passengers: (0..party)
                    .map(|i| PassengerWish {
                        class: class(i),
                        seat: None,
                    })
                    .collect(),
            }],
            tender: vec![],
            test: false,
        };
        let personal = Personal {
            phone: Some("+260 97 0000000".to_owned()),
            names: vec![Some("Chanda".to_owned())],
        };
        Some(Command::Sell(SellOrder { sell, personal }))
    }

    fn sell(&mut self, node: u8, trip: u8, to: u8, party: u8) -> bool {
        let Some(command) = self.order(node, trip, to, party) else {
            return false;
        };
        if self.nodes[usize::from(node)]
            .engine
            .state()
            .shift()
            .is_none()
        {
            self.open_shift(node);
        }
        let id = self.command_id();
        self.nodes[usize::from(node)].last_sale = Some((id, command.clone()));
        self.command_with(node, id, &command).is_some()
    }

    /// The same command again: the same tickets, whether or not the first answer arrived.
    fn retry(&mut self, node: u8) -> bool {
        let Some((id, command)) = self.nodes[usize::from(node)].last_sale.clone() else {
            return false;
        };
        let before = self.nodes[usize::from(node)].engine.head();
        let known = self.nodes[usize::from(node)].engine.event_of_command(id);
        let repeated = matches!(known, Ok(Some(_)));
        let done = self.command_with(node, id, &command).is_some();
        if repeated && self.nodes[usize::from(node)].engine.head() != before {
            self.violate(
                "a retry sells nothing twice",
                format!("command {id} sold again"),
            );
        }
        done
    }

    fn void(&mut self, node: u8, nth: u8) -> bool {
        let own: Vec<TicketId> = self
            .truth
            .order
            .iter()
            .filter(|id| {
                let held = &self.truth.tickets[id];
                held.node == Some(node) && !held.void && !held.let_on
            })
            .copied()
            .collect();
        let recent = own.len().saturating_sub(6);
        let Some(ticket) = own
            .get(recent + usize::from(nth) % own.len().clamp(1, 6))
            .copied()
        else {
            return false;
        };
        let command = Command::Void {
            ticket,
            reason: VoidReason::PassengerRequest,
        };
        let done = self.command(node, &command).is_some();
        if let (true, Some(held)) = (done, self.truth.tickets.get_mut(&ticket)) {
            held.void = true;
        }
        done
    }

    pub(super) fn top_up(&mut self, node: u8, trip: u8, to: u8, count: u8) -> bool {
        let Some((trip, boarding, to)) = self.journey(node, trip, to) else {
            return false;
        };
        let request = LeaseRequest {
            request: RequestId(Uuid::from_bytes(self.dice.bytes16())),
            trip,
            boarding,
            wants: vec![SeatWant {
                to,
                count: count.into(),
            }],
        };
        let now = self.instant();
        let at = self.nodes[usize::from(node)].clock(now);
        if self.nodes[usize::from(node)]
            .engine
            .wish(&request, at)
            .is_err()
        {
            return false;
        }
        self.node_input(node, EdgeInput::WantLease(request));
        true
    }

    fn surrender(&mut self, node: u8, nth: u8) -> bool {
        let engine = &self.nodes[usize::from(node)].engine;
        let held: Vec<_> = engine
            .state()
            .leases()
            .map(|l| (l.grant.trip, l.grant.lease_no))
            .collect();
        let Some((trip, lease_no)) = held.get(usize::from(nth) % held.len().max(1)).copied() else {
            return false;
        };
        self.command(node, &Command::Surrender { trip, lease_no })
            .is_some()
    }

    /// A customer books at the hub, out of the pool.
    fn book(&mut self, trip: u8, from: u8, to: u8) -> Option<TicketId> {
        let id = self.trips[usize::from(trip)];
        let known = self.hub.disk.trips.get(&id)?;
        let from = StopSeq(from % known.leg_count());
        let to = StopSeq(from.0 + 1 + to % (known.leg_count() - from.0));
        let legs = known.legs(from, to)?;
        let layout_version = known.numbering();
        let inventory = self.hub.inventory(id)?;
        if inventory.frozen {
            return None;
        }
        let seat = inventory.pool_seat(None, legs)?;
        let mut bits = [0; 32];
        bits[..16].copy_from_slice(&self.dice.bytes16());
        let issued_at = self.instant();
        let claim = TicketClaim {
            id: uuid_v7(issued_at, &bits),
            trip: id,
            seat,
            from,
            to,
            class: PassengerClass::Adult,
            ordinal: SaleOrdinal(1),
            issued_at,
            lease: None,
            layout_version,
            test: false,
        };
        let ticket = sign_ticket(
            &claim,
            signing_kid(&self.hub.key.verifying_key()),
            &self.hub.key,
        );
        let fare = Minor(5_000);
        let day = issued_at.local_date(&self.hub.zone)?;
        let credit = (claim.id, Account::DeferredRevenue(id), fare);
        let postings = sale_postings([(Account::OnlineClearing, fare)], [credit]);
        let entry = Entry::new(EntryKind::Sale, Currency::ZMW, day, postings).ok()?;
        self.hub.disk.ledger.push(entry);
        let stored = HubTicket {
            ticket,
            seat,
            legs,
            issuer: Issuer::Hub,
            shift: ShiftNo(0),
            fare_minor: fare,
            state: TicketState::Live,
        };
        self.hub.disk.tickets.insert(claim.id, stored);
        self.hub.list(claim.id);
        let held = Held::new(ticket.to_qr(), (id, legs), (seat, layout_version), None);
        self.truth.hand_out(claim.id, held);
        self.announce();
        Some(claim.id)
    }

    /// A thief with the device's keys logs the sale of a seat that the device was never granted.
    fn sell_outside_lease(&mut self, index: u8, trip: u8, seat: u8) -> Option<TicketId> {
        let (trip, from, to) = self.journey(index, trip, 0)?;
        let legs = self.hub.disk.trips[&trip].legs(from, to)?;
        let seat = SeatNo(1 + u16::from(seat) % self.hub.disk.trips[&trip].seat_count);
        let at = self.nodes[usize::from(index)].clock(self.instant());
        let node = &mut self.nodes[usize::from(index)];
        let shift = node.engine.state().shift()?.shift;
        if node.engine.doubt().is_some() {
            return None;
        }
        let theirs = node
            .engine
            .state()
            .leases_at(trip, from)
            .find(|l| l.grant.allows(seat, legs));
        if theirs.is_some() {
            return None;
        }
        let (lease_no, epoch, layout_version) = node
            .engine
            .state()
            .leases_at(trip, from)
            .next()
            .map_or((LeaseNo(1), LeaseEpoch(1), LayoutVersion(1)), |l| {
                (l.grant.lease_no, l.grant.epoch, l.grant.layout_version)
            });
        let head = node.engine.head();
        let mut envelope = Envelope {
            node: node.id,
            incarnation: head.incarnation,
            seq: Seq(head.seq.0 + 1),
            prev: head.hash,
            at,
            personal: None,
            body: vec![],
        };
        let mut coupon = Coupon {
            trip,
            seat,
            legs,
            class: PassengerClass::Adult,
            ordinal: SaleOrdinal(1),
            lease_no,
            epoch,
            layout_version,
            fare_minor: Minor(5_000),
            test: false,
            tag: vec![],
        };
        let id = ticket_id(&envelope, 0, trip, seat);
        let kid = signing_kid(&node.keys.ticket.verifying_key());
        let signed = sign_ticket(&coupon.claim(id, at), kid, &node.keys.ticket);
        coupon.tag = signed.proof.as_bytes().to_vec();
        envelope.body = encode_body(&EventBody::Sale(Sale {
            shift,
            currency: Currency::ZMW,
            kid,
            suite: Suite::Ed25519,
            coupons: vec![coupon],
            tender: vec![TenderLine {
                kind: TenderKind::Cash,
                amount_minor: Minor(5_000),
            }],
        }));
        let event = envelope.sign(&node.keys.event, None);
        let disk = Disk::Memory(node.disk.clone());
        let (mut store, _) = Store::open(&disk, node.id, true).ok()?;
        store
            .append(&EventRow {
                event,
                command: None,
                aside: None,
            })
            .ok()?;
        drop(store);
        self.truth.rogue.insert(id);
        self.reboot(index);
        Some(id)
    }

    pub(super) fn reboot(&mut self, index: u8) {
        self.hub_sessions.remove(&index);
        self.links[usize::from(index)].clear();
        let now = self.now;
        if let Err(error) = self.nodes[usize::from(index)].reboot(now) {
            self.violate("a node starts on its disk", error.to_string());
        }
        self.note(&format!("node {index} boots"));
    }

    /// Power fails in the middle of a sale: before the commit, or after it and before the answer.
    fn crash_in_commit(&mut self, index: u8, trip: u8, to: u8) -> bool {
        let Some(command) = self.order(index, trip, to, 1) else {
            return false;
        };
        if self.nodes[usize::from(index)]
            .engine
            .state()
            .shift()
            .is_none()
        {
            self.open_shift(index);
        }
        let fault = if self.dice.chance(500) {
            CommitFault::Before
        } else {
            CommitFault::After
        };
        let id = self.command_id();
        let node = &mut self.nodes[usize::from(index)];
        node.disk.fail_next_commit(fault);
        node.last_sale = Some((id, command.clone()));
        let now = self.base.plus_ms(self.now.0 as i64);
        let (outcome, printed) = node.command(id, &command, now);
        let struck = matches!(&outcome, Err(edge_node::engine::EngineError::Store(_)));
        for ticket in &printed {
            self.hand_out(index, ticket);
        }
        self.reboot(index);
        self.check_log_has_what_was_handed_out(index);
        struck
    }

    /// What a node handed out is in its own log after every restart.
    fn check_log_has_what_was_handed_out(&mut self, index: u8) {
        let state = self.nodes[usize::from(index)].engine.state();
        let missing = self.truth.tickets.iter().find(|(id, held)| {
            held.node == Some(index)
                && !held.excused
                && !state.tickets().contains_key(id)
                && !self.hub.disk.tickets.contains_key(id)
        });
        if let Some((id, _)) = missing {
            let what = format!("node {index} came back without ticket {id}");
            self.violate("no acknowledged sale lost", what);
        }
    }

    /// Power fails; the sidecar's last writes were never flushed.
    fn lose_unsynced(&mut self, index: u8, writes: u8) -> bool {
        let node = &mut self.nodes[usize::from(index)];
        let back = usize::from(writes) + 1;
        let Some(at) = node.sidecars.len().checked_sub(back) else {
            return false;
        };
        // The first file is flushed when it is made: there is always one.
        let Some(Some(old)) = node.sidecars.get(at).cloned() else {
            return false;
        };
        node.disk.set_sidecar(Some(old));
        self.reboot(index);
        self.check_log_has_what_was_handed_out(index);
        true
    }

    /// The disk of an earlier time: what it does not hold and the hub does not have is gone, and
    /// nobody promised it. The sidecar is on no backup and shows it.
    fn restore_old_disk(&mut self, index: u8, back: u8) -> bool {
        let node = &mut self.nodes[usize::from(index)];
        if node.images.is_empty() {
            return false;
        }
        let at = usize::from(back) % node.images.len();
        node.note_head();
        node.session = None;
        if let Err(error) = node.disk.restore_database(&node.images[at]) {
            self.violate("a disk can be restored", error.to_string());
            return false;
        }
        node.sidecars.clear();
        self.reboot(index);
        let node = &self.nodes[usize::from(index)];
        let head = node.engine.head();
        let older = (head.incarnation, head.seq) < node.furthest;
        if older && node.engine.doubt().is_none() {
            self.violate(
                "a restored node does not sell",
                format!("node {index} sees nothing"),
            );
        }
        if index == BUS {
            self.truth
                .tickets
                .values_mut()
                .for_each(|held| held.forgotten |= held.let_on);
        } else {
            self.excuse(index);
        }
        older
    }

    pub(super) fn excuse(&mut self, index: u8) {
        let state = self.nodes[usize::from(index)].engine.state();
        for (id, held) in self
            .truth
            .tickets
            .iter_mut()
            .filter(|(_, t)| t.node == Some(index))
        {
            let here = state.tickets().get(id);
            let hub = self.hub.disk.tickets.get(id);
            held.excused |= here.is_none() && hub.is_none();
            let void_known =
                here.is_some_and(|t| t.void) || hub.is_some_and(|t| t.state == TicketState::Void);
            held.void_excused |= held.void && !void_known;
        }
    }

    fn crash_hub(&mut self) -> bool {
        self.work.clear();
        for index in 0..self.nodes.len() as u8 {
            if self.nodes[usize::from(index)].session.is_some() {
                self.disconnect(index);
            }
        }
        true
    }

    /// The hub's disk is gone; a backup takes its place, as another installation. What the hub sold
    /// itself since the backup is lost, and so is what a node's disk that was replaced does not
    /// hold either. A backup from before a swap is left alone: nobody promises that seats can be
    /// found again whose map was lost.
    fn restore_hub(&mut self, back: u8) -> bool {
        let swaps = &self.hub.disk.swaps;
        let images = self.hub_images.iter();
        let images: Vec<_> = images.filter(|(disk, _)| disk.swaps == *swaps).collect();
        let image = images.get(usize::from(back) % images.len().max(1));
        let Some((disk, at)) = image.map(|image| (*image).clone()) else {
            return false;
        };
        let now = self.instant();
        self.work.clear();
        self.hub.restore(disk, at, now);
        for index in 0..self.nodes.len() as u8 {
            self.disconnect(index);
            if index != BUS {
                self.excuse(index);
            }
        }
        for (id, held) in self
            .truth
            .tickets
            .iter_mut()
            .filter(|(_, t)| t.node.is_none())
        {
            held.lost |= !self.hub.disk.tickets.contains_key(id);
            held.excused |= held.lost;
        }
        true
    }

    fn heal(&mut self, index: u8, reconnect: bool) -> bool {
        let was_cut = std::mem::replace(&mut self.links[usize::from(index)].cut, false);
        if was_cut && reconnect {
            self.disconnect(index);
        }
        was_cut
    }
}
