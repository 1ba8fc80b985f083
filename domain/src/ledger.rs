//! The ledger: accounts, and entries whose postings sum to zero.

use crate::event::TenderKind;
use crate::ids::{NodeId, PartyId, ShiftNo, TicketId, TripId};
use crate::money::{Currency, Minor};
use crate::time::ServiceDate;

/// Where money stands. A debit is positive, a credit negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// The drawer of one shift.
    AgentCash(NodeId, ShiftNo),
    /// Cash handed over when a shift closed, per node.
    Vault(NodeId),
    /// Cash taken by the office itself, outside any counter's shift.
    OfficeCash,
    /// Paid online, not yet settled by a provider.
    OnlineClearing,
    /// Paid by mobile money at a counter.
    MobileMoneyClearing,
    /// Paid by card at a counter.
    CardClearing,
    /// Owed to passengers until their trip departs.
    DeferredRevenue(TripId),
    /// What drawers held too much or too little.
    CashOverShort,
    /// Money of sales whose seat is disputed.
    Suspense,
    /// Earned: the trip has departed.
    Revenue,
    /// Owed back to passengers.
    RefundsPayable,
    /// What sellers earn on what they sold.
    CommissionExpense,
    /// Owed to one seller.
    CommissionPayable(PartyId),
    /// What payment providers keep.
    ProviderFees,
    /// Owed to the company by the hub that collects for it.
    CompanyPayable,
    /// In the bank.
    Bank,
}

impl Account {
    /// Its kind, the node, shift and trip that it is kept for: the key it is stored under.
    pub fn key(
        &self,
    ) -> (
        &'static str,
        Option<NodeId>,
        Option<ShiftNo>,
        Option<TripId>,
    ) {
        match *self {
            Self::AgentCash(node, shift) => ("agent_cash", Some(node), Some(shift), None),
            Self::Vault(node) => ("vault", Some(node), None, None),
            Self::OfficeCash => ("office_cash", None, None, None),
            Self::OnlineClearing => ("online_clearing", None, None, None),
            Self::MobileMoneyClearing => ("mobile_money_clearing", None, None, None),
            Self::CardClearing => ("card_clearing", None, None, None),
            Self::DeferredRevenue(trip) => ("deferred_revenue", None, None, Some(trip)),
            Self::CashOverShort => ("cash_over_short", None, None, None),
            Self::Suspense => ("suspense", None, None, None),
            Self::Revenue => ("revenue", None, None, None),
            Self::RefundsPayable => ("refunds_payable", None, None, None),
            Self::CommissionExpense => ("commission_expense", None, None, None),
            Self::CommissionPayable(_) => ("commission_payable", None, None, None),
            Self::ProviderFees => ("provider_fees", None, None, None),
            Self::CompanyPayable => ("company_payable", None, None, None),
            Self::Bank => ("bank", None, None, None),
        }
    }

    /// Whom it is owed to, where it is kept per seller: the rest of its key.
    pub fn party(&self) -> Option<PartyId> {
        match *self {
            Self::CommissionPayable(party) => Some(party),
            Self::AgentCash(..)
            | Self::Vault(_)
            | Self::OfficeCash
            | Self::OnlineClearing
            | Self::MobileMoneyClearing
            | Self::CardClearing
            | Self::DeferredRevenue(_)
            | Self::CashOverShort
            | Self::Suspense
            | Self::Revenue
            | Self::RefundsPayable
            | Self::CommissionExpense
            | Self::ProviderFees
            | Self::CompanyPayable
            | Self::Bank => None,
        }
    }

    /// The account that is stored under a key; `None` where a part is missing.
    pub fn from_key(
        kind: &str,
        node: Option<NodeId>,
        shift: Option<ShiftNo>,
        trip: Option<TripId>,
        party: Option<PartyId>,
    ) -> Option<Self> {
        Some(match kind {
            "agent_cash" => Self::AgentCash(node?, shift?),
            "vault" => Self::Vault(node?),
            "deferred_revenue" => Self::DeferredRevenue(trip?),
            "commission_payable" => Self::CommissionPayable(party?),
            _ => return Self::SHARED.into_iter().find(|a| a.key().0 == kind),
        })
    }

