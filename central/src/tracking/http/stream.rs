//! Where a trip's bus is, as it moves: Server-Sent Events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use domain::ids::TripId;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use utoipa::IntoParams;

use super::{not_followed, number, unknown};
use crate::access::Caller;
use crate::clock;
use crate::http::extract::{Asked, Named};
use crate::http::{Api, Problem};
use crate::tracking::Tracker;
use crate::tracking::access::{Opened, Sight, may_see};
use crate::tracking::tracker::Place;
use crate::tracking::view::Told;

/// How often a quiet stream shows that it lives, and looks whether it should.
const ALIVE_EVERY: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 10_000 });
/// The longest life of a stream, in seconds; its reader connects again.
const LASTS_S_MAX: u64 = 3_600;

/// How long a stream lasts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamAsked {
    /// Ends after so many seconds, an hour at most.
    #[param(minimum = 1, maximum = 3600, example = 1)]
    for_s: Option<u64>,
    link: Option<String>,
    ticket: Option<String>,
    reference: Option<String>,
    phone: Option<String>,
    name: Option<String>,
}

struct Watching {
    tracker: Tracker,
    trip: TripId,
    told: watch::Receiver<Option<Arc<Told>>>,
    ending: Option<watch::Receiver<bool>>,
    opened: Opened,
    alive: Interval,
    until: Instant,
    first: bool,
    over: bool,
    _place: Place,
}

/// The positions of a trip's bus as Server-Sent Events, for who may see `GET
/// /trips/{trip}/positions`. The latest comes at once, each newer one as an event `position` whose
/// data is that route's answer with the stops ahead only; a comment every ten seconds shows that
/// the stream lives. An event `ended` says that there is nothing more to come.
#[utoipa::path(get, path = "/trips/{trip}/positions/stream", operation_id = "tracking_stream",
    tag = "tracking",
    params(("trip" = u64, Path), Sight,
        ("for_s" = Option<u64>, Query, description = "Ends after so many seconds, an hour at most.", example = 1, minimum = 1, maximum = 3600)),
    security((), ("bearer" = ["company:read"])),
    responses((status = 200, content_type = "text/event-stream", body = String,
            example = "event: position\nid: 1795494667000-41\ndata: {\"age_ms\":850,\"trip\":4711}\n\n"),
        (status = 404, body = Problem, description = "No such trip, or nothing that opens it."),
        (status = 409, body = Problem, description = "`not-followed`: it does not board yet, or is over."),
        (status = 429, body = Problem, description = "Asked or guessed too often."),
        (status = 503, body = Problem, description = "Too many listen already, or the database is away."),
        (status = "default", body = Problem)))]
pub async fn stream(
    State(api): State<Api>,
    caller: Caller,
    Named(trip): Named<u64>,
    Asked(asked): Asked<StreamAsked>,
) -> Result<impl IntoResponse, Problem> {
    let trip = number(trip)?;
    let lasts_s = asked.for_s.unwrap_or(LASTS_S_MAX);
    if !(1..=LASTS_S_MAX).contains(&lasts_s) {
        return Err(Problem::bad_request("`for_s` is 1 to 3600"));
    }
    let sight = Sight {
        link: asked.link,
        ticket: asked.ticket,
        reference: asked.reference,
        phone: asked.phone,
        name: asked.name,
    };
    let (_, opened) = may_see(&api, &caller, trip, &sight).await?;
    let facts = api.tracking.facts(trip).await?;
    let facts = facts.ok_or_else(|| unknown(trip))?;
    if !facts.is_on_trip(clock::now()) {
        return Err(not_followed(&facts));
    }
    let place = api.tracking.place().ok_or_else(full)?;
    let told = api.tracking.listen(trip).await?;
    let mut alive = tokio::time::interval(ALIVE_EVERY);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watching = Watching {
        told: told.ok_or_else(|| unknown(trip))?,
        ending: api.tracking.ending(),
        tracker: api.tracking,
        trip,
        opened,
        alive,
        until: Instant::now() + Duration::from_secs(lasts_s),
        first: true,
        over: false,
        _place: place,
    };
    // A proxy that collects the answer would hold every event back.
    let straight = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(([straight], Sse::new(events(watching))))
}

fn full() -> Problem {
    let detail = "this hub carries as many streams as it can: try again in a minute";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too-many-streams",
        "Too many streams",
        detail,
    )
}

fn events(watching: Watching) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok(event), watching))
    })
}

async fn told_to_end(ending: &mut Option<watch::Receiver<bool>>) {
    match ending {
        Some(ending) => {
            let _ = ending.wait_for(|end| *end).await;
        }
        None => std::future::pending().await,
    }
}

impl Watching {
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        if std::mem::take(&mut self.first)
            && let Some(event) = self.position()
        {
            return Some(event);
        }
        loop {
            tokio::select! {
                changed = self.told.changed() => {
                    changed.ok()?;
                    if let Some(event) = self.position() {
                        return Some(event);
                    }
                }
                _ = self.alive.tick() => return Some(self.sign_of_life().await),
                () = tokio::time::sleep_until(self.until) => return None,
                () = told_to_end(&mut self.ending) => return None,
            }
        }
    }

    fn position(&mut self) -> Option<Event> {
        let told = self.told.borrow_and_update().clone()?;
        let data = told.json(clock::now());
        Some(Event::default().event("position").id(told.id()).data(data))
    }

    /// A comment, or the end where the trip or the link has come to its own.
    async fn sign_of_life(&mut self) -> Event {
        let now = clock::now();
        let on_trip = match self.tracker.facts(self.trip).await {
            Ok(facts) => facts.is_some_and(|facts| facts.is_on_trip(now)),
            // The database is away, which ends no trip.
            Err(_) => true,
        };
        let opened = match &self.opened {
            Opened::Link(link) => self.tracker.opens(link, now).await.unwrap_or(true),
            Opened::Other => true,
        };
        if on_trip && opened {
            return Event::default().comment("alive");
        }
        self.over = true;
        let why = if on_trip { "link" } else { "trip" };
        Event::default().event("ended").data(why)
    }
}
