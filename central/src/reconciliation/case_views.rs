//! What a case shows.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ConflictView;

/// One showing of a ticket at a door.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ScanView {
    /// By which node.
    pub node: Uuid,
    /// As `valid` or `seat_conflict`.
    pub answer: String,
    /// By the node's clock, RFC 3339 UTC.
    pub at: String,
}

/// What is known of one ticket of a case.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvidenceView {
    /// Which.
    pub ticket: Uuid,
    /// `live`, `void` or `disputed`.
    pub state: &'static str,
    /// Whether it broke the rule; the others stood there before.
    pub offends: bool,
    /// The trip's number.
    pub trip: i64,
    /// Which seat.
    pub seat: i32,
    /// First stop's place on the trip.
    pub from: i32,
    /// Last stop's place.
    pub to: i32,
    /// In minor units.
    pub fare_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Who sold it; absent: the hub.
    pub node: Option<Uuid>,
    /// The node's name.
    pub node_name: Option<String>,
    /// Where it stands in the node's log.
    pub incarnation: Option<i32>,
    /// Where it stands in the node's log.
    pub seq: Option<i64>,
    /// By the seller's clock, RFC 3339 UTC.
    pub sold_at: String,
    /// When the hub first stored it, RFC 3339 UTC.
    pub stored_at: String,
    /// The lease it was sold under.
    pub lease_no: Option<i32>,
    /// Whether its seller owned the seat when it sold it.
    pub lease_valid: bool,
    /// Whether its passenger was let on.
    pub boarded: bool,
    /// Every showing, oldest first; at most 50.
    pub scans: Vec<ScanView>,
}

/// A case with everything that a decision needs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CaseView {
    /// The case.
    #[serde(flatten)]
    pub case: ConflictView,
    /// Whom the rule proposes: boarded, then a valid lease, then the first at the hub, then the
    /// lower place in the logs.
    pub proposed_winner: Option<Uuid>,
    /// Its tickets.
    pub evidence: Vec<EvidenceView>,
}
