//! The scan: a validator's six answers to a ticket, from what it knows of one trip.
//!
//! Offline knowledge is always old. What is merely not synced yet is never called invalid, and
//! neither a clock nor a layout version refuses anybody.

mod answer;
mod shown;
mod typed;
mod view;

pub use answer::{ScanAnswer, ScanDecision, ScanReason};
pub use shown::{CodeKind, Shown};
pub use typed::{WRONG_CODES_MAX, WRONG_CODES_WITHIN_MS};
pub use view::{SeatHold, SeenTicket, TicketUse, TripView};

use crate::ids::{Issuer, NodeId, SeatNo, TicketId, TripId};
use crate::swap::NO_SEAT;
use crate::ticket::{KeyRecord, QR_PREFIX, SignedTicket, TicketError, parse_qr, verify};
use crate::time::Instant;

/// Decides about one text from the scanner, or one that was typed; the first answer that fits
/// wins: invalid, wrong trip, already used, seat conflict, valid, good but unlisted.
pub fn decide_scan(view: &TripView, text: &str, now: Instant) -> ScanDecision {
    let text = text.trim_end_matches(['\r', '\n']);
    if !text.starts_with(QR_PREFIX)
        && let Some(found) = typed::read(view, text, now)
    {
        return match found {
            Ok((shown, issuer)) => judge(view, shown, issuer),
            Err(reason) => refused(reason, None),
        };
    }
    let ticket = match parse_qr(text) {
        Ok(ticket) => ticket,
        Err(error) => return refused(ScanReason::Unreadable(error), None),
    };
    let Some(shown) = Shown::signed(&ticket) else {
        return refused(ScanReason::Unreadable(TicketError::NoJourney), None);
    };
    match genuine(view, &ticket, now) {
        Ok(record) => judge(view, shown, record.issuer),
        Err(reason) => refused(reason, Some(shown)),
    }
}

fn refused(reason: ScanReason, shown: Option<Shown>) -> ScanDecision {
    ScanDecision {
        answer: ScanAnswer::Invalid,
        reason,
        ticket: shown,
        issuer: None,
        seat: None,
    }
}

/// Applies a scan, so that the next decision knows of it. Only a passenger who was let on
/// occupies the seat; a refused ticket is remembered for the older ones it supersedes.
pub fn record(view: &mut TripView, decision: &ScanDecision, at: Instant, by: NodeId) {
    if decision.is_wrong_code() {
        view.note_wrong_code(at);
    }
    if let (Some(shown), Some(hold)) = (&decision.ticket, hold_of(view.trip, decision)) {
        let used = decision.answer.lets_on().then_some(TicketUse { at, by });
        let under = view.shown_under(shown.layout_version);
        view.note_seen(shown.id, hold, under, used);
        if let Some(code) = decision.unlisted_code() {
            view.note_unlisted(code, shown.id);
        }
    }
}

/// What a scanned ticket holds on this trip, and a validator remembers of it; `None` for what is
/// not genuine or of another trip.
pub fn hold_of(trip: TripId, decision: &ScanDecision) -> Option<SeatHold> {
    let shown = decision.ticket.as_ref()?;
    let hold = SeatHold {
        seat: decision.seat?,
        legs: shown.legs,
        issuer: decision.issuer?,
        lease_no: shown.lease.map(|lease| lease.no),
        ordinal: shown.ordinal,
    };
    (shown.trip == trip && decision.answer != ScanAnswer::Invalid).then_some(hold)
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
            bundle_age_ms: view.bundle_age_ms(now),
        },
    })
}

fn judge(view: &TripView, shown: Shown, issuer: Issuer) -> ScanDecision {
    let holding = match holding(view, &shown, issuer) {
        Ok(holding) => holding,
        Err((answer, reason)) => {
            return ScanDecision {
                answer,
                reason,
                seat: seat_to_show(view, &shown),
                ticket: Some(shown),
                issuer: Some(issuer),
            };
        }
    };
    let own = [Some(shown.id), view.unlisted_as(&shown, issuer)];
    let used = own
        .iter()
        .flatten()
        .find_map(|id| view.seen.get(id).and_then(|seen| seen.used));
    let (answer, reason) = if let Some(used) = used {
        (ScanAnswer::AlreadyUsed, ScanReason::Used(used))
    } else if holding.hold.seat == NO_SEAT {
        let sold = shown.seat;
        (ScanAnswer::SeatConflict, ScanReason::NoPlace { sold })
    } else if let Some(reason) = conflict(view, own, &holding) {
        (ScanAnswer::SeatConflict, reason)
    } else if holding.listed {
        (ScanAnswer::Valid, ScanReason::Listed)
    } else {
        (
            ScanAnswer::GoodButUnlisted,
            unlisted(view, &shown, &holding),
        )
    };
    ScanDecision {
        answer,
        reason,
        ticket: Some(shown),
        issuer: Some(issuer),
        seat: Some(holding.hold.seat).filter(|seat| *seat != NO_SEAT),
    }
}

