//! The day's work: schedules, trips and their states, crews, delays, cancellations.
//!
//! Pure rules: `calendar` (on which days a rule runs, and when that is), `state` (what may happen
//! to a trip), `hours` (how long a driver drives). [`expand`] makes trips of schedules,
//! [`trips`] moves them through their day, [`crew`] gives them buses and people.

mod calendar;
pub mod crew;
pub(crate) mod csv;
mod db;
pub mod expand;
mod hours;
pub mod http;
pub mod jobs;
mod schedules;
mod settings;
mod state;
pub mod trips;

pub use hours::{Limits, Warning};
pub use schedules::{Change, Schedule, ScheduleException};
pub use settings::Settings;
pub use state::{Command, Event, Refusal, State, TripDay};

#[cfg(test)]
mod tests;
