//! Links that show a trip to whoever has them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{number, unknown};
use crate::access::{Caller, Permission};
use crate::audit::{self, Change};
use crate::clock;
use crate::company::{self, fresh_uuid};
use crate::http::extract::{Asked, Body, Named, cursor};
use crate::http::{Api, Problem};
use crate::tracking::db::{self, LinkRow};
use crate::tracking::links::Link;
use crate::views::Page;

/// How long after its trip's arrival a link ends by itself, in ms.
const AFTER_ARRIVAL_MS: i64 = 24 * 3_600_000;
/// The longest life of a link, in ms.
const LASTS_MS_MAX: i64 = 90 * 24 * 3_600_000;

/// A wish for a link.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"trip": 4711, "expires_at": "2026-12-01T06:00:00Z"}))]
pub struct LinkAsked {
    /// Which trip.
    trip: u64,
    /// When it ends, RFC 3339, within 90 days; a day after the trip's arrival where none is said.
    expires_at: Option<String>,
}

/// A link.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"link": "0199f3a2-7c1e-7a52-8b1c-0242ac120002", "trip": 4711,
    "token": "track_AZnzonweelKLHAJCrBIAAg", "expires_at": "2026-12-01T06:00:00Z",
    "created_at": "2026-11-23T04:31:07Z"}))]
pub struct LinkView {
    /// Its id.
    link: Uuid,
    /// The trip that it shows.
    trip: u64,
    /// What goes into the address, as `link`. The same each time.
    token: String,
    /// RFC 3339 UTC.
    expires_at: String,
    /// RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    /// RFC 3339 UTC.
    created_at: String,
}

impl LinkView {
    fn of(api: &Api, company: domain::ids::CompanyId, row: &LinkRow) -> Self {
        let link = Link {
            company,
            id: row.id,
            trip: row.trip,
            expires_at: row.expires_at,
        };
        Self {
            link: row.id,
            trip: row.trip.0,
            token: link.token(&api.keys.link_key()),
            expires_at: row.expires_at.to_string(),
            revoked_at: row.revoked_at.map(|at| at.to_string()),
            created_at: row.created_at.to_string(),
        }
    }
}

/// Whose links.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LinksAsked {
    /// The trip.
    #[param(example = 4711)]
    trip: u64,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The links of a trip.
#[utoipa::path(get, path = "/tracking/links", operation_id = "tracking_links_list",
    tag = "tracking", params(LinksAsked), security(("bearer" = ["trips:operate"])),
    responses((status = 200, body = Page<LinkView>),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<LinksAsked>,
) -> Result<Json<Page<LinkView>>, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let trip = number(asked.trip)?;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let from = (cursor.part(0, Uuid::nil()), cursor.fetch());
    let rows = db::links(&mut tx, trip, from).await?;
    let page = Page::cut(rows, cursor.limit, |row| row.id.to_string());
    Ok(Json(Page {
        items: page
            .items
            .iter()
            .map(|row| LinkView::of(&api, staff.company, row))
            .collect(),
        next: page.next,
    }))
}

/// Makes a link that shows where a trip's bus is, to whoever has it, until it ends or is revoked.
#[utoipa::path(post, path = "/tracking/links", operation_id = "tracking_links_create",
    tag = "tracking", request_body = LinkAsked, security(("bearer" = ["trips:operate"])),
    responses((status = 201, body = LinkView),
        (status = 404, body = Problem, description = "No such trip."),
        (status = 422, body = Problem, description = "A member is wrong."),
        (status = "default", body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: Body<LinkAsked>,
) -> Result<(StatusCode, Json<LinkView>), Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let trip = number(body.value.trip)?;
    if company::company_of_trip(&api.db, trip).await? != Some(staff.company) {
        return Err(unknown(trip));
    }
    let now = clock::now();
    let facts = api.tracking.facts(trip).await?;
    let facts = facts.ok_or_else(|| unknown(trip))?;
    let expires_at = if let Some(text) = &body.value.expires_at {
        let at: jiff::Timestamp = text
            .parse()
            .map_err(|_| Problem::unprocessable("`expires_at` is no RFC 3339 moment"))?;
        Instant(at.as_millisecond())
    } else {
        let last = facts.stops.last().map_or(now, |stop| stop.arrives);
        last.plus_ms(facts.delay_ms.max(0) + AFTER_ARRIVAL_MS)
            .min(now.plus_ms(LASTS_MS_MAX))
    };
    if expires_at <= now || expires_at > now.plus_ms(LASTS_MS_MAX) {
        let detail = "`expires_at` has to be to come, within 90 days";
        return Err(Problem::unprocessable(detail));
    }
    let row = LinkRow {
        id: fresh_uuid(now).map_err(|_| Problem::unavailable())?,
        trip,
        expires_at,
        revoked_at: None,
        created_at: now,
    };
    let mut tx = api.db.tenant(staff.company).await?;
    db::insert_link(&mut tx, &row, staff.identity.id()).await?;
    let change = Change {
        action: "tracking_link.create",
        subject: &format!("tracking_link:{}", row.id),
        before: None,
        after: Some(json!({"trip": trip.0, "expires_at": expires_at.to_string()})),
    };
    audit::note(&mut tx, staff.identity, change, now).await?;
    tx.commit().await?;
    let view = LinkView::of(&api, staff.company, &row);
    Ok((StatusCode::CREATED, Json(view)))
}

/// Revokes a link: within seconds it shows nothing more. Again changes nothing.
#[utoipa::path(delete, path = "/tracking/links/{link}", operation_id = "tracking_links_revoke",
    tag = "tracking", params(("link" = Uuid, Path)), security(("bearer" = ["trips:operate"])),
    responses((status = 204, description = "It shows nothing more."),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Named(link): Named<Uuid>,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::TripsOperate)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    if !db::revoke_link(&mut tx, link, now).await? {
        return Err(Problem::not_found(format!("there is no link {link}")));
    }
    let change = Change {
        action: "tracking_link.revoke",
        subject: &format!("tracking_link:{link}"),
        before: None,
        after: None,
    };
    audit::note(&mut tx, staff.identity, change, now).await?;
    tx.commit().await?;
    api.tracking.link_changed(link);
    Ok(StatusCode::NO_CONTENT)
}
