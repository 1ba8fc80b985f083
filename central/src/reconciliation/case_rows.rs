//! The rows of cases.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{NodeId, NodeIncarnation, Seq, ShiftNo, TicketId, TripId};
use domain::time::Instant;
use uuid::Uuid;

use super::ConflictView;
use super::case_views::{CaseView, EvidenceView, ScanView};
use super::cases::{CaseTicket, Decision, OpenCase};
use super::rules::Candidate;
use crate::access::Staff;
use crate::db::DbError;
use crate::ledger::db::currency_of;
use crate::sync::buckets::{legs_of, state_of};
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lease_standing;
use crate::views::{Cursor, time};

/// The most showings of one ticket that a case shows.
const SCANS_MAX: i64 = 50;
/// Reasons that say that a sale was under no right of its seller.
const WITHOUT_RIGHT: [&str; 6] = [
    "forked",
    "lease_unknown",
    "lease_closed",
    "stale_epoch",
    "outside_lease",
    "bad_sale",
];

/// Which cases.
#[derive(Debug, Clone, Default)]
pub struct CaseFilter {
    /// `open`, `decided` or `settled`.
    pub state: Option<String>,
    /// As `seat_taken`.
    pub reason: Option<String>,
    /// Of one node.
    pub node: Option<NodeId>,
}

/// Cases, by number.
pub async fn conflicts(
    tx: &mut TenantTx,
    filter: &CaseFilter,
    cursor: &Cursor,
) -> Result<Vec<ConflictView>, DbError> {
    some(tx, filter, None, cursor).await
}

pub(super) async fn view(tx: &mut TenantTx, number: i64) -> Result<Option<CaseView>, DbError> {
    let all = CaseFilter::default();
    let cursor = Cursor::default();
    let case = some(tx, &all, Some(number), &cursor).await?.pop();
    Ok(case.map(|case| CaseView {
        case,
        proposed_winner: None,
        evidence: vec![],
    }))
}

async fn some(
    tx: &mut TenantTx,
    filter: &CaseFilter,
    only: Option<i64>,
    cursor: &Cursor,
) -> Result<Vec<ConflictView>, DbError> {
    let rows = sqlx::query!(
        "SELECT case_id, node_id, incarnation, seq, reason, tickets, against, opened_at_ms,
                closed_at_ms, state, winner, consequence, decision_reason, decided_by, entry_id
         FROM conflict_case
         WHERE company_id = $1 AND case_id > $2 AND ($3::bigint IS NULL OR case_id = $3)
           AND ($4::text IS NULL OR state = $4) AND ($5::text IS NULL OR reason = $5)
           AND ($6::uuid IS NULL OR node_id = $6)
         ORDER BY case_id LIMIT $7",
        tx.company().0,
        cursor.part(0, 0_i64),
        only,
        filter.state,
        filter.reason,
        filter.node.map(|n| n.0),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| ConflictView {
            case: r.case_id,
            node: r.node_id,
            incarnation: r.incarnation,
            seq: r.seq,
            reason: r.reason,
            tickets: r.tickets,
            against: r.against,
            opened_at: time(r.opened_at_ms),
            closed_at: r.closed_at_ms.map(time),
            state: r.state,
            winner: r.winner,
            consequence: r.consequence,
            decision_reason: r.decision_reason,
            decided_by: r.decided_by,
            entry: r.entry_id,
        })
        .collect())
}

pub(super) async fn lock(tx: &mut TenantTx, number: i64) -> Result<Option<OpenCase>, DbError> {
    let row = sqlx::query!(
        "SELECT reason, state, tickets, against FROM conflict_case
         WHERE company_id = $1 AND case_id = $2 FOR UPDATE",
        tx.company().0,
        number
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| OpenCase {
        number,
        reason: r.reason,
        is_open: r.state == "open",
        tickets: r.tickets.into_iter().map(TicketId).collect(),
        against: r.against.into_iter().map(TicketId).collect(),
    }))
}

