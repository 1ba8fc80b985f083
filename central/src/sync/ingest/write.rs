//! The effects of a batch, gathered into columns and written as sets: at most one insert per
//! table, whatever the number of events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::event::{ScanRecord, SignedEvent};
use domain::ids::{LeaseNo, NodeId, SeatNo, Seq, ShiftNo, TicketId, TripId};
use domain::ingest::{Case, Effect, IngestState, Judgement, TicketState, Unlisted, Verdict};
use domain::lease::SeatClaim;
use domain::time::Instant;
use domain::trip::Legs;
use uuid::Uuid;

use super::load::{Loaded, lease_keys};
use crate::clock;
use crate::db::DbError;
use crate::ledger::{self, NewEntry};
use crate::nodes::NodeContext;
use crate::restore::keep_seats;
use crate::sync::buckets::{take_changes, trip_bucket};
use crate::tenant::TenantTx;
use crate::ticketing::tickets::{TicketRow, insert_tickets};

mod closing;
mod records;

/// A shift's end.
struct Closed {
    at: Instant,
    declared_minor: i64,
    expected_minor: i64,
}

/// Everything that some judgements want written.
#[derive(Default)]
pub(super) struct Writes {
    incarnation: u32,
    tickets: Vec<TicketRow>,
    /// Where a ticket of this batch stands in `tickets`.
    index: HashMap<TicketId, usize>,
    /// Tickets of earlier batches that were taken back.
    voided: Vec<(TicketId, TripId, SeatClaim)>,
    accepted: BTreeSet<(TripId, LeaseNo)>,
    closed: BTreeSet<(TripId, LeaseNo)>,
    blocked: Vec<(TripId, SeatClaim)>,
    opened_shifts: BTreeMap<ShiftNo, (String, Instant)>,
    closed_shifts: BTreeMap<ShiftNo, Closed>,
    entries: Vec<NewEntry>,
    scans: Vec<(Seq, ScanRecord, Instant)>,
    cases: Vec<(Seq, Case)>,
    /// Lost tickets of the hub's own that were shown, and when.
    lost: Vec<(Seq, Unlisted, Instant)>,
    verdicts: Vec<(Seq, &'static str, Option<String>)>,
}

impl Writes {
    /// Takes in what follows from one event.
    pub fn take(
        &mut self,
        node: NodeId,
        event: &SignedEvent,
        judgement: Judgement,
        state: &IngestState,
    ) {
        let seq = event.envelope.seq;
        self.incarnation = event.envelope.incarnation.0;
        if let Verdict::Quarantined(reason) = judgement.verdict {
            self.verdicts
                .push((seq, reason.code(), Some(reason.to_string())));
        }
        for effect in judgement.effects {
            self.take_effect(node, event, effect, state);
        }
    }

    /// How many tickets are to be entered.
    pub fn tickets_count(&self) -> u64 {
        self.tickets.len() as u64
    }

    /// The verdicts belong to other events.
    pub fn forget_verdicts(&mut self) {
        self.verdicts.clear();
    }

    fn take_effect(
        &mut self,
        node: NodeId,
        event: &SignedEvent,
        effect: Effect,
        state: &IngestState,
    ) {
        let seq = event.envelope.seq;
        match effect {
            Effect::InsertTicket(new) => {
                self.index.insert(new.ticket.claim.id, self.tickets.len());
                self.tickets.push(TicketRow {
                    ticket: new.ticket,
                    seat: new.seat,
                    legs: new.legs,
                    issuer: Some(node),
                    shift: Some(new.shift),
                    booking: None,
                    fare_minor: new.fare_minor,
                    currency: new.currency,
                    state: new.state,
                    change_no: 0,
                });
            }
            Effect::VoidTicket(id, trip) => match self.index.get(&id) {
                Some(at) => self.tickets[*at].state = TicketState::Void,
                None => {
                    if let Some((_, seat, legs)) = state.tickets.get(&id).map(|t| t.place) {
                        self.voided.push((id, trip, SeatClaim { seat, legs }));
                    }
                }
            },
            Effect::Post(entry) => {
                let mut id = [0; 16];
                id.copy_from_slice(&event.hash.0[..16]);
                let id = Uuid::from_bytes(id);
                self.entries.push(NewEntry { id, entry });
            }
            Effect::AcceptLease(trip, no) => {
                self.accepted.insert((trip, no));
            }
            Effect::CloseLease {
                trip,
                lease_no,
                blocked,
            } => {
                self.closed.insert((trip, lease_no));
                self.blocked.extend(blocked.into_iter().map(|c| (trip, c)));
            }
            Effect::Block(trip, claim) => self.blocked.push((trip, claim)),
            Effect::OpenShift {
                shift, agent, at, ..
            } => {
                self.opened_shifts.insert(shift, (agent, at));
            }
            Effect::CloseShift {
                shift,
                declared_minor,
                expected_minor,
                at,
            } => {
                let closed = Closed {
                    at,
                    declared_minor: declared_minor.0,
                    expected_minor: expected_minor.0,
                };
                self.closed_shifts.insert(shift, closed);
            }
            Effect::RecordScan(scan, at) => self.scans.push((seq, scan, at)),
            Effect::OpenCase(case) => self.cases.push((seq, case)),
            Effect::KeepSeat(lost) => self.lost.push((seq, *lost, event.envelope.at)),
        }
    }

