//! The rows of settlements.

use domain::ids::PartyId;
use domain::time::Instant;
use uuid::Uuid;

use super::views::{Category, Missing, SettlementLine, SettlementRow, SettlementView};
use super::{Wish, missing_minor};
use crate::access::Staff;
use crate::db::DbError;
use crate::reconciliation::standing::estimate;
use crate::tenant::TenantTx;
use crate::views::Cursor;

/// What a company earns and spends.
const OF_COMPANY: [&str; 4] = [
    "revenue",
    "commission_expense",
    "provider_fees",
    "cash_over_short",
];
/// What a party is owed.
const OF_PARTY: [&str; 1] = ["commission_payable"];

pub(super) async fn party_exists(tx: &mut TenantTx, party: PartyId) -> Result<bool, DbError> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ledger_party WHERE company_id = $1 AND party_id = $2)
           AS "known!""#,
        tx.company().0,
        party.0
    );
    Ok(known.fetch_one(tx.conn()).await?)
}

/// Devices that told of more than the hub has.
pub(super) async fn missing(tx: &mut TenantTx) -> Result<Vec<Missing>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT n.node_id, n.name, coalesce(l.stored_seq, 0) AS "stored!",
                  n.told_last_seq - coalesce(l.stored_seq, 0) AS "events!",
                  (SELECT coalesce(sum(k.fare_minor), 0)::bigint FROM ticket k
                   WHERE k.company_id = n.company_id AND k.issuer_node = n.node_id) AS "sold!"
           FROM node n
           LEFT JOIN LATERAL (
               SELECT stored_seq FROM node_log
               WHERE company_id = n.company_id AND node_id = n.node_id
               ORDER BY incarnation DESC LIMIT 1) AS l ON true
           WHERE n.company_id = $1 AND n.told_last_seq > coalesce(l.stored_seq, 0)
           ORDER BY n.node_id"#,
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| Missing {
        node: r.node_id,
        name: r.name,
        events: r.events,
        estimate_minor: estimate(r.sold, r.stored, r.events),
    });
    Ok(rows.collect())
}

fn to_json(missing: &[Missing]) -> serde_json::Value {
    serde_json::to_value(missing).unwrap_or_default()
}

const fn kind_of(wish: &Wish) -> &'static str {
    if wish.party.is_some() {
        "party"
    } else {
        "company"
    }
}

pub(super) async fn insert(
    tx: &mut TenantTx,
    wish: &Wish,
    missing: &[Missing],
    now: Instant,
) -> Result<Uuid, DbError> {
    let id = sqlx::query_scalar!(
        "INSERT INTO settlement (company_id, settlement_id, kind, party_id, from_date, to_date,
             currency, state, net_minor, missing, created_at_ms)
         VALUES ($1, gen_random_uuid(), $2, $3, $4::text::date, $5::text::date, $6, 'draft', 0,
             $7, $8)
         RETURNING settlement_id",
        tx.company().0,
        kind_of(wish),
        wish.party.map(|p| p.0),
        wish.span.0.to_string(),
        wish.span.1.to_string(),
        wish.currency.as_str(),
        to_json(missing),
        now.0
    );
    Ok(id.fetch_one(tx.conn()).await?)
}

/// Takes every posting of the days that is free; gives how many.
pub(super) async fn take_lines(tx: &mut TenantTx, id: Uuid, wish: &Wish) -> Result<u64, DbError> {
    let kinds: &[&str] = if wish.party.is_some() {
        &OF_PARTY
    } else {
        &OF_COMPANY
    };
    let kind = kind_of(wish);
    let taken = sqlx::query!(
        "INSERT INTO settlement_line (company_id, settlement_id, kind, entry_id, line, category,
             amount_minor)
         SELECT $1, $2, $3, p.entry_id, p.line, a.kind, -p.amount_minor
         FROM ledger_account a
         JOIN ledger_posting p USING (company_id, account_id)
         JOIN ledger_entry e USING (company_id, entry_id)
         WHERE a.company_id = $1 AND a.kind = ANY($4) AND a.currency = $5
           AND a.party_id IS NOT DISTINCT FROM $6
           AND e.posting_date BETWEEN $7::text::date AND $8::text::date
           AND e.kind <> 'settlement'
           AND NOT EXISTS (SELECT FROM settlement_line s
                           WHERE s.company_id = $1 AND s.kind = $3
                             AND s.entry_id = p.entry_id AND s.line = p.line)",
        tx.company().0,
        id,
        kind,
        kinds as _,
        wish.currency.as_str(),
        wish.party.map(|p| p.0),
        wish.span.0.to_string(),
        wish.span.1.to_string()
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE settlement SET net_minor = (
             SELECT coalesce(sum(amount_minor), 0)::bigint FROM settlement_line
             WHERE company_id = $1 AND settlement_id = $2)
         WHERE company_id = $1 AND settlement_id = $2",
        tx.company().0,
        id
    )
    .execute(tx.conn())
    .await?;
    Ok(taken.rows_affected())
}

