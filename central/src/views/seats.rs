//! The seat map of a trip, per leg.

use domain::codec::from_cbor;
use domain::ids::{SeatNo, StopSeq, TripId};
use domain::layout::SeatLayout;
use domain::seatmap::SeatMap;
use domain::trip::{Legs, Trip};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::rows::not_bookable;
use crate::company::layout_of;
use crate::db::DbError;
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

/// What stands on some legs of a seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SeatRun {
    /// Where from: a stop's place on the trip.
    pub from: u8,
    /// Where to.
    pub to: u8,
    /// `free` (in the hub's pool), `leased` (a node may sell it), `sold`, `held` or `blocked`.
    pub state: &'static str,
    /// Who leases or sold it; only for the company's office.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Uuid>,
    /// Under which grant; only for the company's office.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_no: Option<i32>,
    /// Which ticket; only for the company's office.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Uuid>,
}

/// A seat.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SeatView {
    /// Its number.
    pub seat: u16,
    /// What is painted on it.
    pub label: String,
    /// Its row, from 1 at the front; 0 where the layout is unknown.
    pub row: u16,
    /// Its column, from 1 at the left.
    pub column: u8,
    /// All its legs in order.
    pub runs: Vec<SeatRun>,
}

/// A trip's seats.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SeatsView {
    /// Which trip.
    pub trip: u64,
    /// How many legs it has.
    pub leg_count: u8,
    /// The seats in order of their numbers.
    pub seats: Vec<SeatView>,
    /// Seats that the hub can sell on every leg; 0 while it sells none.
    pub free_seats: usize,
    /// Why the hub sells none at the moment; absent where it does. `trip-frozen`: it was restored
    /// and waits until stations and buses have told which seats they hold; what nobody is known to
    /// own is `blocked` until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "trip-frozen")]
    pub not_bookable: Option<&'static str>,
    /// Live tickets.
    pub sold_tickets: usize,
}

/// A claim or a live ticket.
struct Taken {
    seat: i32,
    legs: Legs,
    run: SeatRun,
}

/// The seats of a trip; `None` where nobody knows it. Owners are shown to the office only.
pub async fn seats(
    tx: &mut TenantTx,
    id: TripId,
    show_owners: bool,
) -> Result<Option<SeatsView>, DbError> {
    let row = sqlx::query!(
        r#"SELECT body, frozen_by IS NOT NULL AS "frozen!" FROM trip
           WHERE company_id = $1 AND trip_id = $2"#,
        tx.company().0,
        id.0 as i64
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let trip: Trip = from_cbor(&row.body).map_err(|_| DbError::damaged(format!("trip {id}")))?;
    let layout = layout_of(tx, &trip).await?;
    let taken = taken(tx, id, show_owners).await?;
    Ok(Some(lay_out(&trip, layout.as_ref(), &taken, row.frozen)))
}

async fn taken(tx: &mut TenantTx, id: TripId, show_owners: bool) -> Result<Vec<Taken>, DbError> {
    let rows = sqlx::query!(
        // Tickets first: a sold seat-leg of a lease is sold, not leased.
        r#"SELECT seat AS "seat!", lower(legs) AS "from!", upper(legs) AS "to!",
                  'sold' AS "state!", issuer_node, lease_no, ticket_id AS "ticket_id?", 0 AS place
           FROM ticket WHERE company_id = $1 AND trip_id = $2 AND state = 0
           UNION ALL
           SELECT seat, lower(legs), upper(legs), kind, node_id, lease_no, NULL, 1
           FROM claim WHERE company_id = $1 AND trip_id = $2
           ORDER BY 8, 1, 2"#,
        tx.company().0,
        id.0 as i64
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let legs = legs_of(r.from, r.to)?;
            let run = SeatRun {
                from: legs.from().0,
                to: legs.to().0,
                state: match r.state.as_str() {
                    "sold" => "sold",
                    "lease" => "leased",
                    "hold" => "held",
                    _ => "blocked",
                },
                node: r.issuer_node.filter(|_| show_owners),
                lease_no: r.lease_no.filter(|_| show_owners),
                ticket: r.ticket_id.filter(|_| show_owners),
            };
            Ok(Taken {
                seat: r.seat,
                legs,
                run,
            })
        })
        .collect()
}

fn lay_out(trip: &Trip, layout: Option<&SeatLayout>, taken: &[Taken], frozen: bool) -> SeatsView {
    let legs = trip.leg_count();
    let mut pool = SeatMap::whole(trip.seat_count);
    for t in taken {
        pool.mark_taken(SeatNo(t.seat as u16), t.legs);
    }
    let seats = (1..=trip.seat_count).map(|no| {
        let seat = layout.and_then(|l| l.seat(SeatNo(no)));
        let of_seat: Vec<&Taken> = taken.iter().filter(|t| t.seat == i32::from(no)).collect();
        SeatView {
            seat: no,
            label: layout.map_or_else(|| no.to_string(), |l| l.label(SeatNo(no))),
            row: seat.map_or(0, |s| s.row),
            column: seat.map_or(0, |s| s.column),
            runs: runs(legs, &of_seat, frozen),
        }
    });
    let whole = Legs::new(StopSeq(0), StopSeq(legs));
    SeatsView {
        trip: trip.id.0,
        leg_count: legs,
        seats: seats.collect(),
        free_seats: whole
            .filter(|_| !frozen)
            .map_or(0, |whole| pool.free_seats(whole).count()),
        not_bookable: not_bookable(frozen),
        sold_tickets: taken.iter().filter(|t| t.run.state == "sold").count(),
    }
}

/// Every leg once; neighbours that say the same are one run.
fn runs(leg_count: u8, taken: &[&Taken], frozen: bool) -> Vec<SeatRun> {
    let mut runs: Vec<SeatRun> = vec![];
    for leg in 0..leg_count {
        let here = taken.iter().find(|t| t.run.from <= leg && leg < t.run.to);
        let mut run = here.map_or(
            SeatRun {
                from: leg,
                to: leg,
                state: if frozen { "blocked" } else { "free" },
                node: None,
                lease_no: None,
                ticket: None,
            },
            |t| t.run.clone(),
        );
        run.from = leg;
        run.to = leg + 1;
        match runs.last_mut() {
            Some(last)
                if (last.state, last.node, last.lease_no, last.ticket)
                    == (run.state, run.node, run.lease_no, run.ticket) =>
            {
                last.to = run.to;
            }
            _ => runs.push(run),
        }
    }
    runs
}
