//! Late sales that were disputed because their seat had no place in the swapped bus, when the
//! former bus comes back.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{SeatNo, TicketId, TripId};
use domain::lease::SeatClaim;
use domain::restore::Owned;
use domain::swap::{LateSale, seated_again};
use uuid::Uuid;

use super::carry::Going;
use super::db::{self, Claim};
use crate::db::DbError;
use crate::reconciliation::case_rows;
use crate::tenant::TenantTx;

/// The node and the number of a lease.
type Lease = Option<(Uuid, i32)>;

/// Makes the tickets of those cases live again whose seats are there and nobody else's; gives the
/// cases. The claims lie on the seats of the former bus already.
pub(super) async fn seat_again(
    tx: &mut TenantTx,
    trip: TripId,
    going: &mut [Going<'_>],
) -> Result<Vec<i64>, DbError> {
    let disputed: Vec<Uuid> = going
        .iter()
        .filter(|g| g.new_state == 2)
        .map(|g| g.sold.id.0)
        .collect();
    if disputed.is_empty() {
        return Ok(vec![]);
    }
    let cases = case_rows::without_place(tx, &disputed).await?;
    let claims = db::claims(tx, trip).await?;
    let seats: BTreeMap<TicketId, &Going<'_>> = going.iter().map(|g| (g.sold.id, g)).collect();
    let late: Vec<LateSale> = cases
        .iter()
        .map(|(_, tickets)| late_sale(tickets, &seats, &claims))
        .collect();
    let seated = seated_again(&late);
    let settled = cases.iter().zip(seated).filter(|(_, seated)| *seated);
    let (mut numbers, mut found) = (vec![], BTreeSet::new());
    for ((number, tickets), _) in settled {
        numbers.push(*number);
        found.extend(tickets.iter().copied());
    }
    for g in going.iter_mut().filter(|g| found.contains(&g.sold.id)) {
        g.new_state = 0;
        g.recorded = true;
    }
    Ok(numbers)
}

/// The seats of a sale in the former bus; one that has none stands for what is not of this trip, or
/// not in dispute any more.
fn late_sale(
    tickets: &[TicketId],
    seats: &BTreeMap<TicketId, &Going<'_>>,
    claims: &[Claim],
) -> LateSale {
    let nowhere = None;
    let of_sale: Vec<Option<&&Going<'_>>> = tickets
        .iter()
        .map(|ticket| seats.get(ticket).filter(|g| g.new_state == 2))
        .collect();
    let lease: Lease = of_sale
        .iter()
        .flatten()
        .find_map(|g| g.sold.issuer.zip(g.sold.lease_no));
    let seat_of = |g: &Going<'_>| SeatClaim {
        seat: g.seat,
        legs: g.sold.legs,
    };
    let is_place = |claim: &SeatClaim| claim.seat != SeatNo(0);
    let of_sale = of_sale
        .into_iter()
        .map(|g| g.map_or(nowhere, |g| Some(seat_of(g)).filter(is_place)))
        .collect();
    let mut others = Owned::default();
    let live = seats.values().filter(|g| g.new_state == 0);
    live.for_each(|g| others.add(seat_of(g)));
    let foreign = claims
        .iter()
        .filter(|c| lease.is_none() || c.node.zip(c.lease_no) != lease);
    for claim in foreign {
        others.add(SeatClaim {
            seat: claim.seat,
            legs: claim.legs,
        });
    }
    LateSale {
        seats: of_sale,
        others,
    }
}
