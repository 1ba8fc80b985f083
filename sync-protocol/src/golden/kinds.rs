//! The name of every kind. A new variant does not compile until it has a name here, and its name
//! fails `every_kind_has_a_golden_file` until it has a sample and a file.

use domain::event::{
    EventBody, PrintAttempted, PrintOutcome, Sale, ScanRecord, VoidReason, VoidRecord,
};
use domain::ids::Issuer;
use domain::ingest::{QuarantineReason, TicketState};
use domain::lease::GrantRefusal;
use domain::scan::ScanAnswer;
use domain::ticket::{KeyMaterial, KeyRecord, Suite};

use crate::frame::{
    BucketCursor, BucketId, EdgeFrame, GrantReport, Hello, HubFrame, Item, LeaseAnswer,
    ListedTicket, Welcome,
};

macro_rules! kinds {
    ($name:ident, $all:ident, $of:ty, { $($kind:pat $(if $when:expr)? => $file:literal,)+ }) => {
        pub(super) const $all: &[&str] = &[$($file),+];

        pub(super) fn $name(value: &$of) -> &'static str {
            match value { $($kind $(if $when)? => $file,)+ }
        }
    };
}

kinds!(edge_kind, EDGE_KINDS, EdgeFrame, {
    EdgeFrame::Hello(Hello { me: Some(_), .. }) => "edge-hello-introduced",
    EdgeFrame::Hello(Hello { hub: None, .. }) => "edge-hello",
    EdgeFrame::Hello(Hello { hub: Some(_), .. }) => "edge-hello-restored-hub",
    EdgeFrame::Events(_) => "edge-events",
    EdgeFrame::LeaseRequest(_) => "edge-lease-request",
    EdgeFrame::BucketAck(BucketCursor { bucket: BucketId::Node, .. }) => "edge-bucket-ack-node",
    EdgeFrame::BucketAck(BucketCursor { bucket: BucketId::Company, .. }) => "edge-bucket-ack-company",
    EdgeFrame::BucketAck(BucketCursor { bucket: BucketId::Trip(_), .. }) => "edge-bucket-ack-trip",
    EdgeFrame::BucketAck(BucketCursor { bucket: BucketId::Station(_), .. }) => "edge-bucket-ack-station",
    EdgeFrame::TimeRequest(_) => "edge-time-request",
    EdgeFrame::Report(GrantReport { grants, .. }) if grants.is_empty() => "edge-report-of-others",
    EdgeFrame::Report(_) => "edge-report",
    EdgeFrame::Positions(_) => "edge-positions",
});

kinds!(hub_kind, HUB_KINDS, HubFrame, {
    HubFrame::Welcome(Welcome { tell_grants: true, .. }) => "hub-welcome-tell-grants",
    HubFrame::Welcome(Welcome { begin: None, takes: None, .. }) => "hub-welcome",
    HubFrame::Welcome(Welcome { begin: None, takes: Some(_), .. }) => "hub-welcome-takes",
    HubFrame::Welcome(Welcome { begin: Some(_), .. }) => "hub-welcome-begin",
    HubFrame::Stored(_) => "hub-stored",
    HubFrame::Verdicts(..) => "hub-verdicts",
    HubFrame::Lease(_, LeaseAnswer::Granted(_)) => "hub-lease-granted",
    HubFrame::Lease(_, LeaseAnswer::Refused(GrantRefusal::UnknownTrip)) => "hub-lease-refused-unknown-trip",
    HubFrame::Lease(_, LeaseAnswer::Refused(GrantRefusal::BadStops)) => "hub-lease-refused-bad-stops",
    HubFrame::Lease(_, LeaseAnswer::Refused(GrantRefusal::BadCount { .. })) => "hub-lease-refused-bad-count",
    HubFrame::Lease(_, LeaseAnswer::Refused(GrantRefusal::BoardingClosed)) => "hub-lease-refused-boarding-closed",
    HubFrame::Lease(_, LeaseAnswer::Refused(GrantRefusal::SoldOut)) => "hub-lease-refused-sold-out",
    HubFrame::Lease(_, LeaseAnswer::Refused(GrantRefusal::Frozen)) => "hub-lease-refused-frozen",
    HubFrame::Lease(_, LeaseAnswer::Refused(GrantRefusal::TooManyLeases)) => "hub-lease-refused-too-many-leases",
    HubFrame::Lease(_, LeaseAnswer::Refused(GrantRefusal::TripFrozen)) => "hub-lease-refused-trip-frozen",
    HubFrame::Bucket(_) => "hub-bucket",
    HubFrame::Time(..) => "hub-time",
    HubFrame::Refused(_) => "hub-refused",
    HubFrame::Reported(_) => "hub-reported",
    HubFrame::PositionsTaken(_) => "hub-positions-taken",
});

