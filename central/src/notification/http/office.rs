//! Messages and their ways out, for the office.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::CompanyId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::{Caller, Permission};
use crate::audit::{self, Change};
use crate::clock;
use crate::http::extract::{Asked, Named, cursor};
use crate::http::{Api, Problem};
use crate::notification::db::{self, DeliveryRow, NoticeRow};
use crate::notification::plan::{address_place, way_row};
use crate::notification::send::open_text;
use crate::tenant::TenantTx;
use crate::views::Page;

/// Every state of a way out.
const STATES: [&str; 6] = ["waiting", "sending", "sent", "delivered", "failed", "off"];
/// How many characters at the end of an address are shown.
const HINT_CHARS: usize = 3;

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MessagesAsked {
    /// What they are about, like `booking:7F3K-22QX`.
    #[param(max_length = 120, example = "booking:7F3K-22QX")]
    subject: Option<String>,
    /// With a way out in this state: `waiting`, `sending`, `sent`, `delivered`, `failed` or `off`.
    #[param(max_length = 20, example = "failed")]
    state: Option<String>,
    /// The `next` of the page before.
    #[param(max_length = 120)]
    after: Option<String>,
    /// At most so many rows.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// A way out of a message.
#[derive(Debug, Serialize, ToSchema)]
pub struct WayView {
    /// `sms` or `email`.
    channel: String,
    /// The end of the number, or the beginning and domain of the address.
    to: String,
    /// `waiting`; `sending`; `sent`: the gateway has it; `delivered`: it said that it arrived;
    /// `failed`: given up; `off`: the person does not want it.
    state: String,
    /// How often it was tried.
    tries: i32,
    /// When it is tried next, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_at: Option<String>,
    /// What was wrong at the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// When the gateway took it, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    /// When it arrived or was given up, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
}

/// A message to one person about one event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "notice": "01920000-0000-7000-8000-000000000005",
    "event": "01920000-0000-7000-8000-000000000004", "kind": "ticket_sold",
    "subject": "booking:7F3K-22QX", "language": "en", "created_at": "2026-11-23T10:00:00Z",
    "ways": [{ "channel": "sms", "to": "…001", "state": "delivered", "tries": 1,
        "sent_at": "2026-11-23T10:00:01Z", "ended_at": "2026-11-23T10:00:03Z" }] }))]
pub struct NoticeView {
    /// Its number.
    notice: Uuid,
    /// The event that it tells of.
    event: Uuid,
    /// Its template, like `ticket_sold`.
    kind: String,
    /// What it is about, like `booking:7F3K-22QX`.
    subject: String,
    /// `en`, `fr`, `sw` or `bem`.
    language: String,
    /// RFC 3339 UTC.
    created_at: String,
    /// When it was read in the inbox, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_at: Option<String>,
    /// How it goes out; none: it is in the inbox only.
    ways: Vec<WayView>,
    /// For a phone; of one message only.
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<String>,
    /// For a mailbox; of one message only.
    #[serde(skip_serializing_if = "Option::is_none")]
    long: Option<String>,
}

/// As much of an address as tells people which it is.
fn hint(address: &str) -> String {
    if let Some((name, domain)) = address.split_once('@') {
        let first: String = name.chars().take(1).collect();
        return format!("{first}…@{domain}");
    }
    let count = address.chars().count();
    let end: String = address
        .chars()
        .skip(count.saturating_sub(HINT_CHARS))
        .collect();
    format!("…{end}")
}

fn way(api: &Api, company: CompanyId, row: DeliveryRow) -> WayView {
    let at = way_row(row.notice, &row.channel);
    let place = address_place(company, &at);
    let address = api.vault.open(place, &row.address_sealed).ok();
    let address = address.and_then(|bytes| String::from_utf8(bytes).ok());
    WayView {
        to: address.as_deref().map(hint).unwrap_or_default(),
        channel: row.channel,
        state: row.state,
        tries: row.tries,
        next_try_at: row.next_try_at.map(|at| at.to_string()),
        last_error: row.last_error,
        sent_at: row.sent_at.map(|at| at.to_string()),
        ended_at: row.ended_at.map(|at| at.to_string()),
    }
}

