//! How a company follows its buses.

use axum::extract::State;
use serde_json::json;

use crate::access::{Caller, Permission};
use crate::audit::{self, Change};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::Body;
use crate::http::{Api, Problem};
use crate::tracking::{Settings, db};

/// From when buses are followed, how long fixes are kept, whether fixes move trips and whether
/// everybody sees vehicles.
#[utoipa::path(get, path = "/tracking/settings", operation_id = "tracking_settings_show",
    tag = "tracking", security(("bearer" = ["company:read"])),
    responses((status = 200, body = Settings, headers(("ETag" = String, description = "Their version."))),
        (status = "default", body = Problem)))]
pub async fn show(State(api): State<Api>, caller: Caller) -> Result<Tagged<Settings>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, settings) = db::settings(&mut tx).await?;
    Ok(Tagged::ok(version, settings))
}

/// Changes them; they count within seconds.
#[utoipa::path(put, path = "/tracking/settings", operation_id = "tracking_settings_change",
    tag = "tracking",
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
    let settings = body.value.checked()?;
    let mut tx = api.db.tenant(staff.company).await?;
    db::lock_company(&mut tx).await?;
    let (version, before) = db::settings(&mut tx).await?;
    if_match.check(version)?;
    let version = db::put_settings(&mut tx, &settings).await?;
    let change = Change {
        action: "tracking.settings",
        subject: "tracking",
        before: Some(json!(before)),
        after: Some(json!(settings)),
    };
    audit::note(&mut tx, staff.identity, change, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::ok(version, settings))
}
