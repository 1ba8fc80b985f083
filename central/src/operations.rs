//! The day's work: schedules, trips and their states, crews, delays, cancellations.

pub mod http;
