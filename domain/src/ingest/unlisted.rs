//! Tickets that a validator saw and the hub does not know, though its own key signed them: sold by
//! a hub whose last hours were lost. Their passengers sit there; nobody else may be sold the seat.

use super::IngestState;
use crate::event::ScanRecord;
use crate::ids::{Issuer, LayoutVersion, SeatNo, TicketId, TripId};
use crate::scan::ScanAnswer;
use crate::ticket::{Proof, parse_qr, verify};
use crate::trip::Legs;

/// A ticket of the hub's own that it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// Which ticket.
    pub ticket: TicketId,
    /// Its trip.
    pub trip: TripId,
    /// Its seat, as it says itself.
    pub seat: SeatNo,
    /// Which numbering that is in.
    pub under: LayoutVersion,
    /// Its legs.
    pub legs: Legs,
    /// Its code, as it was shown.
    pub code: String,
}

/// The ticket that a scan shows to have been sold by the hub and lost. Only a good Ed25519
/// signature counts, and only where the scan let its passenger on.
pub fn unlisted(state: &mut IngestState, scan: &ScanRecord) -> Option<Unlisted> {
    if state.hub_keys.is_empty() || scan.answer != ScanAnswer::GoodButUnlisted {
        return None;
    }
    let code = scan.text.as_deref()?;
    let shown = parse_qr(code).ok()?;
    let claim = shown.claim;
    let signed = matches!(shown.proof, Proof::Ed25519(_))
        && state
            .hub_keys
            .iter()
            .any(|key| key.issuer == Issuer::Hub && verify(&shown, key).is_ok());
    if !signed || claim.test || claim.trip != scan.trip || scan.ticket != Some(claim.id) {
        return None;
    }
    let legs = Legs::new(claim.from, claim.to)?;
    state.own_tickets.insert(claim.id).then(|| Unlisted {
        ticket: claim.id,
        trip: claim.trip,
        seat: claim.seat,
        under: claim.layout_version,
        legs,
        code: code.to_owned(),
    })
}