    /// Writes it all. Leases are locked by the loading; trips come next, then buckets.
    pub async fn flush(
        mut self,
        tx: &mut TenantTx,
        node: &NodeContext,
        loaded: &mut Loaded,
    ) -> Result<(), DbError> {
        let now = clock::now();
        let closing = !self.closed.is_empty() || !self.blocked.is_empty();
        let heard = if closing {
            self.lock_trips(tx).await?
        } else {
            HashMap::new()
        };
        let void_changes = self.number_changes(tx, loaded).await?;
        insert_tickets(tx, &self.tickets).await?;
        void_tickets(tx, &self.voided, &void_changes).await?;
        self.write_leases(tx, node).await?;
        self.write_blocks(tx, loaded, &heard).await?;
        self.write_shifts(tx, node, loaded).await?;
        ledger::post(tx, &self.entries, now).await?;
        self.write_scans(tx, node).await?;
        self.write_cases(tx, node, now).await?;
        keep_seats(tx, node, self.incarnation, &self.lost, now).await?;
        self.write_verdicts(tx, node).await
    }

    /// Takes one number of its trip's bucket for each ticket that is new or changes. Returns
    /// those of `voided`, in order, and notes every void's.
    async fn number_changes(
        &mut self,
        tx: &mut TenantTx,
        loaded: &mut Loaded,
    ) -> Result<Vec<i64>, DbError> {
        let mut counts: HashMap<TripId, i64> = HashMap::new();
        let trips = self.tickets.iter().map(|t| t.ticket.claim.trip);
        for trip in trips.chain(self.voided.iter().map(|v| v.1)) {
            *counts.entry(trip).or_default() += 1;
        }
        let names = counts.iter().map(|(trip, n)| (trip_bucket(*trip), *n));
        let last = take_changes(tx, &names.collect()).await?;
        let mut next: HashMap<TripId, i64> = counts
            .iter()
            .filter_map(|(trip, n)| Some((*trip, last.get(&trip_bucket(*trip))? - n)))
            .collect();
        let mut take = |trip: TripId| {
            let change = next.entry(trip).or_default();
            *change += 1;
            *change
        };
        for row in &mut self.tickets {
            let claim = row.ticket.claim;
            row.change_no = take(claim.trip);
            if row.state == TicketState::Void {
                let seat_legs = seat_claim(row.seat, row.legs);
                loaded
                    .void_changes
                    .insert((claim.trip, seat_legs), row.change_no);
            }
        }
        let mut changes = Vec::with_capacity(self.voided.len());
        for (_, trip, claim) in &self.voided {
            let change = take(*trip);
            loaded.void_changes.insert((*trip, *claim), change);
            changes.push(change);
        }
        Ok(changes)
    }
}

const fn seat_claim(seat: SeatNo, legs: Legs) -> SeatClaim {
    SeatClaim { seat, legs }
}

async fn void_tickets(
    tx: &mut TenantTx,
    voided: &[(TicketId, TripId, SeatClaim)],
    changes: &[i64],
) -> Result<(), DbError> {
    if voided.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = voided.iter().map(|v| v.0.0).collect();
    sqlx::query!(
        "UPDATE ticket t SET state = 1, change_no = w.change_no
         FROM UNNEST($2::uuid[], $3::bigint[]) AS w(id, change_no)
         WHERE t.company_id = $1 AND t.ticket_id = w.id",
        tx.company().0,
        &ids,
        changes
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

impl Writes {
    async fn write_leases(&self, tx: &mut TenantTx, node: &NodeContext) -> Result<(), DbError> {
        let accepted = self.accepted.difference(&self.closed);
        let (trips, numbers) = lease_keys(accepted);
        if !trips.is_empty() {
            sqlx::query!(
                "UPDATE lease l SET status = 1
                 FROM UNNEST($3::bigint[], $4::int[]) AS w(trip, no)
                 WHERE l.company_id = $1 AND l.node_id = $2 AND l.trip_id = w.trip
                   AND l.lease_no = w.no",
                node.company.0,
                node.node.0,
                &trips,
                &numbers
            )
            .execute(tx.conn())
            .await?;
        }
        let (trips, numbers) = lease_keys(&self.closed);
        if trips.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "WITH ended AS (
                 UPDATE lease l SET status = 2, closed_at_ms = $5
                 FROM UNNEST($3::bigint[], $4::int[]) AS w(trip, no)
                 WHERE l.company_id = $1 AND l.node_id = $2 AND l.trip_id = w.trip
                   AND l.lease_no = w.no)
             DELETE FROM claim c USING UNNEST($3::bigint[], $4::int[]) AS w(trip, no)
             WHERE c.company_id = $1 AND c.kind = 'lease' AND c.node_id = $2
               AND c.trip_id = w.trip AND c.lease_no = w.no",
            node.company.0,
            node.node.0,
            &trips,
            &numbers,
            clock::now().0
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}
