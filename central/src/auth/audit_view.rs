//! Which entries of the audit log to show.

use domain::time::Instant;
use uuid::Uuid;

/// A filter; every part of it has to fit.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditFilter {
    /// Exactly this subject.
    pub(crate) subject: Option<String>,
    /// This action, or every one that begins with it and a dot.
    pub(crate) action: Option<String>,
    /// `person`, `key`, `anonymous` or `system`.
    pub(crate) actor_kind: Option<String>,
    /// This person or key.
    pub(crate) actor: Option<Uuid>,
    /// From then on.
    pub(crate) from: Option<Instant>,
    /// Before then.
    pub(crate) to: Option<Instant>,
}

/// An entry of the audit log.
#[derive(Debug, Clone)]
pub(crate) struct AuditRow {
    pub(crate) entry: i64,
    pub(crate) at: Instant,
    pub(crate) actor_kind: String,
    pub(crate) actor: Option<Uuid>,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) before: Option<serde_json::Value>,
    pub(crate) after: Option<serde_json::Value>,
}
