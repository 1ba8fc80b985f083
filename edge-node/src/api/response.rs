//! What a node answers.

use domain::counter::SoldTicket;
use domain::ids::TicketId;
use serde::{Deserialize, Serialize};

use crate::engine::{
    Engine, IssuedTicket, LeaseStatus, SaleReceipt, ScanOutcome, ShiftReport, TripListing,
};

/// Answer to `POST /shift/open`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShiftOpened {
    /// The shift's number.
    pub shift: u32,
}

/// Answer to `POST /shift/close`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShiftClosed {
    /// The shift's number.
    pub shift: u32,
    /// What the drawer should hold, float included.
    pub expected_minor: i64,
    /// What was counted.
    pub declared_minor: i64,
    /// Counted less expected.
    pub difference_minor: i64,
}

impl From<ShiftReport> for ShiftClosed {
    fn from(report: ShiftReport) -> Self {
        Self {
            shift: report.shift.0,
            expected_minor: report.expected_minor.0,
            declared_minor: report.declared_minor.0,
            difference_minor: report.declared_minor.0 - report.expected_minor.0,
        }
    }
}

/// A ticket with everything that is printed on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TicketJson {
    /// Its id.
    pub id: String,
    /// The text of its QR code.
    pub qr: String,
    /// Its short code, for who cannot show a QR code.
    pub code: Option<String>,
    /// The trip's number.
    pub trip: u64,
    /// The trip for people.
    pub trip_title: String,
    /// The seat's number.
    pub seat: u16,
    /// What is painted on it.
    pub seat_label: String,
    /// The stop code where it boards.
    pub from: String,
    /// That stop's name.
    pub from_name: String,
    /// That stop's place in the trip.
    pub from_seq: u8,
    /// The stop code where it leaves.
    pub to: String,
    /// That stop's name.
    pub to_name: String,
    /// That stop's place in the trip.
    pub to_seq: u8,
    /// Local departure, as `2026-11-22 06:00`.
    pub departs_local: Option<String>,
    /// `adult`, `child`, `infant` or `prm`.
    pub class: String,
    /// The passenger's name.
    pub name: Option<String>,
    /// What was paid, in minor units.
    pub fare_minor: i64,
    /// In which currency.
    pub currency: String,
    /// The grant it was sold under.
    pub lease_no: u16,
    /// That grant's fencing token.
    pub epoch: u32,
    /// Which sale of this (lease, seat) it is.
    pub ordinal: u16,
    /// When it was sold, in UTC.
    pub issued_at: String,
    /// The shift that sold it.
    pub shift: u32,
    /// Not for travel.
    pub test: bool,
    /// `sold` or `void`.
    pub state: String,
}

const fn state_of(void: bool) -> &'static str {
    if void { "void" } else { "sold" }
}

impl From<IssuedTicket> for TicketJson {
    fn from(t: IssuedTicket) -> Self {
        Self {
            id: t.id.to_string(),
            qr: t.qr,
            code: t.code.map(|code| code.to_string()),
            trip: t.trip.0,
            trip_title: t.trip_title,
            seat: t.seat.0,
            seat_label: t.seat_label,
            from: t.from.0,
            from_name: t.from.1,
            from_seq: t.legs.from().0,
            to: t.to.0,
            to_name: t.to.1,
            to_seq: t.legs.to().0,
            departs_local: t.departs_local,
            class: t.class.as_str().to_owned(),
            name: t.name,
            fare_minor: t.fare_minor.0,
            currency: t.currency.to_string(),
            lease_no: t.lease_no.0,
            epoch: t.epoch.0,
            ordinal: t.ordinal.0,
            issued_at: t.issued_at.to_string(),
            shift: t.shift.0,
            test: t.test,
            state: state_of(t.void).to_owned(),
        }
    }
}

/// Answer to `POST /sell`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sale {
    /// The position of the sale in the log.
    pub seq: u64,
    /// The shift that sold.
    pub shift: u32,
    /// What was paid together, in minor units.
    pub total_minor: i64,
    /// In which currency.
    pub currency: String,
    /// The tickets.
    pub tickets: Vec<TicketJson>,
}

impl From<SaleReceipt> for Sale {
    fn from(receipt: SaleReceipt) -> Self {
        Self {
            seq: receipt.seq.0,
            shift: receipt.shift.0,
            total_minor: receipt.total_minor.0,
            currency: receipt.currency.to_string(),
            tickets: receipt.tickets.into_iter().map(TicketJson::from).collect(),
        }
    }
}

/// Answer to `POST /void`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Voided {
    /// The ticket's id.
    pub ticket: String,
    /// What to give back, in minor units.
    pub fare_minor: i64,
}

