//! Payments and refunds, the providers behind them, and webhooks.
//!
//! A payment is stored with the reference that its provider will know it by, and committed,
//! before the provider is called. Whatever happens then can be asked about; a callback is a hint
//! to ask. Money that came is captured once, in the transaction that issues the tickets.

mod callbacks;
mod calls;
mod db;
pub mod http;
mod jobs;
mod kind;
mod offers;
pub mod provider;
mod providers;
pub mod refunds;
pub mod rules;
mod service;
pub(crate) mod webhooks;

pub use jobs::jobs;
pub use kind::ProviderKind;
pub use providers::Providers;

#[cfg(test)]
mod tests;
