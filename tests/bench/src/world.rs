//! A station and a bus on file disks: many trips, all seats leased to the station, real keys.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use domain::counter::{JourneyWish, PassengerWish, SellCommand};
use domain::fare::{FareRow, FareTable};
use domain::ids::{
    CommandId, CompanyId, Issuer, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, RequestId, SeatNo,
    StopCode, StopSeq, TripId,
};
use domain::ingest::TicketState;
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use domain::lease::{Grant, SeatClaim, SignedGrant};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::ticket::{KeyRecord, Suite};
use domain::time::{Instant, Zone};
use domain::trip::{Legs, Trip, TripStop};
use ed25519_dalek::SigningKey;
use edge_node::engine::{IssuedTicket, NoEffects, Personal, SellOrder, SystemEntropy};
use edge_node::keys::NodeKeys;
use edge_node::store::Disk;
use edge_node::{Command, Engine, EngineConfig, Outcome};
use sync_protocol::frame::{BucketCursor, BucketId, Item, ListedTicket};

use crate::dice::Dice;

/// Where the buses call.
const STOPS: [(&str, &str); 5] = [
    ("LUN", "Lusaka"),
    ("KAB", "Kabwe"),
    ("KAP", "Kapiri Mposhi"),
    ("NDO", "Ndola"),
    ("KIT", "Kitwe"),
];
const SEATS: u16 = 60;
const HOUR_MS: i64 = 3_600_000;
const FARE_PER_LEG_MINOR: i64 = 9_500;

/// Who is there, and what runs.
pub struct World {
    hub: SigningKey,
    company: CompanyId,
    station: (NodeId, NodeKeys),
    bus: (NodeId, NodeKeys),
    trips: Vec<Trip>,
    /// When everything happens, by the nodes' clocks.
    pub now: Instant,
}

impl World {
    /// A timetable with room for so many tickets, however they are sold.
    pub fn new(dice: &mut Dice, tickets: usize, now: Instant) -> Result<Self> {
        let zone: Zone = "Africa/Lusaka".parse()?;
        let count = tickets.div_ceil(usize::from(SEATS)) + 8;
        let trips = (1..=count as u64).map(|n| trip(TripId(n), &zone, now));
        let mut node = || {
            let id = NodeId::from_bytes(dice.id());
            (id, NodeKeys::from_seeds(dice.seed(), dice.seed()))
        };
        Ok(Self {
            station: node(),
            bus: node(),
            hub: SigningKey::from_bytes(&dice.seed()),
            company: CompanyId::from_bytes(dice.id()),
            trips: trips.collect::<Result<_>>()?,
            now,
        })
    }

    fn open(&self, folder: &Path, (node, keys): &(NodeId, NodeKeys)) -> Result<Engine> {
        let config = EngineConfig {
            node: *node,
            company: self.company,
            keys: keys.clone(),
            hub_keys: vec![self.hub.verifying_key()],
            suite: Suite::Ed25519,
            entropy: Box::new(SystemEntropy),
            store_expected: false,
        };
        Ok(Engine::open(&Disk::in_folder(folder), config)?)
    }

    fn grant(&self, trip: &Trip) -> Result<SignedGrant> {
        let all = Legs::new(StopSeq(0), StopSeq(STOPS.len() as u8 - 1)).context("legs")?;
        let claims = (1..=SEATS).map(|seat| SeatClaim {
            seat: SeatNo(seat),
            legs: all,
        });
        let grant = Grant {
            trip: trip.id,
            lease_no: LeaseNo(1),
            holder: self.station.0,
            epoch: LeaseEpoch(1),
            boarding: StopSeq(0),
            claims: claims.collect(),
            layout_version: LayoutVersion(1),
            sell_until: self.now.plus_ms(24 * HOUR_MS),
            request: RequestId::from_bytes(u128::from(trip.id.0).to_be_bytes()),
        };
        Ok(SignedGrant::sign(&grant, &self.hub))
    }

    /// The station, its shift open, holding every seat of every trip.
    pub fn station(&self, folder: &Path, dice: &mut Dice) -> Result<Engine> {
        let mut engine = self.open(folder, &self.station)?;
        let mut facts = catalogue()?;
        facts.extend(self.trips.iter().cloned().map(Item::Trip));
        engine.apply_bucket(&cursor(BucketId::Company), &facts, self.now)?;
        let grants = self.trips.iter().map(|t| Ok(Item::Grant(self.grant(t)?)));
        let grants: Vec<Item> = grants.collect::<Result<_>>()?;
        let taken = engine.apply_bucket(&cursor(BucketId::Node), &grants, self.now)?;
        if taken.accepted.len() != self.trips.len() {
            bail!("the station took {} leases only", taken.accepted.len());
        }
        open_shift(&mut engine, dice, self.now)?;
        Ok(engine)
    }

    /// The bus: it validates every trip, with all of these tickets but every tenth on its
    /// manifests.
    pub fn bus(&self, folder: &Path, tickets: &[IssuedTicket]) -> Result<Engine> {
        let mut engine = self.open(folder, &self.bus)?;
        engine.apply_bucket(&cursor(BucketId::Company), &catalogue()?, self.now)?;
        let key = Item::Key(self.station_key());
        for trip in &self.trips {
            let of_trip = tickets
                .iter()
                .enumerate()
                .filter(|(_, t)| t.trip == trip.id);
            let mut facts = vec![
                Item::Trip(trip.clone()),
                key.clone(),
                Item::Grant(self.grant(trip)?),
            ];
            let listed = of_trip.filter(|(n, _)| n % 10 != 9);
            facts.extend(listed.map(|(_, ticket)| self.listed(ticket)));
            engine.apply_bucket(&cursor(BucketId::Trip(trip.id)), &facts, self.now)?;
        }
        Ok(engine)
    }

