//! Trips and their seats: public.

use axum::Json;
use axum::extract::State;
use domain::ids::{CompanyId, TripId};
use domain::time::ServiceDate;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::extract::{Asked, Named, cursor, parsed};
use super::problem::Problem;
use crate::access::{Caller, Permission};
use crate::company;
use crate::views::{self, Page, SeatsView, TripView};

/// Which trips.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TripsAsked {
    /// Service date, YYYY-MM-DD.
    date: Option<String>,
    /// Code of the stop to board at.
    from: Option<String>,
    /// Code of the stop to leave at.
    to: Option<String>,
    /// Name of one company.
    company: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// Trips of all companies, or of one, by departure.
#[utoipa::path(get, path = "/trips", tag = "trips", params(TripsAsked),
    responses((status = 200, body = Page<TripView>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    Asked(asked): Asked<TripsAsked>,
) -> Result<Json<Page<TripView>>, Problem> {
    let date: Option<ServiceDate> = parsed(asked.date.as_deref())?;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let companies = match &asked.company {
        None => views::all_companies(&api.db).await?,
        Some(name) => company::find_by_name(&api.db, name)
            .await?
            .into_iter()
            .collect(),
    };
    let mut rows = vec![];
    for company in companies {
        let mut tx = api.db.tenant(company).await?;
        let (from, to) = (asked.from.as_deref(), asked.to.as_deref());
        rows.extend(views::trips(&mut tx, date, from, to, &cursor).await?);
    }
    rows.sort_by_key(|(departs_at_ms, trip)| (*departs_at_ms, trip.trip));
    let page = Page::cut(rows, cursor.limit, |(ms, trip)| {
        format!("{ms}_{}", trip.trip)
    });
    Ok(Json(Page {
        items: page.items.into_iter().map(|(_, trip)| trip).collect(),
        next: page.next,
    }))
}

pub(super) async fn company_of(api: &Api, trip: u64) -> Result<CompanyId, Problem> {
    company::company_of_trip(&api.db, TripId(trip))
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no trip {trip}")))
}

/// One trip with its fares.
#[utoipa::path(get, path = "/trips/{trip}", tag = "trips", params(("trip" = u64, Path)),
    responses((status = 200, body = TripView), (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    Named(trip): Named<u64>,
) -> Result<Json<TripView>, Problem> {
    let mut tx = api.db.tenant(company_of(&api, trip).await?).await?;
    let view = views::trip(&mut tx, TripId(trip)).await?;
    let gone = || Problem::not_found(format!("there is no trip {trip}"));
    view.map(Json).ok_or_else(gone)
}

/// The seats of a trip, leg by leg. With the company's token it names the owners.
#[utoipa::path(get, path = "/trips/{trip}/seats", tag = "trips", params(("trip" = u64, Path)),
    security((), ("bearer" = ["nodes:read"])),
    responses((status = 200, body = SeatsView), (status = "default", body = Problem)))]
pub async fn seats(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
) -> Result<Json<SeatsView>, Problem> {
    let company = company_of(&api, trip).await?;
    let show_owners = caller.may_in(Permission::NodesRead, company);
    let mut tx = api.db.tenant(company).await?;
    let view = views::seats(&mut tx, TripId(trip), show_owners).await?;
    let gone = || Problem::not_found(format!("there is no trip {trip}"));
    view.map(Json).ok_or_else(gone)
}
