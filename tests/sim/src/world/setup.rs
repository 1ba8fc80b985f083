//! What there is at the beginning: a company, three trips, two stations, a bus.

use domain::fare::{FareRow, FareTable};
use domain::ids::{IdError, Issuer};
use domain::ids::{LayoutVersion, NodeIncarnation, StopCode, TripId};
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::ticket::KeyRecord;
use domain::time::{Instant, Zone};
use domain::trip::{Trip, TripStop};
use ed25519_dalek::SigningKey;
use edge_node::engine::EngineError;
use sync_protocol::{BucketId, Item, Uptime};

use super::World;
use crate::dice::Dice;
use crate::hub::{Disk, Hub, NodeRecord};
use crate::model::{Buses, Truth};
use crate::network::Link;
use crate::node::Node;
use crate::ops::{BUS, NODES};
use crate::trace::Trace;

/// The stops of every trip; the stations sell at the first and at the third.
pub const STOPS: [&str; 5] = ["LUN", "CHB", "KAB", "NDO", "SOL"];
const SEATS: u16 = 16;
/// The bus that every trip is sold on first, by its layout.
const FIRST_BUS: &str = "mini";
/// The buses that it may be swapped for: seats, and how many stand in a row.
const OTHER_BUSES: [(&str, u16, u16); 3] = [("long", 20, 4), ("wide", 16, 5), ("short", 12, 3)];
/// Hours until each trip leaves: one during the story, one near its end, one far away.
const LEAVES_HOURS: [i64; 3] = [1, 3, 40];
/// 2026-11-22T06:00:00Z.
const BASE: Instant = Instant(1_795_327_200_000);

/// A world that cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A name that is none.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A node does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A layout that is none.
    #[error(transparent)]
    Layout(#[from] domain::layout::LayoutError),
}

/// Rows of so many. Every bus calls its places otherwise.
fn layout(id: &str, seats: u16, abreast: u16) -> Result<SeatLayout, SetupError> {
    let seat = |n: u16| Seat {
        label: match id {
            FIRST_BUS => n.to_string(),
            other => format!("{}{}", &other[..1], seats + 1 - n),
        },
        row: (n - 1) / abreast + 1,
        column: ((n - 1) % abreast + 1) as u8,
        attributes: SeatAttributes::default(),
    };
    Ok(SeatLayout::new(
        id,
        LayoutVersion(1),
        (1..=seats).map(seat).collect(),
    )?)
}

fn fares() -> Result<FareTable, SetupError> {
    let mut rows = vec![];
    for (a, from) in STOPS.iter().enumerate() {
        for (b, to) in STOPS.iter().enumerate().skip(a + 1) {
            for class in PassengerClass::ALL {
                let full = 5_000 * (b - a) as i64;
                let fare_minor = Minor(if class == PassengerClass::Child {
                    full / 2
                } else {
                    full
                });
                rows.push(FareRow {
                    from: from.parse()?,
                    to: to.parse()?,
                    class,
                    fare_minor,
                });
            }
        }
    }
    Ok(FareTable {
        id: "fares".to_owned(),
        currency: Currency::ZMW,
        rows,
    })
}

fn trip(number: u64, leaves: Instant, zone: &Zone) -> Result<Trip, SetupError> {
    let stop = |(i, code): (usize, &&str)| {
        let at = leaves.plus_ms(i as i64 * 50 * 60_000);
        let code: StopCode = code.parse()?;
        let name = code.to_string();
        Ok::<_, SetupError>(TripStop {
            code,
            name,
            zone: zone.clone(),
            arrives: at,
            departs: at,
        })
    };
    Ok(Trip {
        id: TripId(number),
        route: "LUN-SOL".to_owned(),
        headsign: "Solwezi".to_owned(),
        service_date: "2026-11-22".parse()?,
        layout: FIRST_BUS.to_owned(),
        layout_version: LayoutVersion(1),
        seat_count: SEATS,
        fare_table: "fares".to_owned(),
        currency: Currency::ZMW,
        stops: STOPS
            .iter()
            .enumerate()
            .map(stop)
            .collect::<Result<_, _>>()?,
        swaps: domain::swap::Swaps::NONE,
    })
}

