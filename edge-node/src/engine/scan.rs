//! Validating: the answer is recorded before it is given.

use core::fmt::Write as _;

use domain::codec::{from_cbor, to_cbor};
use domain::event::{EventBody, ScanRecord, encode_body};
use domain::ids::{CommandId, Issuer, LayoutVersion, SeatNo, TicketId, TripId};
use domain::scan::{
    ScanAnswer, ScanDecision, SeatHold, Shown, TicketUse, TripView, decide_scan, hold_of,
};
use domain::ticket::{QR_PREFIX, ShortClaim, SignedTicket, parse_qr, verify};
use domain::time::Instant;

use super::sale::stop_of;
use super::{Engine, EngineError, Outcome, ScanOutcome};
use crate::store::EventRow;

/// The longest text that a scanner may hand in, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// How much of it is recorded, in bytes.
const RECORDED_BYTES_MAX: usize = 512;

/// What a validator remembers beside the event of a scan.
#[derive(Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub(super) struct ScanAside {
    /// Why, in words.
    #[n(0)]
    pub reason: String,
    /// The seat that was shown.
    #[n(1)]
    pub seat: Option<SeatNo>,
    /// What the ticket holds on the trip, where it is genuine.
    #[n(2)]
    pub hold: Option<SeatHold>,
    /// Which numbering those seats are in.
    #[n(3)]
    pub numbering: Option<LayoutVersion>,
    /// The short code of a ticket that was let on though it was not on the manifest.
    #[n(4)]
    pub unlisted: Option<ShortClaim>,
    /// A code was typed that no ticket has.
    #[n(5)]
    pub wrong_code: Option<bool>,
}

/// Which numbering the seat of a decision is in.
fn numbering_of(view: Option<&TripView>, decision: &ScanDecision) -> Option<LayoutVersion> {
    let under = decision.ticket?.layout_version;
    Some(view?.shown_under(under))
}

impl ScanAside {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        from_cbor(bytes).ok()
    }

    /// What the next scans have to know of this one.
    pub(super) fn recall(
        &self,
        view: &mut TripView,
        ticket: Option<TicketId>,
        used: Option<TicketUse>,
        at: Instant,
    ) {
        if self.wrong_code == Some(true) {
            view.note_wrong_code(at);
        }
        if let (Some(ticket), Some(hold)) = (ticket, self.hold) {
            // A scan from before numberings were noted is from before any swap.
            let under = self.numbering.unwrap_or(LayoutVersion(0));
            view.note_seen(ticket, hold, under, used);
            if let Some(code) = self.unlisted {
                view.note_unlisted(code, ticket);
            }
        }
    }
}

/// What one code is, without recording that it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer that a scan would get on that trip now.
    pub decision: ScanDecision,
    /// One finding a line, in the order in which they are looked at.
    pub findings: Vec<String>,
}

impl Engine {
    pub(super) fn scan(
        &mut self,
        id: CommandId,
        trip: TripId,
        text: &str,
        now: Instant,
    ) -> Result<Outcome, EngineError> {
        let decision = self.decide(trip, text, now)?;
        let unknown_to_hub = decision.answer != ScanAnswer::Valid;
        let cut = &text[..text.floor_char_boundary(RECORDED_BYTES_MAX)];
        let record = ScanRecord {
            trip,
            answer: decision.answer,
            ticket: decision.issuer.and(decision.ticket).map(|ticket| ticket.id),
            text: unknown_to_hub.then(|| cut.to_owned()),
        };
        let aside = ScanAside {
            reason: decision.reason.to_string(),
            seat: decision.issuer.and(decision.seat),
            hold: hold_of(trip, &decision),
            numbering: numbering_of(self.loaded.views.get(&trip), &decision),
            unlisted: decision.unlisted_code(),
            wrong_code: decision.is_wrong_code().then_some(true),
        };
        let body = EventBody::Scan(record.clone());
        let mut envelope = self.next_envelope(now)?;
        envelope.body = encode_body(&body);
        let row = self.sign(envelope, None, Some(id), Some(to_cbor(&aside)));
        self.commit(&row, &body)?;
        Ok(Outcome::Scanned(self.answered(&row, &record, Some(aside))))
    }

