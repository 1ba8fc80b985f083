//! What a company promises once tickets are sold.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::access::{Caller, Permission};
use crate::aftersale::db::{self, RuleRow};
use crate::aftersale::rules::{DEFAULT_CONDITIONS, Rules, Tier};
use crate::audit::{self, Change};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::Body;
use crate::http::{Api, Problem};
use crate::tenant::TenantTx;

/// The most steps of one company.
const TIERS_MAX: usize = 500;
/// The longest conditions, in characters.
const CONDITIONS_MAX: usize = 4_000;
/// The largest amount of a fee, in minor units.
const FEE_MAX: i64 = 1_000_000_000;

/// One step of what is kept of a refund.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierView {
    /// A route's code; null for every route without steps of its own.
    route: Option<String>,
    /// Asked for at least so many hours before departure, 0 to 8760.
    hours_before: i32,
    /// Per cent of the price, 0 to 100.
    keep_percent: i16,
    /// On top, per seat, in minor units of the company's currency.
    #[serde(default)]
    fee_minor: i64,
}

/// A company's rules.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tiers": [{"route": null, "hours_before": 24, "keep_percent": 10,
    "fee_minor": 0}, {"route": null, "hours_before": 2, "keep_percent": 50, "fee_minor": 0}],
    "exchange_fee_minor": 1000, "exchange_until_min": 60, "delay_limit_min": 120,
    "no_show_keep_percent": 100, "self_service": true, "correction_max": 2,
    "correction_until_min": 0, "conditions": "Be there 15 minutes before."}))]
pub struct RulesView {
    /// Below all of them nothing goes back.
    tiers: Vec<TierView>,
    /// Per seat, in minor units of the company's currency.
    exchange_fee_minor: i64,
    /// No exchange later than so many minutes before departure.
    exchange_until_min: i32,
    /// A longer delay, in minutes, refunds everything.
    delay_limit_min: i32,
    /// Per cent kept of who did not come.
    no_show_keep_percent: i16,
    /// Whether passengers may cancel, exchange and correct names by themselves.
    self_service: bool,
    /// How often they may correct the name of one seat, 0 to 20; 2 where it is left out.
    #[serde(default = "correction_max")]
    correction_max: i16,
    /// And no later than so many minutes before departure; 0 where it is left out.
    #[serde(default)]
    correction_until_min: i32,
    /// Printed on tickets.
    conditions: String,
}

fn correction_max() -> i16 {
    Rules::default().correction_max
}

async fn current(tx: &mut TenantTx) -> Result<(i32, RulesView), Problem> {
    let Some(row) = db::rule(tx).await? else {
        let rules = Rules::default();
        let tier = |t: Tier| view(String::new(), t);
        return Ok((
            0,
            RulesView {
                tiers: rules.tiers.into_iter().map(tier).collect(),
                exchange_fee_minor: rules.exchange_fee_minor,
                exchange_until_min: rules.exchange_until_min,
                delay_limit_min: rules.delay_limit_min,
                no_show_keep_percent: rules.no_show_keep_percent,
                self_service: rules.self_service,
                correction_max: rules.correction_max,
                correction_until_min: rules.correction_until_min,
                conditions: DEFAULT_CONDITIONS.to_owned(),
            },
        ));
    };
    let tiers = db::tiers(tx).await?;
    Ok((
        row.version,
        RulesView {
            tiers: tiers.into_iter().map(|(route, t)| view(route, t)).collect(),
            exchange_fee_minor: row.exchange_fee_minor,
            exchange_until_min: row.exchange_until_min,
            delay_limit_min: row.delay_limit_min,
            no_show_keep_percent: row.no_show_keep_percent,
            self_service: row.self_service,
            correction_max: row.correction_max,
            correction_until_min: row.correction_until_min,
            conditions: row.conditions,
        },
    ))
}

fn view(route: String, tier: Tier) -> TierView {
    TierView {
        route: Some(route).filter(|r| !r.is_empty()),
        hours_before: tier.hours_before,
        keep_percent: tier.keep_percent,
        fee_minor: tier.fee_minor,
    }
}

