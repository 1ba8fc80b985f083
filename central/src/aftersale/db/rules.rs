//! The rows of a company's rules.

use crate::aftersale::rules::Tier;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// A company's rules without their steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aftersale) struct RuleRow {
    pub(in crate::aftersale) exchange_fee_minor: i64,
    pub(in crate::aftersale) exchange_until_min: i32,
    pub(in crate::aftersale) delay_limit_min: i32,
    pub(in crate::aftersale) no_show_keep_percent: i16,
    pub(in crate::aftersale) self_service: bool,
    pub(in crate::aftersale) correction_max: i16,
    pub(in crate::aftersale) correction_until_min: i32,
    pub(in crate::aftersale) conditions: String,
    pub(in crate::aftersale) version: i32,
}

pub(in crate::aftersale) async fn rule(tx: &mut TenantTx) -> Result<Option<RuleRow>, DbError> {
    let row = sqlx::query_as!(
        RuleRow,
        "SELECT exchange_fee_minor, exchange_until_min, delay_limit_min, no_show_keep_percent,
             self_service, correction_max, correction_until_min, conditions, version
         FROM aftersale_rule WHERE company_id = $1",
        tx.company().0
    );
    Ok(row.fetch_optional(tx.conn()).await?)
}

/// Steps with the route that they are for; of every other route where that is empty.
pub(in crate::aftersale) async fn tiers(tx: &mut TenantTx) -> Result<Vec<(String, Tier)>, DbError> {
    let rows = sqlx::query!(
        "SELECT route_code, hours_before, keep_percent, fee_minor FROM refund_tier
         WHERE company_id = $1 ORDER BY route_code, hours_before DESC",
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    let tier = |hours_before, keep_percent, fee_minor| Tier {
        hours_before,
        keep_percent,
        fee_minor,
    };
    Ok(rows
        .into_iter()
        .map(|r| {
            (
                r.route_code,
                tier(r.hours_before, r.keep_percent, r.fee_minor),
            )
        })
        .collect())
}

/// Writes the rules whole; gives their version.
pub(in crate::aftersale) async fn save_rules(
    tx: &mut TenantTx,
    row: &RuleRow,
    tiers: &[(String, Tier)],
) -> Result<i32, DbError> {
    let company = tx.company().0;
    let version = sqlx::query_scalar!(
        "INSERT INTO aftersale_rule AS r (company_id, exchange_fee_minor, exchange_until_min,
             delay_limit_min, no_show_keep_percent, self_service, conditions, correction_max,
             correction_until_min)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (company_id) DO UPDATE SET exchange_fee_minor = $2, exchange_until_min = $3,
             delay_limit_min = $4, no_show_keep_percent = $5, self_service = $6, conditions = $7,
             correction_max = $8, correction_until_min = $9, version = r.version + 1
         RETURNING version",
        company,
        row.exchange_fee_minor,
        row.exchange_until_min,
        row.delay_limit_min,
        row.no_show_keep_percent,
        row.self_service,
        row.conditions,
        row.correction_max,
        row.correction_until_min
    )
    .fetch_one(tx.conn())
    .await?;
    sqlx::query!("DELETE FROM refund_tier WHERE company_id = $1", company)
        .execute(tx.conn())
        .await?;
    let routes: Vec<String> = tiers.iter().map(|t| t.0.clone()).collect();
    let hours: Vec<i32> = tiers.iter().map(|t| t.1.hours_before).collect();
    let keeps: Vec<i16> = tiers.iter().map(|t| t.1.keep_percent).collect();
    let fees: Vec<i64> = tiers.iter().map(|t| t.1.fee_minor).collect();
    sqlx::query!(
        "INSERT INTO refund_tier (company_id, route_code, hours_before, keep_percent, fee_minor)
         SELECT $1, w.* FROM UNNEST($2::text[], $3::int[], $4::smallint[], $5::bigint[]) AS w",
        company,
        &routes,
        &hours,
        &keeps,
        &fees
    )
    .execute(tx.conn())
    .await?;
    Ok(version)
}
