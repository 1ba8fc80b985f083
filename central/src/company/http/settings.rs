//! The company itself.

use axum::extract::State;

use crate::access::{Caller, Permission};
use crate::clock;
use crate::company::settings;
use crate::company::{Settings, SettingsChange};
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::Body;
use crate::http::{Api, Problem};

/// The company: name, zone, currency, how to reach it.
#[utoipa::path(get, path = "/company", operation_id = "company_show", tag = "company",
    security(("bearer" = ["company:read"])),
    responses((status = 200, body = Settings, headers(("ETag" = String, description = "Its version."))),
        (status = "default", body = Problem)))]
pub async fn show(State(api): State<Api>, caller: Caller) -> Result<Tagged<Settings>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (version, settings) = settings::load(&mut tx).await?;
    Ok(Tagged::ok(version, settings))
}

/// Changes the company; what is left out stays. The currency stays once anything has a price.
#[utoipa::path(patch, path = "/company", operation_id = "company_change", tag = "company",
    params(("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = SettingsChange, security(("bearer" = ["company:write"])),
    responses((status = 200, body = Settings, headers(("ETag" = String, description = "Its version."))),
        (status = 409, body = Problem, description = "Another company has the name."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    if_match: IfMatch,
    body: Body<SettingsChange>,
) -> Result<Tagged<Settings>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let before = settings::load(&mut tx).await?;
    if_match.check(before.0)?;
    let by = staff.identity.into();
    let (version, after) = settings::change(&mut tx, before, body.value, by, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::ok(version, after))
}
