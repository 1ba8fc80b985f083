//! The rows, as JSON.

use domain::time::Instant;
use domain::trip::Trip;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::time;

/// A stop as a trip calls there.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StopView {
    /// Its place on the trip, from 0.
    pub seq: u8,
    /// The company's code for it.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Whose local time it keeps: an IANA zone.
    pub zone: String,
    /// When the bus comes, RFC 3339 UTC.
    pub arrives_at: String,
    /// When it leaves, RFC 3339 UTC.
    pub departs_at: String,
    /// Until when tickets from here are sold, RFC 3339 UTC; 1970 where nobody boards.
    pub boarding_closes_at: String,
}

/// What one passenger pays between two stops.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FareView {
    /// Where from: a stop's place on the trip.
    pub from: u8,
    /// Where to.
    pub to: u8,
    /// `adult`, `child`, `infant` or `prm`.
    pub class: &'static str,
    /// In minor units of the trip's currency.
    pub fare_minor: i64,
}

/// A trip.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TripView {
    /// Its number, the same after every import.
    pub trip: u64,
    /// The company's name.
    pub company: String,
    /// The route's short name.
    pub route: String,
    /// Where the bus says it goes.
    pub headsign: String,
    /// The day it counts to, YYYY-MM-DD.
    pub service_date: String,
    /// The seat layout.
    pub layout: String,
    /// Which numbering of it.
    pub layout_version: u32,
    /// How many seats.
    pub seat_count: u16,
    /// ISO 4217.
    pub currency: String,
    /// Why it is not sold online at the moment; absent where it is. `trip-frozen`: the booking
    /// system was restored and waits until stations and buses have told which seats they hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "trip-frozen")]
    pub not_bookable: Option<&'static str>,
    /// Its stops, in order.
    pub stops: Vec<StopView>,
    /// Its fares; only when one trip is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fares: Option<Vec<FareView>>,
}

/// What public lists say of a trip whose pool sells nothing at the moment: the word of the refusal
/// that a booking of it would hear.
pub fn not_bookable(frozen: bool) -> Option<&'static str> {
    frozen.then_some("trip-frozen")
}

impl TripView {
    pub(super) fn new(trip: &Trip, company: &str, closes_ms: &[i64], frozen: bool) -> Self {
        let stops = trip.stops.iter().enumerate().map(|(i, stop)| StopView {
            seq: i as u8,
            code: stop.code.0.clone(),
            name: stop.name.clone(),
            zone: stop.zone.as_str().to_owned(),
            arrives_at: stop.arrives.to_string(),
            departs_at: stop.departs.to_string(),
            boarding_closes_at: time(closes_ms.get(i).copied().unwrap_or(0)),
        });
        Self {
            trip: trip.id.0,
            company: company.to_owned(),
            route: trip.route.clone(),
            headsign: trip.headsign.clone(),
            service_date: trip.service_date.to_string(),
            layout: trip.layout.clone(),
            layout_version: trip.layout_version.0,
            seat_count: trip.seat_count,
            currency: trip.currency.to_string(),
            not_bookable: not_bookable(frozen),
            stops: stops.collect(),
            fares: None,
        }
    }

    /// Whether the bus calls at `to` after `from`; an absent one matches every stop.
    pub(super) fn runs(&self, from: Option<&str>, to: Option<&str>) -> bool {
        let start = match from {
            None => Some(0),
            Some(code) => self.stops.iter().position(|s| s.code == code),
        };
        start.is_some_and(|start| match to {
            None => true,
            Some(code) => self.stops.iter().skip(start + 1).any(|s| s.code == code),
        })
    }
}

/// A device.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeView {
    /// Its number.
    pub node: Uuid,
    /// The company's name.
    pub company: String,
    /// Its name.
    pub name: String,
    /// `station` or `onboard`.
    pub kind: String,
    /// A station's own stop.
    pub stop: Option<String>,
    /// The trips that an onboard node validates.
    pub trips: Vec<i64>,
    /// When it was let in; absent before.
    pub enrolled_at: Option<String>,
    /// When it was last heard of; absent before.
    pub last_contact_at: Option<String>,
    /// The same in ms since 1970.
    #[serde(skip)]
    pub last_contact_ms: Option<i64>,
    /// The installation that it runs.
    pub incarnation: i32,
    /// The last position that it named.
    pub told_seq: i64,
    /// Everything up to here is stored.
    pub stored_seq: i64,
    /// Everything up to here is judged.
    pub judged_seq: i64,
    /// Events that it has and the hub has not, as far as it said.
    pub unsynced: i64,
    /// Events that wait for a person.
    pub quarantined: i64,
    /// Its log forked: it gets no new rights.
    pub frozen: bool,
    /// It is not let in any more.
    pub revoked: bool,
    /// `heard`; `silent` for longer than the company allows; `never` heard of; `revoked`.
    pub health: &'static str,
}

/// Some legs of one seat.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SeatClaimView {
    /// The seat's number.
    pub seat: u16,
    /// Where from: a stop's place on the trip.
    pub from: u8,
    /// Where to.
    pub to: u8,
}

/// A grant and where it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LeaseView {
    /// Which trip.
    pub trip: i64,
    /// Who holds it.
    pub node: Uuid,
    /// Its number, per trip and node.
    pub lease_no: i32,
    /// Its fencing token.
    pub epoch: i64,
    /// `offered`, `accepted` or `closed`.
    pub status: &'static str,
    /// The stop its tickets board at, by place on the trip.
    pub boarding: u8,
    /// What was granted.
    pub claims: Vec<SeatClaimView>,
    /// When its holder stops selling, RFC 3339 UTC.
    pub sell_until: String,
    /// Past `sell_until` and not closed: its holder may have sold.
    pub in_doubt: bool,
    /// Live tickets sold under it that the hub knows of.
    pub tickets_sold: i64,
    /// RFC 3339 UTC.
    pub granted_at: String,
    /// RFC 3339 UTC.
    pub closed_at: Option<String>,
}

/// A ticket.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TicketView {
    /// Its number.
    pub ticket: Uuid,
    /// Which trip.
    pub trip: i64,
    /// The seat's number.
    pub seat: i32,
    /// Where from: a stop's place on the trip.
    pub from: i32,
    /// Where to.
    pub to: i32,
    /// `adult`, `child`, `infant` or `prm`.
    pub class: &'static str,
    /// `live`, `void` or `disputed`.
    pub state: &'static str,
    /// `hub`, or the node's number.
    pub issuer: String,
    /// The grant it was sold under.
    pub lease_no: Option<i32>,
    /// Which sale of that seat it is.
    pub ordinal: i32,
    /// The issuing node's shift.
    pub shift: Option<i32>,
    /// The booking it belongs to.
    pub booking: Option<Uuid>,
    /// In minor units.
    pub fare_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// RFC 3339 UTC.
    pub issued_at: String,
    /// The text of its QR code.
    pub qr: String,
    /// Its short code, for who cannot show a QR code.
    #[schema(example = "7F3K-22QX-9M4T-0KZ1")]
    pub code: Option<String>,
}

/// A public key that tickets are checked with.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeyView {
    /// Its short name, 8 hexadecimal digits.
    pub kid: String,
    /// `EdDSA`.
    pub alg: &'static str,
    /// 64 hexadecimal digits.
    pub public_key: String,
    /// `hub`, or the node's number.
    pub issuer: String,
}

pub(super) fn optional_time(at_ms: Option<i64>) -> Option<String> {
    at_ms.map(|ms| Instant(ms).to_string())
}