    fn decide(&self, trip: TripId, text: &str, now: Instant) -> Result<ScanDecision, EngineError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(EngineError::BadInput(format!(
                "the scanned text is longer than {TEXT_BYTES_MAX} bytes: it is no ticket"
            )));
        }
        let view = self
            .loaded
            .views
            .get(&trip)
            .ok_or(EngineError::NotValidated(trip))?;
        Ok(decide_scan(view, text, now))
    }

    /// What the driver sees, from what was recorded.
    pub(super) fn scan_outcome(&self, row: &EventRow, record: &ScanRecord) -> ScanOutcome {
        let aside = row.aside.as_deref().and_then(ScanAside::read);
        self.answered(row, record, aside)
    }

    fn answered(
        &self,
        row: &EventRow,
        record: &ScanRecord,
        aside: Option<ScanAside>,
    ) -> ScanOutcome {
        let trip = self.loaded.catalogue.trips.get(&record.trip);
        let (reason, seat, hold, numbering) = aside.map_or_else(
            || (String::new(), None, None, None),
            |a| (a.reason, a.seat, a.hold, a.numbering),
        );
        ScanOutcome {
            answer: record.answer,
            reason,
            trip: record.trip,
            seat,
            seat_label: seat.map(|seat| {
                trip.map_or_else(
                    || seat.to_string(),
                    |t| {
                        let under = numbering.unwrap_or(t.numbering());
                        self.loaded.catalogue.seat_label_under(t, seat, under)
                    },
                )
            }),
            ticket: record.ticket,
            journey: hold.map(|h| (stop_of(trip, h.legs.from()).1, stop_of(trip, h.legs.to()).1)),
            at: row.event.envelope.at,
        }
    }

    /// Explains a code as this device sees it for one trip, recording nothing.
    pub fn explain(
        &self,
        trip: TripId,
        text: &str,
        now: Instant,
    ) -> Result<Explanation, EngineError> {
        let decision = self.decide(trip, text, now)?;
        let Some(view) = self.loaded.views.get(&trip) else {
            return Err(EngineError::NotValidated(trip));
        };
        let mut findings = vec![];
        let signed = parse_qr(text.trim_end_matches(['\r', '\n']));
        match (&signed, &decision.ticket) {
            (Ok(ticket), _) => findings.push(format!(
                "the code: a ticket of {:?}, {} bytes, id {}",
                ticket.suite(),
                ticket.to_message().len(),
                ticket.claim.id
            )),
            (Err(_), Some(_)) => findings.push("the code: a short one, as it is typed".to_owned()),
            (Err(error), None) if text.starts_with(QR_PREFIX) => {
                findings.push(format!("the code: {error}"));
            }
            (Err(_), None) => findings.push(format!("the code: {}", decision.reason)),
        }
        if let Some(shown) = &decision.ticket {
            findings.push(self.says(shown, signed.as_ref().ok()));
            match &signed {
                Ok(ticket) => findings.extend(keys_of(view, ticket)),
                Err(_) => findings.extend(
                    decision
                        .issuer
                        .map(|issuer| format!("its key: of {issuer}, the code is right")),
                ),
            }
            findings.extend(standing(view, shown, decision.issuer));
        }
        Ok(Explanation { decision, findings })
    }

    /// What a code says, in words.
    fn says(&self, shown: &Shown, signed: Option<&SignedTicket>) -> String {
        let catalogue = &self.loaded.catalogue;
        let known = catalogue.trips.get(&shown.trip);
        let title = known.map_or_else(
            || "not in this device's timetable".to_owned(),
            domain::trip::Trip::title,
        );
        let seat = known.map_or_else(
            || shown.seat.to_string(),
            |t| catalogue.seat_label_under(t, shown.seat, shown.layout_version),
        );
        let mut says = format!(
            "it says: trip {} ({title}), seat {seat}, {} to {}, sale {} of that seat",
            shown.trip,
            stop_of(known, shown.legs.from()).1,
            stop_of(known, shown.legs.to()).1,
            shown.ordinal,
        );
        if let Some(ticket) = signed {
            let claim = &ticket.claim;
            let _ = write!(says, ", {}, issued {}", claim.class, claim.issued_at);
        }
        if let Some(lease) = shown.lease {
            let _ = write!(says, ", under lease {} epoch {}", lease.no, lease.epoch);
        }
        if shown.test {
            says.push_str(", a test ticket");
        }
        says
    }
}

/// What the keys that a signed ticket names say of it.
fn keys_of(view: &TripView, ticket: &SignedTicket) -> Vec<String> {
    let records = view.keys.get(&ticket.kid).map_or(&[][..], Vec::as_slice);
    if records.is_empty() {
        return vec![format!("its key: {} is not known here", ticket.kid)];
    }
    let verdict = |record| match verify(ticket, record) {
        Ok(()) => "the signature is good".to_owned(),
        Err(error) => error.to_string(),
    };
    records
        .iter()
        .map(|record| {
            format!(
                "its key: {} of {}: {}",
                ticket.kid,
                record.issuer,
                verdict(record)
            )
        })
        .collect()
}

/// What grants, manifest and earlier scans say of it.
fn standing(view: &TripView, shown: &Shown, issuer: Option<Issuer>) -> Vec<String> {
    let mut findings = vec![];
    if let (Some(Issuer::Node(node)), Some(lease)) = (issuer, shown.lease) {
        findings.push(match view.grants.get(&(node, lease.no)) {
            None => format!(
                "its grant: {} of that seller has not reached this device",
                lease.no
            ),
            Some(grant) if grant.allows(shown.seat, shown.legs) => {
                format!("its grant: {} holds this seat on these legs", lease.no)
            }
            Some(_) => format!(
                "its grant: {} does not hold this seat on these legs",
                lease.no
            ),
        });
    }
    findings.push(match view.listed.get(&shown.id) {
        Some(hold) => format!("the manifest: has it, on seat {}", hold.seat),
        None if view.revoked.contains(&shown.id) => "the manifest: says it is void".to_owned(),
        None => format!(
            "the manifest: does not have it ({} tickets known)",
            view.listed.len()
        ),
    });
    if let Some(used) = view.seen.get(&shown.id).and_then(|seen| seen.used) {
        findings.push(format!("seen: its passenger was let on at {}", used.at));
    }
    findings
}
