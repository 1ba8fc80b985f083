//! What one process of the hub does, what it says, and how it ends.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of the hub that a process may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The HTTP API.
    Api,
    /// Where stations and buses connect.
    Sync,
    /// What the hub does by itself.
    Worker,
}

impl Role {
    const ALL: [Self; 3] = [Self::Api, Self::Sync, Self::Worker];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Sync => "sync",
            Self::Worker => "worker",
        }
    }
}

/// The parts that one process runs: at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Roles(BTreeSet<Role>);

/// Words that name no roles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no list of roles: write some of api,sync,worker")]
pub struct NoRoles(String);

impl Roles {
    /// Whether the process runs this part.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self(Role::ALL.into())
    }
}

impl FromStr for Roles {
    type Err = NoRoles;

    fn from_str(text: &str) -> Result<Self, NoRoles> {
        let role = |word: &str| Role::ALL.into_iter().find(|r| r.as_str() == word.trim());
        let roles: Option<BTreeSet<Role>> = text.split(',').map(role).collect();
        let some = roles.filter(|roles| !roles.is_empty());
        some.map(Self).ok_or_else(|| NoRoles(text.to_owned()))
    }
}

impl TryFrom<String> for Roles {
    type Error = NoRoles;

    fn try_from(text: String) -> Result<Self, NoRoles> {
        text.parse()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|r| r.as_str()).collect();
        f.write_str(&words.join(","))
    }
}

impl From<Roles> for String {
    fn from(roles: Roles) -> Self {
        roles.to_string()
    }
}

/// `[process]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessConfig {
    /// Which parts this process runs.
    pub roles: Roles,
    /// Where health and metrics are told inside; absent: nowhere.
    pub internal_http: Option<SocketAddr>,
    /// How long the process goes on taking work once it has been told to stop and says so at
    /// `/readyz`, in ms: as long as whoever sends the work needs to notice.
    pub drain_ms: u32,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: a JSON object a line.
    Json,
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged, like `warn,central=debug`.
    pub filter: Option<String>,
}

/// `[traces]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracesConfig {
    /// Where spans are sent, OTLP over HTTP; absent: nowhere.
    pub otlp_url: Option<String>,
    /// How many in a hundred requests are traced; those that a caller traces always are.
    pub sample_percent: u8,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            otlp_url: None,
            sample_percent: 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_some_of_three_words() {
        let some: Roles = "worker, api".parse().unwrap();
        assert!(some.has(Role::Api) && some.has(Role::Worker) && !some.has(Role::Sync));
        assert_eq!(some.to_string(), "api,worker");
        assert_eq!(Roles::default().to_string(), "api,sync,worker");
        for wrong in ["", "api,", "web", "api;sync"] {
            let error = wrong.parse::<Roles>().unwrap_err().to_string();
            assert!(error.contains("api,sync,worker"), "{error}");
        }
    }
}
