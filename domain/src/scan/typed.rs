//! Short codes that a driver types: which ticket one stands for, and how many may be wrong.

use super::{CodeKind, ScanReason, Shown, TripView};
use crate::base32;
use crate::ids::{Issuer, Kid, LayoutVersion, LeaseNo};
use crate::ticket::{
    KeyMaterial, KeyRecord, SHORT_DIGITS, ShortClaim, ShortCode, ShortCodeError, TicketLease,
};
use crate::time::Instant;

/// So many wrong codes may be typed on a device for a trip ...
pub const WRONG_CODES_MAX: usize = 10;
/// ... within so many milliseconds. A code has 36 bits that a guess must meet.
pub const WRONG_CODES_WITHIN_MS: i64 = 600_000;

/// A numbering that no device has heard of.
const UNHEARD: LayoutVersion = LayoutVersion(u32::MAX);

/// What a typed code claims and by whom it was sold; `None` for a text that is no such code at all.
pub(super) fn read(
    view: &TripView,
    text: &str,
    now: Instant,
) -> Option<Result<(Shown, Issuer), ScanReason>> {
    let digits = base32::digits_in(text)?;
    let looks_typed = (SHORT_DIGITS / 2..=SHORT_DIGITS * 3 / 2).contains(&digits);
    looks_typed.then(|| genuine(view, text, now))
}

fn genuine(view: &TripView, text: &str, now: Instant) -> Result<(Shown, Issuer), ScanReason> {
    if let Some(until) = view.codes_locked_until(now) {
        return Err(ScanReason::TooManyWrongCodes { until });
    }
    let wrong = || ScanReason::WrongCode {
        bundle_age_ms: view.bundle_age_ms(now),
    };
    let code = ShortCode::read(text).map_err(|error| match error {
        ShortCodeError::Nowhere => wrong(),
        slip @ (ShortCodeError::Length(_) | ShortCodeError::BadCharacter { .. }) => {
            ScanReason::UnreadableCode(slip)
        }
    })?;
    let record = key_of(view, &code).ok_or_else(wrong)?;
    let legs = code.claim.legs().ok_or_else(wrong)?;
    let trip = record.trip.unwrap_or(view.trip);
    let (lease, layout_version) = if trip == view.trip {
        right_of(view, code.claim, record.issuer)
    } else {
        (None, UNHEARD)
    };
    let known = view.known_by_code(code.claim).filter(|_| trip == view.trip);
    let shown = Shown {
        id: known.unwrap_or_else(|| code.claim.stand_in(trip)),
        trip,
        seat: code.claim.seat(),
        legs,
        ordinal: code.claim.ordinal(),
        lease,
        layout_version,
        test: false,
        kind: CodeKind::Typed(code.claim),
    };
    Ok((shown, record.issuer))
}

/// The key that it was made with: one of this trip's before another's.
fn key_of<'v>(view: &'v TripView, code: &ShortCode) -> Option<&'v KeyRecord> {
    let slot = code.claim.slot() << 2;
    let named = Kid([slot, 0, 0, 0])..=Kid([slot | 3, u8::MAX, u8::MAX, u8::MAX]);
    let of_slot = || {
        view.keys
            .range(named.clone())
            .flat_map(|(_, records)| records)
            .filter(|record| matches!(record.material, KeyMaterial::Hmac256(_)))
    };
    let own = of_slot().find(|r| r.trip == Some(view.trip) && code.is_of(r));
    own.or_else(|| of_slot().find(|r| r.trip != Some(view.trip) && code.is_of(r)))
}

/// The right that it was sold under, where this device knows it.
fn right_of(
    view: &TripView,
    code: ShortClaim,
    issuer: Issuer,
) -> (Option<TicketLease>, LayoutVersion) {
    match issuer {
        Issuer::Hub => {
            let under = view.numberings().find(|n| code.is_under(None, *n));
            (None, under.unwrap_or(UNHEARD))
        }
        Issuer::Node(node) => {
            let own = (node, LeaseNo(0))..=(node, LeaseNo(u16::MAX));
            let grants = || {
                view.grants.range(own.clone()).filter_map(|(_, grant)| {
                    let lease = TicketLease {
                        no: grant.lease_no,
                        epoch: grant.epoch,
                    };
                    let under = grant.layout_version;
                    let fits = grant.trip == view.trip && code.is_under(Some(lease), under);
                    fits.then_some((grant, lease, under))
                })
            };
            // Twelve bits may fit two grants: then the one that holds the seat.
            let holds = |(grant, ..): &(&crate::lease::Grant, TicketLease, LayoutVersion)| {
                code.legs().is_some_and(|l| grant.allows(code.seat(), l))
            };
            let right = grants().find(holds).or_else(|| grants().next());
            right.map_or((None, UNHEARD), |(_, lease, under)| (Some(lease), under))
        }
    }
}
