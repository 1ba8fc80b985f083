//! Selling, scanning and checking on one node, each beside its limit, in turns.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use domain::ids::{CommandId, NodeIncarnation, Seq};
use domain::ticket::{KeyMaterial, KeyRecord, parse_qr, verify};
use edge_node::engine::{IssuedTicket, NoEffects, SellOrder};
use edge_node::{Command, Engine, Outcome};

use crate::bare::{BareTable, Signed};
use crate::dice::Dice;
use crate::report::{Rounds, per_s};
use crate::say;
use crate::world::World;

/// Within a round one side works so often, then the other: what disturbs them disturbs both.
const SLICE: usize = 20;

/// How much is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Rounds: in each of them everything has its turn.
    pub rounds: usize,
    /// Commits, sales and scans of one turn.
    pub commits: usize,
    /// Tickets checked in one turn.
    pub checks: usize,
}

/// What was found, and the settings it was found under.
pub struct EdgeFigures {
    /// Every round.
    pub rounds: Rounds,
    /// Read back from SQLite, and rows counted.
    pub settings: Vec<(String, String)>,
}

/// Measures in `folder`.
pub fn measure(folder: &Path, dice: &mut Dice, amount: Amount) -> Result<EdgeFigures> {
    // The first quarter fills the station's log, so that the bus has tickets to scan.
    let turns = amount.rounds * amount.commits;
    let now = central::clock::now();
    let world = World::new(dice, (3 * turns) * 3 / 2, now)?;
    let station_folder = made(folder, "station")?;
    let mut station = world.station(&station_folder, dice)?;
    let order_dice = &mut Dice::new(dice.number());
    let mut orders = world.orders(order_dice);
    say("selling tickets for the bus to scan");
    let mut tickets = vec![];
    while tickets.len() < turns {
        let order = orders.next().context("the seats ran out")?;
        let (sold, _) = sell(&mut station, dice, &world, vec![order])?;
        tickets.extend(sold);
    }
    let mut bus = world.bus(&made(folder, "bus")?, &tickets)?;
    let row_bytes = mean_row_bytes(&station)?;
    let mut bare = BareTable::create(folder, row_bytes)?;
    bare.commit(amount.commits)?;
    let mut rounds = Rounds::default();
    for round in 0..amount.rounds {
        let mut took = [Duration::ZERO; 3];
        for slice in tickets[round * amount.commits..][..amount.commits].chunks(SLICE) {
            took[0] += bare.commit(slice.len())?;
            let wanted: Vec<SellOrder> = orders.by_ref().take(slice.len()).collect();
            ensure!(wanted.len() == slice.len(), "the seats ran out");
            took[1] += sell(&mut station, dice, &world, wanted)?.1;
            took[2] += scan(&mut bus, dice, &world, slice)?;
        }
        let [commit, sale, scan] = took.map(|took| per_s(amount.commits, took));
        rounds.bare_commit_per_s.push(commit);
        rounds.sale_per_s.push(sale);
        rounds.scan_per_s.push(scan);
        say(&format!(
            "round {} of {}: {commit:.0} bare commits, {sale:.0} sales, {scan:.0} scans a second",
            round + 1,
            amount.rounds
        ));
    }
    let checked = &tickets[..amount.checks.min(tickets.len())];
    check(checked, &world.station_key(), amount.rounds, &mut rounds)?;
    let settings = settings(&bare, &station, row_bytes)?;
    Ok(EdgeFigures { rounds, settings })
}

