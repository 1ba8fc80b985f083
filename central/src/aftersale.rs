//! After the sale: cancel, refund, exchange, rebook, wait, travel.

pub mod http;
