//! Writing tickets as sets, whoever sold them.

use domain::ids::{NodeId, SeatNo, ShiftNo};
use domain::ingest::TicketState;
use domain::money::{Currency, Minor};
use domain::ticket::{SignedTicket, Suite};
use domain::trip::Legs;
use uuid::Uuid;

use crate::db::DbError;
use crate::sync::buckets::state_code;
use crate::tenant::TenantTx;

/// A ticket to store.
#[derive(Debug, Clone)]
pub struct TicketRow {
    /// The ticket as printed.
    pub ticket: SignedTicket,
    /// The seat as it is numbered today; what is printed stands in the ticket.
    pub seat: SeatNo,
    /// Its legs.
    pub legs: Legs,
    /// Who sold it; `None` for the hub itself.
    pub issuer: Option<NodeId>,
    /// The shift that sold it, at a node.
    pub shift: Option<ShiftNo>,
    /// The booking that it belongs to, at the hub.
    pub booking: Option<Uuid>,
    /// What was paid.
    pub fare_minor: Minor,
    /// What it was paid in.
    pub currency: Currency,
    /// Where it stands.
    pub state: TicketState,
    /// Its number in the trip's bucket; see [`crate::sync::buckets::take_changes`].
    pub change_no: i64,
}

/// The number a suite is stored under.
const fn suite_code(suite: Suite) -> i16 {
    match suite {
        Suite::Ed25519 => 0,
        Suite::Hmac256 => 1,
    }
}

/// Stores tickets in one statement; the database refuses a second owner of a seat. They go in the
/// order of trips and seats, as everywhere, so that no two transactions wait for each other.
pub async fn insert_tickets(tx: &mut TenantTx, rows: &[TicketRow]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(rows: &[&'a TicketRow], pick: impl Fn(&'a TicketRow) -> T) -> Vec<T> {
        rows.iter().copied().map(pick).collect()
    }
    let mut rows: Vec<&TicketRow> = rows.iter().collect();
    rows.sort_by_key(|r| (r.ticket.claim.trip, r.seat));
    let rows = &rows[..];
    let lease = |r: &TicketRow| r.ticket.claim.lease;
    let company = tx.company().0;
    sqlx::query!(
        "INSERT INTO ticket (company_id, ticket_id, trip_id, seat, legs, class, ordinal,
             issuer_node, lease_no, epoch, layout_version, issued_at_ms, kid, suite, tag,
             fare_minor, currency, shift, booking_id, test, state, change_no, printed_seat)
         SELECT $1, w.id, w.trip, w.seat, int4range(w.a, w.b), w.class, w.ordinal, w.issuer,
             w.lease_no, w.epoch, w.layout, w.issued, w.kid, w.suite, w.tag, w.fare, w.currency,
             w.shift, w.booking, w.test, w.state, w.change_no, NULLIF(w.printed, w.seat)
         FROM UNNEST($2::uuid[], $3::bigint[], $4::int[], $5::int[], $6::int[], $7::smallint[],
             $8::int[], $9::uuid[], $10::int[], $11::bigint[], $12::int[], $13::bigint[],
             $14::bytea[], $15::smallint[], $16::bytea[], $17::bigint[], $18::text[], $19::int[],
             $20::uuid[], $21::boolean[], $22::smallint[], $23::bigint[], $24::int[])
         AS w(id, trip, seat, a, b, class, ordinal, issuer, lease_no, epoch, layout, issued, kid,
             suite, tag, fare, currency, shift, booking, test, state, change_no, printed)",
        company,
        &column(rows, |r| r.ticket.claim.id.0),
        &column(rows, |r| r.ticket.claim.trip.0 as i64),
        &column(rows, |r| i32::from(r.seat.0)),
        &column(rows, |r| i32::from(r.legs.from().0)),
        &column(rows, |r| i32::from(r.legs.to().0)),
        &column(rows, |r| i16::from(r.ticket.claim.class.code())),
        &column(rows, |r| i32::from(r.ticket.claim.ordinal.0)),
        &column(rows, |r| r.issuer.map(|n| n.0)) as _,
        &column(rows, |r| lease(r).map(|l| i32::from(l.no.0))) as _,
        &column(rows, |r| lease(r).map(|l| i64::from(l.epoch.0))) as _,
        &column(rows, |r| r.ticket.claim.layout_version.0 as i32),
        &column(rows, |r| r.ticket.claim.issued_at.0),
        &column(rows, |r| &r.ticket.kid.0[..]) as _,
        &column(rows, |r| suite_code(r.ticket.suite())),
        &column(rows, |r| r.ticket.proof.as_bytes()) as _,
        &column(rows, |r| r.fare_minor.0),
        &column(rows, |r| r.currency.as_str()) as _,
        &column(rows, |r| r.shift.map(|s| s.0 as i32)) as _,
        &column(rows, |r| r.booking) as _,
        &column(rows, |r| r.ticket.claim.test),
        &column(rows, |r| state_code(r.state)),
        &column(rows, |r| r.change_no),
        &column(rows, |r| i32::from(r.ticket.claim.seat.0)),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
