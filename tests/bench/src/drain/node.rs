//! The real node in this process: enrolled, leased, away, and back again.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use domain::ids::{CommandId, RequestId, Seq, StopCode, StopSeq, TripId};
use domain::lease::{LeaseRequest, SeatWant};
use domain::ticket::Suite;
use edge_node::engine::{NoEffects, Status};
use edge_node::runtime::{Node, NodeOptions, clock, enrol, open_engine};
use edge_node::{Command, Engine, EngineError, Outcome};
use sync_transport::TransportSettings;

use super::hub::{BenchHub, STATION};
use crate::dice::Dice;
use crate::world::{open_shift, order};

/// The most seats that the hub leases at a time.
const SEATS_PER_REQUEST: u16 = 60;
/// Tickets of a sale, at most.
const PARTY_MAX: usize = 3;
/// How often the node is asked how far it is. It is asked on the thread that works.
const LOOK: Duration = Duration::from_millis(5);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(3);

/// What waits in the log.
pub struct Queued {
    /// Sales.
    pub sales: u64,
    /// Tickets of all of them.
    pub tickets: u64,
    /// Their fares.
    pub fares_minor: i64,
    /// The last event.
    pub last: Seq,
}

/// What a drain took.
pub struct Drained {
    /// From the welcome to the last verdict.
    pub took: Duration,
    /// UDP payload bytes to the hub in that time.
    pub sent_bytes: u64,
    /// UDP payload bytes from the hub in that time.
    pub received_bytes: u64,
    /// Both ways until the welcome.
    pub handshake_bytes: u64,
}

async fn start(hub: &BenchHub, folder: &Path) -> Result<Node> {
    let options = NodeOptions {
        data_dir: folder.to_owned(),
        http: "127.0.0.1:0".parse()?,
        hub: Some(hub.address.clone()),
        suite: Suite::Ed25519,
        transport: TransportSettings::edge(),
    };
    Ok(Node::start(options).await?)
}

/// Waits until the node's status is as wished.
async fn wait_until(
    node: &Node,
    what: &str,
    done: impl Fn(&Status) -> bool + Send + Sync,
) -> Result<Status> {
    let started = Instant::now();
    loop {
        let status = node.engine().call(|engine| engine.status()).await?;
        if done(&status) {
            return Ok(status);
        }
        let last_error = node.link().borrow().last_error.clone();
        ensure!(
            started.elapsed() < PATIENCE,
            "{what} was waited for in vain: {last_error:?}"
        );
        // tidy-allow-sleep: between two looks at a condition
        tokio::time::sleep(LOOK).await;
    }
}

/// Enrols a station and leases enough seats; the position up to which the hub has everything.
pub async fn prepare(hub: &BenchHub, folder: &Path, dice: &mut Dice, sales: usize) -> Result<Seq> {
    let code = hub.enrolment_code().await?;
    enrol(&code, folder, "bench", &TransportSettings::edge()).await?;
    let node = start(hub, folder).await?;
    // A sale takes 1.4 seats on average, and a few of each trip stay empty.
    let mut missing = (sales * 17 / 10) as i64;
    let trips = departures(&node, missing).await?;
    let mut wishes = vec![];
    for (trip, last, seats) in trips {
        if missing <= 0 {
            break;
        }
        let count = wished_of(seats);
        missing -= i64::from(count);
        wishes.push(LeaseRequest {
            request: RequestId::from_bytes(dice.id()),
            trip,
            boarding: StopSeq(0),
            wants: vec![SeatWant { to: last, count }],
        });
    }
    let wanted = wishes.len();
    for wish in wishes {
        let made = node.engine().call(move |e| e.wish(&wish, clock::now()));
        made.await??;
    }
    let leased = |s: &Status| {
        s.leases.len() == wanted && s.judged_seq == s.last_seq && s.waiting_requests == 0
    };
    let status = wait_until(&node, "leases", leased).await?;
    node.shut_down().await;
    Ok(status.last_seq)
}

/// How many seats of a trip are leased.
fn wished_of(seats: u16) -> u16 {
    seats.min(SEATS_PER_REQUEST)
}

