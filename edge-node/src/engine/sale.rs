//! Selling, shifts, voids and surrenders: decide, sign, commit, apply, hand out.

use domain::codec::from_cbor;
use domain::counter::{
    SaleDraft, decide_close_shift, decide_open_shift, decide_sale, decide_surrender, decide_void,
};
use domain::event::{Envelope, EventBody, Sale, SignedEvent, encode_body, ticket_id};
use domain::ids::{CommandId, Kid, StopSeq, TicketId};
use domain::ticket::{KeyMaterial, ShortCode, Suite, mac_ticket, sign_ticket, signing_kid};
use domain::time::Instant;
use domain::trip::Trip;
use domain::weaken::{Weakness, weakened};

use super::{
    Command, Effects, Engine, EngineError, IssuedTicket, Outcome, Personal, SaleReceipt, SellOrder,
    ShiftReport,
};
use crate::store::EventRow;

impl Engine {
    /// Commands that lead to one event without tickets.
    pub(super) fn simple(
        &mut self,
        id: CommandId,
        command: &Command,
        now: Instant,
    ) -> Result<Outcome, EngineError> {
        let state = &self.loaded.state;
        let mut envelope = self.next_envelope(now)?;
        let body = match command {
            Command::OpenShift {
                agent,
                float_minor,
                currency,
            } => decide_open_shift(state, agent, *float_minor, *currency)?,
            Command::Void { ticket, reason } => decide_void(state, *ticket, *reason)?,
            Command::CloseShift { declared_minor } => decide_close_shift(state, *declared_minor)?,
            Command::Surrender { trip, lease_no } => {
                decide_surrender(state, *trip, *lease_no, envelope.seq)?
            }
            Command::Sell(_) | Command::Scan { .. } => return Err(EngineError::CommandReused(id)),
        };
        envelope.body = encode_body(&body);
        let row = self.sign(envelope, None, Some(id), None);
        self.commit(&row, &body)?;
        self.outcome_of(&row, body)
            .ok_or(EngineError::CommandReused(id))
    }

    pub(super) fn sell(
        &mut self,
        id: CommandId,
        order: &SellOrder,
        now: Instant,
        effects: &mut dyn Effects,
    ) -> Result<Outcome, EngineError> {
        order.personal.check()?;
        let loaded = &self.loaded;
        let draft = decide_sale(&loaded.state, &loaded.catalogue, &order.sell, now)?;
        let mut envelope = self.next_envelope(now)?;
        let sale = self.sign_tickets(&envelope, draft);
        let personal = if order.personal.is_empty() {
            None
        } else {
            let salt = self.config.entropy.salt().map_err(EngineError::Random)?;
            Some(order.personal.to_blob(salt))
        };
        envelope.personal = personal.as_deref().map(domain::event::personal_hash);
        let body = EventBody::Sale(sale);
        envelope.body = encode_body(&body);
        let row = self.sign(envelope, personal, Some(id), None);
        let EventBody::Sale(sale) = &body else {
            return Err(EngineError::CommandReused(id));
        };
        let receipt = self.receipt_for(&row.event, sale, &order.personal);
        let early = weakened(Weakness::PrintBeforeCommit);
        if early {
            receipt.tickets.iter().for_each(|t| effects.print(t));
        }
        self.commit(&row, &body)?;
        if !early {
            receipt.tickets.iter().for_each(|t| effects.print(t));
        }
        Ok(Outcome::Sold(receipt))
    }

    /// The MAC key for a sale, where the company wants MACs and the node has the key of the one
    /// trip that is sold.
    fn mac_key_for(&self, draft: &SaleDraft) -> Option<(Kid, [u8; 32])> {
        let trip = draft.coupons.first()?.trip;
        let one_trip = draft.coupons.iter().all(|c| c.trip == trip);
        (self.config.suite == Suite::Hmac256 && one_trip)
            .then(|| self.loaded.mac_keys.get(&trip))
            .flatten()
            .and_then(|record| match record.material {
                KeyMaterial::Hmac256(key) => Some((record.kid, key)),
                KeyMaterial::Ed25519(_) => None,
            })
    }

    fn sign_tickets(&self, envelope: &Envelope, draft: SaleDraft) -> Sale {
        let mac = self.mac_key_for(&draft);
        let key = &self.config.keys.ticket;
        let (kid, suite) = match &mac {
            Some((kid, _)) => (*kid, Suite::Hmac256),
            None => (signing_kid(&key.verifying_key()), Suite::Ed25519),
        };
        let mut coupons = draft.coupons;
        for (i, coupon) in coupons.iter_mut().enumerate() {
            let id = ticket_id(envelope, i, coupon.trip, coupon.seat);
            let claim = coupon.claim(id, envelope.at);
            let ticket = match &mac {
                Some((kid, key)) => mac_ticket(&claim, *kid, key),
                None => sign_ticket(&claim, kid, key),
            };
            coupon.tag = ticket.proof.as_bytes().to_vec();
        }
        Sale {
            shift: draft.shift,
            currency: draft.currency,
            kid,
            suite,
            coupons,
            tender: draft.tender,
        }
    }

    /// The receipt of a sale, as it was and as it will be at every replay.
    pub(super) fn receipt(&self, event: &SignedEvent, sale: &Sale) -> SaleReceipt {
        self.receipt_for(event, sale, &Personal::of_blob(event.personal.as_deref()))
    }