/// Answer to `POST /scan`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scanned {
    /// `valid`, `already_used`, `wrong_trip`, `good_but_unlisted`, `seat_conflict` or `invalid`.
    pub answer: String,
    /// Whether the passenger boards.
    pub lets_on: bool,
    /// Why, in words.
    pub reason: String,
    /// The trip that was boarding.
    pub trip: u64,
    /// The seat to show, large.
    pub seat: Option<u16>,
    /// What is painted on it.
    pub seat_label: Option<String>,
    /// The ticket's id, where the ticket is genuine.
    pub ticket: Option<String>,
    /// Where it boards, where it is genuine and for this trip.
    pub from_name: Option<String>,
    /// Where it leaves.
    pub to_name: Option<String>,
    /// When it was scanned, in UTC.
    pub at: String,
}

impl From<ScanOutcome> for Scanned {
    fn from(o: ScanOutcome) -> Self {
        let (from_name, to_name) = o.journey.unzip();
        Self {
            answer: o.answer.as_str().to_owned(),
            lets_on: o.answer.lets_on(),
            reason: o.reason,
            trip: o.trip.0,
            seat: o.seat.map(|s| s.0),
            seat_label: o.seat_label,
            ticket: o.ticket.map(|t| t.to_string()),
            from_name,
            to_name,
            at: o.at.to_string(),
        }
    }
}

/// Answer to `POST /explain`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Explained {
    /// The trip that it was looked at from.
    pub trip: u64,
    /// What a scan would answer now.
    pub answer: String,
    /// Whether the passenger would board.
    pub lets_on: bool,
    /// Why, in words.
    pub reason: String,
    /// Who signed it, once that is proven: `hub` or a node's id.
    pub issuer: Option<String>,
    /// One finding a line.
    pub findings: Vec<String>,
}

/// Answer to `POST /lease/request` and `GET /lease/request/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseAnswered {
    /// The request's id.
    pub request: String,
    /// `waiting`, `granted` or `refused`.
    pub state: String,
    /// The trip's number.
    pub trip: u64,
    /// The lease's number, where granted.
    pub lease_no: Option<u16>,
    /// How many seats, where granted and held.
    pub seats: Option<usize>,
    /// Why not, where refused.
    pub why: Option<String>,
}

/// Answer to `POST /lease/surrender`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Surrendered {
    /// The trip's number.
    pub trip: u64,
    /// The lease's number.
    pub lease_no: u16,
}

/// A lease and what is left of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseJson {
    /// The trip's number.
    pub trip: u64,
    /// The lease's number.
    pub lease_no: u16,
    /// The stop code where its tickets board.
    pub boarding: String,
    /// How many seats were granted.
    pub seats: usize,
    /// How many of them are untouched.
    pub seats_left: usize,
    /// When selling stops, in UTC.
    pub sell_until: String,
}

impl LeaseJson {
    fn new(lease: &LeaseStatus, engine: &Engine) -> Self {
        let trip = engine.catalogue().trips.get(&lease.trip);
        let stop = trip.and_then(|t| t.stop(lease.boarding));
        Self {
            trip: lease.trip.0,
            lease_no: lease.lease_no.0,
            boarding: stop.map_or_else(|| lease.boarding.to_string(), |s| s.code.0.clone()),
            seats: lease.seats,
            seats_left: lease.seats_left,
            sell_until: lease.sell_until.to_string(),
        }
    }
}

/// The open shift.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShiftJson {
    /// Its number.
    pub shift: u32,
    /// Who sells.
    pub agent: String,
    /// What the drawer holds.
    pub currency: String,
    /// Cash to begin with.
    pub float_minor: i64,
    /// Cash taken less cash returned.
    pub cash_minor: i64,
    /// What the drawer should hold.
    pub expected_minor: i64,
    /// Tickets sold less tickets voided.
    pub tickets: u32,
}

/// How the node stands with its hub.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkJson {
    /// The hub's address.
    pub hub: String,
    /// Synchronisation runs.
    pub connected: bool,
    /// When the hub was last heard of, in UTC, since the start of the program.
    pub last_contact: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The hub's clock less this device's, in ms, where it was told.
    pub clock_offset_ms: Option<i64>,
    /// UDP payload bytes sent over the running connection.
    pub sent_bytes: u64,
    /// UDP payload bytes received over it.
    pub received_bytes: u64,
}

/// Answer to `GET /status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusJson {
    /// The node.
    pub node: String,
    /// Whose it is.
    pub company: String,
    /// Which installation.
    pub incarnation: u32,
    /// The last position of the running log.
    pub last_seq: u64,
    /// Everything up to here is stored at the hub.
    pub stored_seq: u64,
    /// Everything up to here has its verdict.
    pub judged_seq: u64,
    /// Events of every log on this disk that the hub has not stored.
    pub unsynced: u64,
    /// Whether synchronisation runs; the same as in `link`.
    pub connected: bool,
    /// Why the node may not sell, if it may not.
    pub blocked: Option<String>,
    /// The open shift.
    pub shift: Option<ShiftJson>,
    /// The leases that it sells from.
    pub leases: Vec<LeaseJson>,
    /// Lease requests without an answer.
    pub waiting_requests: usize,
    /// Trips whose manifests are here.
    pub validates: Vec<u64>,
    /// The link; none where no node runs.
    pub link: Option<LinkJson>,
}

