//! How a company runs its day.

use axum::extract::State;
use serde_json::json;

use crate::access::{Caller, Permission};
use crate::audit::{self, Change};
use crate::clock;
use crate::company::OfficeError;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::Body;
use crate::http::{Api, Problem};
use crate::operations::Settings;
use crate::operations::db;

/// Driving hours, how far ahead schedules become trips, when a trip departs by itself.
#[utoipa::path(get, path = "/operations/settings", operation_id = "operations_settings_show",
    tag = "operations", security(("bearer" = ["company:read"])),
    responses((status = 200, body = Settings, headers(("ETag" = String, description = "Their version."))),
        (status = "default", body = Problem)))]
pub async fn show(State(api): State<Api>, caller: Caller) -> Result<Tagged<Settings>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, settings) = db::settings(&mut tx).await?;
    Ok(Tagged::ok(version, settings))
}

/// Changes them.
#[utoipa::path(put, path = "/operations/settings", operation_id = "operations_settings_change",
    tag = "operations",
    params(("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = Settings, security(("bearer" = ["company:write"])),
    responses((status = 200, body = Settings, headers(("ETag" = String, description = "Their version."))),
        (status = 412, body = Problem, description = "Changed since they were read."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    if_match: IfMatch,
    body: Body<Settings>,
) -> Result<Tagged<Settings>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let settings = body.value.checked().map_err(OfficeError::from)?;
    let mut tx = api.db.tenant(staff.company).await?;
    // The company's row stands in for a row that may not be there yet.
    db::lock_timetable(&mut tx).await?;
    let (version, before) = db::settings(&mut tx).await?;
    if_match.check(version)?;
    let version = db::put_settings(&mut tx, &settings).await?;
    let change = Change {
        action: "operations.settings",
        subject: "operations",
        before: Some(json!(before)),
        after: Some(json!(settings)),
    };
    audit::note(&mut tx, staff.identity, change, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::ok(version, settings))
}
