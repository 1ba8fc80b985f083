//! Taking a swap back: a further swap that leads everybody to where they were.

use std::collections::BTreeMap;

use domain::ids::{SeatNo, TicketId};
use domain::ingest::TicketState;
use domain::layout::SeatLayout;
use domain::swap::{InTheWay, Moved, NO_SEAT, SeatMoves};
use domain::time::Instant;
use domain::trip::Trip;
use serde_json::json;
use uuid::Uuid;

use super::carry::{self, Done, Going};
use super::db::{self, Claim, MovedRow, Sold, SwapRow};
use super::scene;
use super::{SwapFault, late};
use crate::aftersale;
use crate::audit::Actor;
use crate::company::layout_of;
use crate::operations::crew::{AssignError, assign_bus};
use crate::operations::trips::Running;
use crate::reconciliation::cases;
use crate::restore;
use crate::sync::buckets::state_code;
use crate::tenant::TenantTx;

/// The swap to take back, and what it did.
struct Undone {
    row: SwapRow,
    moved: BTreeMap<Uuid, MovedRow>,
    back: SeatMoves,
    /// The layouts of the bus of today and of the former one.
    layouts: (SeatLayout, SeatLayout),
}

/// Takes the last swap that stands back. The trip is locked.
pub(super) async fn undo(
    tx: &mut TenantTx,
    running: Running,
    swap: i16,
    actor: Actor,
    now: Instant,
) -> Result<Done, SwapFault> {
    scene::refuse_over(tx, &running).await?;
    let before = running.trip.clone();
    let (undone, trip) = former(tx, &before, swap).await?;
    let tickets = db::tickets(tx, before.id).await?;
    let claims = db::claims(tx, before.id).await?;
    let mut going = goings(&undone, &tickets, &trip)?;
    move_claims(tx, &undone, &claims, before.id).await?;
    let settled = late::seat_again(tx, before.id, &mut going).await?;
    db::put_trip(tx, &trip).await?;
    let row = SwapRow {
        no: trip.swaps.iter().count() as i16,
        numbering: trip.numbering().0 as i32,
        old_layout: undone.row.new_layout.clone(),
        new_layout: undone.row.old_layout.clone(),
        old_bus: running.bus.clone(),
        new_bus: undone.row.old_bus.clone(),
        undoes: Some(undone.row.no),
        undone_by: None,
        lost: vec![],
        at: now,
    };
    let mut running = running;
    running.trip = trip;
    carry::publish(tx, &running.trip).await?;
    let moved = carry::carry(tx, &running.trip, &row, &going, actor, now).await?;
    let found = carry::ids(
        going
            .iter()
            .filter(|g| g.old_state == 2 && g.new_state == 0),
    );
    db::replace(tx, &found).await?;
    aftersale::seats_found(tx, running.trip.id, &found, now).await?;
    cases::seats_found(tx, &settled, now).await?;
    // What became known since the swap of seats that had no place in it.
    restore::cover_trip(tx, running.trip.id).await?;
    give_back_bus(tx, running.clone(), row.new_bus.as_deref(), actor, now).await?;
    let seats = json!({"moved": moved.iter().filter(|m| m.told).count(),
        "cases_settled": settled.len()});
    carry::note(
        tx,
        "trip.undo_swap",
        (&running.trip, &row),
        seats,
        actor,
        now,
    )
    .await?;
    Ok(Done {
        row,
        moved,
        offers: 0,
    })
}

/// The former bus, where it can still be sent; otherwise the trip waits for one with its seats.
async fn give_back_bus(
    tx: &mut TenantTx,
    running: Running,
    bus: Option<&str>,
    actor: Actor,
    now: Instant,
) -> Result<(), SwapFault> {
    match assign_bus(tx, running.clone(), bus, actor, now).await {
        Ok(_) => Ok(()),
        Err(error @ (AssignError::Db(_) | AssignError::Raced)) => Err(error.into()),
        Err(why) => {
            tracing::warn!(trip = %running.trip.id, %why, "the former bus is not to be had");
            assign_bus(tx, running, None, actor, now).await?;
            Ok(())
        }
    }
}

