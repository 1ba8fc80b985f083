//! What a run amounts to: the JSON of `--report`, documented in docs/demo.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::voice::count;

/// The report. Counts named *acknowledged* are of answers that the callers got; everything from
/// `sales_in_ledger` on was read from the hub and the nodes after the last event had drained.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What the story was told with.
    pub seed: u64,
    /// Tickets that stations sold while no network reached them, voided ones too.
    pub tickets_sold_offline: usize,
    /// Tickets that stations sold while connected.
    pub tickets_sold_connected: usize,
    /// Tickets that customers booked at the hub.
    pub tickets_booked_online: usize,
    /// Bookings that their customers paid by mobile money.
    pub paid_by_mobile_money: usize,
    /// Bookings that their customers paid by card.
    pub paid_by_card: usize,
    /// Payments whose end the operator's callback did not tell, and the hub found out by asking.
    pub lost_callbacks_recovered: usize,
    /// Cards that the bank refused; they led to no tickets.
    pub cards_refused: usize,
    /// Refunds that an operator carried out.
    pub refunds_done: usize,
    /// How often the operators took money, by their own count.
    pub captures_at_operators: usize,
    /// Debits of the clearing accounts in the hub's ledger.
    pub captures_in_ledger: usize,
    /// How often the operators gave money back, by their own count.
    pub refunds_at_operators: usize,
    /// Credits of the clearing accounts in the hub's ledger.
    pub refunds_in_ledger: usize,
    /// What the operators hold for the company, in minor units.
    pub net_at_operators_minor: i64,
    /// What the ledger says that they hold, in minor units.
    pub net_in_ledger_minor: i64,
    /// The driver's answers, by answer.
    pub scans: BTreeMap<&'static str, usize>,
    /// SMS that arrived on phones.
    pub sms_delivered: usize,
    /// E-mails that arrived in mailboxes.
    pub emails_delivered: usize,
    /// Bookings that got their tickets.
    pub bookings_ticketed: usize,
    /// Of these, how many customers heard of it by exactly one SMS.
    pub bookings_told_by_sms: usize,
    /// And by exactly one e-mail.
    pub bookings_told_by_email: usize,
    /// Messages owed to people who sit elsewhere since their bus was swapped.
    pub seat_changes: usize,
    /// How many of these arrived exactly once.
    pub seat_changes_told: usize,
    /// Messages about another seat that nobody was owed.
    pub seat_changes_stray: usize,
    /// Live tickets of the trip whose bus was swapped.
    pub swapped_tickets: usize,
    /// How many of them that bus found valid and showed the right seat for.
    pub swapped_tickets_scanned: usize,
    /// Tickets sold in the old numbers by a counter that could not know, and found another place.
    pub late_sales_renumbered: usize,
    /// Positions of the bus that came over the stream.
    pub positions_streamed: usize,
    /// How far the bus moved meanwhile, in metres.
    pub bus_moved_m: i64,
    /// How old a position was at most when it came, in milliseconds.
    pub position_age_ms_max: i64,
    /// Bookings made at the second hub process and paid at the first.
    pub booked_at_second_hub: usize,
    /// Requests made while the second process was told to end.
    pub asked_while_one_stopped: usize,
    /// How many of them got no good answer.
    pub refused_while_one_stopped: usize,
    /// Seat-legs that two live tickets of `tickets` share.
    pub double_sold_seat_legs: usize,
    /// Sale commands and bookings that were answered with tickets, each once however often it
    /// was retried.
    pub acknowledged_sales: usize,
    /// Tickets in those answers.
    pub acknowledged_tickets: usize,
    /// Ledger entries that a sale or a booking made.
    pub sales_in_ledger: i64,
    /// Tickets that those entries credit.
    pub tickets_in_ledger: i64,
    /// The sum of every posting.
    pub ledger_sum_minor: i64,
    /// Events in the nodes' own logs that the hub has not stored.
    pub unsynced_after_drain: i64,
    /// Sales refused because the station's lease could not fill them.
    pub refused_when_lease_dry: usize,
    /// Cases at the hub that wait for a person.
    pub open_conflicts: usize,
    /// Drawers, as counted and as the hub expects them.
    pub shifts: Vec<ShiftLine>,
    /// Every ticket of the run.
    pub tickets: Vec<TicketLine>,
    /// What the tickets verify with.
    pub key_bundle: Vec<KeyLine>,
    /// The hub's database; it answers only while the demo runs.
    pub postgres_url: String,
    /// The hub's page and API; it answers only while the demo runs.
    pub hub_url: String,
}

