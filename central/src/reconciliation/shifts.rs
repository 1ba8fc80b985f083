//! Shifts as reports: X while they sell, Z once they are closed, addenda for what came later.

use domain::ids::{NodeId, ShiftNo};
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::shift_rows as rows;
use crate::db::DbError;
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;

/// The most reports that one transaction makes.
const REPORTS_MAX: i64 = 50;

/// One way of paying in a shift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenderSum {
    /// `cash`, `mobile_money`, `card`, or `other`.
    pub tender: String,
    /// Taken by sales.
    pub amount_minor: i64,
}

/// One route in a shift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteSum {
    /// Its code.
    pub route: String,
    /// Tickets sold, those taken back and disputed ones too.
    pub tickets: i64,
    /// Their fares.
    pub amount_minor: i64,
}

/// A number of tickets and their fares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketSum {
    /// How many.
    pub tickets: i64,
    /// Their fares.
    pub amount_minor: i64,
}

/// What a shift sold, took and holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"node": "0197f2a0-0000-7000-8000-000000000001", "node_name": "Lusaka 1",
    "shift": 3, "agent": "Mutinta", "business_date": "2026-11-22", "currency": "ZMW",
    "opened_at": "2026-11-22T05:00:00.000Z", "closed_at": "2026-11-22T15:00:00.000Z",
    "sold": {"tickets": 2, "amount_minor": 30000}, "voided": {"tickets": 0, "amount_minor": 0},
    "refunded": {"tickets": 0, "amount_minor": 0}, "disputed": {"tickets": 0, "amount_minor": 0},
    "tenders": [{"tender": "cash", "amount_minor": 30000}],
    "routes": [{"route": "T1", "tickets": 2, "amount_minor": 30000}],
    "float_minor": 5000, "cash_minor": 30000, "expected_minor": 35000, "declared_minor": 35000,
    "over_short_minor": 0}))]
pub struct ShiftReport {
    /// Where.
    pub node: Uuid,
    /// Its name.
    pub node_name: String,
    /// The shift's number, per node.
    pub shift: i32,
    /// Who sold.
    pub agent: String,
    /// The day it counts to, YYYY-MM-DD.
    pub business_date: String,
    /// ISO 4217.
    pub currency: String,
    /// RFC 3339 UTC.
    pub opened_at: String,
    /// RFC 3339 UTC; absent while it is open.
    pub closed_at: Option<String>,
    /// Every sale, whatever became of it.
    pub sold: TicketSum,
    /// Taken back by the shift.
    pub voided: TicketSum,
    /// Paid back by the office.
    pub refunded: TicketSum,
    /// Sold against a rule; their money stands in suspense until a person decides.
    pub disputed: TicketSum,
    /// How it was paid.
    pub tenders: Vec<TenderSum>,
    /// What was sold.
    pub routes: Vec<RouteSum>,
    /// In the drawer at the start.
    pub float_minor: i64,
    /// Cash taken less returned.
    pub cash_minor: i64,
    /// What the drawer should hold, float included.
    pub expected_minor: i64,
    /// What was counted, float included.
    pub declared_minor: Option<i64>,
    /// Counted less expected.
    pub over_short_minor: Option<i64>,
}

/// A closed shift's report, or what came after it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NumberedReport {
    /// The number of the Z report, per node, without a gap.
    pub z_no: i64,
    /// 0 is the Z report; later ones are addenda.
    pub addendum: i32,
    /// RFC 3339 UTC.
    pub made_at: String,
    /// Everything as it stood then.
    pub report: ShiftReport,
}

/// A shift as it stands now.
pub async fn report(
    tx: &mut TenantTx,
    node: NodeId,
    shift: ShiftNo,
) -> Result<Option<ShiftReport>, DbError> {
    rows::report(tx, node, shift).await
}

/// The Z report of a shift and its addenda, in order. Makes what is due first.
pub async fn numbered(
    tx: &mut TenantTx,
    node: NodeId,
    shift: ShiftNo,
    now: Instant,
) -> Result<Vec<NumberedReport>, DbError> {
    if rows::take_due(tx, Some((node, shift)), 1).await?.is_empty() {
        return rows::numbered(tx, node, shift).await;
    }
    make(tx, node, shift, now).await?;
    rows::numbered(tx, node, shift).await
}

/// Makes the reports that are due; says whether there may be more.
pub async fn make_due(tx: &mut TenantTx, now: Instant) -> Result<bool, DbError> {
    let due = rows::take_due(tx, None, REPORTS_MAX).await?;
    for (node, shift) in &due {
        make(tx, *node, *shift, now).await?;
    }
    Ok(due.len() as i64 == REPORTS_MAX)
}

/// Tells the office of a closed shift whose drawer differs, or whose events wait for a person.
async fn tell_anomaly(
    tx: &mut TenantTx,
    report: &ShiftReport,
    now: Instant,
) -> Result<(), DbError> {
    let difference = report.over_short_minor.unwrap_or_default();
    let shift = ShiftNo(report.shift as u32);
    let in_question = rows::in_question(tx, NodeId(report.node), shift).await?;
    if difference == 0 && in_question == 0 {
        return Ok(());
    }
    let happened = Happened {
        kind: "shift.anomaly",
        subject: &format!("shift:{}:{}", report.node, report.shift),
        body: json!({
            "node": report.node,
            "node_name": report.node_name,
            "shift": report.shift,
            "agent": report.agent,
            "difference_minor": difference,
            "currency": report.currency,
            "in_question": in_question,
        }),
    };
    outbox::put(tx, happened, now).await?;
    Ok(())
}

/// The Z report of a shift that has none; else an addendum, unless nothing is different.
async fn make(
    tx: &mut TenantTx,
    node: NodeId,
    shift: ShiftNo,
    now: Instant,
) -> Result<(), DbError> {
    rows::lock_numbers(tx, node).await?;
    let Some(report) = rows::report(tx, node, shift).await? else {
        return Ok(());
    };
    if report.closed_at.is_none() {
        return Ok(());
    }
    let before = rows::numbered(tx, node, shift).await?;
    if before.is_empty() {
        tell_anomaly(tx, &report, now).await?;
    }
    let (z_no, addendum) = match before.last() {
        None => (rows::next_z(tx, node).await?, 0),
        Some(last) if last.report == report => return Ok(()),
        Some(last) => (last.z_no, last.addendum + 1),
    };
    rows::insert(tx, &report, (z_no, addendum), now).await
}
