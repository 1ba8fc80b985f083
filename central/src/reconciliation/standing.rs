//! What stands open, per node and agent: what has not come, what came late, what broke a rule.

use domain::ids::NodeId;
use domain::time::Instant;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;
use crate::views::{Cursor, time};

/// A day, in ms.
const DAY_MS: i64 = 86_400_000;

/// How a node's log and drawers stand.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeStanding {
    /// Which.
    pub node: Uuid,
    /// Its name.
    pub name: String,
    /// Its latest installation.
    pub incarnation: i32,
    /// The last position it told of.
    pub told_seq: i64,
    /// The last position stored without a gap.
    pub stored_seq: i64,
    /// Events it told of that have not come.
    pub unsynced_events: i64,
    /// What they may be worth, by its average so far, in minor units of the company's currency.
    pub unsynced_estimate_minor: i64,
    /// How long it has been away, in ms; absent before the first contact.
    pub away_ms: Option<i64>,
    /// Stored and not judged.
    pub unjudged_events: i64,
    /// Second histories of a position.
    pub forked_events: i64,
    /// Events that broke a rule.
    pub quarantined_events: i64,
    /// Cases that wait for a person.
    pub open_cases: i64,
    /// Its log forked: it gets no new rights.
    pub frozen: bool,
    /// Shifts that are open.
    pub open_shifts: i64,
    /// What its closed shifts should have held, floats included.
    pub expected_minor: i64,
    /// What was counted, floats included.
    pub declared_minor: i64,
    /// Counted less expected.
    pub over_short_minor: i64,
}

/// How an agent's shifts stand.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AgentStanding {
    /// As signed in.
    pub agent: String,
    /// ISO 4217.
    pub currency: String,
    /// Shifts of any state.
    pub shifts: i64,
    /// Of these, open.
    pub open_shifts: i64,
    /// What the closed ones should have held, floats included.
    pub expected_minor: i64,
    /// What was counted, floats included.
    pub declared_minor: i64,
    /// Counted less expected.
    pub over_short_minor: i64,
}

/// An entry that was posted days after the day it counts to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LateArrival {
    /// The entry.
    pub entry: Uuid,
    /// Why it was made.
    pub kind: String,
    /// The counter whose drawer it moved.
    pub node: Option<Uuid>,
    /// Its shift.
    pub shift: Option<i32>,
    /// The day it counts to.
    pub business_date: String,
    /// The day whose period it is in.
    pub posting_date: String,
    /// RFC 3339 UTC.
    pub posted_at: String,
    /// The same, for the cursor.
    #[serde(skip)]
    #[schema(ignore)]
    pub posted_at_ms: i64,
    /// Whole days between the two.
    pub days_late: i32,
    /// What moved, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// An event that broke a rule.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Violation {
    /// Whose.
    pub node: Uuid,
    /// Which installation.
    pub incarnation: i32,
    /// At which position.
    pub seq: i64,
    /// As `lease_closed` or `forked`.
    pub reason: String,
    /// In words.
    pub detail: Option<String>,
    /// By the node's clock, RFC 3339 UTC.
    pub at: String,
    /// When it came, RFC 3339 UTC.
    pub received_at: String,
}

