//! What the tests of this folder work with: real programs in real folders, talked to over HTTP,
//! with a relay for a network that can fail.
//!
//! Nothing here sleeps to be in step with a program: [`until`] waits for conditions, each with a
//! deadline. Every program that a test started is ended with it.

pub mod books;
pub mod dice;
pub mod edge;
pub mod gateway;
pub mod http;
pub mod hub;
pub mod load;
pub mod place;
pub mod postgres;
pub mod process;
pub mod python;
pub mod rabbitmq;
pub mod redis;
pub mod relay;
pub mod wait;
pub mod world;

pub use books::{SeatLegs, settle};
pub use dice::Dice;
pub use edge::{Edge, Journey, Sold};
pub use gateway::Gateway;
pub use http::{Answer, Caller};
pub use hub::{Hub, Trip};
pub use place::{Place, is_fast, story};
pub use postgres::Postgres;
pub use process::{Child, Ran};
pub use rabbitmq::Rabbit;
pub use redis::Redis;
pub use relay::Relay;
pub use wait::until;
pub use world::World;
