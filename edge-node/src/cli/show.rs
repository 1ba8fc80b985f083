//! Answers in words.

use core::fmt::Write as _;

use anyhow::Result;
use edge_node::api::{LeaseAnswered, Sale, Scanned, ShiftClosed, StatusJson, TicketLine, TripJson};
use edge_node::print::{amount, ticket_text};
use serde::Serialize;

/// Prints an answer: as JSON, or in words.
#[expect(clippy::print_stdout, reason = "a program prints")]
pub fn answer<A: Serialize>(json: bool, value: &A, words: impl FnOnce() -> String) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(value)?);
    } else {
        println!("{}", words());
    }
    Ok(())
}

pub fn shift_closed(closed: &ShiftClosed, currency: &str) -> String {
    format!(
        "shift {} is closed: expected {}, counted {}, difference {}",
        closed.shift,
        amount(closed.expected_minor, currency),
        amount(closed.declared_minor, currency),
        amount(closed.difference_minor, currency)
    )
}

pub fn sale(sale: &Sale) -> String {
    let mut text: Vec<String> = sale.tickets.iter().map(ticket_text).collect();
    text.push(format!(
        "{} sold, {} together",
        match sale.tickets.len() {
            1 => "1 ticket".to_owned(),
            n => format!("{n} tickets"),
        },
        amount(sale.total_minor, &sale.currency)
    ));
    text.join("\n")
}

pub fn scanned(scan: &Scanned) -> String {
    let mut text = scan.answer.replace('_', " ").to_uppercase();
    if let Some(seat) = &scan.seat_label {
        let _ = write!(text, "   SEAT {seat}");
    }
    if let (Some(from), Some(to)) = (&scan.from_name, &scan.to_name) {
        let _ = write!(text, "   {from} to {to}");
    }
    let _ = write!(text, "\n{}", scan.reason);
    text
}

pub fn lease(answer: &LeaseAnswered) -> String {
    match (answer.state.as_str(), answer.lease_no) {
        ("granted", Some(no)) => format!(
            "lease {no} on trip {}: {} seats",
            answer.trip,
            answer.seats.unwrap_or_default()
        ),
        ("refused", _) => format!("request {} was refused", answer.request),
        _ => format!(
            "request {} waits for the hub; it is kept until it is answered",
            answer.request
        ),
    }
}

pub fn status(s: &StatusJson) -> String {
    let mut text = format!("node {} (incarnation {})\n", s.node, s.incarnation);
    let _ = writeln!(
        text,
        "log: {} events, {} not yet stored at the hub",
        s.last_seq, s.unsynced
    );
    match &s.link {
        None => text.push_str("not running\n"),
        Some(link) if link.connected => {
            let _ = writeln!(text, "connected to {}", link.hub);
        }
        Some(link) => {
            let why = link.last_error.as_deref().unwrap_or("connecting");
            let _ = writeln!(text, "not connected to {}: {why}", link.hub);
        }
    }
    if let Some(why) = &s.blocked {
        let _ = writeln!(text, "BLOCKED until the hub is reached: {why}");
    }
    match &s.shift {
        None => text.push_str("no shift is open\n"),
        Some(shift) => {
            let _ = writeln!(
                text,
                "shift {} of {}: {} tickets, {} in the drawer",
                shift.shift,
                shift.agent,
                shift.tickets,
                amount(shift.expected_minor, &shift.currency)
            );
        }
    }
    for lease in &s.leases {
        let _ = writeln!(
            text,
            "lease {} on trip {} from {}: {} of {} seats left, until {}",
            lease.lease_no,
            lease.trip,
            lease.boarding,
            lease.seats_left,
            lease.seats,
            lease.sell_until
        );
    }
    if s.waiting_requests > 0 {
        let _ = writeln!(
            text,
            "{} lease requests wait for the hub",
            s.waiting_requests
        );
    }
    if !s.validates.is_empty() {
        let trips: Vec<String> = s.validates.iter().map(u64::to_string).collect();
        let _ = writeln!(text, "validates trips {}", trips.join(", "));
    }
    text.trim_end().to_owned()
}

pub fn trips(trips: &[TripJson]) -> String {
    let mut text = String::new();
    for trip in trips {
        let left: usize = trip.leases.iter().map(|l| l.seats_left).sum();
        let stops: Vec<&str> = trip.stops.iter().map(|s| s.code.as_str()).collect();
        let _ = writeln!(
            text,
            "{:>8}  {}  {} seats held  {}",
            trip.trip,
            trip.title,
            left,
            stops.join(" ")
        );
    }
    if text.is_empty() {
        text.push_str("no trips are known: connect this device once");
    }
    text.trim_end().to_owned()
}

pub fn tickets(tickets: &[TicketLine]) -> String {
    let lines: Vec<String> = tickets
        .iter()
        .map(|t| {
            format!(
                "{}  trip {}  seat {}  stops {} to {}  shift {}  {}",
                t.id, t.trip, t.seat_label, t.from_seq, t.to_seq, t.shift, t.state
            )
        })
        .collect();
    if lines.is_empty() {
        "no tickets were sold here".to_owned()
    } else {
        lines.join("\n")
    }
}