pub(super) async fn trips_of(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<TripId>, DbError> {
    let rows = sqlx::query_scalar!(
        "SELECT DISTINCT trip_id FROM ticket WHERE company_id = $1 AND ticket_id = ANY($2)
         ORDER BY trip_id",
        tx.company().0,
        ids
    );
    let rows = rows.fetch_all(tx.conn()).await?;
    Ok(rows.into_iter().map(|id| TripId(id as u64)).collect())
}

/// The tickets of a case with what speaks for each, in the order given. A ticket knows its second
/// of issue, its event the millisecond.
pub(super) async fn tickets(
    tx: &mut TenantTx,
    ids: &[Uuid],
    offending: &BTreeSet<TicketId>,
    case: i64,
) -> Result<Vec<CaseTicket>, DbError> {
    let mut scans = scans(tx, ids).await?;
    let rows = sqlx::query!(
        r#"SELECT k.ticket_id, k.trip_id, k.seat, lower(k.legs) AS "from!",
                  upper(k.legs) AS "to!", k.state, k.fare_minor, k.currency, k.issuer_node,
                  k.shift, k.lease_no, k.epoch, k.issued_at_ms, n.name AS "node_name?",
                  l.granted AS "granted?", l.status AS "status?", l.epoch AS "lease_epoch?",
                  c.reason, e.posted_at_ms AS "posted_at?",
                  coalesce(v.incarnation, f.incarnation) AS incarnation,
                  coalesce(v.seq, f.seq) AS seq,
                  coalesce(v.received_at_ms, f.received_at_ms) AS received_at,
                  (SELECT -coalesce(sum(q.amount_minor), 0)::bigint FROM ledger_posting q
                   JOIN ledger_account a USING (company_id, account_id)
                   WHERE q.company_id = k.company_id AND q.ticket_id = k.ticket_id
                     AND a.kind = 'suspense') AS "suspense!",
                  (SELECT -coalesce(sum(q.amount_minor), 0)::bigint FROM ledger_posting q
                   JOIN ledger_account a USING (company_id, account_id)
                   WHERE q.company_id = k.company_id AND q.ticket_id = k.ticket_id
                     AND a.kind = 'deferred_revenue') AS "deferred!"
           FROM UNNEST($2::uuid[]) WITH ORDINALITY AS w(id, place)
           JOIN ticket k ON k.company_id = $1 AND k.ticket_id = w.id
           JOIN conflict_case c ON c.company_id = $1 AND c.case_id = $3
           LEFT JOIN node n ON n.company_id = k.company_id AND n.node_id = k.issuer_node
           LEFT JOIN lease l ON l.company_id = k.company_id AND l.trip_id = k.trip_id
                            AND l.node_id = k.issuer_node AND l.lease_no = k.lease_no
           LEFT JOIN ledger_posting p ON p.company_id = k.company_id
                            AND p.ticket_id = k.ticket_id AND p.kind = 'sale'
           LEFT JOIN ledger_entry e ON e.company_id = p.company_id AND e.entry_id = p.entry_id
           LEFT JOIN LATERAL (
               SELECT incarnation, seq, received_at_ms FROM event v
               WHERE v.company_id = k.company_id AND v.node_id = k.issuer_node
                 AND v.at_ms BETWEEN k.issued_at_ms AND k.issued_at_ms + 999
                 AND substring(v.hash FROM 1 FOR 16) = uuid_send(p.entry_id)
               LIMIT 1) AS v ON true
           LEFT JOIN LATERAL (
               SELECT incarnation, seq, received_at_ms FROM fork_event f
               WHERE f.company_id = k.company_id AND f.node_id = k.issuer_node
                 AND f.at_ms BETWEEN k.issued_at_ms AND k.issued_at_ms + 999
                 AND substring(f.hash FROM 1 FOR 16) = uuid_send(p.entry_id)
               LIMIT 1) AS f ON true
           ORDER BY w.place"#,
        tx.company().0,
        ids,
        case
    )
    .fetch_all(tx.conn())
    .await?;
    let mut tickets = Vec::with_capacity(rows.len());
    for r in rows {
        let id = TicketId(r.ticket_id);
        let legs = legs_of(r.from, r.to)?;
        let offends = offending.contains(&id);
        let seat = domain::ids::SeatNo(r.seat as u16);
        let right = match (r.issuer_node, r.granted, r.status) {
            (None, _, _) => true,
            (Some(_), Some(granted), Some(status)) => {
                let standing = lease_standing(&granted, status)?;
                r.epoch == r.lease_epoch && standing.grant.allows(seat, legs)
            }
            _ => false,
        };
        let lease_valid = right && !(offends && WITHOUT_RIGHT.contains(&r.reason.as_str()));
        let scans = scans.remove(&id).unwrap_or_default();
        let let_on = ["valid", "good_but_unlisted"];
        let boarded = scans.iter().any(|s| let_on.contains(&s.answer.as_str()));
        let node = r.issuer_node.map(NodeId);
        let place = node.zip(r.incarnation.zip(r.seq));
        let stored = r.received_at.or(r.posted_at).unwrap_or(r.issued_at_ms);
        tickets.push(CaseTicket {
            id,
            trip: TripId(r.trip_id as u64),
            state: r.state,
            fare_minor: r.fare_minor,
            currency: currency_of(&r.currency)?,
            shift: node.zip(r.shift.map(|no| ShiftNo(no as u32))),
            suspense_minor: r.suspense,
            deferred_minor: r.deferred,
            candidate: Candidate {
                ticket: id,
                boarded,
                lease_valid,
                first_commit: Instant(stored),
                position: place.map(|(node, (incarnation, seq))| {
                    (node, NodeIncarnation(incarnation as u32), Seq(seq as u64))
                }),
            },
            view: EvidenceView {
                ticket: r.ticket_id,
                state: state_of(r.state)?.as_str(),
                offends,
                trip: r.trip_id,
                seat: r.seat,
                from: r.from,
                to: r.to,
                fare_minor: r.fare_minor,
                currency: r.currency,
                node: r.issuer_node,
                node_name: r.node_name,
                incarnation: r.incarnation,
                seq: r.seq,
                sold_at: time(r.issued_at_ms),
                stored_at: time(stored),
                lease_no: r.lease_no,
                lease_valid,
                boarded,
                scans,
            },
        });
    }
    Ok(tickets)
}

async fn scans(
    tx: &mut TenantTx,
    ids: &[Uuid],
) -> Result<BTreeMap<TicketId, Vec<ScanView>>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT s.ticket_id AS "ticket_id!", s.node_id, s.answer, s.at_ms
           FROM scan s
           JOIN (SELECT DISTINCT company_id, trip_id FROM ticket
                 WHERE company_id = $1 AND ticket_id = ANY($2)) AS t USING (company_id, trip_id)
           WHERE s.company_id = $1 AND s.ticket_id = ANY($2)
           ORDER BY s.at_ms, s.node_id, s.seq LIMIT $3"#,
        tx.company().0,
        ids,
        SCANS_MAX * ids.len() as i64
    )
    .fetch_all(tx.conn())
    .await?;
    let mut scans: BTreeMap<TicketId, Vec<ScanView>> = BTreeMap::new();
    for r in rows {
        let of = scans.entry(TicketId(r.ticket_id)).or_default();
        if (of.len() as i64) < SCANS_MAX {
            of.push(ScanView {
                node: r.node_id,
                answer: r.answer,
                at: time(r.at_ms),
            });
        }
    }
    Ok(scans)
}

