//! The audit log.

use axum::Json;
use axum::extract::State;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::{Caller, Permission};
use crate::auth::audit_view::{AuditFilter, AuditRow};
use crate::auth::db::audit as rows;
use crate::http::extract::{Asked, cursor};
use crate::http::{Api, Problem};
use crate::views::Page;

/// The longest text of a filter, in bytes.
const FILTER_BYTES_MAX: usize = 200;

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditAsked {
    /// Exactly this subject, like `fare:STD`.
    subject: Option<String>,
    /// This action, like `fare.update`, or all that begin with it and a dot, like `fare`.
    action: Option<String>,
    /// `person`, `key`, `anonymous` or `system`.
    actor_kind: Option<String>,
    /// The number of this person or key.
    actor: Option<Uuid>,
    /// From then on, RFC 3339.
    from: Option<String>,
    /// Before then, RFC 3339.
    to: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"entry": 42, "at": "2034-05-02T06:00:00Z", "actor_kind": "person",
    "actor": "01975a3e-0000-7b6a-9b1d-5c1f0a7d2e11", "action": "person.change",
    "subject": "person:01975a3e-0000-7b6a-9b1d-5c1f0a7d2e12",
    "before": {"roles": ["agent"]}, "after": {"roles": ["clerk"]}}))]
pub struct AuditView {
    /// Its number; later ones are higher.
    entry: i64,
    /// RFC 3339.
    at: String,
    /// `person`, `key`, `anonymous` or `system`.
    actor_kind: String,
    /// The person's or key's number.
    actor: Option<Uuid>,
    /// What was done.
    action: String,
    /// To what.
    subject: String,
    /// As it was.
    #[schema(value_type = Option<Object>)]
    before: Option<serde_json::Value>,
    /// As it is then.
    #[schema(value_type = Option<Object>)]
    after: Option<serde_json::Value>,
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        Self {
            entry: row.entry,
            at: row.at.to_string(),
            actor_kind: row.actor_kind,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            before: row.before,
            after: row.after,
        }
    }
}

fn text_of(name: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.len() > FILTER_BYTES_MAX || text.contains('\0') => {
            let detail = format!("`{name}` has at most {FILTER_BYTES_MAX} bytes, and no zero byte");
            Err(Problem::bad_request(detail))
        }
        text => Ok(text),
    }
}

fn time_of(name: &str, text: Option<&str>) -> Result<Option<Instant>, Problem> {
    let parsed: Option<Result<jiff::Timestamp, _>> = text.map(str::parse);
    let parsed = parsed.transpose().map_err(|_| {
        Problem::bad_request(format!("`{name}` has to be like 2034-05-02T06:00:00Z"))
    })?;
    Ok(parsed.map(|at| Instant(at.as_millisecond())))
}

/// Who changed what in the company, the latest first.
#[utoipa::path(get, path = "/audit", tag = "people", params(AuditAsked),
    security(("bearer" = ["audit:read"])),
    responses((status = 200, body = Page<AuditView>), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<AuditAsked>,
) -> Result<Json<Page<AuditView>>, Problem> {
    let company = caller.may(Permission::AuditRead)?.company;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let filter = AuditFilter {
        subject: text_of("subject", asked.subject)?,
        action: text_of("action", asked.action)?,
        actor_kind: text_of("actor_kind", asked.actor_kind)?,
        actor: asked.actor,
        from: time_of("from", asked.from.as_deref())?,
        to: time_of("to", asked.to.as_deref())?,
    };
    let mut tx = api.db.tenant(company).await?;
    let found = rows::list(&mut tx, &filter, cursor.part(0, i64::MAX), cursor.fetch()).await?;
    let views = found.into_iter().map(AuditView::from).collect();
    let page = Page::cut(views, cursor.limit, |v: &AuditView| v.entry.to_string());
    Ok(Json(page))
}
