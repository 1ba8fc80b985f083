//! What may be done, and which role may do it.

use core::str::FromStr;

/// One kind of act. Its text is the scope that API keys and the OpenAPI document name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Permission {
    /// See stations, buses, layouts, schedules, crews.
    CompanyRead,
    /// Change them.
    CompanyWrite,
    /// Change fares, vouchers, discounts, commissions.
    FaresWrite,
    /// Move a trip through its states, delay and cancel it, name its crew.
    TripsOperate,
    /// Hold and book at the counter, taking cash.
    Sell,
    /// See bookings and passengers.
    BookingsRead,
    /// Cancel, exchange and refund for a passenger.
    BookingsWrite,
    /// See the manifest of a trip, mark who boarded.
    Manifest,
    /// See payments and refunds.
    PaymentsRead,
    /// Approve and retry refunds.
    PaymentsWrite,
    /// See the ledger, shifts, cases, statements and settlements.
    BooksRead,
    /// Match statements, decide cases, propose settlements.
    BooksWrite,
    /// Sign a settlement off, lock a period.
    BooksSign,
    /// See people and their roles.
    PeopleRead,
    /// Give and take roles.
    PeopleWrite,
    /// Make and revoke API keys and webhooks.
    KeysWrite,
    /// See nodes and leases.
    NodesRead,
    /// Enrol, assign, freeze and revoke nodes.
    NodesWrite,
    /// Read the audit log.
    AuditRead,
    /// What concerns every company of the hub.
    Hub,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 20] = [
        Self::CompanyRead,
        Self::CompanyWrite,
        Self::FaresWrite,
        Self::TripsOperate,
        Self::Sell,
        Self::BookingsRead,
        Self::BookingsWrite,
        Self::Manifest,
        Self::PaymentsRead,
        Self::PaymentsWrite,
        Self::BooksRead,
        Self::BooksWrite,
        Self::BooksSign,
        Self::PeopleRead,
        Self::PeopleWrite,
        Self::KeysWrite,
        Self::NodesRead,
        Self::NodesWrite,
        Self::AuditRead,
        Self::Hub,
    ];

    /// The scope's text, as in the OpenAPI document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CompanyRead => "company:read",
            Self::CompanyWrite => "company:write",
            Self::FaresWrite => "fares:write",
            Self::TripsOperate => "trips:operate",
            Self::Sell => "sell",
            Self::BookingsRead => "bookings:read",
            Self::BookingsWrite => "bookings:write",
            Self::Manifest => "manifest",
            Self::PaymentsRead => "payments:read",
            Self::PaymentsWrite => "payments:write",
            Self::BooksRead => "books:read",
            Self::BooksWrite => "books:write",
            Self::BooksSign => "books:sign",
            Self::PeopleRead => "people:read",
            Self::PeopleWrite => "people:write",
            Self::KeysWrite => "keys:write",
            Self::NodesRead => "nodes:read",
            Self::NodesWrite => "nodes:write",
            Self::AuditRead => "audit:read",
            Self::Hub => "hub",
        }
    }

    /// Whether it only looks.
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            Self::CompanyRead
                | Self::BookingsRead
                | Self::PaymentsRead
                | Self::BooksRead
                | Self::PeopleRead
                | Self::NodesRead
                | Self::AuditRead
        )
    }
}

/// A word that names no permission or role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} {word:?}: choose among {choices}")]
pub struct UnknownWord {
    what: &'static str,
    word: String,
    choices: String,
}

fn unknown(what: &'static str, word: &str, all: impl Iterator<Item = &'static str>) -> UnknownWord {
    let choices: Vec<&str> = all.collect();
    UnknownWord {
        what,
        word: word.chars().take(40).collect(),
        choices: choices.join(", "),
    }
}

impl FromStr for Permission {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let mut all = Self::ALL.into_iter();
        all.find(|p| p.as_str() == word)
            .ok_or_else(|| unknown("permission", word, Self::ALL.iter().map(|p| p.as_str())))
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u32);

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    pub fn of(list: &[Permission]) -> Self {
        list.iter().copied().collect()
    }

    /// Whether it holds one.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// What either holds.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both hold.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |p| self.has(*p))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(list: I) -> Self {
        Self(list.into_iter().fold(0, |bits, p| bits | 1 << p as u8))
    }
}

/// What a person is to a company. A person may hold several, in several companies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Books for themselves. Everybody with an account is one; it belongs to no company.
    Customer,
    /// Drives: manifests and trip states.
    Driver,
    /// Sells at a counter.
    Agent,
    /// Works in the central office.
    Clerk,
    /// Answers for one company.
    CompanyAdmin,
    /// Answers for the hub.
    SuperAdmin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Customer,
        Self::Driver,
        Self::Agent,
        Self::Clerk,
        Self::CompanyAdmin,
        Self::SuperAdmin,
    ];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Driver => "driver",
            Self::Agent => "agent",
            Self::Clerk => "clerk",
            Self::CompanyAdmin => "company_admin",
            Self::SuperAdmin => "super_admin",
        }
    }

    /// Whether its holder has to prove a second factor.
    pub const fn needs_second_factor(self) -> bool {
        matches!(self, Self::CompanyAdmin | Self::SuperAdmin)
    }

    /// What its holder may do in the company.
    pub fn permissions(self) -> Permissions {
        use Permission as P;
        let agent = [
            P::CompanyRead,
            P::Sell,
            P::BookingsRead,
            P::BookingsWrite,
            P::Manifest,
        ];
        let clerk = [
            P::FaresWrite,
            P::TripsOperate,
            P::PaymentsRead,
            P::PaymentsWrite,
            P::BooksRead,
            P::BooksWrite,
            P::PeopleRead,
            P::NodesRead,
        ];
        match self {
            Self::Customer => Permissions::NONE,
            Self::Driver => Permissions::of(&[P::CompanyRead, P::Manifest, P::TripsOperate]),
            Self::Agent => Permissions::of(&agent),
            Self::Clerk => Permissions::of(&agent).with(Permissions::of(&clerk)),
            Self::CompanyAdmin => P::ALL.into_iter().filter(|p| *p != P::Hub).collect(),
            Self::SuperAdmin => P::ALL.into_iter().collect(),
        }
    }
}

impl FromStr for Role {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let mut all = Self::ALL.into_iter();
        all.find(|r| r.as_str() == word)
            .ok_or_else(|| unknown("role", word, Self::ALL.iter().map(|r| r.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_is_one_bit_and_reads_back_from_its_text() {
        let mut seen = Permissions::NONE;
        for permission in Permission::ALL {
            assert!(!seen.has(permission), "{permission:?}");
            seen = seen.with(Permissions::of(&[permission]));
            assert_eq!(permission.as_str().parse(), Ok(permission));
        }
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        let error = "owner".parse::<Role>().unwrap_err().to_string();
        assert!(error.contains("company_admin"), "{error}");
    }

    #[test]
    fn only_the_super_admin_reaches_beyond_a_company_and_a_customer_reaches_none() {
        for role in Role::ALL {
            let hub = role.permissions().has(Permission::Hub);
            assert_eq!(hub, role == Role::SuperAdmin, "{role:?}");
        }
        assert_eq!(Role::Customer.permissions(), Permissions::NONE);
        assert!(!Role::Clerk.permissions().has(Permission::BooksSign));
    }
}
