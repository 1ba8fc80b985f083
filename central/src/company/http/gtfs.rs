//! The network as a GTFS feed.

use axum::extract::State;
use axum::http::{HeaderName, header};
use domain::time::{ServiceDate, Zone};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::access::{Caller, Permission};
use crate::clock;
use crate::company;
use crate::gtfs::{DAYS_MAX, DEFAULT_DAYS, export};
use crate::http::extract::{Asked, parsed};
use crate::http::{Api, Problem};

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedAsked {
    /// The first service day, `YYYY-MM-DD`; today in the company's zone when left out.
    from: Option<String>,
    /// How many service days, 1 to 400; 14 when left out.
    days: Option<u16>,
}

/// The company's network and the trips of some days as a GTFS feed: stops, routes, trips, times,
/// calendar, fares, and files of our own that bring it back as it is.
#[utoipa::path(get, path = "/gtfs.zip", operation_id = "gtfs_export", tag = "company",
    params(FeedAsked), security(("bearer" = ["company:read"])),
    responses((status = 200, content_type = "application/zip", body = Vec<u8>,
            description = "A zip file."),
        (status = 400, body = Problem, description = "Not such days."),
        (status = "default", body = Problem)))]
pub async fn export(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<FeedAsked>,
) -> Result<([(HeaderName, &'static str); 2], Vec<u8>), Problem> {
    let staff = caller.may(Permission::CompanyRead)?;
    let days = asked.days.unwrap_or(DEFAULT_DAYS);
    let beyond = || Problem::bad_request(format!("`days` has to be 1 to {DAYS_MAX}"));
    if days == 0 || days > DAYS_MAX {
        return Err(beyond());
    }
    let from = if let Some(day) = parsed::<ServiceDate>(asked.from.as_deref())? {
        day
    } else {
        let (zone, _): (Zone, _) = company::zone_and_currency(&api.db, staff.company).await?;
        clock::now().local_date(&zone).ok_or_else(beyond)?
    };
    let mut tx = api.db.tenant(staff.company).await?;
    let network = company::network(&mut tx, from, days).await?;
    tx.rollback().await?;
    // Grouping and packing a large network takes a while that others need not wait.
    let zip = tokio::task::spawn_blocking(move || export::zipped(&export::files(&network)))
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(Problem::unavailable)?;
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"gtfs.zip\"",
        ),
    ];
    Ok((headers, zip))
}