/// What the MAC keys of all trips are derived from.
const TRIP_KEY: [u8; 32] = [2; 32];

fn enrol(hub: &mut Hub, node: &Node) {
    let ticket_key = KeyRecord::signing(Issuer::Node(node.id), node.keys.ticket.verifying_key());
    hub.disk.nodes.insert(
        node.id,
        NodeRecord {
            event_key: node.keys.event.verifying_key(),
            ticket_key: ticket_key.clone(),
            stop: node.stop.clone(),
            highest: NodeIncarnation(1),
            frozen: false,
        },
    );
    let key = format!("key:{}", node.id);
    for trip in hub.disk.trips.keys().copied().collect::<Vec<_>>() {
        let bucket = BucketId::Trip(trip).name();
        hub.disk
            .buckets
            .publish(&bucket, &key, Item::Key(ticket_key.clone()));
        let mac = KeyRecord::mac(Issuer::Node(node.id), trip, &TRIP_KEY);
        for bucket in [bucket, format!("node:{}", node.id)] {
            let key = format!("mac:{}:{trip}", node.id);
            let fact = Item::Key(mac.clone());
            hub.disk.buckets.publish(&bucket, &key, fact);
        }
    }
}

impl World {
    /// The world of a seed, before its first step.
    pub(super) fn new(seed: u64) -> Result<Self, SetupError> {
        let zone: Zone = "Africa/Lusaka".parse()?;
        let key = SigningKey::from_bytes(&[1; 32]);
        let stops = [Some("LUN".parse()?), Some("KAB".parse()?), None];
        let nodes = (0..NODES)
            .zip(stops)
            .map(|(i, stop)| Node::new(i, stop, key.verifying_key(), seed << 8 | u64::from(i)))
            .collect::<Result<Vec<_>, _>>()?;
        let bus = nodes[usize::from(BUS)].id;
        let mut hub = Hub {
            disk: Disk::default(),
            key,
            bus,
            zone: zone.clone(),
        };
        for (id, seats, abreast) in [(FIRST_BUS, SEATS, 4)].into_iter().chain(OTHER_BUSES) {
            let layout = layout(id, seats, abreast)?;
            let (key, fact) = (format!("layout:{id}"), Item::Layout(layout.clone()));
            hub.disk.buckets.publish("company", &key, fact);
            hub.disk.layouts.insert(id.to_owned(), layout);
        }
        let buckets = &mut hub.disk.buckets;
        buckets.publish("company", "fares:fares", Item::Fares(fares()?));
        let hub_key = KeyRecord::signing(Issuer::Hub, hub.key.verifying_key());
        let mut trips = vec![];
        let mut truth = Truth::default();
        for (number, hours) in (1u64..).zip(LEAVES_HOURS) {
            let trip = trip(number, BASE.plus_ms(hours * 3_600_000), &zone)?;
            hub.publish_trip(&trip);
            let bucket = BucketId::Trip(trip.id).name();
            let fact = Item::Key(hub_key.clone());
            hub.disk.buckets.publish(&bucket, "key:hub", fact);
            truth.buses.insert(trip.id, Buses::new(trip.numbering()));
            trips.push(trip.id);
            hub.disk.trips.insert(trip.id, trip);
        }
        for node in &nodes {
            enrol(&mut hub, node);
        }
        Ok(Self {
            dice: Dice::new(seed.wrapping_mul(0x9e37_79b9)),
            now: Uptime(0),
            base: BASE,
            hub,
            hub_images: vec![],
            trips,
            links: (0..NODES).map(|_| Link::default()).collect(),
            nodes,
            hub_sessions: std::collections::BTreeMap::new(),
            work: vec![],
            order: 0,
            truth,
            took_effect: std::collections::BTreeMap::new(),
            trace: Trace::default(),
            violation: None,
        })
    }
}
