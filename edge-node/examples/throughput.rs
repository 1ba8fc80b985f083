//! Durable sales a second beside bare one-row commits at the same settings, on one disk.
//!
//! `cargo run --release -p edge-node --example throughput [FOLDER]`

use std::time::Instant as Clock;

use anyhow::{Context as _, Result};
use domain::counter::{JourneyWish, PassengerWish, SellCommand};
use domain::fare::{FareRow, FareTable};
use domain::ids::{
    CommandId, CompanyId, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, RequestId, SeatNo, StopCode,
    StopSeq, TripId,
};
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use domain::lease::{Grant, SeatClaim, SignedGrant};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::ticket::Suite;
use domain::time::Instant;
use domain::trip::{Legs, Trip, TripStop};
use ed25519_dalek::SigningKey;
use edge_node::engine::{Command, NoEffects, Personal, SeededEntropy, SellOrder};
use edge_node::keys::NodeKeys;
use edge_node::store::Disk;
use edge_node::{Engine, EngineConfig};
use sync_protocol::frame::{BucketCursor, BucketId, Item};
use uuid::Uuid;

const SEATS: u16 = 500;
const TRIPS: u64 = 8;
const SALES: u64 = 4_000;
const BLOCK: u64 = 50;
const NOW: Instant = Instant(1_795_000_000_000);

fn items() -> Result<(Vec<Item>, Vec<Item>)> {
    let hub = SigningKey::from_bytes(&[42; 32]);
    let legs = Legs::new(StopSeq(0), StopSeq(1)).context("legs")?;
    let stop = |code: &str, hours: i64| -> Result<TripStop> {
        Ok(TripStop {
            code: StopCode(code.to_owned()),
            name: code.to_owned(),
            zone: "Africa/Lusaka".parse()?,
            arrives: NOW.plus_ms(hours * 3_600_000),
            departs: NOW.plus_ms(hours * 3_600_000),
        })
    };
    let seats = (1..=SEATS).map(|n| Seat {
        label: n.to_string(),
        row: n,
        column: 1,
        attributes: SeatAttributes::default(),
    });
    let fares = FareTable {
        id: "f".to_owned(),
        currency: Currency::ZMW,
        rows: vec![FareRow {
            from: StopCode("A".to_owned()),
            to: StopCode("B".to_owned()),
            class: PassengerClass::Adult,
            fare_minor: Minor(10_000),
        }],
    };
    let layout = SeatLayout::new("l", LayoutVersion(1), seats.collect())?;
    let mut company = vec![Item::Layout(layout), Item::Fares(fares)];
    let mut grants = vec![];
    for trip in 1..=TRIPS {
        company.push(Item::Trip(Trip {
            id: TripId(trip),
            route: "R".to_owned(),
            headsign: "B".to_owned(),
            service_date: "2026-11-22".parse()?,
            layout: "l".to_owned(),
            layout_version: LayoutVersion(1),
            seat_count: SEATS,
            fare_table: "f".to_owned(),
            currency: Currency::ZMW,
            stops: vec![stop("A", 4)?, stop("B", 8)?],
            swaps: domain::swap::Swaps::NONE,
        }));
        let grant = Grant {
            trip: TripId(trip),
            lease_no: LeaseNo(1),
            holder: NodeId(Uuid::from_u128(1)),
            epoch: LeaseEpoch(1),
            boarding: StopSeq(0),
            claims: (1..=SEATS)
                .map(|seat| SeatClaim {
                    seat: SeatNo(seat),
                    legs,
                })
                .collect(),
            layout_version: LayoutVersion(1),
            sell_until: NOW.plus_ms(3_600_000),
            request: RequestId(Uuid::from_u128(u128::from(trip))),
        };
        grants.push(Item::Grant(SignedGrant::sign(&grant, &hub)));
    }
    Ok((company, grants))
}

