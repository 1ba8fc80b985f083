//! The routes: dead letters, for who answers for the hub. They are of every company.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::time::Instant;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::DeadLetter;
use super::dead::{self, DeadError};
use crate::access::{Caller, Permission};
use crate::audit::{self, Change};
use crate::clock;
use crate::http::extract::{Asked, Body, cursor};
use crate::http::list::filter;
use crate::http::{Api, Problem};
use crate::views::Page;

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(replay))
}

impl From<DeadError> for Problem {
    fn from(error: DeadError) -> Self {
        match error {
            DeadError::UnknownQueue { .. } => Self::unprocessable(error.to_string()),
            DeadError::Away(why) => {
                tracing::warn!(%why, "dead letters cannot be reached");
                let detail = "the message broker does not answer: see that it runs, and ask again";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, "broker-away", "The broker is away", detail)
            }
        }
    }
}

/// Which dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LettersAsked {
    /// Of one queue, like `mwimule.notification`.
    #[param(max_length = 80)]
    queue: Option<String>,
    /// The `next` of the page before.
    #[param(max_length = 120)]
    after: Option<String>,
    /// At most so many rows.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// An event that was tried as often as its queue tries.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "queue": "mwimule.notification",
    "event": "01920000-0000-7000-8000-000000000004",
    "company": "018f0000-0000-4000-8000-000000000001", "kind": "trip.delayed",
    "subject": "trip:17", "tries": 6, "reason": "the event cannot be told: missing field `trip`",
    "happened_at": "2026-11-23T10:00:00Z", "dead_at": "2026-11-23T10:12:36Z" }))]
pub struct LetterView {
    /// Its queue.
    queue: String,
    /// The event's id.
    event: Uuid,
    /// Whose.
    company: Uuid,
    /// What happened, like `trip.delayed`.
    kind: String,
    /// What it is about, like `trip:17`.
    subject: String,
    /// How often it was tried.
    tries: u32,
    /// What was wrong at the last try.
    reason: String,
    /// RFC 3339 UTC.
    happened_at: String,
    /// When it was given up, RFC 3339 UTC.
    dead_at: String,
}

impl LetterView {
    fn new(queue: String, letter: DeadLetter) -> Self {
        let message = letter.message;
        Self {
            queue,
            event: message.event,
            company: message.company.0,
            happened_at: message.at().to_string(),
            kind: message.kind,
            subject: message.subject,
            tries: letter.tries,
            reason: letter.reason,
            dead_at: Instant(letter.dead_at_ms).to_string(),
        }
    }
}

/// Dead letters of every company, the oldest first; the oldest 1,000 of each queue.
#[utoipa::path(get, path = "/hub/dead-letters", operation_id = "dead_letters_list", tag = "hub",
    params(LettersAsked), security(("bearer" = ["hub"])),
    responses((status = 200, body = Page<LetterView>),
        (status = 422, body = Problem, description = "There is no such queue."),
        (status = 503, body = Problem, description = "The message broker does not answer."),
        (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<LettersAsked>,
) -> Result<Json<Page<LetterView>>, Problem> {
    caller.may(Permission::Hub)?;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let queue = filter("queue", asked.queue)?;
    let after: (i64, Uuid) = (cursor.part(0, i64::MIN), cursor.part(1, Uuid::nil()));
    let queue_after: String = cursor.part(2, String::new());
    let mut found = dead::list(&*api.broker, queue.as_deref()).await?;
    found.retain(|(queue, letter)| {
        dead::place(queue, letter) > (after.0, after.1, queue_after.as_str())
    });
    found.truncate(cursor.limit + 1);
    let page = Page::cut(found, cursor.limit, |(queue, letter)| {
        let (at, event, queue) = dead::place(queue, letter);
        format!("{at}_{event}_{queue}")
    });
    let views = page.items.into_iter();
    Ok(Json(Page {
        items: views
            .map(|(queue, letter)| LetterView::new(queue, letter))
            .collect(),
        next: page.next,
    }))
}

/// Which dead letters to put back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "queue": "mwimule.notification",
    "event": "01920000-0000-7000-8000-000000000004" }))]
pub struct ReplayWish {
    /// Of one queue; of all where it is left out.
    #[schema(max_length = 80)]
    queue: Option<String>,
    /// Those of one event; all where it is left out.
    event: Option<Uuid>,
}

/// What was put back into one queue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "queue": "mwimule.notification", "replayed": 1 }))]
pub struct ReplayedQueue {
    /// The queue.
    queue: String,
    /// How many letters.
    replayed: u64,
}

/// What was put back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "queues": [{ "queue": "mwimule.notification", "replayed": 1 }] }))]
pub struct ReplayView {
    /// Per queue.
    queues: Vec<ReplayedQueue>,
}

/// Puts dead letters into their queues again, as if they had never been tried. Again it puts back
/// what has died since.
#[utoipa::path(post, path = "/hub/dead-letters/replay", operation_id = "dead_letters_replay",
    tag = "hub", request_body = ReplayWish, security(("bearer" = ["hub"])),
    responses((status = 200, body = ReplayView),
        (status = 422, body = Problem, description = "There is no such queue, or a member is wrong."),
        (status = 503, body = Problem, description = "The message broker does not answer. Some may have been put back: ask again."),
        (status = "default", body = Problem)))]
pub async fn replay(
    State(api): State<Api>,
    caller: Caller,
    body: Body<ReplayWish>,
) -> Result<Json<ReplayView>, Problem> {
    let staff = caller.may(Permission::Hub)?;
    let wish = body.value;
    let counts = dead::replay(&*api.broker, wish.queue.as_deref(), wish.event).await?;
    let queues = counts.into_iter();
    let queues: Vec<ReplayedQueue> = queues
        .map(|(queue, replayed)| ReplayedQueue { queue, replayed })
        .collect();
    let change = Change {
        action: "dead_letters.replay",
        subject: "hub",
        before: None,
        after: Some(json!({ "event": wish.event, "queues": queues })),
    };
    let mut tx = api.db.tenant(staff.company).await?;
    audit::note(&mut tx, staff.identity, change, clock::now()).await?;
    tx.commit().await?;
    Ok(Json(ReplayView { queues }))
}
