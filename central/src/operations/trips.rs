//! Trips on their day: what happens to them, and what follows from it.

use domain::ids::TripId;
use domain::time::Instant;
use domain::trip::Trip;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crew::Busy;
use super::db::{self, crew, trips as rows};
use super::state::{self, Command, Event, Refusal, TripDay};
use crate::aftersale::{self, AftersaleError};
use crate::audit::{self, Actor, Change};
use crate::booking;
use crate::db::{Db, DbError};
use crate::ledger;
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;
use crate::views;

/// Trips that one look of the job lets depart, per company.
const OVERDUE_MAX: i64 = 50;

/// A trip with its day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// As everybody knows it.
    pub trip: Trip,
    /// How its day stands.
    pub day: TripDay,
    /// The route's code.
    pub route: String,
    /// What the run is called.
    pub run: String,
    /// The rule it comes from; an imported one has none.
    pub schedule: Option<String>,
    /// The bus that runs it, by registration.
    pub bus: Option<String>,
    /// Of the row.
    pub version: i32,
}

impl Running {
    /// For how long the timetable needs its bus and crew.
    pub fn busy(&self) -> Busy {
        Busy::of(&self.trip)
    }
}

/// Something that happened to a trip.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// Its number.
    pub no: i64,
    /// What.
    pub kind: String,
    /// When it happened.
    pub at: Instant,
    /// When the hub heard of it.
    pub noted_at: Instant,
    /// Who said so, as in the audit log.
    pub actor_kind: String,
    /// Who.
    pub actor_id: Option<Uuid>,
    /// What else there is to say.
    pub body: Value,
}

/// Why nothing happened to a trip.
#[derive(Debug, thiserror::Error)]
pub enum TripError {
    /// Nobody knows it.
    #[error("there is no trip {0}")]
    Unknown(TripId),
    /// It cannot happen.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its passengers could not be offered anything.
    #[error(transparent)]
    Aftersale(#[from] AftersaleError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A trip, its row locked to the end of the transaction.
pub async fn locked(tx: &mut TenantTx, trip: TripId) -> Result<Running, TripError> {
    let running = rows::lock(tx, trip).await?;
    running.ok_or(TripError::Unknown(trip))
}

/// The same for a trip that is to be cancelled: unpaid bookings give their seats back first, as
/// a booking's lock comes before its trips'.
pub async fn locked_for_cancelling(
    tx: &mut TenantTx,
    trip: TripId,
    now: Instant,
) -> Result<Running, TripError> {
    release_holds(tx, trip, now).await?;
    let running = locked(tx, trip).await?;
    // Whoever took a hold between the look and the lock.
    release_holds(tx, trip, now).await?;
    Ok(running)
}

async fn release_holds(tx: &mut TenantTx, trip: TripId, now: Instant) -> Result<(), DbError> {
    for id in rows::open_bookings(tx, trip).await? {
        booking::release(tx, id, booking::State::Cancelled, now).await?;
    }
    Ok(())
}

/// Does what is wanted of a locked trip, with all that follows. Nothing happens where it is so
/// already. Cancelling wants [`locked_for_cancelling`].
pub async fn run(
    tx: &mut TenantTx,
    running: Running,
    command: &Command,
    actor: Actor,
    now: Instant,
) -> Result<Running, TripError> {
    let events = state::decide(&running.day, command, now)?;
    if events.is_empty() {
        return Ok(running);
    }
    let before = day_json(&running.day);
    let mut running = running;
    for event in &events {
        state::apply(&mut running.day, event);
    }
    running.version = rows::put_day(tx, running.trip.id, &running.day).await?;
    for event in &events {
        follow(tx, &running, event, actor, now).await?;
    }
    let change = Change {
        action: &format!("trip.{}", events.last().map_or("change", Event::kind)),
        subject: &format!("trip:{}", running.trip.id),
        before: Some(before),
        after: Some(day_json(&running.day)),
    };
    audit::note(tx, actor, change, now).await?;
    Ok(running)
}

/// A trip's day for the audit log.
fn day_json(day: &TripDay) -> Value {
    json!({
        "state": day.state.as_str(),
        "delay_ms": day.delay_ms,
        "reason": day.reason,
        "departed_at": day.departed_at.map(|at| at.to_string()),
        "arrived_at": day.arrived_at.map(|at| at.to_string()),
    })
}

/// What follows from an event: the books, the seats, whoever wants to hear of it.
async fn follow(
    tx: &mut TenantTx,
    running: &Running,
    event: &Event,
    actor: Actor,
    now: Instant,
) -> Result<(), TripError> {
    let trip = running.trip.id;
    let mut body = json!({
        "trip": trip.0,
        "route": running.route,
        "service_date": running.trip.service_date.to_string(),
        "departs_at": running.day.departs_at.to_string(),
    });
    let mut say = |name: &str, value: Value| {
        if let Some(members) = body.as_object_mut() {
            members.insert(name.to_owned(), value);
        }
    };
    let (at, kind) = match event {
        Event::Boarding => (now, None),
        Event::Departed(at) => {
            ledger::recognise(tx, trip, now).await?;
            say("departed_at", at.to_string().into());
            (*at, Some("trip.departed"))
        }
        Event::Arrived(at) => {
            say("arrived_at", at.to_string().into());
            (*at, Some("trip.arrived"))
        }
        Event::Cancelled(reason) => {
            set_free(tx, running).await?;
            let offers = aftersale::trip_cancelled(tx, trip, actor, now).await?;
            say("offers", offers.into());
            say("reason", reason.as_str().into());
            (now, Some("trip.cancelled"))
        }
        Event::Delayed { delay_ms, reason } => {
            say("delay_ms", (*delay_ms).into());
            say("reason", reason.as_str().into());
            let expected = running.day.departs_at.plus_ms(*delay_ms);
            say("expected_at", expected.to_string().into());
            (now, Some("trip.delayed"))
        }
    };
    rows::insert_event(tx, trip, (event.kind(), at, &body), actor, now).await?;
    if let Some(kind) = kind {
        let happened = Happened {
            kind,
            subject: &format!("trip:{trip}"),
            body,
        };
        outbox::put(tx, happened, now).await?;
    }
    Ok(())
}

/// Bus and crew of a cancelled trip may do something else.
async fn set_free(tx: &mut TenantTx, running: &Running) -> Result<(), DbError> {
    crew::put_bus(tx, running.trip.id, None, running.busy()).await?;
    crew::put_crew(tx, running.trip.id, &[], running.busy()).await
}

/// Lets trips depart that have left by now although nobody said so; gives how many.
pub async fn depart_overdue(db: &Db, now: Instant) -> Result<usize, TripError> {
    let mut departed = 0;
    for company in views::all_companies(db).await? {
        let mut tx = db.tenant(company).await?;
        let (_, settings) = db::settings(&mut tx).await?;
        let after_ms = settings.departs_by_itself_ms;
        let overdue = rows::overdue(&mut tx, after_ms, now, OVERDUE_MAX).await?;
        tx.rollback().await?;
        for trip in overdue {
            let mut tx = db.tenant(company).await?;
            let running = locked(&mut tx, trip).await?;
            let left = running.day.departs_at.plus_ms(running.day.delay_ms);
            let due = state::departs_by_itself_at(left, 0, after_ms) <= now;
            // Somebody may have delayed or cancelled it since the look.
            if due && running.day.state.is_to_come() {
                let command = Command::Depart(left);
                run(&mut tx, running, &command, Actor::System, now).await?;
                tx.commit().await?;
                departed += 1;
            }
        }
    }
    Ok(departed)
}
