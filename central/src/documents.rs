//! Tickets on paper and screen.

pub mod http;
pub mod pdf;
