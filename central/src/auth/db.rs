//! The rows of people, sessions, codes and keys.

pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod codes;
pub(crate) mod factor;
pub(crate) mod keys;
pub(crate) mod people;
pub(crate) mod sessions;
pub(crate) mod staff;
pub(crate) mod throttle;
