//! The ways to pay.

use domain::ledger::Account;

/// A way to pay, and to be paid back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// Mobile money.
    Momo,
    /// Card.
    Card,
    /// Over a counter.
    Cash,
    /// Only back: paid before this hub kept payments, a person returns it.
    ByHand,
}

impl ProviderKind {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Momo, Self::Card, Self::Cash, Self::ByHand];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Momo => "momo",
            Self::Card => "card",
            Self::Cash => "cash",
            Self::ByHand => "by_hand",
        }
    }

    /// Reads its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == word)
    }

    /// Whether a program elsewhere moves the money.
    pub const fn is_remote(self) -> bool {
        matches!(self, Self::Momo | Self::Card)
    }

    /// Where money stands between the payer and the bank; none for what lies in a drawer.
    pub const fn clearing(self) -> Option<Account> {
        match self {
            Self::Momo => Some(Account::MobileMoneyClearing),
            Self::Card => Some(Account::CardClearing),
            Self::Cash | Self::ByHand => None,
        }
    }
}
