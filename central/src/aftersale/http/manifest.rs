//! Who travels: for screens, sheets and the gate.

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{Response, header};
use domain::ids::{CompanyId, SeatNo, StopSeq, TripId};
use domain::passenger::PassengerClass;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{Caller, Permission, Staff};
use crate::aftersale::db::ManifestRow;
use crate::aftersale::manifest::{self, Manifest};
use crate::booking::contact;
use crate::clock;
use crate::documents::pdf::{Paper, Pdf, Sheet, Weight};
use crate::http::extract::{Body, Named};
use crate::http::{Api, Problem};

/// The most tickets marked at once.
const MARKS_MAX: usize = 500;
/// Rows of a printed page.
const ROWS_A_PAGE: usize = 42;

/// A seat of the manifest.
#[derive(Debug, Serialize, ToSchema)]
pub struct ManifestRowView {
    /// The seat's number.
    seat: i32,
    /// What is painted on it.
    seat_label: String,
    /// Code of the stop where the passenger boards.
    from_stop: String,
    /// Code of the stop where the passenger leaves.
    to_stop: String,
    /// Who travels, where it is known.
    name: Option<String>,
    /// `adult`, `child`, `infant` or `prm`.
    class: &'static str,
    /// The ticket.
    ticket: Uuid,
    /// The booking's reference, of the hub's own sales.
    reference: Option<String>,
    /// A party that travels as one.
    group: Option<String>,
    /// Who sold it: `hub`, or the node's name.
    sold_by: String,
    /// `expected`, `boarded` or `no_show`.
    state: &'static str,
    /// Whether another ticket claims the seat too.
    disputed: bool,
    /// Pieces of luggage and other extras.
    luggage: i64,
}

/// A trip's manifest.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"trip": 12, "route": "R1", "headsign": "Livingstone",
    "departs_at": "2026-11-23T08:00:00Z", "seats": 56, "expected": 1, "boarded": 0, "no_shows": 0,
    "passengers": [{"seat": 7, "seat_label": "2C", "from_stop": "LUN", "to_stop": "LVI", "name":
    "Mutale Banda", "class": "adult", "ticket": "0192a5b0-7c00-7000-8000-000000000002",
    "reference": "7F3K-22QX", "group": null, "sold_by": "hub", "state": "expected",
    "disputed": false, "luggage": 1}]}))]
pub struct ManifestView {
    /// The trip's number.
    trip: u64,
    /// The route's short name.
    route: String,
    /// Where the bus says it goes.
    headsign: String,
    /// RFC 3339 UTC.
    departs_at: String,
    /// Seats of the bus.
    seats: u16,
    /// Passengers who have not come yet.
    expected: usize,
    /// Passengers on board.
    boarded: usize,
    /// Passengers who did not come.
    no_shows: usize,
    /// By seat.
    passengers: Vec<ManifestRowView>,
}

impl ManifestView {
    fn new(api: &Api, company: CompanyId, m: &Manifest) -> Self {
        let code = |seq: i32| {
            let stop = u8::try_from(seq).ok().and_then(|s| m.trip.stop(StopSeq(s)));
            stop.map(|s| s.code.0.clone()).unwrap_or_default()
        };
        let mut rows = Vec::with_capacity(m.rows.len());
        for r in &m.rows {
            let seat = SeatNo(r.seat as u16);
            let class = u8::try_from(r.class)
                .ok()
                .and_then(PassengerClass::from_code);
            rows.push(ManifestRowView {
                seat: r.seat,
                seat_label: m
                    .layout
                    .as_ref()
                    .map_or_else(|| seat.to_string(), |l| l.label(seat)),
                from_stop: code(r.from),
                to_stop: code(r.to),
                name: name_of(api, company, r),
                class: class.map_or("", PassengerClass::as_str),
                ticket: r.ticket,
                reference: r.reference.clone(),
                group: r.group_name.clone(),
                sold_by: r.issuer.clone().unwrap_or_else(|| "hub".to_owned()),
                state: match r.mark.as_deref() {
                    Some("boarded") => "boarded",
                    Some("no_show") => "no_show",
                    _ if r.scanned => "boarded",
                    _ => "expected",
                },
                disputed: r.state == 2,
                luggage: r.luggage,
            });
        }
        let count = |state: &str| rows.iter().filter(|r| r.state == state).count();
        Self {
            trip: m.trip.id.0,
            route: m.trip.route.clone(),
            headsign: m.trip.headsign.clone(),
            departs_at: m
                .trip
                .stops
                .first()
                .map(|s| s.departs.to_string())
                .unwrap_or_default(),
            seats: m.trip.seat_count,
            expected: count("expected"),
            boarded: count("boarded"),
            no_shows: count("no_show"),
            passengers: rows,
        }
    }
}

