//! Seat layouts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::access::{Caller, Permission};
use crate::clock;
use crate::company::layouts::{self, drawn};
use crate::company::{LayoutView, LayoutWish, OfficeError, VersionView, db};
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named};
use crate::http::list::{KeyPage, filter, is_plain};
use crate::http::{Api, Problem};
use crate::views::Page;

/// Which layouts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAsked {
    /// The id has this in it.
    q: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// A layout to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "COACH-49",
    "draw": {"generate": {"rows": 12, "left": 2, "right": 2, "back_row": 5}}}))]
pub struct NewLayout {
    /// Its id, 1 to 64 characters.
    #[schema(max_length = 64)]
    id: String,
    /// How its seats stand.
    draw: LayoutWish,
}

/// Every version of a layout.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(example = json!({"items": [{"id": "COACH-49", "version": 1, "seat_count": 49, "decks": 1}]}))]
pub struct Versions {
    /// The newest first.
    items: Vec<VersionView>,
}

fn in_list(stored: &layouts::Stored) -> VersionView {
    VersionView {
        id: stored.layout.id.clone(),
        version: stored.layout.version.0,
        seat_count: stored.layout.seat_count(),
        decks: stored.deck_rows.len() + 1,
    }
}

fn tag(stored: &layouts::Stored) -> i32 {
    stored.layout.version.0 as i32
}

fn plain(id: &str) -> Result<&str, OfficeError> {
    let clean = || id.chars().filter(|c| !c.is_control()).collect::<String>();
    is_plain(id)
        .then_some(id)
        .ok_or_else(|| layouts::unknown(&clean()))
}

/// The newest version of each of the company's seat layouts.
#[utoipa::path(get, path = "/layouts", operation_id = "layouts_list", tag = "company",
    params(ListAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Page<VersionView>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
) -> Result<Json<Page<VersionView>>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let page = KeyPage::new(asked.after, asked.limit)?;
    let text = filter("q", asked.q)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let stored =
        db::layouts::newest_of_all(&mut tx, text.as_deref(), &page.after, page.fetch()).await?;
    let rows = stored.iter().map(in_list).collect();
    Ok(Json(Page::cut(rows, page.limit, |v: &VersionView| {
        v.id.clone()
    })))
}

/// The newest version of a layout as a drawing; the version is the `ETag`.
#[utoipa::path(get, path = "/layouts/{id}", operation_id = "layouts_show", tag = "company",
    params(("id" = String, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = LayoutView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Tagged<LayoutView>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let stored = layouts::newest(&mut tx, plain(&id)?).await?;
    Ok(Tagged::ok(tag(&stored), drawn(&stored)))
}

/// Every version that a layout has had, the newest first.
#[utoipa::path(get, path = "/layouts/{id}/versions", operation_id = "layouts_versions",
    tag = "company", params(("id" = String, Path)), security(("bearer" = ["company:read"])),
    responses((status = 200, body = Versions), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn versions(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<String>,
) -> Result<Json<Versions>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let stored = db::layouts::versions(&mut tx, plain(&id)?).await?;
    if stored.is_empty() {
        return Err(layouts::unknown(&id).into());
    }
    let items = stored.iter().map(in_list).collect();
    Ok(Json(Versions { items }))
}

/// One version of a layout as a drawing. It never changes.
#[utoipa::path(get, path = "/layouts/{id}/versions/{version}", operation_id = "layouts_version",
    tag = "company", params(("id" = String, Path), ("version" = u16, Path)),
    security(("bearer" = ["company:read"])),
    responses((status = 200, body = LayoutView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn version(
    State(api): State<Api>,
    caller: Caller,
    Named((id, version)): Named<(String, u16)>,
) -> Result<Json<LayoutView>, Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let stored = db::layouts::version(&mut tx, plain(&id)?, Some(version)).await?;
    let stored = stored.ok_or_else(|| layouts::unknown(&format!("{id} version {version}")))?;
    Ok(Json(drawn(&stored)))
}

/// Draws a layout, or has it drawn; it begins with version 1.
#[utoipa::path(post, path = "/layouts", operation_id = "layouts_create", tag = "company",
    request_body = NewLayout, security(("bearer" = ["company:write"])),
    responses((status = 201, body = LayoutView, headers(("ETag" = String, description = "Its version."))),
        (status = 409, body = Problem, description = "It is there already."),
        (status = 422, body = Problem, description = "It cannot be drawn."),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<NewLayout>,
) -> Result<Tagged<LayoutView>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let wish = body.value;
    let mut tx = api.db.tenant(staff.company).await?;
    let by = staff.identity.into();
    let stored = layouts::create(&mut tx, &wish.id, &wish.draw, by, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::created(tag(&stored), drawn(&stored)))
}

/// Draws the next version of a layout. Trips that are there keep theirs; the same drawing again
/// makes no version.
#[utoipa::path(put, path = "/layouts/{id}", operation_id = "layouts_redraw", tag = "company",
    params(("id" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    request_body = LayoutWish, security(("bearer" = ["company:write"])),
    responses((status = 200, body = LayoutView, headers(("ETag" = String, description = "Its version."))),
        (status = 404, body = Problem),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 422, body = Problem, description = "It cannot be drawn."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn redraw(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<String>,
    if_match: IfMatch,
    body: Body<LayoutWish>,
) -> Result<Tagged<LayoutView>, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let before = layouts::locked(&mut tx, plain(&id)?).await?;
    if_match.check(tag(&before))?;
    let by = staff.identity.into();
    let stored = layouts::redraw(&mut tx, before, &body.value, by, clock::now()).await?;
    tx.commit().await?;
    Ok(Tagged::ok(tag(&stored), drawn(&stored)))
}

/// Takes a layout away with all its versions.
#[utoipa::path(delete, path = "/layouts/{id}", operation_id = "layouts_remove", tag = "company",
    params(("id" = String, Path), ("If-Match" = String, Header, description = "The `ETag` read.")),
    security(("bearer" = ["company:write"])),
    responses((status = 204, description = "It is gone."), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "Needed by routes, buses or trips."),
        (status = 412, body = Problem, description = "Changed since it was read."),
        (status = 428, body = Problem, description = "`If-Match` is missing."),
        (status = "default", body = Problem)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<String>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::CompanyWrite)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let stored = layouts::locked(&mut tx, plain(&id)?).await?;
    if_match.check(tag(&stored))?;
    layouts::remove(&mut tx, &stored, staff.identity.into(), clock::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