    /// The accounts of which a company has one per currency.
    pub const SHARED: [Self; 12] = [
        Self::OfficeCash,
        Self::OnlineClearing,
        Self::MobileMoneyClearing,
        Self::CardClearing,
        Self::CashOverShort,
        Self::Suspense,
        Self::Revenue,
        Self::RefundsPayable,
        Self::CommissionExpense,
        Self::ProviderFees,
        Self::CompanyPayable,
        Self::Bank,
    ];

    /// Where the fares of a trip's tickets stand: owed until it departs, earned from then on.
    pub const fn of_fares(trip: TripId, is_recognised: bool) -> Self {
        if is_recognised {
            Self::Revenue
        } else {
            Self::DeferredRevenue(trip)
        }
    }

    /// Where a tender line's money goes.
    pub fn of_tender(kind: TenderKind, node: NodeId, shift: ShiftNo) -> Self {
        match kind {
            TenderKind::Cash => Self::AgentCash(node, shift),
            TenderKind::MobileMoney => Self::MobileMoneyClearing,
            TenderKind::Card => Self::CardClearing,
        }
    }
}

/// Why an entry was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// Tickets were sold.
    Sale,
    /// A ticket was taken back.
    Void,
    /// A drawer was counted and handed over.
    ShiftClose,
    /// Money came in that no ticket was issued for.
    Payment,
    /// Money went back to a passenger.
    Refund,
    /// A trip departed: what was owed is earned.
    Recognition,
    /// An earlier entry, the other way round.
    Reversal,
    /// A provider or seller was settled with.
    Settlement,
    /// A person decided: a case, a difference.
    Adjustment,
}

impl EntryKind {
    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Void => "void",
            Self::ShiftClose => "shift_close",
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Recognition => "recognition",
            Self::Reversal => "reversal",
            Self::Settlement => "settlement",
            Self::Adjustment => "adjustment",
        }
    }
}

/// One line of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// Which account.
    pub account: Account,
    /// Debit positive, credit negative, in minor units of the entry's currency.
    pub amount_minor: Minor,
    /// The ticket it is about; a ticket is credited by one sale only.
    pub ticket: Option<TicketId>,
}

/// Postings that belong together and sum to zero. Immutable; corrected only by reversal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    kind: EntryKind,
    currency: Currency,
    business_date: ServiceDate,
    postings: Vec<Posting>,
}

/// An entry that the ledger does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the postings of an entry sum to {0:?}, not to zero")]
pub struct Unbalanced(pub Option<Minor>);

impl Entry {
    /// Checks that the postings sum to zero.
    pub fn new(
        kind: EntryKind,
        currency: Currency,
        business_date: ServiceDate,
        mut postings: Vec<Posting>,
    ) -> Result<Self, Unbalanced> {
        postings.retain(|p| p.amount_minor != Minor::ZERO || p.ticket.is_some());
        match Minor::checked_sum(postings.iter().map(|p| p.amount_minor)) {
            Some(Minor::ZERO) => Ok(Self {
                kind,
                currency,
                business_date,
                postings,
            }),
            sum => Err(Unbalanced(sum)),
        }
    }

    /// Why it was made.
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// What it is kept in.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The day it counts to.
    pub fn business_date(&self) -> ServiceDate {
        self.business_date
    }

    /// Its lines.
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }
}

/// The lines of a sale: tenders debited, each ticket's fare credited. Where the tenders do not
/// add up to the fares the difference stands in suspense, so that no coin is lost.
pub fn sale_postings(
    tenders: impl IntoIterator<Item = (Account, Minor)>,
    tickets: impl IntoIterator<Item = (TicketId, Account, Minor)>,
) -> Vec<Posting> {
    let mut postings: Vec<Posting> = tenders
        .into_iter()
        .map(|(account, amount_minor)| Posting {
            account,
            amount_minor,
            ticket: None,
        })
        .collect();
    postings.extend(tickets.into_iter().map(|(ticket, account, fare)| Posting {
        account,
        amount_minor: -fare,
        ticket: Some(ticket),
    }));
    let rest: i128 = postings.iter().map(|p| i128::from(p.amount_minor.0)).sum();
    if let (Ok(rest), true) = (i64::try_from(-rest), rest != 0) {
        postings.push(Posting {
            account: Account::Suspense,
            amount_minor: Minor(rest),
            ticket: None,
        });
    }
    postings
}

