//! The office's books against what the callers were told.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::Hub;
use crate::http::{number, text};

/// Which ticket sits where.
#[derive(Debug, Default)]
pub struct SeatLegs {
    taken: BTreeMap<(i64, i64, i64), String>,
}

impl SeatLegs {
    /// Seats a ticket of `GET /tickets`; fails if somebody sits there.
    pub fn seat(&mut self, ticket: &Value) -> Result<()> {
        let id = text(ticket, "ticket")?;
        let (trip, seat) = (number(ticket, "trip")?, number(ticket, "seat")?);
        for leg in number(ticket, "from")?..number(ticket, "to")? {
            if let Some(other) = self.taken.insert((trip, seat, leg), id.clone()) {
                anyhow::bail!(
                    "seat {seat} of trip {trip} on leg {leg} was sold to {other} and {id}"
                );
            }
        }
        Ok(())
    }
}

/// Fails unless the hub has exactly these tickets, each once and live, out of so many sales, no
/// seat-leg twice, and a ledger that agrees and sums to zero.
pub fn settle(hub: &Hub, sales: usize, tickets: &BTreeSet<String>) -> Result<()> {
    let rows = hub.rows("/tickets")?;
    let mut seats = SeatLegs::default();
    let mut found = BTreeSet::new();
    for row in &rows {
        ensure!(row["state"] == "live", "not live: {row}");
        seats.seat(row)?;
        ensure!(found.insert(text(row, "ticket")?), "twice: {row}");
    }
    let lost: Vec<_> = tickets.difference(&found).collect();
    ensure!(lost.is_empty(), "acknowledged, not at the hub: {lost:?}");
    let more: Vec<_> = found.difference(tickets).collect();
    ensure!(more.is_empty(), "at the hub, never acknowledged: {more:?}");
    let ledger = hub.office().fetch("/reconciliation/ledger")?;
    let expected = [
        ("ledger_sum_minor", 0),
        ("sale_entries", sales),
        ("tickets_in_ledger", tickets.len()),
    ];
    for (name, value) in expected {
        ensure!(ledger[name] == value, "{name} is not {value}: {ledger}");
    }
    let conflicts = hub.rows("/reconciliation/conflicts")?;
    ensure!(conflicts.is_empty(), "cases: {conflicts:?}");
    Ok(())
}
