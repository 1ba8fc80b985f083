mod csv;
mod desk;
mod layouts;
mod rows;
