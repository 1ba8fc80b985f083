//! Where a trip's bus is, once.

use axum::Json;
use axum::extract::State;

use super::{not_followed, number, unknown};
use crate::access::Caller;
use crate::clock;
use crate::http::extract::{Asked, Named};
use crate::http::{Api, Problem};
use crate::tracking::access::{Sight, may_see};
use crate::tracking::db;
use crate::tracking::view::PositionView;

/// Where a trip's bus is, how old that is, its stops as they were seen, and when it reaches those
/// ahead. For who has a ticket of the trip or a link, and for the company's people.
#[utoipa::path(get, path = "/trips/{trip}/positions", operation_id = "tracking_positions",
    tag = "tracking", params(("trip" = u64, Path), Sight),
    security((), ("bearer" = ["company:read"])),
    responses((status = 200, body = PositionView),
        (status = 404, body = Problem, description = "No such trip, or nothing that opens it."),
        (status = 409, body = Problem, description = "`not-followed`: it does not board yet, or is over."),
        (status = 429, body = Problem, description = "Asked or guessed too often."),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    Asked(sight): Asked<Sight>,
) -> Result<Json<PositionView>, Problem> {
    let trip = number(trip)?;
    let (company, _) = may_see(&api, &caller, trip, &sight).await?;
    let standing = api.tracking.standing(trip).await?;
    let (facts, track, _) = standing.ok_or_else(|| unknown(trip))?;
    let now = clock::now();
    if !facts.is_on_trip(now) {
        return Err(not_followed(&facts));
    }
    // What may be forgotten is left out where it is.
    let trail = api.tracking.0.live.trail(trip).await.unwrap_or_default();
    let mut tx = api.db.tenant(company).await?;
    let seen = db::calls(&mut tx, trip).await?;
    let view = PositionView::whole(&facts, &track, &seen, &trail, now);
    Ok(Json(view))
}
