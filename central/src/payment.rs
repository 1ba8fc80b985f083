//! Payments and refunds, the providers behind them, and webhooks.

pub mod http;