fn name_of(api: &Api, company: CompanyId, row: &ManifestRow) -> Option<String> {
    let at = row.booking.zip(row.coupon_no)?;
    let sealed = row.passenger_sealed.as_deref()?;
    let passenger = contact::open_passenger(&api.vault, company, at, sealed);
    passenger.ok()?.name
}

async fn loaded(api: &Api, staff: Staff, trip: u64) -> Result<(Manifest, ManifestView), Problem> {
    if i64::try_from(trip).is_err() {
        return Err(Problem::not_found("there is no such trip"));
    }
    let mut tx = api.db.tenant(staff.company).await?;
    let manifest = manifest::load(&mut tx, TripId(trip)).await?;
    tx.rollback().await?;
    let view = ManifestView::new(api, staff.company, &manifest);
    Ok((manifest, view))
}

/// Who travels on a trip: every live ticket, whoever sold it, by seat.
#[utoipa::path(get, path = "/trips/{trip}/manifest", tag = "manifest",
    security(("bearer" = ["manifest"])), params(("trip" = u64, Path, example = 12)),
    responses((status = 200, body = ManifestView), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
) -> Result<Json<ManifestView>, Problem> {
    let staff = caller.may(Permission::Manifest)?;
    Ok(Json(loaded(&api, staff, trip).await?.1))
}

fn file(kind: &'static str, name: &str, bytes: Vec<u8>) -> Result<Response<ResponseBody>, Problem> {
    Response::builder()
        .header(header::CONTENT_TYPE, kind)
        .header(
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        )
        .header(header::CACHE_CONTROL, "private, no-store")
        .body(ResponseBody::from(bytes))
        .map_err(|_| Problem::unavailable())
}

/// A cell that no spreadsheet takes for a formula.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

