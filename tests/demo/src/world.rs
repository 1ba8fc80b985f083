//! Everything that plays in the story, and what the callers count along the way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::bus::{Bus, Seen};
use crate::cache::Cache;
use crate::dice::Dice;
use crate::hub::{Hub, Trip};
use crate::messages::Messages;
use crate::operators::Operators;
use crate::patience::Patience;
use crate::people::Party;
use crate::readers::{Readers, Rider};
use crate::relay::Relay;
use crate::station::{Order, Outcome, Place, Station, Ticket};
use crate::stream::{Followed, Listener};
use crate::voice::{Voice, Who, count, enumerated, money};

/// How long news may take to travel.
pub const NEWS_DEADLINE: Duration = Duration::from_mins(2);

/// The two counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Town {
    /// Where the trip begins.
    Lusaka,
    /// Where it calls two stops later.
    Kabwe,
}

/// What the callers counted themselves.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// See [`crate::report::Report`].
    pub tickets_sold_offline: usize,
    /// See [`crate::report::Report`].
    pub tickets_sold_connected: usize,
    /// See [`crate::report::Report`].
    pub tickets_booked_online: usize,
    /// See [`crate::report::Report`].
    pub acknowledged_sales: usize,
    /// See [`crate::report::Report`].
    pub refused_when_lease_dry: usize,
    /// See [`crate::report::Report`].
    pub paid_by_mobile_money: usize,
    /// See [`crate::report::Report`].
    pub paid_by_card: usize,
    /// See [`crate::report::Report`].
    pub lost_callbacks_recovered: usize,
    /// See [`crate::report::Report`].
    pub cards_refused: usize,
    /// See [`crate::report::Report`].
    pub refunds_done: usize,
    /// See [`crate::report::Report`].
    pub scans: BTreeMap<&'static str, usize>,
    /// See [`crate::report::Report`].
    pub swapped_tickets_scanned: usize,
    /// See [`crate::report::Report`].
    pub late_sales_renumbered: usize,
    /// See [`crate::report::Report`].
    pub booked_at_second_hub: usize,
    /// See [`crate::report::Report`].
    pub asked_while_one_stopped: usize,
    /// See [`crate::report::Report`].
    pub refused_while_one_stopped: usize,
    /// See [`crate::report::Report`].
    pub bus_followed: Followed,
    /// Whom the hub owes tickets by SMS and e-mail, and news of another seat.
    pub readers: Readers,
}

/// Where everything of the demo is.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The folder with the programs.
    pub bin_dir: PathBuf,
    /// The demo's data folder.
    pub data: PathBuf,
    /// Where logs go.
    pub logs: PathBuf,
    /// The hub's settings.
    pub config: PathBuf,
}

impl Ground {
    /// The same, to be handed on.
    pub fn place(&self) -> Place<'_> {
        Place {
            bin_dir: &self.bin_dir,
            data: &self.data,
            logs: &self.logs,
        }
    }
}

/// Everything that plays. Fields are dropped, and so stopped, from top to bottom: the hub last.
#[derive(Debug)]
pub struct World {
    /// Lusaka's counter.
    pub lusaka: Station,
    /// Kabwe's counter.
    pub kabwe: Station,
    /// The driver's device.
    pub bus: Bus,
    /// The device on the bus to Livingstone, once there is one.
    pub coach: Option<Bus>,
    /// The network.
    pub relay: Relay,
    /// Who takes customers' money.
    pub operators: Operators,
    /// Phones and mailboxes.
    pub messages: Messages,
    /// The second process of the office, while there is one.
    pub second: Option<Hub>,
    /// The office.
    pub hub: Hub,
    /// What both processes share beside the database.
    pub cache: Cache,
    /// Where things are.
    pub ground: Ground,
    /// Who travels to Livingstone and is known to the hub before the bus is swapped.
    pub riders: Vec<Rider>,
    /// Who follows the bus to Livingstone.
    pub listener: Option<Listener>,
    /// Where everybody with the link sees it.
    pub follow_path: Option<String>,
    /// The trip that the story is about: Lusaka to Solwezi.
    pub trip: Trip,
    /// Another bus: Lusaka to Livingstone.
    pub other_trip: Trip,
    /// Whether the relay is stopped.
    pub cut_off: bool,
    /// What the callers counted.
    pub tally: Tally,
    /// The teller.
    pub voice: Voice,
    /// Chance.
    pub dice: Dice,
    /// Knows when to give up.
    pub patience: Patience,
}

/// What is asked for, without the party: `trip`, from where the counter is, to a stop.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The trip's number.
    pub trip: i64,
    /// Where to.
    pub to: &'a str,
    /// A chosen seat.
    pub seat: Option<&'a str>,
}

impl World {
    /// One of the counters.
    pub fn station(&mut self, town: Town) -> &mut Station {
        match town {
            Town::Lusaka => &mut self.lusaka,
            Town::Kabwe => &mut self.kabwe,
        }
    }

    /// Counts tickets that a counter handed out.
    pub fn note_sale(&mut self, tickets: &[Ticket]) {
        self.tally.acknowledged_sales += 1;
        if self.cut_off {
            self.tally.tickets_sold_offline += tickets.len();
        } else {
            self.tally.tickets_sold_connected += tickets.len();
        }
    }

    /// Asks a counter for seats and counts what comes of it.
    pub fn ask(&mut self, town: Town, wish: Wish<'_>, party: &Party) -> Result<Outcome> {
        self.patience.check()?;
        let command = self.dice.uuid().to_string();
        let station = self.station(town);
        let order = Order {
            trip: wish.trip,
            from: station.stop,
            to: wish.to,
            party,
            seat: wish.seat,
        };
        let outcome = station.sell(&command, order)?;
        match &outcome {
            Outcome::Sold(tickets) => self.note_sale(tickets),
            Outcome::Refused { code, .. } if code == "lease_dry" => {
                self.tally.refused_when_lease_dry += 1;
            }
            Outcome::Refused { .. } => {}
        }
        Ok(outcome)
    }

