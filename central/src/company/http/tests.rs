mod csv;
mod desk;
mod feed;
mod layouts;
mod rows;