kinds!(item_kind, ITEM_KINDS, Item, {
    Item::Layout(_) => "item-layout",
    Item::Fares(_) => "item-fares",
    Item::Trip(_) => "item-trip",
    Item::Key(KeyRecord { material: KeyMaterial::Ed25519(_), .. }) => "item-key-ed25519",
    Item::Key(KeyRecord { material: KeyMaterial::Hmac256(_), .. }) => "item-key-hmac256",
    Item::Grant(_) => "item-grant",
    Item::Ticket(ListedTicket { issuer: Issuer::Hub, .. }) => "item-ticket-of-hub",
    Item::Ticket(ListedTicket { issuer: Issuer::Node(_), state: TicketState::Live, .. }) => "item-ticket-live",
    Item::Ticket(ListedTicket { issuer: Issuer::Node(_), state: TicketState::Void, .. }) => "item-ticket-void",
    Item::Ticket(ListedTicket { issuer: Issuer::Node(_), state: TicketState::Disputed, .. }) => "item-ticket-disputed",
});

kinds!(body_kind, BODY_KINDS, EventBody, {
    EventBody::ShiftOpened(_) => "body-shift-opened",
    EventBody::Sale(Sale { suite: Suite::Ed25519, .. }) => "body-sale-ed25519",
    EventBody::Sale(Sale { suite: Suite::Hmac256, .. }) => "body-sale-hmac256",
    EventBody::Void(VoidRecord { reason: VoidReason::Mistake, .. }) => "body-void-mistake",
    EventBody::Void(VoidRecord { reason: VoidReason::PassengerRequest, .. }) => "body-void-passenger-request",
    EventBody::Void(VoidRecord { reason: VoidReason::PrintFailed, .. }) => "body-void-print-failed",
    EventBody::ShiftClosed(_) => "body-shift-closed",
    EventBody::LeaseAccepted(_) => "body-lease-accepted",
    EventBody::LeaseSurrendered(_) => "body-lease-surrendered",
    EventBody::PrintAttempted(PrintAttempted { outcome: PrintOutcome::Sent, .. }) => "body-print-sent",
    EventBody::PrintAttempted(PrintAttempted { outcome: PrintOutcome::Failed, .. }) => "body-print-failed",
    EventBody::Scan(ScanRecord { answer: ScanAnswer::Valid, .. }) => "body-scan-valid",
    EventBody::Scan(ScanRecord { answer: ScanAnswer::AlreadyUsed, .. }) => "body-scan-already-used",
    EventBody::Scan(ScanRecord { answer: ScanAnswer::WrongTrip, .. }) => "body-scan-wrong-trip",
    EventBody::Scan(ScanRecord { answer: ScanAnswer::GoodButUnlisted, .. }) => "body-scan-good-but-unlisted",
    EventBody::Scan(ScanRecord { answer: ScanAnswer::SeatConflict, .. }) => "body-scan-seat-conflict",
    EventBody::Scan(ScanRecord { answer: ScanAnswer::Invalid, text: None, .. }) => "body-scan-invalid",
    EventBody::Scan(ScanRecord { answer: ScanAnswer::Invalid, text: Some(_), .. }) => "body-scan-invalid-text",
    EventBody::ClockStep(..) => "body-clock-step",
});

kinds!(reason_kind, REASONS, QuarantineReason, {
    QuarantineReason::NotUnderstood => "not_understood",
    QuarantineReason::Forked => "forked",
    QuarantineReason::LeaseUnknown => "lease_unknown",
    QuarantineReason::LeaseClosed => "lease_closed",
    QuarantineReason::StaleEpoch => "stale_epoch",
    QuarantineReason::OutsideLease => "outside_lease",
    QuarantineReason::SeatTaken => "seat_taken",
    QuarantineReason::ShiftNotOpen => "shift_not_open",
    QuarantineReason::TicketUnknown => "ticket_unknown",
    QuarantineReason::AlreadyVoid => "already_void",
    QuarantineReason::OtherShift => "other_shift",
    QuarantineReason::BadSale => "bad_sale",
    QuarantineReason::Backstop => "backstop",
    QuarantineReason::NoPlace => "no_place",
});
