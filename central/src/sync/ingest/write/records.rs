//! Shifts, scans, cases and verdicts.

use domain::event::ScanRecord;
use domain::ids::{Seq, ShiftNo, TicketId};
use domain::ingest::ShiftStanding;
use domain::time::Instant;
use uuid::Uuid;

use super::Writes;
use crate::db::DbError;
use crate::nodes::NodeContext;
use crate::reconciliation::shift_rows::put_due;
use crate::sync::ingest::load::Loaded;
use crate::tenant::TenantTx;
use crate::ticketing::short;

impl Writes {
    /// The standings that the rules left behind: new shifts are inserted, old ones updated.
    pub(super) async fn write_shifts(
        &self,
        tx: &mut TenantTx,
        node: &NodeContext,
        loaded: &Loaded,
    ) -> Result<(), DbError> {
        let closed = loaded.state.shifts.iter().filter(|(_, s)| !s.open);
        let closed: Vec<_> = closed.map(|(no, _)| (node.node, *no)).collect();
        put_due(tx, &closed).await?;
        let new: Vec<(&ShiftNo, &ShiftStanding)> = loaded
            .state
            .shifts
            .iter()
            .filter(|(no, _)| !loaded.old_shifts.contains(no))
            .collect();
        if !new.is_empty() {
            self.insert_shifts(tx, node, &new).await?;
        }
        let old = loaded.old_shifts.iter();
        let old: Vec<_> = old
            .filter_map(|no| Some((*no, loaded.state.shifts.get(no)?)))
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let numbers: Vec<i32> = old.iter().map(|(no, _)| no.0 as i32).collect();
        let cash: Vec<i64> = old.iter().map(|(_, s)| s.cash_minor.0).collect();
        let closed = |no: &ShiftNo| self.closed_shifts.get(no);
        let closed_at: Vec<_> = old
            .iter()
            .map(|(no, _)| closed(no).map(|c| c.at.0))
            .collect();
        let declared: Vec<_> = old
            .iter()
            .map(|(no, _)| closed(no).map(|c| c.declared_minor))
            .collect();
        let expected: Vec<_> = old
            .iter()
            .map(|(no, _)| closed(no).map(|c| c.expected_minor))
            .collect();
        sqlx::query!(
            "UPDATE shift s SET cash_minor = w.cash,
                 closed_at_ms = coalesce(s.closed_at_ms, w.closed_at),
                 declared_minor = coalesce(s.declared_minor, w.declared),
                 expected_minor = coalesce(s.expected_minor, w.expected)
             FROM UNNEST($3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
                 AS w(shift, cash, closed_at, declared, expected)
             WHERE s.company_id = $1 AND s.node_id = $2 AND s.shift = w.shift",
            node.company.0,
            node.node.0,
            &numbers,
            &cash,
            &closed_at as _,
            &declared as _,
            &expected as _
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }

    async fn insert_shifts(
        &self,
        tx: &mut TenantTx,
        node: &NodeContext,
        new: &[(&ShiftNo, &ShiftStanding)],
    ) -> Result<(), DbError> {
        for (no, standing) in new {
            let Some((agent, opened_at)) = self.opened_shifts.get(no) else {
                continue;
            };
            let closed = self.closed_shifts.get(no);
            sqlx::query!(
                "INSERT INTO shift (company_id, node_id, shift, agent, currency, business_date,
                     float_minor, cash_minor, opened_at_ms, closed_at_ms, declared_minor,
                     expected_minor)
                 VALUES ($1, $2, $3, $4, $5, $6::text::date, $7, $8, $9, $10, $11, $12)",
                node.company.0,
                node.node.0,
                no.0 as i32,
                agent,
                standing.currency.as_str(),
                standing.business_date.to_string(),
                standing.float_minor.0,
                standing.cash_minor.0,
                opened_at.0,
                closed.map(|c| c.at.0),
                closed.map(|c| c.declared_minor),
                closed.map(|c| c.expected_minor)
            )
            .execute(tx.conn())
            .await?;
        }
        Ok(())
    }

    pub(super) async fn write_scans(
        &self,
        tx: &mut TenantTx,
        node: &NodeContext,
    ) -> Result<(), DbError> {
        if self.scans.is_empty() {
            return Ok(());
        }
        let scans = &self.scans;
        let seqs: Vec<i64> = scans.iter().map(|s| s.0.0 as i64).collect();
        let trips: Vec<i64> = scans.iter().map(|s| s.1.trip.0 as i64).collect();
        let tickets = tickets_of_scans(tx, scans).await?;
        let answers: Vec<&str> = scans.iter().map(|s| s.1.answer.as_str()).collect();
        // Postgres text holds no NUL, a scanned code may.
        let codes = scans
            .iter()
            .map(|s| s.1.text.as_ref().map(|t| t.replace('\0', "\u{fffd}")));
        let codes: Vec<Option<String>> = codes.collect();
        let at: Vec<i64> = scans.iter().map(|s| s.2.0).collect();
        sqlx::query!(
            "INSERT INTO scan (company_id, node_id, incarnation, seq, trip_id, ticket_id, answer,
                 code, at_ms)
             SELECT $1, $2, $3, w.* FROM UNNEST($4::bigint[], $5::bigint[], $6::uuid[],
                 $7::text[], $8::text[], $9::bigint[]) AS w",
            node.company.0,
            node.node.0,
            self.incarnation as i32,
            &seqs,
            &trips,
            &tickets as _,
            &answers as _,
            &codes as _,
            &at
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }

    pub(super) async fn write_cases(
        &self,
        tx: &mut TenantTx,
        node: &NodeContext,
        now: Instant,
    ) -> Result<(), DbError> {
        if self.cases.is_empty() {
            return Ok(());
        }
        let seqs: Vec<i64> = self.cases.iter().map(|c| c.0.0 as i64).collect();
        let reasons: Vec<&str> = self.cases.iter().map(|c| c.1.reason.code()).collect();
        let tickets: Vec<String> = self.cases.iter().map(|c| literal(&c.1.tickets)).collect();
        let against: Vec<String> = self.cases.iter().map(|c| literal(&c.1.against)).collect();
        sqlx::query!(
            "INSERT INTO conflict_case (company_id, node_id, incarnation, opened_at_ms, seq,
                 reason, tickets, against)
             SELECT $1, $2, $3, $8, w.seq, w.reason, w.tickets::uuid[], w.against::uuid[]
             FROM UNNEST($4::bigint[], $5::text[], $6::text[], $7::text[])
             AS w(seq, reason, tickets, against)",
            node.company.0,
            node.node.0,
            self.incarnation as i32,
            &seqs,
            &reasons as _,
            &tickets,
            &against,
            now.0
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }

    pub(super) async fn write_verdicts(
        &self,
        tx: &mut TenantTx,
        node: &NodeContext,
    ) -> Result<(), DbError> {
        if self.verdicts.is_empty() {
            return Ok(());
        }
        let seqs: Vec<i64> = self.verdicts.iter().map(|v| v.0.0 as i64).collect();
        let reasons: Vec<&str> = self.verdicts.iter().map(|v| v.1).collect();
        let details: Vec<Option<&str>> = self.verdicts.iter().map(|v| v.2.as_deref()).collect();
        sqlx::query!(
            "INSERT INTO event_verdict (company_id, node_id, incarnation, seq, reason, detail)
             SELECT $1, $2, $3, w.* FROM UNNEST($4::bigint[], $5::text[], $6::text[]) AS w",
            node.company.0,
            node.node.0,
            self.incarnation as i32,
            &seqs,
            &reasons as _,
            &details as _
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}

/// An array as Postgres reads it from text: UNNEST would take an array of arrays apart.
fn literal(tickets: &[TicketId]) -> String {
    let ids: Vec<String> = tickets.iter().map(TicketId::to_string).collect();
    format!("{{{}}}", ids.join(","))
}

/// The tickets that were scanned. A short code that no manifest had is looked up here: its sale
/// may have come by another way.
async fn tickets_of_scans(
    tx: &mut TenantTx,
    scans: &[(Seq, ScanRecord, Instant)],
) -> Result<Vec<Option<Uuid>>, DbError> {
    let code_of = |scan: &ScanRecord| {
        let code = short::typed(scan.trip, scan.ticket?, scan.text.as_deref()?)?;
        Some((scan.trip, code))
    };
    let typed: Vec<_> = scans.iter().map(|s| code_of(&s.1)).collect();
    let codes: Vec<_> = typed.iter().flatten().copied().collect();
    let known = short::tickets_of(tx, &codes).await?;
    let ticket = |(scan, code): (&(Seq, ScanRecord, Instant), &Option<_>)| {
        let real = code.and_then(|code| known.get(&code).copied());
        real.or(scan.1.ticket).map(|ticket| ticket.0)
    };
    Ok(scans.iter().zip(&typed).map(ticket).collect())
}