/// The seat that is shown with a ticket that is refused for another reason.
fn seat_to_show(view: &TripView, shown: &Shown) -> Option<SeatNo> {
    if shown.trip == view.trip {
        view.seat_now(shown.seat, shown.layout_version)
    } else {
        Some(shown.seat)
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
    shown: &Shown,
    issuer: Issuer,
) -> Result<Holding, (ScanAnswer, ScanReason)> {
    let invalid = |reason| Err((ScanAnswer::Invalid, reason));
    let legs = shown.legs;
    if shown.test {
        return invalid(ScanReason::TestTicket);
    }
    if view.revoked.contains(&shown.id) {
        return invalid(ScanReason::Revoked);
    }
    let mut grant_known = true;
    if let Issuer::Node(node) = issuer {
        if shown.lease.is_none() && !shown.is_typed() {
            return invalid(ScanReason::NoGrantNamed);
        }
        // Another epoch or another numbering is another grant than the one known here.
        let known = shown.lease.and_then(|lease| {
            view.grants.get(&(node, lease.no)).filter(|grant| {
                grant.trip == shown.trip
                    && grant.epoch == lease.epoch
                    && grant.layout_version == shown.layout_version
            })
        });
        grant_known = known.is_some();
        if let Some(grant) = known.filter(|grant| !grant.allows(shown.seat, legs)) {
            return invalid(ScanReason::OutsideGrant {
                issuer: node,
                lease_no: grant.lease_no,
                seat: shown.seat,
                legs,
            });
        }
    }
    if shown.trip != view.trip {
        return Err((
            ScanAnswer::WrongTrip,
            ScanReason::OtherTrip { trip: shown.trip },
        ));
    }
    // A listed ticket of the same id but another issuer or journey is not this one.
    let listed = view
        .listed
        .get(&shown.id)
        .filter(|listed| listed.issuer == issuer && listed.legs == legs);
    Ok(Holding {
        hold: SeatHold {
            seat: listed
                .map(|listed| listed.seat)
                .or_else(|| view.seat_now(shown.seat, shown.layout_version))
                .unwrap_or(NO_SEAT),
            legs,
            issuer,
            lease_no: listed
                .and_then(|listed| listed.lease_no)
                .or_else(|| shown.lease.map(|lease| lease.no)),
            ordinal: shown.ordinal,
        },
        listed: listed.is_some(),
        grant_known,
        to_come: listed.is_none() && view.is_to_come(shown.layout_version),
    })
}

fn conflict(view: &TripView, own: [Option<TicketId>; 2], holding: &Holding) -> Option<ScanReason> {
    // The seat of a ticket that is newer than what this device knows of the bus is none of its seats.
    if holding.to_come {
        return None;
    }
    let [id, _] = own;
    let hold = &holding.hold;
    let others = || {
        view.seen
            .iter()
            .filter(|(other, _)| !own.contains(&Some(**other)))
    };
    if let Some((other, used)) = others().find_map(|(other, seen)| {
        let used = seen
            .used
            .filter(|_| hold.overlaps(&view.today(*other, seen)))?;
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
            .filter(|(other, _)| Some(**other) != id || !holding.listed)
    };
    let holds = others()
        .map(|(other, seen)| (other, view.today(*other, seen)))
        .chain(listed().map(|(other, hold)| (other, *hold)));
    if let Some((other, later)) = holds.into_iter().find(|(_, other)| other.supersedes(hold)) {
        return Some(ScanReason::Superseded {
            ticket: *other,
            ordinal: later.ordinal,
        });
    }
    listed()
        .find(|(other, listed)| {
            hold.overlaps(listed) && !hold.supersedes(listed) && !view.revoked.contains(other)
        })
        .map(|(other, _)| ScanReason::ListedForAnother { ticket: *other })
}

fn unlisted(view: &TripView, shown: &Shown, holding: &Holding) -> ScanReason {
    if shown.kind != CodeKind::Signature {
        ScanReason::MacNotListed
    } else if view.listed.contains_key(&shown.id) {
        ScanReason::ManifestDiffers
    } else if let (false, Some(lease)) = (holding.grant_known, shown.lease) {
        ScanReason::GrantNotSeen { lease_no: lease.no }
    } else {
        ScanReason::SaleNotSeen
    }
}

#[cfg(test)]
mod tests;