pub(super) async fn set_state(
    tx: &mut TenantTx,
    ticket: TicketId,
    state: i16,
    change_no: i64,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE ticket SET state = $3, change_no = $4 WHERE company_id = $1 AND ticket_id = $2",
        tx.company().0,
        ticket.0,
        state,
        change_no
    )
    .execute(tx.conn())
    .await?;
    if state != 0 {
        // The seat waits until the validator has heard that this ticket is over; a right that
        // covers it already keeps it from everybody else.
        sqlx::query!(
            "INSERT INTO claim (company_id, trip_id, seat, legs, kind, waits_for_change)
             SELECT company_id, trip_id, seat, legs, 'block', $3 FROM ticket
             WHERE company_id = $1 AND ticket_id = $2 AND issuer_node IS NOT NULL
             ON CONFLICT DO NOTHING",
            tx.company().0,
            ticket.0,
            change_no
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// Which of these shifts are closed.
pub(super) async fn closed_of(
    tx: &mut TenantTx,
    shifts: &[(NodeId, ShiftNo)],
) -> Result<Vec<(NodeId, ShiftNo)>, DbError> {
    let nodes: Vec<Uuid> = shifts.iter().map(|(node, _)| node.0).collect();
    let numbers: Vec<i32> = shifts.iter().map(|(_, no)| no.0 as i32).collect();
    let rows = sqlx::query!(
        "SELECT s.node_id, s.shift FROM shift s
         JOIN UNNEST($2::uuid[], $3::int[]) AS w(node, no)
           ON s.node_id = w.node AND s.shift = w.no
         WHERE s.company_id = $1 AND s.closed_at_ms IS NOT NULL",
        tx.company().0,
        &nodes,
        &numbers
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|r| (NodeId(r.node_id), ShiftNo(r.shift as u32)))
        .collect())
}

pub(super) async fn close(
    tx: &mut TenantTx,
    staff: Staff,
    number: i64,
    decision: &Decision,
    entry: Option<Uuid>,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE conflict_case SET state = 'decided', closed_at_ms = $3, winner = $4,
             consequence = $5, decision_reason = $6, decided_kind = $7, decided_by = $8,
             entry_id = $9
         WHERE company_id = $1 AND case_id = $2",
        tx.company().0,
        number,
        now.0,
        decision.winner.map(|t| t.0),
        decision.consequence.as_str(),
        decision.reason,
        staff.identity.kind(),
        staff.identity.id(),
        entry
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The open cases of late sales without a place that are about some of these tickets, in order,
/// each locked and with all its tickets.
pub(crate) async fn without_place(
    tx: &mut TenantTx,
    among: &[Uuid],
) -> Result<Vec<(i64, Vec<TicketId>)>, DbError> {
    let rows = sqlx::query!(
        "SELECT case_id, tickets FROM conflict_case
         WHERE company_id = $1 AND state = 'open' AND reason = 'no_place' AND tickets && $2
         ORDER BY case_id FOR UPDATE",
        tx.company().0,
        among
    )
    .fetch_all(tx.conn())
    .await?;
    let case = rows.into_iter().map(|row| {
        let tickets = row.tickets.into_iter().map(TicketId);
        (row.case_id, tickets.collect())
    });
    Ok(case.collect())
}

/// Closes cases that nobody has to decide any more.
pub(super) async fn settle(
    tx: &mut TenantTx,
    cases: &[i64],
    why: &str,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE conflict_case SET state = 'settled', closed_at_ms = $3, decision_reason = $4
         WHERE company_id = $1 AND case_id = ANY($2)",
        tx.company().0,
        cases,
        now.0,
        why
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The shifts that the tickets of some cases were sold in.
pub(super) async fn shifts_of(
    tx: &mut TenantTx,
    cases: &[i64],
) -> Result<Vec<(NodeId, ShiftNo)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT k.issuer_node AS "node!", k.shift AS "shift!"
           FROM conflict_case c
           JOIN ticket k ON k.company_id = c.company_id AND k.ticket_id = ANY(c.tickets)
           WHERE c.company_id = $1 AND c.case_id = ANY($2)
             AND k.issuer_node IS NOT NULL AND k.shift IS NOT NULL"#,
        tx.company().0,
        cases
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|r| (NodeId(r.node), ShiftNo(r.shift as u32)))
        .collect())
}

