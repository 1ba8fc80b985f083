//! The scan: a validator's six answers to a ticket, from what it knows of one trip.
//!
//! Offline knowledge is always old. What is merely not synced yet is never called invalid, and
//! neither a clock nor a layout version refuses anybody.

mod answer;
mod view;

pub use answer::{ScanAnswer, ScanDecision, ScanReason};
pub use view::{SeatHold, SeenTicket, TicketUse, TripView};

use crate::ids::{Issuer, NodeId, SeatNo, TicketId, TripId};
use crate::swap::NO_SEAT;
use crate::ticket::{KeyRecord, SignedTicket, Suite, TicketError, parse_qr, verify};
use crate::time::Instant;

/// Decides about one text from the scanner; the first answer that fits wins: invalid, wrong
/// trip, already used, seat conflict, valid, good but unlisted.
pub fn decide_scan(view: &TripView, text: &str, now: Instant) -> ScanDecision {
    let ticket = match parse_qr(text.trim_end_matches(['\r', '\n'])) {
        Ok(ticket) => ticket,
        Err(error) => {
            return ScanDecision {
                answer: ScanAnswer::Invalid,
                reason: ScanReason::Unreadable(error),
                ticket: None,
                issuer: None,
                seat: None,
            };
        }
    };
    match genuine(view, &ticket, now) {
        Ok(record) => judge(view, ticket, record),
        Err(reason) => ScanDecision {
            answer: ScanAnswer::Invalid,
            reason,
            ticket: Some(ticket),
            issuer: None,
            seat: None,
        },
    }
}

/// Applies a scan, so that the next decision knows of it. Only a passenger who was let on
/// occupies the seat; a refused ticket is remembered for the older ones it supersedes.
pub fn record(view: &mut TripView, decision: &ScanDecision, at: Instant, by: NodeId) {
    if let (Some(ticket), Some(hold)) = (&decision.ticket, hold_of(view.trip, decision)) {
        let used = decision.answer.lets_on().then_some(TicketUse { at, by });
        let under = view.shown_under(ticket.claim.layout_version);
        view.note_seen(ticket.claim.id, hold, under, used);
    }
}

/// What a scanned ticket holds on this trip, and a validator remembers of it; `None` for what is
/// not genuine or of another trip.
pub fn hold_of(trip: TripId, decision: &ScanDecision) -> Option<SeatHold> {
    let claim = &decision.ticket.as_ref()?.claim;
    let hold = SeatHold {
        seat: decision.seat?,
        legs: claim.legs()?,
        issuer: decision.issuer?,
        lease_no: claim.lease.map(|lease| lease.no),
        ordinal: claim.ordinal,
    };
    (claim.trip == trip && decision.answer != ScanAnswer::Invalid).then_some(hold)
}

fn genuine<'v>(
    view: &'v TripView,
    ticket: &SignedTicket,
    now: Instant,
) -> Result<&'v KeyRecord, ScanReason> {
    let mut failure = None;
    for record in view.keys.get(&ticket.kid).into_iter().flatten() {
        match verify(ticket, record) {
            Ok(()) => return Ok(record),
            // A signature that fails says more than a key of another kind.
            Err(error) if failure != Some(TicketError::SignatureMismatch) => failure = Some(error),
            Err(_) => {}
        }
    }
    Err(match failure {
        Some(error) => ScanReason::NotGenuine(error),
        None => ScanReason::UnknownKey {
            kid: ticket.kid,
            bundle_age_ms: view.bundle_at.map(|at| now.0.saturating_sub(at.0).max(0)),
        },
    })
}

fn judge(view: &TripView, ticket: SignedTicket, record: &KeyRecord) -> ScanDecision {
    let holding = match holding(view, &ticket, record.issuer) {
        Ok(holding) => holding,
        Err((answer, reason)) => {
            return ScanDecision {
                answer,
                reason,
                seat: shown(view, &ticket),
                ticket: Some(ticket),
                issuer: Some(record.issuer),
            };
        }
    };
    let id = ticket.claim.id;
    let (answer, reason) = if let Some(used) = view.seen.get(&id).and_then(|seen| seen.used) {
        (ScanAnswer::AlreadyUsed, ScanReason::Used(used))
    } else if holding.hold.seat == NO_SEAT {
        let sold = ticket.claim.seat;
        (ScanAnswer::SeatConflict, ScanReason::NoPlace { sold })
    } else if let Some(reason) = conflict(view, id, &holding) {
        (ScanAnswer::SeatConflict, reason)
    } else if holding.listed {
        (ScanAnswer::Valid, ScanReason::Listed)
    } else {
        (
            ScanAnswer::GoodButUnlisted,
            unlisted(view, &ticket, &holding),
        )
    };
    ScanDecision {
        answer,
        reason,
        ticket: Some(ticket),
        issuer: Some(record.issuer),
        seat: Some(holding.hold.seat).filter(|seat| *seat != NO_SEAT),
    }
}

