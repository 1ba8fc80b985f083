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
        let took = bare.commit(amount.commits)?;
        rounds.bare_commit_per_s.push(per_s(amount.commits, took));
        let wanted: Vec<SellOrder> = orders.by_ref().take(amount.commits).collect();
        ensure!(wanted.len() == amount.commits, "the seats ran out");
        let (_, took) = sell(&mut station, dice, &world, wanted)?;
        rounds.sale_per_s.push(per_s(amount.commits, took));
        let shown = &tickets[round * amount.commits..][..amount.commits];
        let took = scan(&mut bus, dice, &world, shown)?;
        rounds.scan_per_s.push(per_s(amount.commits, took));
        say(&format!(
            "round {} of {}: {:.0} bare commits, {:.0} sales, {:.0} scans a second",
            round + 1,
            amount.rounds,
            rounds.bare_commit_per_s[round],
            rounds.sale_per_s[round],
            rounds.scan_per_s[round]
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
        match outcome {
            Outcome::Scanned(scanned) if scanned.answer.lets_on() => {}
            other => bail!("a good ticket led to {other:?}"),
        }
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
        let started = Instant::now();
        let good = signed.iter().filter(|s| s.check(public)).count();
        let took = started.elapsed();
        ensure!(good == signed.len(), "a bare check failed");
        rounds.bare_verify_per_s.push(per_s(good, took));
        let started = Instant::now();
        let texts = tickets.iter().map(|t| t.qr.as_str());
        let good = texts
            .filter(|text| parse_qr(text).is_ok_and(|ticket| verify(&ticket, key).is_ok()))
            .count();
        let took = started.elapsed();
        ensure!(good == tickets.len(), "a good ticket was refused");
        rounds.verify_per_s.push(per_s(good, took));
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
