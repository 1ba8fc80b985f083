//! The rows of shift reports.

use domain::ids::{NodeId, ShiftNo};
use domain::time::Instant;

use super::shifts::{NumberedReport, RouteSum, ShiftReport, TenderSum, TicketSum};
use crate::db::DbError;
use crate::tenant::TenantTx;
use crate::views::time;

/// Takes closed shifts that something happened to, their rows locked to the end.
pub(super) async fn take_due(
    tx: &mut TenantTx,
    only: Option<(NodeId, ShiftNo)>,
    count: i64,
) -> Result<Vec<(NodeId, ShiftNo)>, DbError> {
    let rows = sqlx::query!(
        "DELETE FROM shift_report_due d USING (
             SELECT node_id, shift FROM shift_report_due
             WHERE company_id = $1 AND ($2::uuid IS NULL OR node_id = $2)
               AND ($3::int IS NULL OR shift = $3)
             ORDER BY node_id, shift LIMIT $4 FOR UPDATE SKIP LOCKED) AS w
         WHERE d.company_id = $1 AND d.node_id = w.node_id AND d.shift = w.shift
         RETURNING d.node_id, d.shift",
        tx.company().0,
        only.map(|(node, _)| node.0),
        only.map(|(_, shift)| shift.0 as i32),
        count
    )
    .fetch_all(tx.conn())
    .await?;
    let mut due: Vec<_> = rows
        .into_iter()
        .map(|r| (NodeId(r.node_id), ShiftNo(r.shift as u32)))
        .collect();
    due.sort();
    Ok(due)
}

