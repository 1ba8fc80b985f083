//! The engine on real files.

mod fixture;
mod restore;
mod scanning;
mod selling;
mod trouble;