    /// Sells what must be sold for the story to go on.
    pub fn sell(&mut self, town: Town, wish: Wish<'_>, party: &Party) -> Result<Vec<Ticket>> {
        match self.ask(town, wish, party)? {
            Outcome::Sold(tickets) => Ok(tickets),
            Outcome::Refused { code, reason } => bail!(
                "{} should have sold {} to {}: {code}: {reason}",
                self.station(town).town,
                count(party.len(), "seat"),
                wish.to
            ),
        }
    }

    /// Sells and tells of it.
    pub fn sell_aloud(&mut self, town: Town, wish: Wish<'_>, party: &Party) -> Result<Vec<Ticket>> {
        let tickets = self.sell(town, wish, party)?;
        let who = self.station(town).who;
        self.voice.tell(
            who,
            &format!(
                "{} to {}: {}, {} kwacha",
                party.title(),
                stop_name(wish.to),
                seats(&tickets),
                money(tickets.iter().map(|t| t.fare_minor).sum())
            ),
        );
        Ok(tickets)
    }

    /// Shows a ticket to the driver, tells what the device says and checks that it is right.
    pub fn show(&mut self, what: &str, qr: &str, expected: &'static str) -> Result<Seen> {
        self.patience.check()?;
        let seen = self.bus.scan(qr)?;
        let boards = matches!(seen.answer.as_str(), "valid" | "good_but_unlisted");
        let seat = seen.seat.as_ref().filter(|_| boards);
        let seat = seat.map_or(String::new(), |s| format!(", seat {s}"));
        let answer = seen.answer.replace('_', " ").to_uppercase();
        self.voice
            .tell(Who::Driver, &format!("{what}: {answer}{seat}"));
        self.voice.aside(&seen.reason);
        if seen.answer != expected {
            bail!("the driver's device should have answered {expected} to {what}");
        }
        *self.tally.scans.entry(expected).or_default() += 1;
        Ok(seen)
    }

    /// Events on all devices that the hub has not stored, by their own logs.
    pub fn unsynced(&self) -> Result<[i64; 4]> {
        Ok([
            self.lusaka.unsynced()?,
            self.kabwe.unsynced()?,
            self.bus.unsynced()?,
            self.coach.as_ref().map_or(Ok(0), Bus::unsynced)?,
        ])
    }

    /// Waits until the hub has everything.
    pub fn drain(&self, mut progress: impl FnMut([i64; 4])) -> Result<()> {
        self.patience.until(
            "the devices to be in step with the hub",
            NEWS_DEADLINE,
            || {
                let left = self.unsynced()?;
                progress(left);
                Ok(match left {
                    [0, 0, 0, 0] => Ok(()),
                    [lusaka, kabwe, bus, coach] => Err(format!(
                        "events not yet at the hub: Lusaka {lusaka}, Kabwe {kabwe}, bus {bus}, \
                         the bus to Livingstone {coach}"
                    )),
                })
            },
        )
    }

    /// Fails if any of the programs ended by itself.
    pub fn check(&mut self) -> Result<()> {
        self.hub.check()?;
        self.lusaka.check()?;
        self.kabwe.check()?;
        self.bus.check()?;
        if let Some(coach) = &mut self.coach {
            coach.check()?;
        }
        if let Some(second) = &mut self.second {
            second.check()?;
        }
        self.operators.check()?;
        self.messages.check()?;
        self.cache.child.check()?;
        self.relay.child.check()
    }

    /// Stops every program, the hub last.
    pub fn stop(mut self) -> Result<()> {
        if let Some(second) = &mut self.second {
            // It takes its time while the others end.
            second.ask_to_end()?;
        }
        let stopped = [
            self.lusaka.stop(),
            self.kabwe.stop(),
            self.bus.stop(),
            self.coach.as_mut().is_none_or(Bus::stop),
            self.relay.child.stop(),
            self.operators.stop(),
            self.messages.stop(),
            self.second.as_mut().is_none_or(Hub::stop),
            self.hub.stop(),
            self.cache.child.stop(),
        ];
        if stopped.contains(&false) {
            bail!("not every program stopped when it was asked to");
        }
        Ok(())
    }
}

/// `seat 4A`, `seats 4A, 4B and 4C`.
pub fn seats(tickets: &[Ticket]) -> String {
    let labels: Vec<String> = tickets.iter().map(|t| t.seat.clone()).collect();
    let noun = if labels.len() == 1 { "seat" } else { "seats" };
    format!("{noun} {}", enumerated(&labels))
}

/// What people call a stop.
pub fn stop_name(code: &str) -> &str {
    match code {
        "LUN" => "Lusaka",
        "KAB" => "Kabwe",
        "KAP" => "Kapiri Mposhi",
        "NDO" => "Ndola",
        "KIT" => "Kitwe",
        "CGA" => "Chingola",
        "SOL" => "Solwezi",
        "LVI" => "Livingstone",
        "MAZ" => "Mazabuka",
        "CHO" => "Choma",
        "KAF" => "Kafue",
        "MON" => "Monze",
        "KAL" => "Kalomo",
        "ZIM" => "Zimba",
        "CHB" => "Chibombo",
        other => other,
    }
}

/// The first of some tickets.
pub fn first(tickets: &[Ticket]) -> Result<&Ticket> {
    tickets.first().context("a sale has tickets")
}