/// What is to be taken back, and the trip without it.
async fn former(tx: &mut TenantTx, today: &Trip, swap: i16) -> Result<(Undone, Trip), SwapFault> {
    let trip = today.id;
    let rows = db::swaps(tx, trip).await?;
    let row = rows.into_iter().find(|r| r.no == swap);
    let row = row.ok_or(SwapFault::UnknownSwap { trip, swap })?;
    let standing = today.swaps.standing();
    let standing = standing.filter(|s| s.numbering.0 as i32 == row.numbering);
    let standing = standing.ok_or(SwapFault::NotStanding)?;
    let back = standing.moves.inverse(today.seat_count);
    let hub = db::installation(tx).await?;
    let mut former = today.in_former_bus(hub).ok_or(SwapFault::TooMany)?;
    let none = || SwapFault::NoLayout(trip);
    let old = layout_of(tx, &former).await?.ok_or_else(none)?;
    let new = layout_of(tx, today).await?.ok_or_else(none)?;
    former.seat_count = old.seat_count();
    let mut moved = BTreeMap::new();
    for m in db::moved(tx, trip).await? {
        if m.swap == row.no {
            moved.insert(m.ticket, m);
        }
    }
    let undone = Undone {
        row,
        moved,
        back,
        layouts: (new, old),
    };
    Ok((undone, former))
}

/// Where every ticket was; what was sold later goes where its seat was.
fn goings<'a>(
    undone: &Undone,
    tickets: &'a [Sold],
    trip: &Trip,
) -> Result<Vec<Going<'a>>, SwapFault> {
    let (new, old) = &undone.layouts;
    let standing = carry::standing(tickets)?;
    let moved = |(id, m): (&Uuid, &MovedRow)| {
        let (old, new) = (SeatNo(m.old_seat as u16), SeatNo(m.new_seat as u16));
        (TicketId(*id), Moved { old, new })
    };
    let moved = undone.moved.iter().map(moved).collect();
    let goings = domain::swap::carry_back(&moved, trip, &standing)
        .map_err(|InTheWay(seat)| in_the_way(new, seat, "sold"))?;
    let going = |(sold, going): (&'a Sold, domain::swap::Going)| {
        let known = undone.moved.get(&sold.id.0);
        let (old_label, new_label) = (new.label(sold.seat), old.label(going.seat));
        let told = known.is_some_and(|m| m.told);
        let later = known.is_none() && old_label != new_label;
        Going {
            sold,
            old_state: sold.state,
            new_state: state_code(going.state),
            seat: going.seat,
            reason: None,
            tell: going.state == TicketState::Live && (told || later),
            recorded: going.recorded,
            old_label,
            new_label,
        }
    };
    Ok(tickets.iter().zip(goings).map(going).collect())
}

fn in_the_way(layout: &SeatLayout, seat: SeatNo, what: &'static str) -> SwapFault {
    SwapFault::InTheWay {
        seat: layout.label(seat),
        what,
    }
}

/// Moves claims back, and gives rights their seats again that had lost them.
async fn move_claims(
    tx: &mut TenantTx,
    undone: &Undone,
    claims: &[Claim],
    trip: domain::ids::TripId,
) -> Result<(), SwapFault> {
    let (mut moves, mut gone) = (vec![], vec![]);
    for claim in claims {
        match undone.back.get(claim.seat) {
            Some(seat) if seat == claim.seat => {}
            Some(seat) => moves.push((claim.id, seat)),
            // A seat that the former bus has not needs no waiting for a validator.
            None if claim.kind == "block" => gone.push(claim.id),
            None => {
                let what = if claim.kind == "lease" {
                    "leased"
                } else {
                    "held"
                };
                return Err(in_the_way(&undone.layouts.0, claim.seat, what));
            }
        }
    }
    db::drop_claims(tx, &gone).await?;
    db::move_claims(tx, &moves).await?;
    let pairs: Vec<(SeatNo, SeatNo)> = undone
        .back
        .pairs()
        .filter_map(|(new, old)| Some((new, old?)))
        .filter(|(new, _)| *new != NO_SEAT)
        .collect();
    db::move_held(tx, trip, &pairs).await?;
    db::restore_claims(tx, trip, &undone.row.lost).await?;
    Ok(())
}