    fn listed(&self, ticket: &IssuedTicket) -> Item {
        Item::Ticket(ListedTicket {
            id: ticket.id,
            trip: ticket.trip,
            seat: ticket.seat,
            legs: ticket.legs,
            issuer: Issuer::Node(self.station.0),
            lease_no: Some(ticket.lease_no),
            ordinal: ticket.ordinal,
            state: TicketState::Live,
            code: None,
        })
    }

    /// What the station's tickets are checked with.
    pub fn station_key(&self) -> KeyRecord {
        let public = self.station.1.ticket.verifying_key();
        KeyRecord::signing(Issuer::Node(self.station.0), public)
    }

    /// Orders of parties, never more for a trip than it has seats.
    pub fn orders<'a>(&'a self, dice: &'a mut Dice) -> impl Iterator<Item = SellOrder> + 'a {
        let stops: Vec<StopCode> = STOPS.iter().map(|s| StopCode(s.0.to_owned())).collect();
        let mut left: Vec<(TripId, usize)> = self
            .trips
            .iter()
            .map(|t| (t.id, usize::from(SEATS)))
            .collect();
        std::iter::from_fn(move || {
            let party = dice.party();
            left.retain(|(_, seats)| *seats >= party.max(3));
            if left.is_empty() {
                return None;
            }
            let at = dice.below(left.len());
            left[at].1 -= party;
            let to = 1 + dice.below(stops.len() - 1);
            Some(order(dice, left[at].0, (&stops[0], &stops[to]), party))
        })
    }
}

/// An order of a party with names and a telephone number.
pub fn order(
    dice: &mut Dice,
    trip: TripId,
    (from, to): (&StopCode, &StopCode),
    party: usize,
) -> SellOrder {
    SellOrder {
        sell: SellCommand {
            journeys: vec![JourneyWish {
                trip,
                from: from.clone(),
                to: to.clone(),
                passengers: (0..party)
                    .map(|_| PassengerWish {
                        class: PassengerClass::Adult,
                        seat: None,
                    })
                    .collect(),
            }],
            tender: vec![],
            test: false,
        },
        personal: Personal {
            phone: Some(dice.phone()),
            names: (0..party).map(|_| Some(dice.name())).collect(),
        },
    }
}

/// Opens a shift with an empty drawer.
pub fn open_shift(engine: &mut Engine, dice: &mut Dice, now: Instant) -> Result<()> {
    let open = Command::OpenShift {
        agent: dice.name(),
        float_minor: Minor(0),
        currency: Currency::ZMW,
    };
    let id = CommandId::from_bytes(dice.id());
    let outcome = engine.execute(id, open, now, &mut NoEffects)?;
    let Outcome::ShiftOpened(_) = outcome else {
        bail!("opening a shift led to {outcome:?}");
    };
    Ok(())
}

fn trip(id: TripId, zone: &Zone, now: Instant) -> Result<Trip> {
    let stop = |(n, (code, name)): (usize, &(&str, &str))| TripStop {
        code: StopCode((*code).to_owned()),
        name: (*name).to_owned(),
        zone: zone.clone(),
        arrives: now.plus_ms((24 + 2 * n as i64) * HOUR_MS),
        departs: now.plus_ms((24 + 2 * n as i64) * HOUR_MS),
    };
    Ok(Trip {
        id,
        route: "LUN-KIT".to_owned(),
        headsign: "Kitwe".to_owned(),
        service_date: now
            .plus_ms(24 * HOUR_MS)
            .local_date(zone)
            .context("a date")?,
        layout: "coach".to_owned(),
        layout_version: LayoutVersion(1),
        seat_count: SEATS,
        fare_table: "fares".to_owned(),
        currency: Currency::ZMW,
        stops: STOPS.iter().enumerate().map(stop).collect(),
        swaps: domain::swap::Swaps::NONE,
    })
}

fn catalogue() -> Result<Vec<Item>> {
    let seats = (0..SEATS).map(|n| Seat {
        label: format!("{}{}", 1 + n / 4, ["A", "B", "C", "D"][usize::from(n % 4)]),
        row: 1 + n / 4,
        column: (1 + n % 4) as u8,
        attributes: SeatAttributes::default(),
    });
    let layout = SeatLayout::new("coach", LayoutVersion(1), seats.collect())?;
    let mut rows = vec![];
    for (i, from) in STOPS.iter().enumerate() {
        for (legs, to) in STOPS[i + 1..].iter().enumerate() {
            rows.push(FareRow {
                from: StopCode(from.0.to_owned()),
                to: StopCode(to.0.to_owned()),
                class: PassengerClass::Adult,
                fare_minor: Minor(FARE_PER_LEG_MINOR * (legs as i64 + 1)),
            });
        }
    }
    let fares = FareTable {
        id: "fares".to_owned(),
        currency: Currency::ZMW,
        rows,
    };
    Ok(vec![Item::Layout(layout), Item::Fares(fares)])
}

const fn cursor(bucket: BucketId) -> BucketCursor {
    BucketCursor { bucket, change: 1 }
}
