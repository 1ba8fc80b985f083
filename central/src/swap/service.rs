//! Previewing a swap, and carrying it out.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{CompanyId, SeatNo, TripId};
use domain::swap::{NoPlace, UnplacedHold};
use domain::time::Instant;
use domain::trip::Trip;
use serde_json::json;
use uuid::Uuid;

use super::SwapFault;
use super::carry::{self, Done, Going};
use super::db::{self, LostClaim, MovedRow, Sold, SwapRow};
use super::scene::{self, Scene, Wish};
use crate::aftersale;
use crate::audit::Actor;
use crate::booking;
use crate::db::{Db, DbError};
use crate::operations::crew::assign_bus;
use crate::operations::trips::Running;
use crate::sync::buckets::state_code;
use crate::tenant::TenantTx;

/// How often a lock is tried for anew because somebody came in between.
const TRIES_MAX: u32 = 8;

/// A transaction with the trip locked; with others that sell on it at this moment it takes turns.
pub(super) async fn locked(
    db: &Db,
    company: CompanyId,
    trip: TripId,
) -> Result<(TenantTx, Running), SwapFault> {
    let mut tries = 0;
    loop {
        let mut tx = db.tenant(company).await?;
        match scene::lock(&mut tx, trip).await {
            Ok(Some(running)) => return Ok((tx, running)),
            Err(SwapFault::Db(DbError::TryAgain(_))) | Ok(None) if tries < TRIES_MAX => {}
            Ok(None) => return Err(SwapFault::Busy),
            Err(error) => return Err(error),
        }
        tx.rollback().await?;
        tries += 1;
    }
}

/// What a swap would do; changes nothing.
pub(super) async fn preview(
    db: &Db,
    company: CompanyId,
    trip: TripId,
    wish: &Wish,
) -> Result<Scene, SwapFault> {
    let (mut tx, running) = locked(db, company, trip).await?;
    let scene = scene::look(&mut tx, running, wish).await?;
    tx.rollback().await?;
    Ok(scene)
}

/// Does what a preview said, or nothing. The trip is locked.
pub(super) async fn confirm(
    tx: &mut TenantTx,
    running: Running,
    wish: &Wish,
    mark: &str,
    actor: Actor,
    now: Instant,
) -> Result<Done, SwapFault> {
    let mut scene = scene::look(tx, running, wish).await?;
    if scene.mark != mark {
        return Err(SwapFault::Changed);
    }
    let before = scene.running.clone();
    let moves = scene.plan.moves.clone();
    let hub = db::installation(tx).await?;
    let trip = (before.trip).in_other_bus(&scene.state.new, moves, hub);
    let trip = trip.ok_or(SwapFault::TooMany)?;
    release_unplaced(tx, &mut scene, now).await?;
    let lost = move_claims(tx, &scene).await?;
    db::put_trip(tx, &trip).await?;
    let going = goings(&scene, &trip)?;
    let row = SwapRow {
        no: trip.swaps.iter().count() as i16,
        numbering: trip.numbering().0 as i32,
        old_layout: (
            before.trip.layout.clone(),
            before.trip.layout_version.0 as i32,
        ),
        new_layout: (trip.layout.clone(), trip.layout_version.0 as i32),
        old_bus: before.bus.clone(),
        new_bus: wish.bus.clone(),
        undoes: None,
        undone_by: None,
        lost,
        at: now,
    };
    let mut running = before;
    running.trip = trip;
    carry::publish(tx, &running.trip).await?;
    let moved = carry::carry(tx, &running.trip, &row, &going, actor, now).await?;
    let running = assign_bus(tx, running, wish.bus.as_deref(), actor, now).await?;
    let displaced: BTreeSet<Uuid> = going
        .iter()
        .filter(|g| g.old_state == 0 && g.new_state == 2)
        .map(|g| g.sold.id.0)
        .collect();
    let offers = aftersale::seats_lost(tx, running.trip.id, &displaced, actor, now).await?;
    let seats = json!({
        "moved": moved.iter().filter(|m| m.old_label != m.new_label).count(),
        "without_place": displaced.len(),
        "rights_without_place": row.rights_lost(),
    });
    carry::note(
        tx,
        "trip.swap_bus",
        (&running.trip, &row),
        seats,
        actor,
        now,
    )
    .await?;
    Ok(Done { row, moved, offers })
}