/// The same as a table.
#[utoipa::path(get, path = "/trips/{trip}/manifest.csv", tag = "manifest",
    security(("bearer" = ["manifest"])), params(("trip" = u64, Path, example = 12)),
    responses((status = 200, content_type = "text/csv", body = String,
            example = "seat,from,to,name,class,ticket,reference,group,sold_by,state,luggage\r\n"),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn csv(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
) -> Result<Response<ResponseBody>, Problem> {
    let staff = caller.may(Permission::Manifest)?;
    let (_, view) = loaded(&api, staff, trip).await?;
    let mut sheet = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(vec![]);
    let wrong = |_: csv::Error| Problem::unavailable();
    let head = [
        "seat",
        "from",
        "to",
        "name",
        "class",
        "ticket",
        "reference",
        "group",
        "sold_by",
        "state",
        "luggage",
    ];
    sheet.write_record(head).map_err(wrong)?;
    for r in &view.passengers {
        let record = [
            plain(&r.seat_label),
            plain(&r.from_stop),
            plain(&r.to_stop),
            plain(r.name.as_deref().unwrap_or_default()),
            r.class.to_owned(),
            r.ticket.to_string(),
            r.reference.clone().unwrap_or_default(),
            plain(r.group.as_deref().unwrap_or_default()),
            plain(&r.sold_by),
            r.state.to_owned(),
            r.luggage.to_string(),
        ];
        sheet.write_record(record).map_err(wrong)?;
    }
    let bytes = sheet.into_inner().map_err(|_| Problem::unavailable())?;
    file(
        "text/csv; charset=utf-8",
        &format!("manifest-{trip}.csv"),
        bytes,
    )
}

/// Columns of the printed sheet: where each begins, in millimetres, and how wide it is.
const COLUMNS: [(f32, f32); 7] = [
    (10.0, 14.0),
    (26.0, 62.0),
    (90.0, 16.0),
    (108.0, 20.0),
    (130.0, 20.0),
    (152.0, 26.0),
    (180.0, 20.0),
];

fn cells(sheet: &mut Sheet<'_>, y: f32, weight: Weight, texts: [&str; 7]) {
    for ((x, width), text) in COLUMNS.into_iter().zip(texts) {
        let shown = sheet.fitted(width, 9.0, weight, &text.replace(char::is_control, " "));
        sheet.text(x, y, 9.0, weight, &shown);
    }
}

fn printed(manifest: &Manifest, view: &ManifestView) -> Result<Vec<u8>, Problem> {
    let title = format!("{}  {}", view.route, view.headsign).replace(char::is_control, " ");
    let first = manifest.trip.stops.first();
    let departs = first.map(|s| format!("{} {}", s.departs.local_minute(&s.zone), s.zone.as_str()));
    let mut pdf = Pdf::new(&title);
    let mut pages: Vec<&[ManifestRowView]> = view.passengers.chunks(ROWS_A_PAGE).collect();
    if pages.is_empty() {
        pages.push(&[]);
    }
    let count = pages.len();
    for (number, rows) in pages.into_iter().enumerate() {
        let page = pdf.page(Paper::A4, |sheet| {
            let name = sheet.fitted(150.0, 14.0, Weight::Bold, &title);
            sheet.text(10.0, 18.0, 14.0, Weight::Bold, &name);
            sheet.text(
                10.0,
                25.0,
                10.0,
                Weight::Regular,
                departs.as_deref().unwrap_or_default(),
            );
            let about = format!(
                "trip {}   {} / {}   page {} of {count}",
                view.trip,
                view.passengers.len(),
                view.seats,
                number + 1
            );
            sheet.text_right(200.0, 25.0, 10.0, Weight::Regular, &about);
            let head = ["seat", "name", "class", "from", "to", "booking", "on board"];
            cells(sheet, 34.0, Weight::Bold, head);
            sheet.line((10.0, 36.0), (200.0, 36.0), 0.3);
            for (n, r) in rows.iter().enumerate() {
                let y = 41.0 + n as f32 * 5.8;
                let mark = match r.state {
                    "boarded" => "yes",
                    "no_show" => "no",
                    _ => "____",
                };
                let name = r.name.as_deref().unwrap_or_default();
                let booking = r.reference.as_deref().unwrap_or(&r.sold_by);
                let row = [
                    &r.seat_label,
                    name,
                    r.class,
                    &r.from_stop,
                    &r.to_stop,
                    booking,
                    mark,
                ];
                cells(sheet, y, Weight::Regular, row);
            }
        });
        page.map_err(crate::documents::DocumentError::from)?;
    }
    Ok(pdf
        .finish()
        .map_err(crate::documents::DocumentError::from)?)
}

/// The same on paper, to tick off.
#[utoipa::path(get, path = "/trips/{trip}/manifest.pdf", tag = "manifest",
    security(("bearer" = ["manifest"])), params(("trip" = u64, Path, example = 12)),
    responses((status = 200, content_type = "application/pdf", body = [u8]),
        (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn pdf(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
) -> Result<Response<ResponseBody>, Problem> {
    let staff = caller.may(Permission::Manifest)?;
    let (manifest, view) = loaded(&api, staff, trip).await?;
    let drawn = tokio::task::spawn_blocking(move || printed(&manifest, &view)).await;
    let bytes = drawn.map_err(|_| Problem::unavailable())??;
    file("application/pdf", &format!("manifest-{trip}.pdf"), bytes)
}

/// Whether somebody came.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarkWord {
    /// On board.
    Boarded,
    /// Did not come; only once the trip has departed.
    NoShow,
}

/// Marks for the manifest.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"mark": "no_show", "tickets": ["0192a5b0-7c00-7000-8000-000000000002"]}))]
pub struct MarksAsked {
    /// What is true of them.
    mark: MarkWord,
    /// Tickets of the trip, 1 to 500.
    tickets: Vec<Uuid>,
}

/// What was marked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"marked": ["0192a5b0-7c00-7000-8000-000000000002"]}))]
pub struct MarkedView {
    /// The tickets that are on the trip; others were left out.
    marked: Vec<Uuid>,
}

/// Marks passengers as on board or absent, where no scanner did. The later mark counts.
#[utoipa::path(post, path = "/trips/{trip}/marks", tag = "manifest",
    security(("bearer" = ["manifest"])), params(("trip" = u64, Path, example = 12)),
    request_body = MarksAsked,
    responses((status = 200, body = MarkedView), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "`changed`: the trip has not departed"),
        (status = 422, body = Problem), (status = "default", body = Problem)))]
pub async fn mark(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    body: Body<MarksAsked>,
) -> Result<Json<MarkedView>, Problem> {
    let staff = caller.may(Permission::Manifest)?;
    let asked = body.value;
    if asked.tickets.is_empty() || asked.tickets.len() > MARKS_MAX {
        return Err(Problem::unprocessable("name 1 to 500 tickets"));
    }
    if i64::try_from(trip).is_err() {
        return Err(Problem::not_found("there is no such trip"));
    }
    let word = match asked.mark {
        MarkWord::Boarded => "boarded",
        MarkWord::NoShow => "no_show",
    };
    let mut tx = api.db.tenant(staff.company).await?;
    let now = clock::now();
    let wish = (asked.tickets.as_slice(), word);
    let marked = manifest::mark(&mut tx, TripId(trip), wish, staff.identity, now).await?;
    tx.commit().await?;
    Ok(Json(MarkedView { marked }))
}