/// Opens a case for every unlisted ticket that was scanned before `before` and whose sale has
/// not come; closes those whose sale came. Gives how many were opened.
pub(crate) async fn watch_scans(
    tx: &mut TenantTx,
    before: Instant,
    now: Instant,
) -> Result<u64, DbError> {
    sqlx::query!(
        "UPDATE conflict_case c SET state = 'settled', closed_at_ms = $2
         WHERE c.company_id = $1 AND c.state = 'open' AND c.reason = 'scan_without_sale'
           AND EXISTS (SELECT FROM ticket k WHERE k.company_id = c.company_id
                         AND k.ticket_id = ANY(c.tickets))",
        tx.company().0,
        now.0
    )
    .execute(tx.conn())
    .await?;
    let opened = sqlx::query!(
        "INSERT INTO conflict_case (company_id, node_id, incarnation, seq, reason, tickets,
             against, opened_at_ms)
         SELECT DISTINCT ON (s.ticket_id) s.company_id, s.node_id, s.incarnation, s.seq,
             'scan_without_sale', ARRAY[s.ticket_id], '{}'::uuid[], $3
         FROM scan s
         WHERE s.company_id = $1 AND s.answer = 'good_but_unlisted' AND s.at_ms < $2
           AND s.ticket_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM ticket k WHERE k.company_id = s.company_id
                             AND k.ticket_id = s.ticket_id)
           AND NOT EXISTS (SELECT FROM conflict_case c WHERE c.company_id = s.company_id
                             AND c.reason = 'scan_without_sale'
                             AND c.tickets @> ARRAY[s.ticket_id])
         ORDER BY s.ticket_id, s.at_ms LIMIT 500",
        tx.company().0,
        before.0,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(opened.rows_affected())
}