/// The lines of a shift's close: the drawer is emptied into the vault, what is missing or too
/// much is named. `drawer` is the cash taken in the shift; the float is not part of it.
pub fn shift_close_postings(
    node: NodeId,
    shift: ShiftNo,
    drawer: Minor,
    handed_over: Minor,
) -> Vec<Posting> {
    let line = |account, amount| Posting {
        account,
        amount_minor: Minor(amount),
        ticket: None,
    };
    vec![
        line(Account::AgentCash(node, shift), drawer.0.saturating_neg()),
        line(Account::Vault(node), handed_over.0),
        line(
            Account::CashOverShort,
            drawer.0.saturating_sub(handed_over.0),
        ),
    ]
}

/// An entry the other way round. It names no tickets: what it takes back does.
pub fn reversed(postings: &[Posting]) -> Option<Vec<Posting>> {
    let back = postings.iter().map(|p| {
        Some(Posting {
            account: p.account,
            amount_minor: Minor(p.amount_minor.0.checked_neg()?),
            ticket: None,
        })
    });
    back.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn day() -> ServiceDate {
        "2026-11-22".parse().unwrap()
    }

    proptest! {
        #[test]
        fn postings_of_every_sale_sum_to_zero(
            tenders in prop::collection::vec(0i64..1_000_000, 0..4),
            fares in prop::collection::vec(0i64..1_000_000, 1..10),
        ) {
            let node = NodeId(Uuid::nil());
            let postings = sale_postings(
                tenders.iter().map(|a| (Account::AgentCash(node, ShiftNo(1)), Minor(*a))),
                fares.iter().enumerate().map(|(i, f)| {
                    let ticket = TicketId(Uuid::from_u128(i as u128));
                    (ticket, Account::DeferredRevenue(TripId(1)), Minor(*f))
                }),
            );
            let entry = Entry::new(EntryKind::Sale, Currency::ZMW, day(), postings).unwrap();
            let credited: i64 =
                entry.postings().iter().filter(|p| p.ticket.is_some()).map(|p| p.amount_minor.0).sum();
            prop_assert_eq!(-credited, fares.iter().sum::<i64>());
        }

        #[test]
        fn postings_of_every_close_sum_to_zero(drawer in -1_000_000i64..1_000_000, counted in 0i64..1_000_000) {
            let lines = shift_close_postings(NodeId(Uuid::nil()), ShiftNo(1), Minor(drawer), Minor(counted));
            prop_assert!(Entry::new(EntryKind::ShiftClose, Currency::ZMW, day(), lines).is_ok());
        }
    }

    #[test]
    fn every_account_is_found_again_by_its_key() {
        let node = NodeId(Uuid::from_u128(1));
        let mut all = Account::SHARED.to_vec();
        all.extend([
            Account::AgentCash(node, ShiftNo(3)),
            Account::Vault(node),
            Account::DeferredRevenue(TripId(9)),
            Account::CommissionPayable(PartyId(Uuid::from_u128(2))),
        ]);
        for account in all {
            let (kind, node, shift, trip) = account.key();
            let again = Account::from_key(kind, node, shift, trip, account.party());
            assert_eq!(again, Some(account));
        }
        assert_eq!(Account::from_key("vault", None, None, None, None), None);
        assert_eq!(Account::from_key("safe", None, None, None, None), None);
    }

    #[test]
    fn an_entry_that_does_not_balance_is_not_taken() {
        let line = Posting {
            account: Account::Suspense,
            amount_minor: Minor(1),
            ticket: None,
        };
        let entry = Entry::new(EntryKind::Sale, Currency::ZMW, day(), vec![line]);
        assert_eq!(entry, Err(Unbalanced(Some(Minor(1)))));
    }
}