fn checked(asked: &RulesView) -> Result<Vec<(String, Tier)>, Problem> {
    let wrong = |detail: &str| Err(Problem::unprocessable(detail));
    if asked.tiers.len() > TIERS_MAX {
        return wrong("there are at most 500 tiers");
    }
    let fee = 0..=FEE_MAX;
    if !fee.contains(&asked.exchange_fee_minor) {
        return wrong("`exchange_fee_minor` has to be 0 to 1000000000");
    }
    if !(0..=525_600).contains(&asked.exchange_until_min) {
        return wrong("`exchange_until_min` has to be 0 to 525600");
    }
    if !(1..=525_600).contains(&asked.delay_limit_min) {
        return wrong("`delay_limit_min` has to be 1 to 525600");
    }
    if !(0..=100).contains(&asked.no_show_keep_percent) {
        return wrong("`no_show_keep_percent` has to be 0 to 100");
    }
    let corrections = (0..=20).contains(&asked.correction_max);
    if !corrections || !(0..=525_600).contains(&asked.correction_until_min) {
        return wrong("`correction_max` has to be 0 to 20, `correction_until_min` 0 to 525600");
    }
    if asked.conditions.chars().count() > CONDITIONS_MAX || asked.conditions.contains('\0') {
        return wrong("`conditions` have at most 4000 characters and no NUL");
    }
    let mut tiers: Vec<(String, Tier)> = vec![];
    for t in &asked.tiers {
        let route = t.route.clone().unwrap_or_default();
        let known = tiers
            .iter()
            .any(|(r, k)| *r == route && k.hours_before == t.hours_before);
        if known || route.len() > 100 || route.contains('\0') {
            return wrong("each tier's route and hours_before are named once");
        }
        let fits = (0..=8760).contains(&t.hours_before)
            && (0..=100).contains(&t.keep_percent)
            && fee.contains(&t.fee_minor);
        if !fits {
            return wrong(
                "a tier has hours_before 0 to 8760, keep_percent 0 to 100, fee_minor 0 to 1000000000",
            );
        }
        let tier = Tier {
            hours_before: t.hours_before,
            keep_percent: t.keep_percent,
            fee_minor: t.fee_minor,
        };
        tiers.push((route, tier));
    }
    Ok(tiers)
}

/// What the company promises: refunds by time, exchange, delay, no-shows. Its own or, until it
/// sets some (version 0), the hub's defaults.
#[utoipa::path(get, path = "/aftersale/rules", tag = "aftersale",
    security(("bearer" = ["company:read"])),
    responses((status = 200, body = RulesView, headers(("ETag" = String))),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(State(api): State<Api>, caller: Caller) -> Result<Tagged<RulesView>, Problem> {
    let company = caller.may(Permission::CompanyRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    let (version, rules) = current(&mut tx).await?;
    Ok(Tagged::ok(version, rules))
}

/// Replaces what the company promises. Offers made before keep what they said.
#[utoipa::path(put, path = "/aftersale/rules", tag = "aftersale",
    security(("bearer" = ["fares:write"])), request_body = RulesView,
    params(("If-Match" = String, Header, description = "the ETag that was read")),
    responses((status = 200, body = RulesView, headers(("ETag" = String))),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 412, body = Problem), (status = 428, body = Problem),
        (status = 422, body = Problem), (status = "default", body = Problem)))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    if_match: IfMatch,
    body: Body<RulesView>,
) -> Result<Tagged<RulesView>, Problem> {
    let staff = caller.may(Permission::FaresWrite)?;
    let asked = body.value;
    let tiers = checked(&asked)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, before) = current(&mut tx).await?;
    if_match.check(version)?;
    let row = RuleRow {
        exchange_fee_minor: asked.exchange_fee_minor,
        exchange_until_min: asked.exchange_until_min,
        delay_limit_min: asked.delay_limit_min,
        no_show_keep_percent: asked.no_show_keep_percent,
        self_service: asked.self_service,
        correction_max: asked.correction_max,
        correction_until_min: asked.correction_until_min,
        conditions: asked.conditions.clone(),
        version,
    };
    let now = clock::now();
    let saved = db::save_rules(&mut tx, &row, &tiers).await?;
    if saved != version + 1 {
        // Somebody else was faster between the look and the write.
        return Err(if_match
            .check(saved)
            .err()
            .unwrap_or_else(Problem::in_flight));
    }
    let change = Change {
        action: "aftersale_rules.update",
        subject: "aftersale_rules",
        before: Some(json!(before)),
        after: Some(json!(asked)),
    };
    audit::note(&mut tx, staff.identity, change, now).await?;
    let (version, rules) = current(&mut tx).await?;
    tx.commit().await?;
    Ok(Tagged::ok(version, rules))
}
