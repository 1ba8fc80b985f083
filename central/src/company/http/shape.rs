//! The road of a route.

use axum::extract::{DefaultBodyLimit, State};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::rows::known_key;
use crate::access::{Caller, Permission};
use crate::clock;
use crate::company::Route;
use crate::company::records::locked;
use crate::company::shapes::{self, ShapeView, ShapeWish};
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Body, Named};
use crate::http::{Api, Problem};

/// Fifty thousand positions of GeoJSON, in bytes.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show, replace, remove))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// The road along the route's stops. Where it is not known `polyline` is null, and the `ETag` of
/// a route that never had one is `"0"`.
#[utoipa::path(get, path = "/routes/{code}/shape", operation_id = "routes_shape", tag = "company",
    params(("code" = String, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = ShapeView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
) -> Result<Tagged<ShapeView>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (_, route) = locked::<Route>(&mut tx, known_key::<Route>(&code)?).await?;
    let (version, view) = shapes::show(&mut tx, &route).await?;
    Ok(Tagged::ok(version, view))
}

/// Gives the route its road; places that a map would not show are left out. It holds for trips
/// that call at the route's stops as they are, within seconds. Other stops need it again.
#[utoipa::path(put, path = "/routes/{code}/shape", operation_id = "routes_shape_replace",
    tag = "company",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = ShapeWish, security(("bearer" = ["company:write"])),
    responses((status = 200, body = ShapeView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "It is no line, or not by the route's stops in their order."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
    if_match: IfMatch,
    body: Body<ShapeWish>,
) -> Result<Tagged<ShapeView>, Problem> {
    write(&api, caller, &code, &if_match, Some(&body.value)).await
}

/// Takes the road away: buses are followed along straight lines.
#[utoipa::path(delete, path = "/routes/{code}/shape", operation_id = "routes_shape_remove",
    tag = "company",
    params(("code" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    security(("bearer" = ["company:write"])),
    responses((status = 200, body = ShapeView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Named(code): Named<String>,
    if_match: IfMatch,
) -> Result<Tagged<ShapeView>, Problem> {
    write(&api, caller, &code, &if_match, None).await
}

async fn write(
    api: &Api,
    caller: Caller,
    code: &str,
    if_match: &IfMatch,
    wish: Option<&ShapeWish>,
) -> Result<Tagged<ShapeView>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let (_, route) = locked::<Route>(&mut tx, known_key::<Route>(code)?).await?;
    let (version, before) = shapes::show(&mut tx, &route).await?;
    if_match.check(version)?;
    let by = (staff.identity.into(), clock::now());
    let (version, after) = shapes::change(&mut tx, (&route, &before), wish, by).await?;
    tx.commit().await?;
    Ok(Tagged::ok(version, after))
}
