//! The routes: files for who may see the booking.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::sheet::Size;
use super::{DocumentError, Papers, Printed, calendar, load, qr, sheet};
use crate::access::Caller;
use crate::booking::contact;
use crate::booking::http::{Proof, locate};
use crate::http::extract::{Asked, Named};
use crate::http::{Api, Problem};

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(tickets))
        .routes(routes!(ticket))
        .routes(routes!(entry))
}

impl From<DocumentError> for Problem {
    fn from(error: DocumentError) -> Self {
        tracing::error!(%error, "a document failed");
        Self::unavailable()
    }
}

/// Which paper.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PaperAsked {
    /// A page per ticket.
    A6,
    /// Four tickets a page, or one with the conditions.
    A4,
}

/// Which file of all tickets, and proof that they are the asker's.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SheetAsked {
    /// `a6` unless told.
    paper: Option<PaperAsked>,
    /// The phone number given at the booking.
    #[param(example = "+260970000001")]
    phone: Option<String>,
    /// The name given at the booking.
    name: Option<String>,
}

/// Which file of one ticket, and proof that it is the asker's.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TicketAsked {
    /// Of a picture: whether it says beneath which ticket it is; it does unless told.
    text: Option<bool>,
    /// The phone number given at the booking.
    #[param(example = "+260970000001")]
    phone: Option<String>,
    /// The name given at the booking.
    name: Option<String>,
}

async fn papers(
    api: &Api,
    caller: &Caller,
    reference: &str,
    proof: &Proof,
) -> Result<Papers, Problem> {
    let (company, booking) = locate(api, caller, reference, proof).await?;
    let mut tx = api.db.tenant(company).await?;
    let name_of = |no, sealed: &[u8]| {
        let passenger = contact::open_passenger(&api.vault, company, (booking, no), sealed);
        passenger.ok()?.name
    };
    let papers = load(&mut tx, &api.keys, booking, name_of).await?;
    let papers = papers.ok_or_else(|| Problem::not_found("there is no such booking"))?;
    if papers.tickets.is_empty() {
        let detail = "this booking has no tickets: it is not paid, or was cancelled";
        return Err(Problem::conflict("no-tickets", "No tickets", detail));
    }
    Ok(papers)
}

fn file(kind: &'static str, name: &str, bytes: Vec<u8>) -> Result<Response<Body>, Problem> {
    Response::builder()
        .header(header::CONTENT_TYPE, kind)
        .header(
            header::CONTENT_DISPOSITION,
            format!("inline; filename=\"{name}\""),
        )
        .header(header::CACHE_CONTROL, "private, no-store")
        .body(Body::from(bytes))
        .map_err(|_| Problem::unavailable())
}

/// All tickets of a booking to print or keep: A6, a page each; or A4, up to four a page, a single
/// one with the conditions.
#[utoipa::path(get, path = "/bookings/{reference}/tickets.pdf", tag = "documents",
    security((), ("bearer" = ["bookings:read"])),
    params(("reference" = String, Path, example = "7F3K-22QX"), SheetAsked),
    responses((status = 200, content_type = "application/pdf", body = [u8]),
        (status = 404, body = Problem, description = "no such booking, or a wrong proof"),
        (status = 409, body = Problem, description = "`no-tickets`"),
        (status = "default", body = Problem)))]
pub async fn tickets(
    State(api): State<Api>,
    caller: Caller,
    Named(reference): Named<String>,
    Asked(asked): Asked<SheetAsked>,
) -> Result<Response<Body>, Problem> {
    let proof = Proof {
        phone: asked.phone,
        name: asked.name,
    };
    let papers = papers(&api, &caller, &reference, &proof).await?;
    let size = match asked.paper {
        Some(PaperAsked::A4) => Size::A4,
        Some(PaperAsked::A6) | None => Size::A6,
    };
    let name = format!("tickets-{}.pdf", papers.reference);
    // Drawing takes milliseconds a page, and a group has many.
    let drawn = tokio::task::spawn_blocking(move || sheet::pdf(&papers, size)).await;
    let bytes = drawn.map_err(|_| Problem::unavailable())??;
    file("application/pdf", &name, bytes)
}

fn wanted(file: &str) -> Option<(Uuid, &str)> {
    let (ticket, kind) = file.rsplit_once('.')?;
    Some((ticket.parse().ok()?, kind))
}

/// One ticket's code: `TICKET.png` is a picture, `TICKET.txt` the text inside it.
#[utoipa::path(get, path = "/bookings/{reference}/tickets/{file}", tag = "documents",
    security((), ("bearer" = ["bookings:read"])),
    params(("reference" = String, Path, example = "7F3K-22QX"),
        ("file" = String, Path, description = "the ticket's number and `.png` or `.txt`",
            example = "0192a5b0-7c00-7000-8000-000000000001.png"), TicketAsked),
    responses((status = 200, description = "the file",
            content(([u8] = "image/png"), (String = "text/plain"))),
        (status = 404, body = Problem, description = "no such booking or ticket, or a wrong proof"),
        (status = 409, body = Problem, description = "`no-tickets`"),
        (status = "default", body = Problem)))]
pub async fn ticket(
    State(api): State<Api>,
    caller: Caller,
    Named((reference, wish)): Named<(String, String)>,
    Asked(asked): Asked<TicketAsked>,
) -> Result<Response<Body>, Problem> {
    let proof = Proof {
        phone: asked.phone,
        name: asked.name,
    };
    let papers = papers(&api, &caller, &reference, &proof).await?;
    let missing =
        || Problem::not_found("this booking has no such ticket: ask for TICKET.png or TICKET.txt");
    let (id, kind) = wanted(&wish).ok_or_else(missing)?;
    let mut tickets = papers.tickets.iter();
    let found: Option<&Printed> = tickets.find(|t| t.ticket.claim.id.0 == id);
    let printed = found.ok_or_else(missing)?;
    match kind {
        "png" => {
            let bytes = qr::png(printed, &papers.reference, asked.text.unwrap_or(true))?;
            file("image/png", &format!("{id}.png"), bytes)
        }
        "txt" => {
            let text = printed.ticket.to_qr().into_bytes();
            file("text/plain; charset=utf-8", &format!("{id}.txt"), text)
        }
        _ => Err(missing()),
    }
}

/// The journeys of a booking for a calendar.
#[utoipa::path(get, path = "/bookings/{reference}/calendar.ics", tag = "documents",
    security((), ("bearer" = ["bookings:read"])),
    params(("reference" = String, Path, example = "7F3K-22QX"), Proof),
    responses((status = 200, content_type = "text/calendar", body = String,
            example = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"),
        (status = 404, body = Problem, description = "no such booking, or a wrong proof"),
        (status = 409, body = Problem, description = "`no-tickets`"),
        (status = "default", body = Problem)))]
pub async fn entry(
    State(api): State<Api>,
    caller: Caller,
    Named(reference): Named<String>,
    Asked(proof): Asked<Proof>,
) -> Result<Response<Body>, Problem> {
    let papers = papers(&api, &caller, &reference, &proof).await?;
    let name = format!("booking-{}.ics", papers.reference);
    let text = calendar::ics(&papers).into_bytes();
    file("text/calendar; charset=utf-8", &name, text)
}