pub(super) async fn lock(tx: &mut TenantTx, id: Uuid) -> Result<(), DbError> {
    sqlx::query("SELECT FROM settlement WHERE company_id = $1 AND settlement_id = $2 FOR UPDATE")
        .bind(tx.company().0)
        .bind(id)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn one(tx: &mut TenantTx, id: Uuid) -> Result<Option<SettlementView>, DbError> {
    let row = sqlx::query!(
        r#"SELECT s.settlement_no, s.kind, s.party_id, q.name AS "party_name?",
                  s.from_date::text AS "from!", s.to_date::text AS "to!", s.currency, s.state,
                  s.net_minor, s.missing, s.proposed_by, s.signed_by, s.paid_reference,
                  s.paid_entry, s.version
           FROM settlement s
           LEFT JOIN ledger_party q ON q.company_id = s.company_id AND q.party_id = s.party_id
           WHERE s.company_id = $1 AND s.settlement_id = $2"#,
        tx.company().0,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(r) = row else { return Ok(None) };
    let categories = sqlx::query_as!(
        Category,
        r#"SELECT category, count(*) AS "lines!", sum(amount_minor)::bigint AS "amount_minor!"
           FROM settlement_line WHERE company_id = $1 AND settlement_id = $2
           GROUP BY category ORDER BY category"#,
        tx.company().0,
        id
    );
    let categories = categories.fetch_all(tx.conn()).await?;
    let missing: Vec<Missing> = serde_json::from_value(r.missing)
        .map_err(|_| DbError::damaged(format!("settlement {id}")))?;
    Ok(Some(SettlementView {
        settlement: id,
        number: r.settlement_no,
        kind: r.kind,
        party: r.party_id,
        party_name: r.party_name,
        from: r.from,
        to: r.to,
        currency: r.currency,
        state: r.state,
        net_minor: r.net_minor,
        categories,
        provisional: !missing.is_empty(),
        missing_minor: missing_minor(&missing),
        missing,
        proposed_by: r.proposed_by,
        signed_by: r.signed_by,
        paid_reference: r.paid_reference,
        paid_entry: r.paid_entry,
        version: r.version,
    }))
}

pub(super) async fn delete(tx: &mut TenantTx, id: Uuid) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM settlement WHERE company_id = $1 AND settlement_id = $2 AND state = 'draft'",
        tx.company().0,
        id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn proposed(
    tx: &mut TenantTx,
    staff: Staff,
    id: Uuid,
    missing: &[Missing],
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE settlement SET state = 'proposed', proposed_kind = $3, proposed_by = $4,
             missing = $5, version = version + 1
         WHERE company_id = $1 AND settlement_id = $2",
        tx.company().0,
        id,
        staff.identity.kind(),
        staff.identity.id(),
        to_json(missing)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn signed(
    tx: &mut TenantTx,
    staff: Staff,
    id: Uuid,
    missing: &[Missing],
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE settlement SET state = 'signed_off', signed_kind = $3, signed_by = $4,
             missing = $5, signed_at_ms = $6, version = version + 1
         WHERE company_id = $1 AND settlement_id = $2",
        tx.company().0,
        id,
        staff.identity.kind(),
        staff.identity.id(),
        to_json(missing),
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn paid(
    tx: &mut TenantTx,
    id: Uuid,
    reference: &str,
    entry: Option<Uuid>,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE settlement SET state = 'paid', paid_reference = $3, paid_entry = $4,
             version = version + 1
         WHERE company_id = $1 AND settlement_id = $2",
        tx.company().0,
        id,
        reference,
        entry
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn list(
    tx: &mut TenantTx,
    state: Option<&str>,
    cursor: &Cursor,
) -> Result<Vec<SettlementRow>, DbError> {
    let rows = sqlx::query_as!(
        SettlementRow,
        r#"SELECT s.settlement_no AS number, s.settlement_id AS settlement, s.kind,
                  s.party_id AS party, q.name AS "party_name?", s.from_date::text AS "from!",
                  s.to_date::text AS "to!", s.currency, s.state, s.net_minor
           FROM settlement s
           LEFT JOIN ledger_party q ON q.company_id = s.company_id AND q.party_id = s.party_id
           WHERE s.company_id = $1 AND s.settlement_no > $2
             AND ($3::text IS NULL OR s.state = $3)
           ORDER BY s.settlement_no LIMIT $4"#,
        tx.company().0,
        cursor.part(0, 0_i64),
        state,
        cursor.fetch()
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

pub(super) async fn lines(
    tx: &mut TenantTx,
    id: Uuid,
    cursor: &Cursor,
) -> Result<Vec<SettlementLine>, DbError> {
    let rows = sqlx::query_as!(
        SettlementLine,
        r#"SELECT l.entry_id AS entry, l.line, e.kind, l.category,
                  e.business_date::text AS "business_date!",
                  e.posting_date::text AS "posting_date!", l.amount_minor
           FROM settlement_line l JOIN ledger_entry e USING (company_id, entry_id)
           WHERE l.company_id = $1 AND l.settlement_id = $2 AND (l.entry_id, l.line) > ($3, $4)
           ORDER BY l.entry_id, l.line LIMIT $5"#,
        tx.company().0,
        id,
        cursor.part(0, Uuid::nil()),
        cursor.part(1, -1_i16),
        cursor.fetch()
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

pub(super) async fn company_name(tx: &mut TenantTx) -> Result<String, DbError> {
    let company = tx.company().0;
    let name = sqlx::query_scalar!("SELECT name FROM company WHERE company_id = $1", company);
    Ok(name.fetch_one(tx.conn()).await?)
}
