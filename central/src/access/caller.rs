//! The one who asks.

use domain::ids::CompanyId;
use uuid::Uuid;

use super::permission::{Permission, Permissions};
use crate::http::Problem;

/// How a caller proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// It did not.
    Anonymous,
    /// A person who signed in.
    Person(Uuid),
    /// A program, by a key of its company.
    Key(Uuid),
}

/// Who asks, for which company, and what they may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub identity: Identity,
    /// The company that the token or key is for; a customer's has none.
    pub company: Option<CompanyId>,
    /// What they may do in it.
    pub permissions: Permissions,
}

/// A caller that works for a company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staff {
    /// Which company.
    pub company: CompanyId,
    /// Who.
    pub identity: Identity,
}

impl Caller {
    /// Nobody in particular.
    pub const ANONYMOUS: Self = Self {
        identity: Identity::Anonymous,
        company: None,
        permissions: Permissions::NONE,
    };

    /// The company to work in, when the caller may do this there.
    ///
    /// # Errors
    /// 401 for nobody, 403 for somebody who may not.
    pub fn may(&self, permission: Permission) -> Result<Staff, Problem> {
        match self.company {
            Some(company) if self.permissions.has(permission) => Ok(Staff {
                company,
                identity: self.identity,
            }),
            _ if self.identity == Identity::Anonymous => Err(Problem::unauthorized()),
            _ => Err(Problem::forbidden(permission)),
        }
    }

    /// Whether the caller may do this for this company.
    pub fn may_in(&self, permission: Permission, company: CompanyId) -> bool {
        self.company == Some(company) && self.permissions.has(permission)
    }

    /// The person who signed in.
    ///
    /// # Errors
    /// 401 for nobody and for programs.
    pub fn person(&self) -> Result<Uuid, Problem> {
        match self.identity {
            Identity::Person(id) => Ok(id),
            Identity::Anonymous | Identity::Key(_) => Err(Problem::unauthorized()),
        }
    }
}

impl Identity {
    /// The id of the person or key; none for nobody.
    pub fn id(self) -> Option<Uuid> {
        match self {
            Self::Anonymous => None,
            Self::Person(id) | Self::Key(id) => Some(id),
        }
    }

    /// `anonymous`, `person` or `key`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Person(_) => "person",
            Self::Key(_) => "key",
        }
    }
}