/// The seat that is shown with a ticket that is refused for another reason.
fn shown(view: &TripView, ticket: &SignedTicket) -> Option<SeatNo> {
    let claim = &ticket.claim;
    if claim.trip == view.trip {
        view.seat_now(claim.seat, claim.layout_version)
    } else {
        Some(claim.seat)
    }
}

/// What a genuine ticket of this trip claims here.
struct Holding {
    /// With the seat as it is numbered today.
    hold: SeatHold,
    /// The manifest has this very ticket.
    listed: bool,
    /// The grant it was sold under is known, or it needs none.
    grant_known: bool,
    /// Its seat is numbered as this device has not heard of yet.
    to_come: bool,
}

fn holding(
    view: &TripView,
    ticket: &SignedTicket,
    issuer: Issuer,
) -> Result<Holding, (ScanAnswer, ScanReason)> {
    let claim = &ticket.claim;
    let invalid = |reason| Err((ScanAnswer::Invalid, reason));
    let Some(legs) = claim.legs() else {
        return invalid(ScanReason::Unreadable(TicketError::NoJourney));
    };
    if claim.test {
        return invalid(ScanReason::TestTicket);
    }
    if view.revoked.contains(&claim.id) {
        return invalid(ScanReason::Revoked);
    }
    let mut grant_known = true;
    if let Issuer::Node(node) = issuer {
        let Some(lease) = claim.lease else {
            return invalid(ScanReason::NoGrantNamed);
        };
        // Another epoch or another numbering is another grant than the one known here.
        let known = view.grants.get(&(node, lease.no)).filter(|grant| {
            grant.trip == claim.trip
                && grant.epoch == lease.epoch
                && grant.layout_version == claim.layout_version
        });
        grant_known = known.is_some();
        if known.is_some_and(|grant| !grant.allows(claim.seat, legs)) {
            return invalid(ScanReason::OutsideGrant {
                issuer: node,
                lease_no: lease.no,
                seat: claim.seat,
                legs,
            });
        }
    }
    if claim.trip != view.trip {
        return Err((
            ScanAnswer::WrongTrip,
            ScanReason::OtherTrip { trip: claim.trip },
        ));
    }
    // A listed ticket of the same id but another issuer or journey is not this one.
    let listed = view
        .listed
        .get(&claim.id)
        .filter(|listed| listed.issuer == issuer && listed.legs == legs);
    Ok(Holding {
        hold: SeatHold {
            seat: listed
                .map(|listed| listed.seat)
                .or_else(|| view.seat_now(claim.seat, claim.layout_version))
                .unwrap_or(NO_SEAT),
            legs,
            issuer,
            lease_no: claim.lease.map(|lease| lease.no),
            ordinal: claim.ordinal,
        },
        listed: listed.is_some(),
        grant_known,
        to_come: listed.is_none() && view.is_to_come(claim.layout_version),
    })
}

fn conflict(view: &TripView, id: TicketId, holding: &Holding) -> Option<ScanReason> {
    // The seat of a ticket that is newer than what this device knows of the bus is none of its seats.
    if holding.to_come {
        return None;
    }
    let own = &holding.hold;
    let others = || view.seen.iter().filter(|(other, _)| **other != id);
    if let Some((other, used)) = others().find_map(|(other, seen)| {
        let used = seen
            .used
            .filter(|_| own.overlaps(&view.today(*other, seen)))?;
        Some((*other, used))
    }) {
        return Some(ScanReason::Occupied {
            ticket: other,
            used,
        });
    }
    let listed = || {
        view.listed
            .iter()
            .filter(|(other, _)| **other != id || !holding.listed)
    };
    let holds = others()
        .map(|(other, seen)| (other, view.today(*other, seen)))
        .chain(listed().map(|(other, hold)| (other, *hold)));
    if let Some((other, hold)) = holds.into_iter().find(|(_, hold)| hold.supersedes(own)) {
        return Some(ScanReason::Superseded {
            ticket: *other,
            ordinal: hold.ordinal,
        });
    }
    listed()
        .find(|(other, hold)| {
            own.overlaps(hold) && !own.supersedes(hold) && !view.revoked.contains(other)
        })
        .map(|(other, _)| ScanReason::ListedForAnother { ticket: *other })
}

fn unlisted(view: &TripView, ticket: &SignedTicket, holding: &Holding) -> ScanReason {
    let claim = &ticket.claim;
    if ticket.suite() == Suite::Hmac256 {
        ScanReason::MacNotListed
    } else if view.listed.contains_key(&claim.id) {
        ScanReason::ManifestDiffers
    } else if let (false, Some(lease)) = (holding.grant_known, claim.lease) {
        ScanReason::GrantNotSeen { lease_no: lease.no }
    } else {
        ScanReason::SaleNotSeen
    }
}

#[cfg(test)]
mod tests;
