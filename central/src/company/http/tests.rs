mod csv;
pub(crate) mod desk;
mod feed;
mod layouts;
mod rows;