    fn receipt_for(&self, event: &SignedEvent, sale: &Sale, personal: &Personal) -> SaleReceipt {
        let tickets = (0..sale.coupons.len())
            .filter_map(|i| self.issued(event, sale, i, personal))
            .collect();
        SaleReceipt {
            seq: event.envelope.seq,
            shift: sale.shift,
            total_minor: sale.total().unwrap_or_default(),
            currency: sale.currency,
            tickets,
        }
    }

    fn issued(
        &self,
        event: &SignedEvent,
        sale: &Sale,
        index: usize,
        personal: &Personal,
    ) -> Option<IssuedTicket> {
        let coupon = sale.coupons.get(index)?;
        let signed = sale.ticket(&event.envelope, index)?;
        let catalogue = &self.loaded.catalogue;
        let trip = catalogue.trips.get(&coupon.trip);
        let id = signed.claim.id;
        Some(IssuedTicket {
            id,
            qr: signed.to_qr(),
            code: self
                .loaded
                .mac_keys
                .get(&coupon.trip)
                .and_then(|record| ShortCode::of(&signed.claim, record)),
            trip: coupon.trip,
            trip_title: trip.map_or_else(|| format!("trip {}", coupon.trip), Trip::title),
            seat: coupon.seat,
            seat_label: trip.map_or_else(
                || coupon.seat.to_string(),
                |t| catalogue.seat_label_under(t, coupon.seat, coupon.layout_version),
            ),
            legs: coupon.legs,
            from: stop_of(trip, coupon.legs.from()),
            to: stop_of(trip, coupon.legs.to()),
            departs_local: trip
                .and_then(|t| t.stop(coupon.legs.from()))
                .map(|s| s.departs.local_minute(&s.zone)),
            class: coupon.class,
            name: personal.names.get(index).cloned().flatten(),
            fare_minor: coupon.fare_minor,
            currency: sale.currency,
            lease_no: coupon.lease_no,
            epoch: coupon.epoch,
            ordinal: coupon.ordinal,
            issued_at: event.envelope.at,
            shift: sale.shift,
            test: coupon.test,
            void: self.loaded.state.tickets().get(&id).is_some_and(|t| t.void),
        })
    }

    /// A ticket that this node sold, with everything that is printed on it.
    pub fn ticket(&self, id: TicketId) -> Result<Option<IssuedTicket>, EngineError> {
        let Some(at) = self.loaded.sales.get(&id) else {
            return Ok(None);
        };
        let Some(row) = self.event_at(*at)? else {
            return Ok(None);
        };
        let Ok(EventBody::Sale(sale)) = from_cbor(&row.event.envelope.body) else {
            return Ok(None);
        };
        let receipt = self.receipt(&row.event, &sale);
        Ok(receipt.tickets.into_iter().find(|t| t.id == id))
    }

    /// The outcome of a command that was executed before.
    pub(super) fn replay(&self, row: &EventRow, command: &Command) -> Result<Outcome, EngineError> {
        let body: EventBody =
            from_cbor(&row.event.envelope.body).map_err(|e| self.store.bad_event(&row.event, e))?;
        let same = matches!(
            (&body, command),
            (EventBody::ShiftOpened(_), Command::OpenShift { .. })
                | (EventBody::Sale(_), Command::Sell(_))
                | (EventBody::Void(_), Command::Void { .. })
                | (EventBody::Scan(_), Command::Scan { .. })
                | (EventBody::ShiftClosed(_), Command::CloseShift { .. })
                | (EventBody::LeaseSurrendered(_), Command::Surrender { .. })
        );
        let reused =
            || EngineError::CommandReused(row.command.unwrap_or(CommandId::from_bytes([0; 16])));
        if !same {
            return Err(reused());
        }
        self.outcome_of(row, body).ok_or_else(reused)
    }

    /// What the event of a command says to the one who gave it.
    fn outcome_of(&self, row: &EventRow, body: EventBody) -> Option<Outcome> {
        match body {
            EventBody::ShiftOpened(e) => Some(Outcome::ShiftOpened(e.shift)),
            EventBody::Sale(sale) => Some(Outcome::Sold(self.receipt(&row.event, &sale))),
            EventBody::Void(e) => Some(Outcome::Voided {
                ticket: e.ticket,
                fare_minor: self
                    .loaded
                    .state
                    .tickets()
                    .get(&e.ticket)
                    .map(|t| t.fare_minor)
                    .unwrap_or_default(),
                reason: e.reason,
            }),
            EventBody::Scan(scan) => Some(Outcome::Scanned(self.scan_outcome(row, &scan))),
            EventBody::ShiftClosed(e) => Some(Outcome::ShiftClosed(ShiftReport {
                shift: e.shift,
                expected_minor: e.expected_minor,
                declared_minor: e.declared_minor,
            })),
            EventBody::LeaseSurrendered(e) => Some(Outcome::Surrendered {
                trip: e.trip,
                lease_no: e.lease_no,
            }),
            EventBody::LeaseAccepted(_)
            | EventBody::PrintAttempted(_)
            | EventBody::ClockStep(..) => None,
        }
    }
}

/// The code and name of a stop, as far as the trip is known.
pub(super) fn stop_of(trip: Option<&Trip>, seq: StopSeq) -> (String, String) {
    trip.and_then(|t| t.stop(seq)).map_or_else(
        || (seq.to_string(), format!("stop {seq}")),
        |s| (s.code.0.clone(), s.name.clone()),
    )
}