/// A ticket as issued, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TicketLine {
    /// The text of its QR code.
    pub qr: String,
    /// Its short code.
    pub code: Option<String>,
    /// The trip's number.
    pub trip: i64,
    /// The seat's number, as its QR code has it.
    pub seat: i64,
    /// The seat's number on the bus that runs; another one where the bus was swapped.
    pub seat_today: i64,
    /// The stop where it boards, counted from 0 along the trip.
    pub from: i64,
    /// The stop where it ends; it uses the legs `from..to`.
    pub to: i64,
    /// `hub`, or the node id of the station.
    pub issuer: String,
    /// `live`, `void` or `disputed`.
    pub state: String,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyLine {
    /// 8 hexadecimal digits.
    pub kid: String,
    /// `EdDSA`.
    pub alg: String,
    /// 64 hexadecimal digits.
    pub public_key: String,
}

/// A closed shift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShiftLine {
    /// The station.
    pub station: String,
    /// Who sold.
    pub agent: String,
    /// What the hub says should be in the drawer, float included.
    pub expected_minor: i64,
    /// What the agent counted, float included.
    pub declared_minor: i64,
}

/// How many seat-legs two live tickets share.
pub fn double_sold_seat_legs(tickets: &[TicketLine]) -> usize {
    let mut taken = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for ticket in tickets.iter().filter(|t| t.state == "live") {
        for leg in ticket.from..ticket.to {
            let place = (ticket.trip, ticket.seat_today, leg);
            if !taken.insert(place) {
                twice.insert(place);
            }
        }
    }
    twice.len()
}

impl Report {
    /// What must be true of every run, each with whether it is.
    pub fn claims(&self) -> Vec<(bool, String)> {
        let answers = [
            "valid",
            "already_used",
            "wrong_trip",
            "good_but_unlisted",
            "seat_conflict",
            "invalid",
        ];
        let seen = answers
            .iter()
            .filter(|a| self.scans.get(*a).is_some_and(|n| *n > 0))
            .count();
        let mut claims = vec![
            (
                self.double_sold_seat_legs == 0,
                format!(
                    "no seat-leg sold twice among {} tickets",
                    self.tickets.len()
                ),
            ),
            (
                self.acknowledged_sales as i64 == self.sales_in_ledger
                    && self.acknowledged_tickets as i64 == self.tickets_in_ledger,
                format!(
                    "{} sales ({} tickets) acknowledged at the counters and online, {} ({}) in the ledger",
                    self.acknowledged_sales,
                    self.acknowledged_tickets,
                    self.sales_in_ledger,
                    self.tickets_in_ledger
                ),
            ),
            self.money_claim(),
            (
                self.lost_callbacks_recovered >= 1
                    && self.cards_refused >= 1
                    && self.refunds_done >= 1,
                format!(
                    "{} by mobile money and {} by card; {} made good, {} refused, {} done",
                    count(self.paid_by_mobile_money, "booking"),
                    self.paid_by_card,
                    count(self.lost_callbacks_recovered, "lost callback"),
                    count(self.cards_refused, "card"),
                    count(self.refunds_done, "refund")
                ),
            ),
            (
                self.tickets.len() == self.acknowledged_tickets,
                format!(
                    "the hub has {} tickets, each issued once",
                    self.tickets.len()
                ),
            ),
            (
                self.ledger_sum_minor == 0,
                format!("the ledger sums to {}", self.ledger_sum_minor),
            ),
            (
                self.unsynced_after_drain == 0,
                format!(
                    "{} events left unsynced on the devices",
                    self.unsynced_after_drain
                ),
            ),
            (
                seen == answers.len(),
                format!("{seen} of the 6 scan answers were given"),
            ),
            (
                self.refused_when_lease_dry >= 1,
                format!(
                    "{} refused because a lease was dry",
                    self.refused_when_lease_dry
                ),
            ),
            (
                self.tickets_sold_offline >= 60,
                format!(
                    "{} tickets sold with no network at all",
                    self.tickets_sold_offline
                ),
            ),
            (
                self.open_conflicts == 0,
                format!("{} conflicts for the office to settle", self.open_conflicts),
            ),
        ];
        claims.extend(self.further_claims());
        claims
    }

