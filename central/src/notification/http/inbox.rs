//! The inbox of an account.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::Caller;
use crate::clock;
use crate::http::extract::{Asked, Named, cursor};
use crate::http::{Api, Problem};
use crate::notification::db::{self, InboxRow};
use crate::notification::send::open_text;
use crate::views::Page;

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InboxAsked {
    /// Only those that were not read.
    #[param(example = true)]
    unread: Option<bool>,
    /// The `next` of the page before.
    #[param(max_length = 120)]
    after: Option<String>,
    /// At most so many rows.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// A message in the inbox.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "notice": "01920000-0000-7000-8000-000000000005",
    "company": "Mwimule Coaches", "kind": "ticket_sold", "subject": "booking:7F3K-22QX",
    "language": "en", "title": "Your tickets, 7F3K-22QX",
    "text": "Thank you for travelling with Mwimule Coaches.",
    "created_at": "2026-11-23T10:00:00Z" }))]
pub struct InboxView {
    /// Its number.
    notice: Uuid,
    /// Who sent it.
    company: String,
    /// Like `ticket_sold`.
    kind: String,
    /// What it is about, like `booking:7F3K-22QX`.
    subject: String,
    /// `en`, `fr`, `sw` or `bem`.
    language: String,
    /// One line.
    title: String,
    /// The whole text.
    text: String,
    /// RFC 3339 UTC.
    created_at: String,
    /// RFC 3339 UTC; absent while it was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_at: Option<String>,
}

fn view(api: &Api, row: InboxRow) -> Result<InboxView, Problem> {
    let notice = row.notice;
    let text = open_text(api, row.company, &notice.id, &notice.text_sealed);
    let text = super::opened(text)?;
    Ok(InboxView {
        notice: notice.id,
        company: row.company_name,
        kind: notice.kind,
        subject: notice.subject,
        language: notice.language,
        title: text.title,
        text: text.long,
        created_at: notice.created_at.to_string(),
        read_at: notice.read_at.map(|at| at.to_string()),
    })
}

/// What the caller was told by any company, the latest first.
#[utoipa::path(get, path = "/inbox", tag = "notifications", params(InboxAsked),
    operation_id = "inbox_list", security(("bearer" = [])),
    responses((status = 200, body = Page<InboxView>), (status = 401, body = Problem),
        (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<InboxAsked>,
) -> Result<Json<Page<InboxView>>, Problem> {
    let person = caller.person()?;
    let page = cursor(asked.after.as_deref(), asked.limit)?;
    let unread = asked.unread.unwrap_or_default();
    let part = (page.part(0, i64::MAX), page.fetch());
    let rows = db::inbox(&api.db, person, unread, part).await?;
    let cut = Page::cut(rows, page.limit, |row| row.notice.no.to_string());
    let items: Result<Vec<InboxView>, Problem> =
        cut.items.into_iter().map(|row| view(&api, row)).collect();
    Ok(Json(Page {
        items: items?,
        next: cut.next,
    }))
}

/// Notes that a message was read; again changes nothing.
#[utoipa::path(post, path = "/inbox/{notice}/read", tag = "notifications",
    operation_id = "inbox_read", params(("notice" = Uuid, Path)), security(("bearer" = [])),
    responses((status = 204, description = "It was read"), (status = 401, body = Problem),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn read(
    State(api): State<Api>,
    caller: Caller,
    Named(notice): Named<Uuid>,
) -> Result<StatusCode, Problem> {
    let person = caller.person()?;
    let company = db::company_of_notice(&api.db, notice, person).await?;
    let company = company.ok_or_else(|| Problem::not_found("there is no such message"))?;
    let mut tx = api.db.tenant(company).await?;
    db::mark_read(&mut tx, notice, clock::now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