impl StatusJson {
    pub(super) fn new(engine: &Engine) -> Self {
        let status = engine.status();
        Self {
            node: status.node.to_string(),
            company: engine.company().to_string(),
            incarnation: status.incarnation.0,
            last_seq: status.last_seq.0,
            stored_seq: status.stored_seq.0,
            judged_seq: status.judged_seq.0,
            unsynced: status.unsynced,
            connected: false,
            blocked: status.blocked,
            shift: status.shift.map(|s| ShiftJson {
                shift: s.shift.0,
                agent: s.agent,
                currency: s.currency.to_string(),
                float_minor: s.float_minor.0,
                cash_minor: s.cash_minor.0,
                expected_minor: s.float_minor.0 + s.cash_minor.0,
                tickets: s.tickets,
            }),
            leases: status
                .leases
                .iter()
                .map(|l| LeaseJson::new(l, engine))
                .collect(),
            waiting_requests: status.waiting_requests,
            validates: status.validates.iter().map(|t| t.0).collect(),
            link: None,
        }
    }

    /// Adds how the node stands with its hub.
    pub fn with_link(mut self, link: LinkJson) -> Self {
        self.connected = link.connected;
        self.link = Some(link);
        self
    }
}

/// A stop of a trip.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StopJson {
    /// Its place in the trip.
    pub seq: u8,
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Local departure.
    pub departs_local: String,
    /// Departure in UTC.
    pub departs: String,
}

/// One trip of `GET /trips`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TripJson {
    /// Its number.
    pub trip: u64,
    /// For people.
    pub title: String,
    /// The route's short name.
    pub route: String,
    /// Where the bus says it goes.
    pub headsign: String,
    /// The day it counts to.
    pub service_date: String,
    /// What fares are paid in.
    pub currency: String,
    /// How many seats it has.
    pub seat_count: u16,
    /// Its stops.
    pub stops: Vec<StopJson>,
    /// The leases held on it.
    pub leases: Vec<LeaseJson>,
    /// Whether its manifest is here.
    pub validated: bool,
}

impl TripJson {
    pub(super) fn new(listing: &TripListing, engine: &Engine) -> Self {
        let trip = &listing.trip;
        Self {
            trip: trip.id.0,
            title: trip.title(),
            route: trip.route.clone(),
            headsign: trip.headsign.clone(),
            service_date: trip.service_date.to_string(),
            currency: trip.currency.to_string(),
            seat_count: trip.seat_count,
            stops: (0u8..)
                .zip(&trip.stops)
                .map(|(seq, stop)| StopJson {
                    seq,
                    code: stop.code.0.clone(),
                    name: stop.name.clone(),
                    departs_local: stop.departs.local_minute(&stop.zone),
                    departs: stop.departs.to_string(),
                })
                .collect(),
            leases: listing
                .leases
                .iter()
                .map(|l| LeaseJson::new(l, engine))
                .collect(),
            validated: engine.view(trip.id).is_some(),
        }
    }
}

/// One line of `GET /tickets`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TicketLine {
    /// Its id.
    pub id: String,
    /// The trip's number.
    pub trip: u64,
    /// The seat's number.
    pub seat: u16,
    /// What is painted on it.
    pub seat_label: String,
    /// The place in the trip where it boards.
    pub from_seq: u8,
    /// The place in the trip where it leaves.
    pub to_seq: u8,
    /// What was paid, in minor units.
    pub fare_minor: i64,
    /// The shift that sold it.
    pub shift: u32,
    /// `sold` or `void`.
    pub state: String,
}

impl TicketLine {
    pub(super) fn new(id: TicketId, ticket: &SoldTicket, engine: &Engine) -> Self {
        let catalogue = engine.catalogue();
        let trip = catalogue.trips.get(&ticket.trip);
        Self {
            id: id.to_string(),
            trip: ticket.trip.0,
            seat: ticket.seat.0,
            seat_label: trip.map_or_else(
                || ticket.seat.to_string(),
                |t| catalogue.seat_label_under(t, ticket.seat, ticket.layout_version),
            ),
            from_seq: ticket.legs.from().0,
            to_seq: ticket.legs.to().0,
            fare_minor: ticket.fare_minor.0,
            shift: ticket.shift.0,
            state: state_of(ticket.void).to_owned(),
        }
    }
}
