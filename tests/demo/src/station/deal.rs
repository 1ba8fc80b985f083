//! What passes over a counter: seats, tickets and cash.

use anyhow::Result;
use serde_json::{Value, json};

use crate::http::{number, text};
use crate::people::Party;

/// Cash as the agent counts it, in minor units.
#[expect(clippy::struct_field_names, reason = "units stand last")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Drawer {
    /// There from the start.
    pub float_minor: i64,
    /// Taken for tickets.
    pub taken_minor: i64,
    /// Given back for voided tickets.
    pub returned_minor: i64,
}

impl Drawer {
    /// What should be in it.
    pub fn content_minor(&self) -> i64 {
        self.float_minor + self.taken_minor - self.returned_minor
    }
}

/// The right to sell some seats of a trip.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// The trip's number.
    pub trip: i64,
    /// Its number, per trip.
    pub number: i64,
    /// How many of its seats are untouched.
    pub seats_left: usize,
}

/// A ticket as the counter printed it.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Its number.
    pub id: String,
    /// The text of its QR code.
    pub qr: String,
    /// What is painted on the seat.
    pub seat: String,
    /// What it cost, in minor units.
    pub fare_minor: i64,
}

/// What is asked for at a counter.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The trip's number.
    pub trip: i64,
    /// Code of the stop where they board.
    pub from: &'a str,
    /// Code of the stop where they leave.
    pub to: &'a str,
    /// Who.
    pub party: &'a Party,
    /// The seat that the first of them chose.
    pub seat: Option<&'a str>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// These tickets.
    Sold(Vec<Ticket>),
    /// Nothing, and why.
    Refused {
        /// A stable word, as `lease_dry`.
        code: String,
        /// In the program's words.
        reason: String,
    },
}

/// The request that asks for it.
pub(super) fn sell_body(command: &str, order: Order<'_>) -> Value {
    let passengers: Vec<Value> = order
        .party
        .passengers
        .iter()
        .enumerate()
        .map(|(i, p)| {
            let seat = order.seat.filter(|_| i == 0);
            json!({"class": p.class, "name": p.name, "seat": seat})
        })
        .collect();
    json!({
        "command_id": command,
        "phone": order.party.phone,
        "journeys": [{
            "trip": order.trip, "from": order.from, "to": order.to, "passengers": passengers,
        }],
    })
}

/// Reads a ticket of an answer.
pub(super) fn ticket(value: &Value) -> Result<Ticket> {
    Ok(Ticket {
        id: text(value, "id")?,
        qr: text(value, "qr")?,
        seat: text(value, "seat_label")?,
        fare_minor: number(value, "fare_minor")?,
    })
}