async fn views(
    api: &Api,
    tx: &mut TenantTx,
    rows: Vec<NoticeRow>,
) -> Result<Vec<NoticeView>, Problem> {
    let company = tx.company();
    let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
    let mut ways: BTreeMap<Uuid, Vec<WayView>> = BTreeMap::new();
    for row in db::deliveries_of(tx, &ids).await? {
        let notice = row.notice;
        ways.entry(notice).or_default().push(way(api, company, row));
    }
    let view = rows.into_iter().map(|row| NoticeView {
        ways: ways.remove(&row.id).unwrap_or_default(),
        notice: row.id,
        event: row.event,
        kind: row.kind,
        subject: row.subject,
        language: row.language,
        created_at: row.created_at.to_string(),
        read_at: row.read_at.map(|at| at.to_string()),
        short: None,
        long: None,
    });
    Ok(view.collect())
}

/// The company's messages and what became of them, the latest first.
#[utoipa::path(get, path = "/notifications", tag = "notifications", params(MessagesAsked),
    operation_id = "notifications_list", security(("bearer" = ["bookings:read"])),
    responses((status = 200, body = Page<NoticeView>), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<MessagesAsked>,
) -> Result<Json<Page<NoticeView>>, Problem> {
    let staff = caller.may(Permission::BookingsRead)?;
    let state = asked.state.as_deref();
    if state.is_some_and(|state| !STATES.contains(&state)) {
        let detail = format!("`state` is one of {}", STATES.join(", "));
        return Err(Problem::bad_request(detail));
    }
    let page = cursor(asked.after.as_deref(), asked.limit)?;
    let which = (asked.subject.as_deref(), state);
    let part = (page.part(0, i64::MAX), page.fetch());
    let mut tx = api.db.tenant(staff.company).await?;
    let rows = db::list(&mut tx, None, which, part).await?;
    let cut = Page::cut(rows, page.limit, |row| row.no.to_string());
    Ok(Json(Page {
        items: views(&api, &mut tx, cut.items).await?,
        next: cut.next,
    }))
}

async fn found(tx: &mut TenantTx, notice: Uuid) -> Result<NoticeRow, Problem> {
    let rows = db::list(tx, Some(notice), (None, None), (i64::MAX, 1)).await?;
    let row = rows.into_iter().next();
    row.ok_or_else(|| Problem::not_found("there is no such message"))
}

/// One message with its texts.
#[utoipa::path(get, path = "/notifications/{notice}", tag = "notifications",
    operation_id = "notifications_show", params(("notice" = Uuid, Path)),
    security(("bearer" = ["bookings:read"])),
    responses((status = 200, body = NoticeView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(notice): Named<Uuid>,
) -> Result<Json<NoticeView>, Problem> {
    let staff = caller.may(Permission::BookingsRead)?;
    let mut tx = api.db.tenant(staff.company).await?;
    let row = found(&mut tx, notice).await?;
    let text = super::opened(open_text(&api, staff.company, &notice, &row.text_sealed))?;
    let view = views(&api, &mut tx, vec![row]).await?.into_iter().next();
    let mut view = view.ok_or_else(Problem::unavailable)?;
    view.short = Some(text.short);
    view.long = Some(text.long);
    Ok(Json(view))
}

/// Sends a message again over the ways that were given up, under the same key. Where nothing was,
/// nothing happens.
#[utoipa::path(post, path = "/notifications/{notice}/resend", tag = "notifications",
    operation_id = "notifications_resend", params(("notice" = Uuid, Path)),
    security(("bearer" = ["bookings:write"])),
    responses((status = 202, description = "what was given up is tried again"),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn resend(
    State(api): State<Api>,
    caller: Caller,
    Named(notice): Named<Uuid>,
) -> Result<StatusCode, Problem> {
    let staff = caller.may(Permission::BookingsWrite)?;
    let now = clock::now();
    let mut tx = api.db.tenant(staff.company).await?;
    found(&mut tx, notice).await?;
    let ways = db::resend(&mut tx, notice, now).await?;
    if ways > 0 {
        let change = Change {
            action: "notice.resend",
            subject: &format!("notice:{notice}"),
            before: None,
            after: Some(json!({ "ways": ways })),
        };
        audit::note(&mut tx, staff.identity, change, now).await?;
    }
    tx.commit().await?;
    Ok(StatusCode::ACCEPTED)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_hint_shows_too_little_to_write_to() {
        assert_eq!(super::hint("+260970000001"), "…001");
        assert_eq!(super::hint("mutale@example.com"), "m…@example.com");
    }
}
