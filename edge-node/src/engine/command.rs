//! What a node can be told to do.

use domain::counter::SellCommand;
use domain::event::VoidReason;
use domain::ids::{LeaseNo, TicketId, TripId};
use domain::money::{Currency, Minor};

use super::Personal;

/// One command; each is given with a command id of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// An agent begins to sell.
    OpenShift {
        /// Who.
        agent: String,
        /// Cash in the drawer.
        float_minor: Minor,
        /// Of which currency.
        currency: Currency,
    },
    /// Tickets are sold, all or none.
    Sell(SellOrder),
    /// A ticket is taken back in the shift that sold it.
    Void {
        /// Which.
        ticket: TicketId,
        /// Why.
        reason: VoidReason,
    },
    /// A code is shown to the validator of a trip.
    Scan {
        /// The trip that is boarding.
        trip: TripId,
        /// What the scanner read.
        text: String,
    },
    /// The agent counts the drawer.
    CloseShift {
        /// What was counted, float included.
        declared_minor: Minor,
    },
    /// A lease is given back.
    Surrender {
        /// Of which trip.
        trip: TripId,
        /// Which.
        lease_no: LeaseNo,
    },
}

/// What is sold, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SellOrder {
    /// The journeys and how they are paid.
    pub sell: SellCommand,
    /// Names and a phone number, where they were given.
    pub personal: Personal,
}
