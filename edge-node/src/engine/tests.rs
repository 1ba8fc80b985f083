//! The engine on real files.

pub(crate) mod fixture;
mod restore;
mod scanning;
mod selling;
mod swapping;
mod trouble;
