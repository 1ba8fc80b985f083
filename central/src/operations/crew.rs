//! Which bus and which people run a trip.

use core::fmt;

use domain::ids::TripId;
use domain::time::Instant;
use domain::trip::Trip;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, crew as rows, trips};
use super::hours::{Limits, Warning, warnings};
use super::state::State;
use super::trips::Running;
use crate::audit::{self, Actor, Change};
use crate::db::DbError;
use crate::tenant::TenantTx;

/// The most people on one trip.
pub const CREW_MAX: usize = 8;

/// From when to when a trip needs its bus and crew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// The departure from the first stop.
    pub from: Instant,
    /// The arrival at the last; later than `from`.
    pub to: Instant,
}

impl Busy {
    /// As the timetable has it.
    pub fn of(trip: &Trip) -> Self {
        let from = trip.stops.first().map_or(Instant(0), |s| s.departs);
        let to = trip.stops.last().map_or(from, |s| s.arrives);
        Self {
            from,
            to: to.max(from.plus_ms(1)),
        }
    }
}

/// What somebody does on a trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Drives.
    Driver,
    /// Looks after passengers.
    Conductor,
}

impl Role {
    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Conductor => "conductor",
        }
    }

    /// The role with this word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Driver, Self::Conductor]
            .into_iter()
            .find(|r| r.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Somebody on a trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Their account.
    pub person: Uuid,
    /// What they do.
    pub role: Role,
}

/// Why a bus or a crew was not assigned.
#[derive(Debug, thiserror::Error)]
pub enum AssignError {
    /// The company has no such bus.
    #[error("there is no bus {0:?}")]
    UnknownBus(String),
    /// The bus is in the workshop or retired.
    #[error("bus {bus:?} is not in service ({state}): choose another")]
    NotInService {
        /// Which.
        bus: String,
        /// What it is.
        state: String,
    },
    /// Its seats are others than those on sale.
    #[error(
        "bus {bus:?} has the layout {has:?} and the trip is sold on {wants:?}: choose a bus with \
         that layout"
    )]
    OtherLayout {
        /// Which.
        bus: String,
        /// Its layout.
        has: String,
        /// The trip's.
        wants: String,
    },
    /// It runs another trip at that time.
    #[error("bus {bus:?} runs trip {trip} at that time")]
    BusElsewhere {
        /// Which.
        bus: String,
        /// The other trip.
        trip: TripId,
    },
    /// They work on another trip at that time.
    #[error("{person} works on trip {trip} at that time")]
    PersonElsewhere {
        /// Who.
        person: Uuid,
        /// The other trip.
        trip: TripId,
    },
    /// Somebody stands there twice.
    #[error("{0} stands in the crew twice")]
    Twice(Uuid),
    /// Too many people.
    #[error("a crew has at most {CREW_MAX} people")]
    TooMany,
    /// The trip is over or cancelled.
    #[error("a trip that is {0} takes no other bus or crew")]
    Over(State),
    /// Another request took the bus or the person at the same moment.
    #[error("the bus or somebody of the crew was assigned elsewhere meanwhile: read again")]
    Raced,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

impl From<DbError> for AssignError {
    fn from(error: DbError) -> Self {
        match error.constraint() {
            Some("bus_in_one_place" | "crew_in_one_place") => Self::Raced,
            _ => Self::Db(error),
        }
    }
}

fn open(running: &Running) -> Result<(), AssignError> {
    match running.day.state {
        State::Scheduled | State::Boarding | State::Departed => Ok(()),
        over @ (State::Arrived | State::Cancelled) => Err(AssignError::Over(over)),
    }
}

/// Gives a locked trip a bus, or none.
pub async fn assign_bus(
    tx: &mut TenantTx,
    mut running: Running,
    registration: Option<&str>,
    actor: Actor,
    now: Instant,
) -> Result<Running, AssignError> {
    open(&running)?;
    if running.bus.as_deref() == registration {
        return Ok(running);
    }
    let busy = running.busy();
    if let Some(wanted) = registration {
        let bus = || wanted.to_owned();
        let known = rows::bus(tx, wanted).await?;
        let known = known.ok_or_else(|| AssignError::UnknownBus(bus()))?;
        if known.state != "in_service" {
            return Err(AssignError::NotInService {
                bus: bus(),
                state: known.state.replace('_', " "),
            });
        }
        if known.layout != running.trip.layout {
            return Err(AssignError::OtherLayout {
                bus: bus(),
                has: known.layout,
                wants: running.trip.layout.clone(),
            });
        }
        if let Some(trip) = rows::bus_elsewhere(tx, wanted, busy, running.trip.id).await? {
            return Err(AssignError::BusElsewhere { bus: bus(), trip });
        }
    }
    rows::put_bus(tx, running.trip.id, registration, busy).await?;
    running.version = trips::step_version(tx, running.trip.id).await?;
    let change = Change {
        action: "trip.bus",
        subject: &format!("trip:{}", running.trip.id),
        before: Some(json!({ "bus": running.bus })),
        after: Some(json!({ "bus": registration })),
    };
    audit::note(tx, actor, change, now).await?;
    running.bus = registration.map(str::to_owned);
    Ok(running)
}

/// Makes these people, and nobody else, the crew of a locked trip.
pub async fn assign_crew(
    tx: &mut TenantTx,
    mut running: Running,
    crew: &[Member],
    actor: Actor,
    now: Instant,
) -> Result<Running, AssignError> {
    open(&running)?;
    if crew.len() > CREW_MAX {
        return Err(AssignError::TooMany);
    }
    let mut people: Vec<Uuid> = crew.iter().map(|m| m.person).collect();
    people.sort_unstable();
    if let Some(twice) = people.windows(2).find(|w| w.first() == w.last()) {
        let who = twice.first().copied().unwrap_or_default();
        return Err(AssignError::Twice(who));
    }
    let (trip, busy) = (running.trip.id, running.busy());
    let elsewhere = rows::people_elsewhere(tx, &people, busy, trip).await?;
    if let Some((person, trip)) = elsewhere.into_iter().next() {
        return Err(AssignError::PersonElsewhere { person, trip });
    }
    let before = rows::crew(tx, trip).await?;
    let shown = |crew: &[Member]| {
        let members = crew.iter();
        let members = members.map(|m| json!({ "person": m.person, "role": m.role.as_str() }));
        json!({ "crew": members.collect::<Vec<_>>() })
    };
    rows::put_crew(tx, trip, crew, busy).await?;
    running.version = trips::step_version(tx, trip).await?;
    let change = Change {
        action: "trip.crew",
        subject: &format!("trip:{trip}"),
        before: Some(shown(&before)),
        after: Some(shown(crew)),
    };
    audit::note(tx, actor, change, now).await?;
    Ok(running)
}

/// The crew of a trip, and what is beyond the limits for its drivers around that day.
pub async fn crew_of(
    tx: &mut TenantTx,
    running: &Running,
) -> Result<(Vec<Member>, Vec<(Uuid, Warning)>, Limits), DbError> {
    let crew = rows::crew(tx, running.trip.id).await?;
    let (_, settings) = db::settings(tx).await?;
    let zone = db::company_zone(tx).await?;
    let limits = settings.limits();
    let mut found = vec![];
    for driver in crew.iter().filter(|m| m.role == Role::Driver) {
        let drives = rows::drives_of(tx, driver.person, running.busy().from).await?;
        let beyond = warnings(&drives, &limits, &zone);
        found.extend(beyond.into_iter().map(|w| (driver.person, w)));
    }
    Ok((crew, found, limits))
}
