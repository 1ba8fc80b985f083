//! The rows of people, sessions, codes and keys.

pub(crate) mod keys;
pub(crate) mod people;
pub(crate) mod sessions;
