//! What people are told about.

/// One kind of message; each has a template in every language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A booking was paid, or its seats were exchanged: its tickets.
    TicketSold,
    /// Money has come.
    PaymentReceived,
    /// Money has come for seats that were gone, or twice; it goes back.
    PaymentReturned,
    /// A payment failed or ran out of time.
    PaymentFailed,
    /// A trip leaves later.
    TripDelayed,
    /// A trip does not run.
    TripCancelled,
    /// Another bus, another seat.
    SeatChanged,
    /// Seats are held for somebody who waited.
    WaitingOffer,
    /// Money went back.
    RefundDone,
    /// A shift was closed with a difference, or with events that wait for a person.
    ShiftAnomaly,
    /// A station or bus was not heard of for long.
    NodeSilent,
    /// It is back.
    NodeBack,
}

/// Whether a message may wake somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Its reader has just done something and waits for it.
    AtOnce,
    /// It waits for the end of quiet hours, unless it is of no use then.
    Daytime,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::TicketSold,
        Self::PaymentReceived,
        Self::PaymentReturned,
        Self::PaymentFailed,
        Self::TripDelayed,
        Self::TripCancelled,
        Self::SeatChanged,
        Self::WaitingOffer,
        Self::RefundDone,
        Self::ShiftAnomaly,
        Self::NodeSilent,
        Self::NodeBack,
    ];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TicketSold => "ticket_sold",
            Self::PaymentReceived => "payment_received",
            Self::PaymentReturned => "payment_returned",
            Self::PaymentFailed => "payment_failed",
            Self::TripDelayed => "trip_delayed",
            Self::TripCancelled => "trip_cancelled",
            Self::SeatChanged => "seat_changed",
            Self::WaitingOffer => "waiting_offer",
            Self::RefundDone => "refund_done",
            Self::ShiftAnomaly => "shift_anomaly",
            Self::NodeSilent => "node_silent",
            Self::NodeBack => "node_back",
        }
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The events that it tells of.
    pub(super) const fn events(self) -> &'static [&'static str] {
        match self {
            Self::TicketSold => &["booking.confirmed", "booking.exchanged"],
            Self::PaymentReceived => &["payment.captured"],
            // An outcome of the event above.
            Self::PaymentReturned => &[],
            Self::PaymentFailed => &["payment.failed", "payment.expired"],
            Self::TripDelayed => &["trip.delayed"],
            Self::TripCancelled => &["trip.cancelled"],
            Self::SeatChanged => &["booking.reseated", "ticket.reseated"],
            Self::WaitingOffer => &["waiting_list.offered"],
            Self::RefundDone => &["refund.done"],
            Self::ShiftAnomaly => &["shift.anomaly"],
            Self::NodeSilent => &["node.silent"],
            Self::NodeBack => &["node.back"],
        }
    }

    /// What an event is told as.
    pub(super) fn of_event(event: &str, body: &serde_json::Value) -> Option<Self> {
        let outcome = body["outcome"].as_str();
        if event == "payment.captured" && matches!(outcome, Some("seats_gone" | "already_paid")) {
            return Some(Self::PaymentReturned);
        }
        Self::ALL.into_iter().find(|k| k.events().contains(&event))
    }

    /// Whether it may wake somebody.
    pub(super) const fn urgency(self) -> Urgency {
        match self {
            Self::TicketSold
            | Self::PaymentReceived
            | Self::PaymentReturned
            | Self::PaymentFailed => Urgency::AtOnce,
            Self::TripDelayed
            | Self::TripCancelled
            | Self::SeatChanged
            | Self::WaitingOffer
            | Self::RefundDone
            | Self::ShiftAnomaly
            | Self::NodeSilent
            | Self::NodeBack => Urgency::Daytime,
        }
    }

    /// What its template may say, with what a preview says there.
    pub(super) const fn facts(self) -> &'static [(&'static str, &'static str)] {
        const COMPANY: (&str, &str) = ("company", "Mwimule Coaches");
        const REFERENCE: (&str, &str) = ("reference", "7F3K-22QX");
        const AMOUNT: (&str, &str) = ("amount", "ZMW 450.00");
        const TRIP: (&str, &str) = ("trip", "T1 Lusaka - Livingstone");
        const DEPARTS: (&str, &str) = ("departs", "2034-05-02 06:00");
        const PHONE: (&str, &str) = ("phone", "+260970000001");
        const NODE: (&str, &str) = ("node", "Lusaka 1");
        match self {
            Self::TicketSold => &[
                COMPANY,
                REFERENCE,
                (
                    "tickets",
                    "Lusaka 2034-05-02 06:00 - Livingstone, seat 12A, 12B",
                ),
                ("seats", "2"),
            ],
            Self::PaymentReceived
            | Self::PaymentReturned
            | Self::PaymentFailed
            | Self::RefundDone => &[COMPANY, REFERENCE, AMOUNT],
            Self::TripDelayed => &[
                COMPANY,
                TRIP,
                DEPARTS,
                ("expected", "2034-05-02 07:30"),
                PHONE,
            ],
            Self::TripCancelled => &[COMPANY, TRIP, DEPARTS, PHONE],
            Self::SeatChanged => &[COMPANY, TRIP, DEPARTS, ("seats", "12A -> 14C")],
            Self::WaitingOffer => &[
                COMPANY,
                TRIP,
                DEPARTS,
                REFERENCE,
                AMOUNT,
                ("seats", "2"),
                ("until", "2034-05-01 18:30"),
            ],
            Self::ShiftAnomaly => &[
                COMPANY,
                NODE,
                ("shift", "3"),
                ("agent", "Mutinta"),
                ("difference", "ZMW -20.00"),
                ("in_question", "0"),
            ],
            Self::NodeSilent => &[COMPANY, NODE, ("hours", "24")],
            Self::NodeBack => &[COMPANY, NODE, ("hours", "25")],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::Kind;

    #[test]
    fn every_event_is_told_as_one_kind_and_every_word_reads_back() {
        let mut seen = BTreeSet::new();
        for kind in Kind::ALL {
            assert_eq!(Kind::of_word(kind.as_str()), Some(kind));
            for event in kind.events() {
                assert!(seen.insert(*event), "{event} is told twice");
                assert_eq!(Kind::of_event(event, &json!({})), Some(kind));
            }
        }
        let gone = json!({"outcome": "seats_gone"});
        let returned = Some(Kind::PaymentReturned);
        assert_eq!(Kind::of_event("payment.captured", &gone), returned);
        assert_eq!(Kind::of_event("trip.departed", &json!({})), None);
    }
}