/// Trips that start at the station, once those with so many seats have arrived: number, last stop,
/// seats.
async fn departures(node: &Node, wanted: i64) -> Result<Vec<(TripId, StopSeq, u16)>> {
    let started = Instant::now();
    let station = StopCode(STATION.to_owned());
    loop {
        let station = station.clone();
        let found = node.engine().call(move |engine| {
            let trips = engine.trips(clock::now());
            let here = trips.into_iter().map(|listing| listing.trip);
            let here = here.filter(|t| t.stops.first().is_some_and(|s| s.code == station));
            here.map(|t| (t.id, StopSeq(t.stops.len() as u8 - 1), t.seat_count))
                .collect::<Vec<_>>()
        });
        let found = found.await?;
        let seats: i64 = found.iter().map(|t| i64::from(wished_of(t.2))).sum();
        if seats >= wanted {
            return Ok(found);
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "of {wanted} seats only {seats} have arrived with the timetable"
        );
        // tidy-allow-sleep: between two looks at a growing timetable
        tokio::time::sleep(LOOK).await;
    }
}

/// Sells without the hub, in parties, to random stops.
pub fn sell_offline(folder: &Path, dice: &mut Dice, sales: usize) -> Result<Queued> {
    let (mut engine, _lock) = open_engine(folder, Suite::Ed25519)?;
    open_shift(&mut engine, dice, clock::now())?;
    let mut left: Vec<(TripId, usize)> = engine
        .status()
        .leases
        .iter()
        .map(|lease| (lease.trip, lease.seats))
        .collect();
    let (mut tickets, mut fares_minor) = (0, 0);
    for _ in 0..sales {
        left.retain(|(_, seats)| *seats >= PARTY_MAX);
        ensure!(!left.is_empty(), "the leases ran dry");
        let at = dice.below(left.len());
        let (sold, fares) = sell(&mut engine, dice, left[at].0)?;
        left[at].1 -= sold;
        tickets += sold as u64;
        fares_minor += fares;
    }
    Ok(Queued {
        sales: sales as u64,
        tickets,
        fares_minor,
        last: engine.head().seq,
    })
}

fn sell(engine: &mut Engine, dice: &mut Dice, trip: TripId) -> Result<(usize, i64)> {
    let known = engine.catalogue().trips.get(&trip);
    let known = known.context("a leased trip is not in the timetable")?;
    let from = known.stops[0].code.clone();
    let to = known.stops[1 + dice.below(known.stops.len() - 1)]
        .code
        .clone();
    let party = dice.party();
    let order = order(dice, trip, (&from, &to), party);
    let id = CommandId::from_bytes(dice.id());
    match engine.execute(id, Command::Sell(order), clock::now(), &mut NoEffects) {
        Ok(Outcome::Sold(receipt)) => Ok((receipt.tickets.len(), receipt.total_minor.0)),
        Ok(other) => bail!("a sale led to {other:?}"),
        Err(EngineError::Refused(why)) => bail!("a sale was refused: {why}"),
        Err(error) => Err(error.into()),
    }
}

/// Brings everything up to `last` to the hub.
pub async fn drain(hub: &BenchHub, folder: &Path, last: Seq) -> Result<Drained> {
    let node = start(hub, folder).await?;
    let mut link = node.link().clone();
    let welcomed = link.wait_for(|status| status.connected);
    let greeted = tokio::time::timeout(PATIENCE, welcomed).await;
    let greeted = greeted.context("the hub was not reached")??.clone();
    let started = Instant::now();
    wait_until(&node, "the last verdict", |s| s.judged_seq >= last).await?;
    let took = started.elapsed();
    let ended = node.link().borrow().clone();
    let status = node.engine().call(|engine| engine.status()).await?;
    ensure!(
        status.unsynced == 0,
        "{} events are not stored",
        status.unsynced
    );
    node.shut_down().await;
    Ok(Drained {
        took,
        sent_bytes: ended.sent_bytes - greeted.sent_bytes,
        received_bytes: ended.received_bytes - greeted.received_bytes,
        handshake_bytes: greeted.sent_bytes + greeted.received_bytes,
    })
}
