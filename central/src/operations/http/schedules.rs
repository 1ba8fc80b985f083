//! Weekly rules, and making trips of them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::time::ServiceDate;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::access::{Caller, Permission};
use crate::clock;
use crate::company::records::{self, Record};
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::list::{KeyPage, filter, is_plain};
use crate::http::{Api, Problem};
use crate::operations::Schedule;
use crate::operations::expand::{self as expansion, Expanded};
use crate::operations::schedules::ScheduleFilter;
use crate::views::Page;

/// The most days that one request expands.
const DAYS_MAX: i16 = 120;

/// Which rules.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SchedulesAsked {
    /// Of one route.
    route: Option<String>,
    /// Whether they make trips.
    active: Option<bool>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's weekly rules.
#[utoipa::path(get, path = "/schedules", operation_id = "schedules_list", tag = "operations",
    params(SchedulesAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<Schedule>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<SchedulesAsked>,
) -> Result<Json<Page<Schedule>>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let page = KeyPage::new(asked.after, asked.limit)?;
    let wanted = ScheduleFilter {
        route: filter("route", asked.route)?,
        active: asked.active,
    };
    let mut tx = api.db.tenant(staff.company).await?;
    let rows = Schedule::list(&mut tx, &wanted, &page.after, page.fetch()).await?;
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Json(Page::cut(rows, page.limit, Schedule::key)))
}

fn known(code: &str) -> Result<&str, Problem> {
    if is_plain(code) {
        Ok(code)
    } else {
        Err(Problem::not_found("there is no schedule of that code"))
    }
}

/// One rule; its version is the `ETag`.
#[utoipa::path(get, path = "/schedules/{code}", operation_id = "schedules_show",
    tag = "operations", params(("code" = String, Path)),
    security(("bearer" = ["company:read"])),
    responses((status = 200, body = Schedule, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
) -> Result<Tagged<Schedule>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, row) = records::locked::<Schedule>(&mut tx, known(&code)?).await?;
    Ok(Tagged::ok(version, row))
}

/// Makes a rule. Its trips come with the next expansion.
#[utoipa::path(post, path = "/schedules", operation_id = "schedules_create", tag = "operations",
    request_body = Schedule, security(("bearer" = ["company:write"])),
    responses((status = 201, body = Schedule, headers(("ETag" = String, description = "Its version."))),
        (status = 409, body = Problem, description = "It is there already."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<Schedule>,
) -> Result<Tagged<Schedule>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let by = staff.identity.into();
    let row = records::create(&mut tx, body.value, by, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::created(1, row))
}

/// Writes over a rule. Unsold trips follow with the next expansion; sold ones stay.
#[utoipa::path(put, path = "/schedules/{code}", operation_id = "schedules_replace",
    tag = "operations",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = Schedule, security(("bearer" = ["company:write"])),
    responses((status = 200, body = Schedule, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
    if_match: IfMatch,
    body: Body<Schedule>,
) -> Result<Tagged<Schedule>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let before = records::locked::<Schedule>(&mut tx, known(&code)?).await?;
    if_match.check(before.0)?;
    let by = staff.identity.into();
    let (version, row) = records::replace(&mut tx, before, body.value, by, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::ok(version, row))
}

/// Takes a rule away. Its unsold trips are withdrawn by the next expansion.
#[utoipa::path(delete, path = "/schedules/{code}", operation_id = "schedules_remove",
    tag = "operations",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    security(("bearer" = ["company:write"])),
    responses((status = 204, description = "It is gone."), (status = 404, body = Problem),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, row) = records::locked::<Schedule>(&mut tx, known(&code)?).await?;
    if_match.check(version)?;
    records::remove(&mut tx, &row, staff.identity.into(), clock::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// For which days.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "2026-12-01", "days": 31}))]
pub struct ExpandAsked {
    /// The first service day, YYYY-MM-DD; absent for today in the company's zone.
    #[serde(default)]
    #[schema(max_length = 10)]
    from: Option<String>,
    /// How many days; absent for as many as the company is set to.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 120)]
    days: Option<i16>,
}

/// Makes trips of the rules: new ones are made, unsold ones follow their changed rule, unsold ones
/// that no rule wants are withdrawn, sold ones stay and are named. The same again changes nothing.
#[utoipa::path(post, path = "/schedules/expand", operation_id = "schedules_expand",
    tag = "operations", request_body = ExpandAsked, security(("bearer" = ["company:write"])),
    responses((status = 200, body = Expanded),
        (status = 422, body = Problem, description = "No such day, or too many."),
        (status = "default", body = Problem)))]
pub async fn expand(
    State(api): State<Api>,
    caller: Caller,
    body: Body<ExpandAsked>,
) -> Result<Json<Expanded>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let asked = body.value;
    let from: Option<ServiceDate> = asked
        .from
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| Problem::unprocessable("`from` has to be a date like 2026-12-01"))?;
    if asked
        .days
        .is_some_and(|days| !(1..=DAYS_MAX).contains(&days))
    {
        let detail = format!("`days` has to be 1 to {DAYS_MAX}");
        return Err(Problem::unprocessable(detail));
    }
    let by = staff.identity.into();
    let (db, company) = (&api.db, staff.company);
    let done = expansion::expand(db, company, from, asked.days, by, clock::now()).await?;
    Ok(Json(done))
}
