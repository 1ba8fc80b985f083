//! Tickets on paper and screen.

pub mod http;