/// Every node of the company.
pub async fn nodes(
    tx: &mut TenantTx,
    now: Instant,
    cursor: &Cursor,
) -> Result<Vec<NodeStanding>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT n.node_id, n.name, n.told_last_seq, n.last_contact_ms, n.frozen,
                  coalesce(l.incarnation, n.highest_incarnation) AS "incarnation!",
                  coalesce(l.stored_seq, 0) AS "stored!", coalesce(l.judged_seq, 0) AS "judged!",
                  k.sold AS "sold!", f.forked AS "forked!", v.broken AS "broken!",
                  c.open AS "cases!", s.open AS "open!", s.expected AS "expected!",
                  s.declared AS "declared!"
           FROM node n
           LEFT JOIN LATERAL (
               SELECT incarnation, stored_seq, judged_seq FROM node_log
               WHERE company_id = n.company_id AND node_id = n.node_id
               ORDER BY incarnation DESC LIMIT 1) AS l ON true
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(fare_minor), 0)::bigint AS sold FROM ticket
               WHERE company_id = n.company_id AND issuer_node = n.node_id) AS k
           CROSS JOIN LATERAL (
               SELECT count(*) AS forked FROM fork_event
               WHERE company_id = n.company_id AND node_id = n.node_id) AS f
           CROSS JOIN LATERAL (
               SELECT count(*) AS broken FROM event_verdict
               WHERE company_id = n.company_id AND node_id = n.node_id) AS v
           CROSS JOIN LATERAL (
               SELECT count(*) AS open FROM conflict_case
               WHERE company_id = n.company_id AND node_id = n.node_id AND state = 'open') AS c
           CROSS JOIN LATERAL (
               SELECT count(*) FILTER (WHERE closed_at_ms IS NULL) AS open,
                      coalesce(sum(float_minor + cash_minor)
                          FILTER (WHERE closed_at_ms IS NOT NULL), 0)::bigint AS expected,
                      coalesce(sum(declared_minor), 0)::bigint AS declared
               FROM shift WHERE company_id = n.company_id AND node_id = n.node_id) AS s
           WHERE n.company_id = $1 AND n.node_id > $2 ORDER BY n.node_id LIMIT $3"#,
        tx.company().0,
        cursor.part(0, Uuid::nil()),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| {
        let missing = (r.told_last_seq - r.stored).max(0);
        NodeStanding {
            node: r.node_id,
            name: r.name,
            incarnation: r.incarnation,
            told_seq: r.told_last_seq,
            stored_seq: r.stored,
            unsynced_events: missing,
            unsynced_estimate_minor: estimate(r.sold, r.stored, missing),
            away_ms: r.last_contact_ms.map(|at| (now.0 - at).max(0)),
            unjudged_events: r.stored - r.judged,
            forked_events: r.forked,
            quarantined_events: r.broken,
            open_cases: r.cases,
            frozen: r.frozen,
            open_shifts: r.open,
            expected_minor: r.expected,
            declared_minor: r.declared,
            over_short_minor: r.declared.saturating_sub(r.expected),
        }
    });
    Ok(rows.collect())
}

/// What `missing` events are worth when they are like the `stored` ones.
pub(super) fn estimate(sold_minor: i64, stored: i64, missing: i64) -> i64 {
    if stored <= 0 {
        return 0;
    }
    let all = i128::from(sold_minor) * i128::from(missing) / i128::from(stored);
    i64::try_from(all).unwrap_or(i64::MAX)
}

/// Every agent that ever opened a shift.
pub async fn agents(tx: &mut TenantTx, cursor: &Cursor) -> Result<Vec<AgentStanding>, DbError> {
    let rows = sqlx::query_as!(
        AgentStanding,
        r#"SELECT agent, currency, count(*) AS "shifts!",
                  count(*) FILTER (WHERE closed_at_ms IS NULL) AS "open_shifts!",
                  coalesce(sum(float_minor + cash_minor)
                      FILTER (WHERE closed_at_ms IS NOT NULL), 0)::bigint AS "expected_minor!",
                  coalesce(sum(declared_minor), 0)::bigint AS "declared_minor!",
                  coalesce(sum(declared_minor - float_minor - cash_minor), 0)::bigint
                      AS "over_short_minor!"
           FROM shift WHERE company_id = $1
           GROUP BY agent, currency
           ORDER BY agent, currency OFFSET $2 LIMIT $3"#,
        tx.company().0,
        cursor.part(0, 0_i64).max(0),
        cursor.fetch()
    );
    Ok(rows.fetch_all(tx.conn()).await?)
}

