//! The sums, made by the database.

use super::{AccountSum, LedgerView, ShiftView};
use crate::db::DbError;
use crate::tenant::TenantTx;
use crate::views::{Cursor, time};

/// Shifts from a cursor of (node, shift) on.
pub async fn shifts(tx: &mut TenantTx, cursor: &Cursor) -> Result<Vec<ShiftView>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT c.name AS company, s.node_id, n.name AS "node_name?", s.shift, s.agent,
                  s.business_date::text AS "business_date!", s.currency, s.opened_at_ms,
                  s.closed_at_ms, s.float_minor, s.cash_minor, s.declared_minor, s.expected_minor,
                  COALESCE(k.sold, 0) AS "sold!", COALESCE(k.void, 0) AS "void!",
                  COALESCE(k.disputed, 0) AS "disputed!",
                  (SELECT count(*) FROM event_verdict v
                   WHERE v.company_id = s.company_id AND v.node_id = s.node_id) AS "quarantined!",
                  (SELECT count(*) FROM conflict_case f
                   WHERE f.company_id = s.company_id AND f.node_id = s.node_id
                     AND f.closed_at_ms IS NULL) AS "conflicts!"
           FROM shift s
           JOIN company c USING (company_id)
           LEFT JOIN node n USING (company_id, node_id)
           LEFT JOIN (SELECT issuer_node, shift, count(*) AS sold,
                             count(*) FILTER (WHERE state = 1) AS void,
                             count(*) FILTER (WHERE state = 2) AS disputed
                      FROM ticket WHERE company_id = $1 AND issuer_node IS NOT NULL
                      GROUP BY issuer_node, shift) k
                  ON k.issuer_node = s.node_id AND k.shift = s.shift
           WHERE s.company_id = $1 AND (s.node_id, s.shift) > ($2, $3)
           ORDER BY s.node_id, s.shift LIMIT $4"#,
        tx.company().0,
        cursor.part(0, uuid::Uuid::nil()),
        cursor.part(1, 0_i32),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| {
            let expected = r.float_minor + r.cash_minor;
            ShiftView {
                company: r.company,
                node: r.node_id,
                node_name: r.node_name.unwrap_or_default(),
                shift: r.shift,
                agent: r.agent,
                business_date: r.business_date,
                currency: r.currency,
                opened_at: time(r.opened_at_ms),
                closed_at: r.closed_at_ms.map(time),
                float_minor: r.float_minor,
                cash_minor: r.cash_minor,
                expected_minor: expected,
                declared_minor: r.declared_minor,
                difference_minor: r.declared_minor.map(|declared| declared - expected),
                expected_by_node_minor: r.expected_minor,
                tickets_sold: r.sold,
                tickets_void: r.void,
                tickets_disputed: r.disputed,
                node_quarantined: r.quarantined,
                node_conflicts: r.conflicts,
            }
        })
        .collect())
}

/// The ledger in sums, all read from one snapshot.
pub async fn ledger(tx: &mut TenantTx) -> Result<LedgerView, DbError> {
    let company = tx.company().0;
    let totals = sqlx::query!(
        r#"SELECT c.name,
                  (SELECT COALESCE(sum(amount_minor), 0)::bigint FROM ledger_posting
                   WHERE company_id = $1) AS "sum!",
                  (SELECT count(*) FROM ledger_entry WHERE company_id = $1) AS "entries!",
                  (SELECT count(*) FROM ledger_entry WHERE company_id = $1 AND kind = 'sale')
                      AS "sales!",
                  (SELECT count(*) FROM ledger_posting
                   WHERE company_id = $1 AND kind = 'sale' AND ticket_id IS NOT NULL)
                      AS "tickets!"
           FROM company c WHERE c.company_id = $1"#,
        company
    )
    .fetch_one(tx.conn())
    .await?;
    let accounts = sqlx::query!(
        r#"SELECT a.kind, a.currency, sum(p.amount_minor)::bigint AS "balance!"
           FROM ledger_account a JOIN ledger_posting p USING (company_id, account_id)
           WHERE a.company_id = $1 GROUP BY a.kind, a.currency ORDER BY a.kind, a.currency"#,
        company
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(LedgerView {
        company: totals.name,
        ledger_sum_minor: totals.sum,
        entries: totals.entries,
        sale_entries: totals.sales,
        tickets_in_ledger: totals.tickets,
        accounts: accounts
            .into_iter()
            .map(|r| AccountSum {
                kind: r.kind,
                currency: r.currency,
                balance_minor: r.balance,
            })
            .collect(),
    })
}
