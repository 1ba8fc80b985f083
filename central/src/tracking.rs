//! Where buses are, and who may see it.
//!
//! A fix comes from a trip's onboard node over sync, or from the phone of its crew. [`Tracker`]
//! judges it by the pure rules of `domain::tracking`, tells this process's listeners at once and
//! other processes through [`live`] (Redis, or memory for one process), and writes it down some
//! hundred milliseconds later with all others that came meanwhile: history by day, how the trip
//! stands, the calls that its fixes show. Postgres is the truth: a Redis that dies costs other
//! processes' listeners seconds, because they then look into Postgres, and nobody else anything.
//!
//! Only trips that board or drive are followed. What the public sees names no driver.

mod access;
mod db;
mod flush;
pub mod gtfs_rt;
pub mod http;
mod jobs;
mod known;
mod links;
pub mod live;
mod roads;
mod settings;
mod tracker;
mod view;

pub(crate) use jobs::jobs;
pub use settings::Settings;
pub use tracker::{NotTaken, Sender, Tracker};

#[cfg(test)]
mod tests;