/// Entries posted `days` or more after the day they count to, oldest first.
pub async fn late_arrivals(
    tx: &mut TenantTx,
    days: i32,
    since: Instant,
    cursor: &Cursor,
) -> Result<Vec<LateArrival>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT e.entry_id, e.kind, e.currency, e.business_date::text AS "business_date!",
                  e.posting_date::text AS "posting_date!", e.posted_at_ms, d.late AS "late!",
                  m.amount AS "amount!", m.node_id AS "node_id?", m.shift AS "shift?"
           FROM ledger_entry e
           JOIN company c USING (company_id)
           CROSS JOIN LATERAL (SELECT (to_timestamp(e.posted_at_ms / 1000.0)
               AT TIME ZONE c.zone)::date - e.business_date AS late) AS d
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(p.amount_minor) FILTER (WHERE p.amount_minor > 0), 0)::bigint
                          AS amount,
                      (array_agg(a.node_id) FILTER (WHERE a.kind = 'agent_cash'))[1] AS node_id,
                      (array_agg(a.shift) FILTER (WHERE a.kind = 'agent_cash'))[1] AS shift
               FROM ledger_posting p JOIN ledger_account a USING (company_id, account_id)
               WHERE p.company_id = e.company_id AND p.entry_id = e.entry_id) AS m
           WHERE e.company_id = $1 AND e.posted_at_ms >= $2 AND d.late >= $3
             AND (e.posted_at_ms, e.entry_id) > ($4, $5)
           ORDER BY e.posted_at_ms, e.entry_id LIMIT $6"#,
        tx.company().0,
        since.0,
        days,
        cursor.part(0, i64::MIN),
        cursor.part(1, Uuid::nil()),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| LateArrival {
        entry: r.entry_id,
        kind: r.kind,
        node: r.node_id,
        shift: r.shift,
        business_date: r.business_date,
        posting_date: r.posting_date,
        posted_at: time(r.posted_at_ms),
        posted_at_ms: r.posted_at_ms,
        days_late: r.late,
        amount_minor: r.amount,
        currency: r.currency,
    });
    Ok(rows.collect())
}

/// How far back late arrivals are looked for when nothing is said.
pub fn a_quarter_before(now: Instant) -> Instant {
    now.plus_ms(-92 * DAY_MS)
}

/// Events that broke a rule, by node and position.
pub async fn violations(
    tx: &mut TenantTx,
    reason: Option<&str>,
    node: Option<NodeId>,
    cursor: &Cursor,
) -> Result<Vec<Violation>, DbError> {
    let rows = sqlx::query!(
        "SELECT v.node_id, v.incarnation, v.seq, v.reason, v.detail, e.at_ms, e.received_at_ms
         FROM event_verdict v JOIN event e USING (company_id, node_id, incarnation, seq)
         WHERE v.company_id = $1 AND ($2::text IS NULL OR v.reason = $2)
           AND ($3::uuid IS NULL OR v.node_id = $3)
           AND (v.node_id, v.incarnation, v.seq) > ($4, $5, $6)
         ORDER BY v.node_id, v.incarnation, v.seq LIMIT $7",
        tx.company().0,
        reason,
        node.map(|n| n.0),
        cursor.part(0, Uuid::nil()),
        cursor.part(1, 0_i32),
        cursor.part(2, 0_i64),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| Violation {
        node: r.node_id,
        incarnation: r.incarnation,
        seq: r.seq,
        reason: r.reason,
        detail: r.detail,
        at: time(r.at_ms),
        received_at: time(r.received_at_ms),
    });
    Ok(rows.collect())
}

/// Second histories of positions, by node and position.
pub async fn forks(tx: &mut TenantTx, cursor: &Cursor) -> Result<Vec<Violation>, DbError> {
    let rows = sqlx::query!(
        "SELECT node_id, incarnation, seq, at_ms, received_at_ms FROM fork_event
         WHERE company_id = $1 AND (node_id, incarnation, seq) > ($2, $3, $4)
         ORDER BY node_id, incarnation, seq, hash LIMIT $5",
        tx.company().0,
        cursor.part(0, Uuid::nil()),
        cursor.part(1, 0_i32),
        cursor.part(2, 0_i64),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|r| Violation {
        node: r.node_id,
        incarnation: r.incarnation,
        seq: r.seq,
        reason: "forked".to_owned(),
        detail: None,
        at: time(r.at_ms),
        received_at: time(r.received_at_ms),
    });
    Ok(rows.collect())
}
