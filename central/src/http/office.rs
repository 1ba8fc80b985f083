//! What a company's office sees: its own rows, behind its token.

use axum::Json;
use axum::extract::State;
use domain::ids::{NodeId, TripId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::extract::{Asked, cursor, parsed};
use super::problem::Problem;
use crate::access::{Caller, Permission};
use crate::clock;
use crate::reconciliation::{self, LedgerView};
use crate::views::{self, LeaseView, NodeView, Page, TicketView};

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageAsked {
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// Which leases.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LeasesAsked {
    /// Of one trip.
    trip: Option<u64>,
    /// Of one node.
    node: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// Which tickets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TicketsAsked {
    /// Of one trip.
    trip: Option<u64>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// The company's devices: last contact, and what the hub has not got yet.
#[utoipa::path(get, path = "/nodes", tag = "office", params(PageAsked), security(("bearer" = ["nodes:read"])),
    responses((status = 200, body = Page<NodeView>), (status = "default", body = Problem)))]
pub async fn nodes(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<PageAsked>,
) -> Result<Json<Page<NodeView>>, Problem> {
    let company = caller.may(Permission::NodesRead)?.company;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(company).await?;
    let rows = views::nodes(&mut tx, clock::now(), &cursor).await?;
    Ok(Json(Page::cut(rows, cursor.limit, |n| n.node.to_string())))
}

/// The company's leases.
#[utoipa::path(get, path = "/leases", tag = "office", params(LeasesAsked),
    security(("bearer" = ["nodes:read"])),
    responses((status = 200, body = Page<LeaseView>), (status = "default", body = Problem)))]
pub async fn leases(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<LeasesAsked>,
) -> Result<Json<Page<LeaseView>>, Problem> {
    let company = caller.may(Permission::NodesRead)?.company;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let node: Option<NodeId> = parsed(asked.node.as_deref())?;
    let trip = asked.trip.map(TripId);
    let mut tx = api.db.tenant(company).await?;
    let rows = views::leases(&mut tx, trip, node, clock::now(), &cursor).await?;
    Ok(Json(Page::cut(rows, cursor.limit, |l| {
        format!("{}_{}_{}", l.trip, l.node, l.lease_no)
    })))
}

/// The company's tickets with their QR texts.
#[utoipa::path(get, path = "/tickets", tag = "office", params(TicketsAsked),
    security(("bearer" = ["bookings:read"])),
    responses((status = 200, body = Page<TicketView>), (status = "default", body = Problem)))]
pub async fn tickets(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<TicketsAsked>,
) -> Result<Json<Page<TicketView>>, Problem> {
    let company = caller.may(Permission::BookingsRead)?.company;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(company).await?;
    let rows = views::tickets(&mut tx, &api.keys, (asked.trip.map(TripId), None), &cursor).await?;
    Ok(Json(Page::cut(rows, cursor.limit, |t| {
        t.ticket.to_string()
    })))
}

/// The ledger in sums.
#[utoipa::path(get, path = "/reconciliation/ledger", tag = "reconciliation",
    security(("bearer" = ["books:read"])),
    responses((status = 200, body = LedgerView), (status = "default", body = Problem)))]
pub async fn ledger(State(api): State<Api>, caller: Caller) -> Result<Json<LedgerView>, Problem> {
    let company = caller.may(Permission::BooksRead)?.company;
    let mut tx = api.db.tenant(company).await?;
    Ok(Json(reconciliation::ledger(&mut tx).await?))
}