fn made(folder: &Path, name: &str) -> Result<std::path::PathBuf> {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// Sells; the tickets, and how long the engine took.
fn sell(
    station: &mut Engine,
    dice: &mut Dice,
    world: &World,
    orders: Vec<SellOrder>,
) -> Result<(Vec<IssuedTicket>, Duration)> {
    let commands: Vec<_> = orders
        .into_iter()
        .map(|order| (CommandId::from_bytes(dice.id()), Command::Sell(order)))
        .collect();
    let mut outcomes = Vec::with_capacity(commands.len());
    let started = Instant::now();
    for (id, command) in commands {
        outcomes.push(station.execute(id, command, world.now, &mut NoEffects)?);
    }
    let took = started.elapsed();
    let mut tickets = vec![];
    for outcome in outcomes {
        let Outcome::Sold(receipt) = outcome else {
            bail!("a sale led to {outcome:?}");
        };
        tickets.extend(receipt.tickets);
    }
    Ok((tickets, took))
}

/// Scans tickets that passengers show; every one of them may board.
fn scan(
    bus: &mut Engine,
    dice: &mut Dice,
    world: &World,
    shown: &[IssuedTicket],
) -> Result<Duration> {
    let commands: Vec<_> = shown
        .iter()
        .map(|ticket| {
            let scan = Command::Scan {
                trip: ticket.trip,
                text: ticket.qr.clone(),
            };
            (CommandId::from_bytes(dice.id()), scan)
        })
        .collect();
    let mut outcomes = Vec::with_capacity(commands.len());
    let started = Instant::now();
    for (id, command) in commands {
        outcomes.push(bus.execute(id, command, world.now, &mut NoEffects)?);
    }
    let took = started.elapsed();
    for outcome in outcomes {
        let Outcome::Scanned(scanned) = &outcome else {
            bail!("a scan led to {outcome:?}");
        };
        ensure!(scanned.answer.lets_on(), "a good ticket led to {outcome:?}");
    }
    Ok(took)
}

fn check(
    tickets: &[IssuedTicket],
    key: &KeyRecord,
    turns: usize,
    rounds: &mut Rounds,
) -> Result<()> {
    let KeyMaterial::Ed25519(public) = &key.material else {
        bail!("the station signs with Ed25519");
    };
    let mut signed = vec![];
    for ticket in tickets {
        signed.push(Signed::of_ticket(&parse_qr(&ticket.qr)?.to_message())?);
    }
    for _ in 0..turns {
        let mut took = [Duration::ZERO; 2];
        for (signed, tickets) in signed.chunks(SLICE).zip(tickets.chunks(SLICE)) {
            let started = Instant::now();
            let good = signed.iter().filter(|s| s.check(public.public())).count();
            took[0] += started.elapsed();
            ensure!(good == signed.len(), "a bare check failed");
            let started = Instant::now();
            let texts = tickets.iter().map(|t| t.qr.as_str());
            let good = texts
                .filter(|text| parse_qr(text).is_ok_and(|ticket| verify(&ticket, key).is_ok()))
                .count();
            took[1] += started.elapsed();
            ensure!(good == tickets.len(), "a good ticket was refused");
        }
        let [bare, checked] = took.map(|took| per_s(tickets.len(), took));
        rounds.bare_verify_per_s.push(bare);
        rounds.verify_per_s.push(checked);
    }
    Ok(())
}

/// What one event of the log weighs in its row.
fn mean_row_bytes(engine: &Engine) -> Result<usize> {
    let rows = engine
        .store()
        .events(engine.node(), NodeIncarnation(1), Seq(0), u32::MAX)?;
    let sales: Vec<usize> = rows
        .iter()
        .filter(|row| row.event.personal.is_some())
        .map(|row| {
            let envelope = &row.event.envelope;
            let personal = row.event.personal.as_ref().map_or(0, Vec::len);
            // Position, time, command, hash, hash before, hash of the blob, signature.
            8 + 8 + 16 + 32 + 32 + 32 + 64 + envelope.body.len() + personal
        })
        .collect();
    ensure!(!sales.is_empty(), "the station sold nothing");
    Ok(sales.iter().sum::<usize>() / sales.len())
}

fn settings(bare: &BareTable, station: &Engine, row_bytes: usize) -> Result<Vec<(String, String)>> {
    let mut settings = vec![("bare_row_bytes".to_owned(), row_bytes.to_string())];
    for name in [
        "journal_mode",
        "synchronous",
        "page_size",
        "wal_autocheckpoint",
    ] {
        settings.push((format!("bare_sqlite_{name}"), bare.setting(name)?));
    }
    settings.push(("bare_sqlite_rows".to_owned(), bare.count()?.to_string()));
    let node = station.store().settings()?;
    let mut add = |name: &str, value: String| settings.push((name.to_owned(), value));
    add("sqlite_version", node.sqlite_version.to_owned());
    add("node_sqlite_journal_mode", node.journal_mode);
    add("node_sqlite_synchronous", node.synchronous.to_string());
    add("node_events", station.head().seq.to_string());
    Ok(settings)
}