/// Gives the seats of unpaid bookings back that would not all have a place.
async fn release_unplaced(
    tx: &mut TenantTx,
    scene: &mut Scene,
    now: Instant,
) -> Result<(), SwapFault> {
    let lost: BTreeSet<Uuid> = scene
        .plan
        .lost_holds
        .iter()
        .map(|h: &UnplacedHold| h.0)
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    for booking in scene
        .claims
        .iter()
        .filter_map(|c| c.booking)
        .collect::<BTreeSet<_>>()
    {
        if lost.contains(&booking) {
            booking::release(tx, booking, booking::State::Cancelled, now).await?;
        }
    }
    scene
        .claims
        .retain(|c| c.booking.is_none_or(|b| !lost.contains(&b)));
    Ok(())
}

/// Moves claims; gives the rights and blocks that have no seat.
async fn move_claims(tx: &mut TenantTx, scene: &Scene) -> Result<Vec<LostClaim>, SwapFault> {
    let (mut moves, mut gone, mut lost) = (vec![], vec![], vec![]);
    for claim in &scene.claims {
        match scene.plan.moves.get(claim.seat) {
            Some(seat) if seat == claim.seat => {}
            Some(seat) => moves.push((claim.id, seat)),
            None => {
                gone.push(claim.id);
                lost.push(LostClaim {
                    node: claim.node,
                    lease: claim.lease_no,
                    seat: claim.seat.0,
                    from: claim.legs.from().0,
                    to: claim.legs.to().0,
                    waits_for: claim.waits_for,
                });
            }
        }
    }
    db::drop_claims(tx, &gone).await?;
    db::move_claims(tx, &moves).await?;
    let held: Vec<(SeatNo, SeatNo)> = scene
        .plan
        .moves
        .pairs()
        .filter_map(|(old, new)| Some((old, new?)))
        .collect();
    db::move_held(tx, scene.running.trip.id, &held).await?;
    Ok(lost)
}

/// Where every ticket goes, live or not.
fn goings<'a>(scene: &'a Scene, trip: &Trip) -> Result<Vec<Going<'a>>, DbError> {
    let standing = carry::standing(&scene.tickets)?;
    let goings = domain::swap::carry(&scene.plan, trip, &standing);
    let (old, new) = (&scene.state.old, &scene.state.new);
    let going = |(sold, going): (&'a Sold, domain::swap::Going)| {
        let (old_label, new_label) = (old.label(sold.seat), new.label(going.seat));
        let seated = sold.state == 0 && going.no_place.is_none();
        Going {
            sold,
            old_state: sold.state,
            new_state: state_code(going.state),
            seat: going.seat,
            reason: going.no_place.map(NoPlace::code),
            tell: seated && old_label != new_label,
            recorded: going.recorded,
            old_label,
            new_label,
        }
    };
    Ok(scene.tickets.iter().zip(goings).map(going).collect())
}

/// The swaps of a trip, each with where its tickets went.
pub(super) async fn list(
    db: &Db,
    company: CompanyId,
    trip: TripId,
) -> Result<Vec<(SwapRow, Vec<MovedRow>)>, SwapFault> {
    let mut tx = db.tenant(company).await?;
    let unknown = || SwapFault::UnknownTrip(trip);
    i64::try_from(trip.0).map_err(|_| unknown())?;
    let known = crate::ticketing::inventory::lock_trip(&mut tx, trip).await?;
    known.ok_or_else(unknown)?;
    let mut moved: BTreeMap<i16, Vec<MovedRow>> = BTreeMap::new();
    for row in db::moved(&mut tx, trip).await? {
        moved.entry(row.swap).or_default().push(row);
    }
    let swaps = db::swaps(&mut tx, trip).await?;
    Ok(swaps
        .into_iter()
        .map(|swap| {
            let rows = moved.remove(&swap.no).unwrap_or_default();
            (swap, rows)
        })
        .collect())
}
