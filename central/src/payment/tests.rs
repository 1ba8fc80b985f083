//! The service against the simulated operators, over HTTP on both sides.

mod exchanging;
mod frozen;
mod paying;
mod refunding;
mod scene;
mod telling;