/// Notes closed shifts that something happened to.
pub(crate) async fn put_due(
    tx: &mut TenantTx,
    shifts: &[(NodeId, ShiftNo)],
) -> Result<(), DbError> {
    if shifts.is_empty() {
        return Ok(());
    }
    let nodes: Vec<_> = shifts.iter().map(|(node, _)| node.0).collect();
    let numbers: Vec<_> = shifts.iter().map(|(_, no)| no.0 as i32).collect();
    sqlx::query!(
        "INSERT INTO shift_report_due (company_id, node_id, shift)
         SELECT DISTINCT $1::uuid, w.node, w.no FROM UNNEST($2::uuid[], $3::int[]) AS w(node, no)
         ORDER BY w.node, w.no ON CONFLICT DO NOTHING",
        tx.company().0,
        &nodes,
        &numbers
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps two reports of one node from taking the same number.
pub(super) async fn lock_numbers(tx: &mut TenantTx, node: NodeId) -> Result<(), DbError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('mwimule z ' || $1, 0))")
        .bind(node.0.to_string())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn next_z(tx: &mut TenantTx, node: NodeId) -> Result<i64, DbError> {
    let next = sqlx::query_scalar!(
        r#"SELECT coalesce(max(z_no), 0) + 1 AS "next!" FROM shift_report
           WHERE company_id = $1 AND node_id = $2"#,
        tx.company().0,
        node.0
    );
    Ok(next.fetch_one(tx.conn()).await?)
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    report: &ShiftReport,
    (z_no, addendum): (i64, i32),
    now: Instant,
) -> Result<(), DbError> {
    let body = serde_json::to_value(report).map_err(|_| DbError::damaged("a shift's report"))?;
    sqlx::query!(
        "INSERT INTO shift_report (company_id, node_id, shift, addendum, z_no, body, made_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tx.company().0,
        report.node,
        report.shift,
        addendum,
        z_no,
        body,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Events of a node's log, written while a shift was open, that wait for a person: second
/// histories, and what broke a rule.
pub(super) async fn in_question(
    tx: &mut TenantTx,
    node: NodeId,
    shift: ShiftNo,
) -> Result<i64, DbError> {
    let count = sqlx::query_scalar!(
        r#"SELECT (SELECT count(*) FROM fork_event f
                WHERE f.company_id = $1 AND f.node_id = $2
                  AND f.at_ms BETWEEN s.opened_at_ms AND s.closed_at_ms)
             + (SELECT count(*) FROM event_verdict v
                JOIN event e USING (company_id, node_id, incarnation, seq)
                WHERE v.company_id = $1 AND v.node_id = $2
                  AND e.at_ms BETWEEN s.opened_at_ms AND s.closed_at_ms) AS "count!"
           FROM shift s WHERE s.company_id = $1 AND s.node_id = $2 AND s.shift = $3"#,
        tx.company().0,
        node.0,
        shift.0 as i32
    );
    Ok(count.fetch_one(tx.conn()).await?)
}

pub(super) async fn numbered(
    tx: &mut TenantTx,
    node: NodeId,
    shift: ShiftNo,
) -> Result<Vec<NumberedReport>, DbError> {
    let rows = sqlx::query!(
        "SELECT z_no, addendum, body, made_at_ms FROM shift_report
         WHERE company_id = $1 AND node_id = $2 AND shift = $3 ORDER BY addendum",
        tx.company().0,
        node.0,
        shift.0 as i32
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| {
        let report = serde_json::from_value(r.body);
        Ok(NumberedReport {
            z_no: r.z_no,
            addendum: r.addendum,
            made_at: time(r.made_at_ms),
            report: report.map_err(|_| DbError::damaged(format!("Z report {}", r.z_no)))?,
        })
    });
    rows.collect()
}

pub(super) async fn report(
    tx: &mut TenantTx,
    node: NodeId,
    shift: ShiftNo,
) -> Result<Option<ShiftReport>, DbError> {
    let (company, no) = (tx.company().0, shift.0 as i32);
    let row = sqlx::query!(
        r#"SELECT n.name AS "name?", s.agent, s.business_date::text AS "business_date!",
                  s.currency, s.opened_at_ms, s.closed_at_ms, s.float_minor, s.cash_minor,
                  s.declared_minor
           FROM shift s LEFT JOIN node n USING (company_id, node_id)
           WHERE s.company_id = $1 AND s.node_id = $2 AND s.shift = $3"#,
        company,
        node.0,
        no
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let routes = sqlx::query!(
        r#"SELECT t.route_code, count(*) AS "tickets!", sum(k.fare_minor)::bigint AS "amount!",
                  count(*) FILTER (WHERE k.state = 2) AS "disputed!",
                  coalesce(sum(k.fare_minor) FILTER (WHERE k.state = 2), 0)::bigint
                      AS "disputed_amount!"
           FROM ticket k JOIN trip t USING (company_id, trip_id)
           WHERE k.company_id = $1 AND k.issuer_node = $2 AND k.shift = $3
           GROUP BY t.route_code ORDER BY t.route_code"#,
        company,
        node.0,
        no
    )
    .fetch_all(tx.conn())
    .await?;
    let expected = row.float_minor.saturating_add(row.cash_minor);
    let sum = |of: &dyn Fn(usize) -> (i64, i64)| {
        let all = (0..routes.len()).map(of);
        all.fold(TicketSum::default(), |sum, (tickets, amount)| TicketSum {
            tickets: sum.tickets + tickets,
            amount_minor: sum.amount_minor.saturating_add(amount),
        })
    };
    let sold = sum(&|i| (routes[i].tickets, routes[i].amount));
    let disputed = sum(&|i| (routes[i].disputed, routes[i].disputed_amount));
    Ok(Some(ShiftReport {
        node: node.0,
        node_name: row.name.unwrap_or_default(),
        shift: no,
        agent: row.agent,
        business_date: row.business_date,
        currency: row.currency,
        opened_at: time(row.opened_at_ms),
        closed_at: row.closed_at_ms.map(time),
        sold,
        voided: taken_back(tx, node, no, "void").await?,
        refunded: taken_back(tx, node, no, "refund").await?,
        disputed,
        tenders: tenders(tx, node, no).await?,
        routes: routes
            .into_iter()
            .map(|r| RouteSum {
                route: r.route_code,
                tickets: r.tickets,
                amount_minor: r.amount,
            })
            .collect(),
        float_minor: row.float_minor,
        cash_minor: row.cash_minor,
        expected_minor: expected,
        declared_minor: row.declared_minor,
        over_short_minor: row.declared_minor.map(|d| d.saturating_sub(expected)),
    }))
}

/// The shift's tickets that entries of a kind took back.
async fn taken_back(
    tx: &mut TenantTx,
    node: NodeId,
    shift: i32,
    kind: &str,
) -> Result<TicketSum, DbError> {
    let row = sqlx::query!(
        r#"SELECT count(DISTINCT p.ticket_id) AS "tickets!",
                  coalesce(sum(p.amount_minor), 0)::bigint AS "amount!"
           FROM ticket k
           JOIN ledger_posting p ON p.company_id = k.company_id AND p.ticket_id = k.ticket_id
                                AND p.kind = $4 AND p.amount_minor > 0
           WHERE k.company_id = $1 AND k.issuer_node = $2 AND k.shift = $3"#,
        tx.company().0,
        node.0,
        shift,
        kind
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(TicketSum {
        tickets: row.tickets,
        amount_minor: row.amount,
    })
}

async fn tenders(tx: &mut TenantTx, node: NodeId, shift: i32) -> Result<Vec<TenderSum>, DbError> {
    let rows = sqlx::query!(
        r#"WITH sales AS (
               SELECT DISTINCT q.entry_id FROM ticket k
               JOIN ledger_posting q ON q.company_id = k.company_id
                                    AND q.ticket_id = k.ticket_id AND q.kind = 'sale'
               WHERE k.company_id = $1 AND k.issuer_node = $2 AND k.shift = $3)
           SELECT a.kind, sum(p.amount_minor)::bigint AS "amount!"
           FROM sales
           JOIN ledger_posting p ON p.company_id = $1 AND p.entry_id = sales.entry_id
           JOIN ledger_account a USING (company_id, account_id)
           WHERE p.ticket_id IS NULL AND a.kind <> 'suspense'
           GROUP BY a.kind ORDER BY a.kind"#,
        tx.company().0,
        node.0,
        shift
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| TenderSum {
        tender: match r.kind.as_str() {
            "agent_cash" => "cash",
            "mobile_money_clearing" => "mobile_money",
            "card_clearing" => "card",
            _ => "other",
        }
        .to_owned(),
        amount_minor: r.amount,
    });
    Ok(rows.collect())
}