fn open_shift(engine: &mut Engine) -> Result<()> {
    let open = Command::OpenShift {
        agent: "Mercy".to_owned(),
        float_minor: Minor(0),
        currency: Currency::ZMW,
    };
    engine.execute(CommandId(Uuid::from_u128(1)), open, NOW, &mut NoEffects)?;
    Ok(())
}

/// Sells `numbers` and says how long it took, in seconds.
fn sales(engine: &mut Engine, numbers: core::ops::Range<u64>) -> Result<f64> {
    let begin = Clock::now();
    for n in numbers {
        let order = SellOrder {
            sell: SellCommand {
                journeys: vec![JourneyWish {
                    trip: TripId(n % TRIPS + 1),
                    from: StopCode("A".to_owned()),
                    to: StopCode("B".to_owned()),
                    passengers: vec![PassengerWish {
                        class: PassengerClass::Adult,
                        seat: None,
                    }],
                }],
                tender: vec![],
                test: false,
            },
            personal: Personal {
                phone: Some("+260971234567".to_owned()),
                names: vec![Some("Chanda Mwila".to_owned())],
            },
        };
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| anyhow::anyhow!("{e}"))?;
        let at = NOW.plus_ms(n as i64);
        let sale = Command::Sell(order);
        engine.execute(CommandId::from_bytes(id), sale, at, &mut NoEffects)?;
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn bare_database(folder: &std::path::Path) -> Result<rusqlite::Connection> {
    let db = rusqlite::Connection::open(folder.join("bare.sqlite"))?;
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "full")?;
    let pages = edge_node::store::WAL_PAGES;
    db.pragma_update_and_check(None, "wal_autocheckpoint", pages, |_| Ok(()))?;
    db.execute_batch("CREATE TABLE row (id integer PRIMARY KEY, body blob NOT NULL) STRICT")?;
    Ok(db)
}

/// Commits `count` bare rows and says how long it took, in seconds.
fn bare(db: &rusqlite::Connection, count: u64) -> Result<f64> {
    let body = vec![7u8; 600];
    let mut insert = db.prepare_cached("INSERT INTO row (body) VALUES (?1)")?;
    let begin = Clock::now();
    for _ in 0..count {
        insert.execute([&body])?;
    }
    Ok(begin.elapsed().as_secs_f64())
}

#[expect(clippy::print_stdout, reason = "a program prints")]
fn main() -> Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, Into::into);
    let folder = folder.join(format!("mwimule-throughput-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let config = EngineConfig {
        node: NodeId(Uuid::from_u128(1)),
        company: CompanyId(Uuid::from_u128(2)),
        keys: NodeKeys::from_seeds([1; 32], [2; 32]),
        hub_keys: vec![SigningKey::from_bytes(&[42; 32]).verifying_key()],
        suite: Suite::Ed25519,
        entropy: Box::new(SeededEntropy::new(1)),
        store_expected: false,
    };
    let mut engine = Engine::open(&Disk::in_folder(&folder), config)?;
    let (company, grants) = items()?;
    let cursor = |bucket| BucketCursor { bucket, change: 1 };
    engine.apply_bucket(&cursor(BucketId::Company), &company, NOW)?;
    engine.apply_bucket(&cursor(BucketId::Node), &grants, NOW)?;
    open_shift(&mut engine)?;
    let db = bare_database(&folder)?;
    // In turns, so that both meet the same moods of the disk.
    let (mut bare_s, mut sale_s) = (0.0, 0.0);
    for block in 0..SALES / BLOCK {
        bare_s += bare(&db, BLOCK)?;
        sale_s += sales(&mut engine, block * BLOCK..(block + 1) * BLOCK)?;
    }
    let per_s = |seconds: f64| SALES as f64 / seconds;
    println!(
        "bare commits {:.0}/s, sales {:.0}/s, ratio {:.2}",
        per_s(bare_s),
        per_s(sale_s),
        bare_s / sale_s
    );
    drop((engine, db));
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
