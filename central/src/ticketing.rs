//! Ticketing: a trip's inventory, the leases granted from it, and the tickets sold.

pub mod inventory;
pub mod leases;
pub(crate) mod short;
pub mod tickets;

#[cfg(test)]
mod tests;