    /// Messages, the swapped bus, the bus on its way, two processes.
    fn further_claims(&self) -> [(bool, String); 5] {
        [
            (
                self.bookings_ticketed >= 1
                    && self.bookings_told_by_sms == self.bookings_ticketed
                    && self.bookings_told_by_email == self.bookings_ticketed,
                format!(
                    "{} got tickets, {} told once by SMS, {} once by e-mail",
                    count(self.bookings_ticketed, "booking"),
                    self.bookings_told_by_sms,
                    self.bookings_told_by_email
                ),
            ),
            (
                self.seat_changes >= 1
                    && self.seat_changes_told == self.seat_changes
                    && self.seat_changes_stray == 0,
                format!(
                    "{} owed about other seats, {} came and came once, {} to anybody else",
                    count(self.seat_changes, "message"),
                    self.seat_changes_told,
                    self.seat_changes_stray
                ),
            ),
            (
                self.swapped_tickets_scanned == self.swapped_tickets
                    && self.late_sales_renumbered >= 1,
                format!(
                    "{} of {} tickets scan on the bus that came instead, {} of them sold in the dark after that",
                    self.swapped_tickets_scanned, self.swapped_tickets, self.late_sales_renumbered
                ),
            ),
            (
                self.bus_moved_m >= 300 && self.positions_streamed >= 2,
                format!(
                    "a bus was seen to move {} m in {} positions, none older than {} ms",
                    self.bus_moved_m, self.positions_streamed, self.position_age_ms_max
                ),
            ),
            (
                self.booked_at_second_hub >= 1
                    && self.asked_while_one_stopped >= 1
                    && self.refused_while_one_stopped == 0,
                format!(
                    "{} at the second process; of {} while it was restarted {} failed",
                    count(self.booked_at_second_hub, "booking"),
                    count(self.asked_while_one_stopped, "request"),
                    self.refused_while_one_stopped
                ),
            ),
        ]
    }

    /// The operators' own counts against the hub's ledger and what customers were told.
    fn money_claim(&self) -> (bool, String) {
        let paid = self.paid_by_mobile_money + self.paid_by_card;
        let captures = self.captures_at_operators == self.captures_in_ledger;
        let refunds = self.refunds_at_operators == self.refunds_in_ledger;
        let net = self.net_at_operators_minor == self.net_in_ledger_minor;
        let told =
            paid == self.captures_at_operators && self.refunds_done == self.refunds_at_operators;
        let text = format!(
            "{} and {} at the operators, {} and {} in the ledger",
            count(self.captures_at_operators, "capture"),
            count(self.refunds_at_operators, "refund"),
            self.captures_in_ledger,
            self.refunds_in_ledger
        );
        (captures && refunds && net && told, text)
    }

    /// Writes the report.
    pub fn write(&self, file: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(file, text).with_context(|| format!("could not write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(seat: i64, from: i64, to: i64, state: &str) -> TicketLine {
        TicketLine {
            qr: String::new(),
            code: None,
            trip: 1,
            // What the code says is of no account.
            seat: 1,
            seat_today: seat,
            from,
            to,
            issuer: "hub".to_owned(),
            state: state.to_owned(),
        }
    }

    #[test]
    fn what_did_not_happen_breaks_its_claim() {
        let good = Report {
            bookings_ticketed: 8,
            bookings_told_by_sms: 8,
            bookings_told_by_email: 8,
            seat_changes: 2,
            seat_changes_told: 2,
            swapped_tickets: 15,
            swapped_tickets_scanned: 15,
            late_sales_renumbered: 1,
            positions_streamed: 12,
            bus_moved_m: 330,
            booked_at_second_hub: 1,
            asked_while_one_stopped: 100,
            ..Report::default()
        };
        let broken = |change: fn(&mut Report)| {
            let mut report = good.clone();
            change(&mut report);
            let claims = report.further_claims();
            claims.iter().filter(|(holds, _)| !holds).count()
        };
        assert_eq!(broken(|_| {}), 0);
        let changes: [fn(&mut Report); 12] = [
            |r| r.bookings_told_by_sms = 7,
            |r| r.bookings_told_by_email = 9,
            |r| r.seat_changes_told = 1,
            |r| r.seat_changes_stray = 1,
            |r| (r.seat_changes, r.seat_changes_told) = (0, 0),
            |r| r.swapped_tickets_scanned = 14,
            |r| r.late_sales_renumbered = 0,
            |r| r.bus_moved_m = 299,
            |r| r.positions_streamed = 1,
            |r| r.booked_at_second_hub = 0,
            |r| r.asked_while_one_stopped = 0,
            |r| r.refused_while_one_stopped = 1,
        ];
        for (n, change) in changes.into_iter().enumerate() {
            assert_eq!(broken(change), 1, "change {n}");
        }
    }

    #[test]
    fn only_legs_that_two_live_tickets_share_are_double_sold() {
        let mut tickets = vec![ticket(5, 0, 2, "live"), ticket(5, 2, 4, "live")];
        assert_eq!(double_sold_seat_legs(&tickets), 0);
        tickets.push(ticket(5, 1, 4, "void"));
        tickets.push(ticket(6, 1, 4, "live"));
        assert_eq!(double_sold_seat_legs(&tickets), 0);
        tickets.push(ticket(5, 1, 4, "live"));
        assert_eq!(double_sold_seat_legs(&tickets), 3);
        tickets.push(ticket(5, 1, 2, "live"));
        assert_eq!(double_sold_seat_legs(&tickets), 3);
    }
}
