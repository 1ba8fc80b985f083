//! Short codes: which ticket one stands for.

use std::collections::BTreeMap;

use domain::ids::{
    Issuer, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, SaleOrdinal, SeatNo, StopSeq, TicketId,
    TripId,
};
use domain::passenger::PassengerClass;
use domain::ticket::{ShortClaim, ShortCode, TicketClaim, TicketLease};
use domain::time::Instant;
use uuid::Uuid;

use crate::db::DbError;
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

/// What a stored ticket's short code is made of.
pub(crate) struct Sold {
    /// Its trip.
    pub trip: TripId,
    /// Its seat as printed.
    pub seat: i32,
    /// From and to.
    pub legs: (i32, i32),
    /// Which sale of the seat it was.
    pub ordinal: i32,
    /// The node that sold it.
    pub issuer: Option<Uuid>,
    /// Number and epoch of the lease.
    pub lease: Option<(i32, i64)>,
    /// The numbering of `seat`.
    pub layout_version: i32,
    /// A rehearsal ticket.
    pub test: bool,
}

/// Who sold a stored ticket.
pub(crate) fn issuer_of(node: Option<Uuid>) -> Issuer {
    node.map_or(Issuer::Hub, |node| Issuer::Node(NodeId(node)))
}

impl Sold {
    /// What its code says, where it has one.
    pub(crate) fn code(&self) -> Result<Option<ShortClaim>, DbError> {
        let legs = legs_of(self.legs.0, self.legs.1)?;
        let claim = TicketClaim {
            id: TicketId(Uuid::nil()),
            trip: self.trip,
            seat: SeatNo(self.seat as u16),
            from: legs.from(),
            to: legs.to(),
            class: PassengerClass::Adult,
            ordinal: SaleOrdinal(self.ordinal as u16),
            issued_at: Instant(0),
            lease: self.lease.map(|(no, epoch)| TicketLease {
                no: LeaseNo(no as u16),
                epoch: LeaseEpoch(epoch as u32),
            }),
            layout_version: LayoutVersion(self.layout_version as u32),
            test: self.test,
        };
        Ok(ShortClaim::of(&claim, issuer_of(self.issuer)))
    }
}

/// A short code as a validator recorded it: the ticket was not on its manifest, so that it named
/// what stands in for it.
pub(crate) fn typed(trip: TripId, ticket: TicketId, text: &str) -> Option<ShortClaim> {
    let claim = ShortCode::read(text.trim()).ok()?.claim;
    (claim.stand_in(trip) == ticket).then_some(claim)
}

/// The tickets that codes stand for, as far as their sales have come: a live one before others.
pub(crate) async fn tickets_of(
    tx: &mut TenantTx,
    codes: &[(TripId, ShortClaim)],
) -> Result<BTreeMap<(TripId, ShortClaim), TicketId>, DbError> {
    let mut found = BTreeMap::new();
    if codes.is_empty() {
        return Ok(found);
    }
    let stop = |of: fn(domain::trip::Legs) -> StopSeq| -> Vec<i32> {
        let stops = codes.iter().map(|(_, c)| c.legs().map_or(0, |l| of(l).0));
        stops.map(i32::from).collect()
    };
    let trips: Vec<i64> = codes.iter().map(|(trip, _)| trip.0 as i64).collect();
    let seats: Vec<i32> = codes.iter().map(|(_, c)| c.seat().0.into()).collect();
    let ordinals: Vec<i32> = codes.iter().map(|(_, c)| c.ordinal().0.into()).collect();
    let rows = sqlx::query!(
        r#"SELECT DISTINCT k.ticket_id, k.trip_id, COALESCE(k.printed_seat, k.seat) AS "printed!",
                  lower(k.legs) AS "from!", upper(k.legs) AS "to!", k.ordinal, k.issuer_node,
                  k.lease_no, k.epoch, k.layout_version, k.test, k.state
           FROM UNNEST($2::bigint[], $3::int[], $4::int[], $5::int[], $6::int[])
                AS w(trip, seat, a, b, ordinal)
           JOIN ticket k ON k.company_id = $1 AND k.trip_id = w.trip
                AND COALESCE(k.printed_seat, k.seat) = w.seat AND k.ordinal = w.ordinal
                AND k.legs = int4range(w.a, w.b)
           ORDER BY k.state, k.ticket_id"#,
        tx.company().0,
        &trips,
        &seats,
        &stop(domain::trip::Legs::from),
        &stop(domain::trip::Legs::to),
        &ordinals
    )
    .fetch_all(tx.conn())
    .await?;
    for r in rows {
        let trip = TripId(r.trip_id as u64);
        let sold = Sold {
            trip,
            seat: r.printed,
            legs: (r.from, r.to),
            ordinal: r.ordinal,
            issuer: r.issuer_node,
            lease: r.lease_no.zip(r.epoch),
            layout_version: r.layout_version,
            test: r.test,
        };
        if let Some(code) = sold.code()? {
            found.entry((trip, code)).or_insert(TicketId(r.ticket_id));
        }
    }
    Ok(found)
}

/// Scans of short codes whose sale had not come: those that have come since are scans of their
/// tickets, and so are cases about them.
pub(crate) async fn settle_typed(tx: &mut TenantTx) -> Result<(), DbError> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT s.trip_id, s.ticket_id AS "ticket!", s.code AS "code!" FROM scan s
           WHERE s.company_id = $1 AND s.answer = 'good_but_unlisted'
             AND s.ticket_id IS NOT NULL AND s.code NOT LIKE 'MW1:%'
             AND NOT EXISTS (SELECT FROM ticket k WHERE k.company_id = s.company_id
                               AND k.ticket_id = s.ticket_id)
           LIMIT 500"#,
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    let mut waiting = BTreeMap::new();
    for r in rows {
        let trip = TripId(r.trip_id as u64);
        if let Some(code) = typed(trip, TicketId(r.ticket), &r.code) {
            waiting.insert((trip, code), r.ticket);
        }
    }
    let codes: Vec<(TripId, ShortClaim)> = waiting.keys().copied().collect();
    let known = tickets_of(tx, &codes).await?;
    let (mut stand_ins, mut tickets) = (vec![], vec![]);
    for (at, stand_in) in &waiting {
        if let Some(ticket) = known.get(at) {
            stand_ins.push(*stand_in);
            tickets.push(ticket.0);
        }
    }
    if tickets.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE scan s SET ticket_id = w.ticket
         FROM UNNEST($2::uuid[], $3::uuid[]) AS w(stand_in, ticket)
         WHERE s.company_id = $1 AND s.ticket_id = w.stand_in",
        tx.company().0,
        &stand_ins,
        &tickets
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE conflict_case c SET tickets = array_replace(c.tickets, w.stand_in, w.ticket)
         FROM UNNEST($2::uuid[], $3::uuid[]) AS w(stand_in, ticket)
         WHERE c.company_id = $1 AND c.reason = 'scan_without_sale'
           AND c.tickets @> ARRAY[w.stand_in]",
        tx.company().0,
        &stand_ins,
        &tickets
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
