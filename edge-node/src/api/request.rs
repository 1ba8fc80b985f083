//! What is asked of a node. Every command carries a `command_id` (a UUID); the same one again
//! gives the same answer.

use serde::{Deserialize, Serialize};

/// `POST /shift/open`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenShift {
    /// A UUID of its own.
    pub command_id: String,
    /// Who sells.
    pub agent: String,
    /// Cash in the drawer, in minor units.
    pub float_minor: i64,
    /// What the drawer holds, as `ZMW`.
    pub currency: String,
}

/// `POST /shift/close`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseShift {
    /// A UUID of its own.
    pub command_id: String,
    /// What was counted, float included, in minor units.
    pub declared_minor: i64,
}

/// `POST /sell`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sell {
    /// A UUID of its own.
    pub command_id: String,
    /// The journeys; all are sold or none.
    pub journeys: Vec<JourneyRequest>,
    /// How it is paid; empty is cash to the coin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tender: Vec<TenderRequest>,
    /// A phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Not for travel.
    #[serde(default)]
    pub test: bool,
}

/// One journey of a sale.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JourneyRequest {
    /// The trip's number.
    pub trip: u64,
    /// The stop code where it begins.
    pub from: String,
    /// The stop code where it ends.
    pub to: String,
    /// Who travels.
    pub passengers: Vec<PassengerRequest>,
}

/// One passenger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassengerRequest {
    /// `adult`, `child`, `infant` or `prm`.
    pub class: String,
    /// The label of a chosen seat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
    /// A name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A part of the price.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenderRequest {
    /// `cash`, `mobile_money` or `card`.
    pub kind: String,
    /// In minor units.
    pub amount_minor: i64,
}

/// `POST /void`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoidTicket {
    /// A UUID of its own.
    pub command_id: String,
    /// The ticket's id.
    pub ticket: String,
    /// `mistake` (unless given), `passenger_request` or `print_failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /scan`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanRequest {
    /// A UUID of its own.
    pub command_id: String,
    /// The trip that is boarding; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trip: Option<u64>,
    /// What the scanner read.
    pub text: String,
}

/// `POST /explain`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The trip to look at it from; may be left out where only one is boarding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trip: Option<u64>,
    /// The text of the code.
    pub text: String,
}

/// `POST /lease/request`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseWish {
    /// A UUID of its own; it is the request's id too.
    pub command_id: String,
    /// The trip's number.
    pub trip: u64,
    /// The stop code where its tickets board.
    pub boarding: String,
    /// How many seats to where.
    pub wants: Vec<WantRequest>,
    /// How long to wait for the hub's answer, in ms; 0 unless given, 30,000 at most.
    #[serde(default)]
    pub wait_ms: u64,
}

/// Seats up to one stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantRequest {
    /// The stop code that the rights shall reach.
    pub to: String,
    /// How many seats.
    pub count: u16,
}

/// `POST /lease/surrender`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surrender {
    /// A UUID of its own.
    pub command_id: String,
    /// The trip's number.
    pub trip: u64,
    /// The lease's number.
    pub lease_no: u16,
}
