//! Nodes that nobody has heard of for too long: the office is told once, and once more when one
//! is back.

use std::time::Duration;

use domain::ids::{CompanyId, NodeId};
use domain::time::Instant;
use serde_json::json;

use crate::clock;
use crate::db::{Db, DbError};
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;
use crate::views;
use crate::worker::{Job, Progress};

/// What a company that has set nothing allows, in ms: a day.
pub const SILENT_MS: i64 = 24 * 3_600_000;

/// How a node stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It has not enrolled, or was never heard of.
    Never,
    /// It was heard of within what the company allows.
    Heard,
    /// It was not.
    Silent,
    /// It may not connect.
    Revoked,
}

impl Health {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Heard => "heard",
            Self::Silent => "silent",
            Self::Revoked => "revoked",
        }
    }

    /// By when it was last heard of.
    pub fn of(revoked: bool, last: Option<Instant>, silent_ms: i64, now: Instant) -> Self {
        match last {
            Some(_) | None if revoked => Self::Revoked,
            None => Self::Never,
            Some(last) if now.0.saturating_sub(last.0) > silent_ms => Self::Silent,
            Some(_) => Self::Heard,
        }
    }
}

/// Every job of this service.
pub fn jobs() -> Vec<Job> {
    vec![Job {
        name: "silent nodes",
        every: Duration::from_secs(30),
        run: |api| {
            Box::pin(async move {
                for company in views::all_companies(&api.db).await? {
                    look(&api.db, company, clock::now()).await?;
                }
                Ok(Progress::Idle)
            })
        },
    }]
}

/// A node whose silence began or ended.
struct Turned {
    node: NodeId,
    name: String,
    silent_ms: i64,
}

/// Tells of every node of a company that fell silent or came back; again changes nothing, and two
/// processes that look at once tell once.
pub async fn look(db: &Db, company: CompanyId, now: Instant) -> Result<usize, DbError> {
    let mut tx = db.tenant(company).await?;
    let silent = fallen_silent(&mut tx, now).await?;
    let back = come_back(&mut tx, now).await?;
    for (kind, nodes) in [("node.silent", &silent), ("node.back", &back)] {
        for turned in nodes {
            let happened = Happened {
                kind,
                subject: &format!("node:{}", turned.node),
                body: json!({
                    "node": turned.node.0,
                    "name": turned.name,
                    "silent_s": turned.silent_ms.max(0) / 1_000,
                }),
            };
            outbox::put(&mut tx, happened, now).await?;
        }
    }
    let told = silent.len() + back.len();
    if told > 0 {
        tx.commit().await?;
    }
    Ok(told)
}

async fn fallen_silent(tx: &mut TenantTx, now: Instant) -> Result<Vec<Turned>, DbError> {
    let rows = sqlx::query!(
        r#"UPDATE node n SET silent_since_ms = n.last_contact_ms
           WHERE n.company_id = $1 AND n.silent_since_ms IS NULL AND NOT n.revoked
             AND n.last_contact_ms < $2 - coalesce(
                 (SELECT s.node_silent_ms FROM operations_settings s WHERE s.company_id = $1), $3)
           RETURNING n.node_id, n.name, n.last_contact_ms AS "last_contact_ms!""#,
        tx.company().0,
        now.0,
        SILENT_MS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| Turned {
            node: NodeId(r.node_id),
            name: r.name,
            silent_ms: now.0 - r.last_contact_ms,
        })
        .collect())
}

async fn come_back(tx: &mut TenantTx, now: Instant) -> Result<Vec<Turned>, DbError> {
    let rows = sqlx::query!(
        r#"UPDATE node n SET silent_since_ms = NULL
           FROM (SELECT node_id, silent_since_ms AS since_ms FROM node
                 WHERE company_id = $1 AND silent_since_ms IS NOT NULL
                   AND last_contact_ms > silent_since_ms AND NOT revoked
                 FOR UPDATE) before
           WHERE n.company_id = $1 AND n.node_id = before.node_id
           RETURNING n.node_id, n.name, before.since_ms AS "since_ms!",
                     n.last_contact_ms AS "last_contact_ms!""#,
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    // The node that came back may have been gone again since: it counts from when it came.
    let until = |last: i64| last.min(now.0);
    Ok(rows
        .into_iter()
        .map(|r| Turned {
            node: NodeId(r.node_id),
            name: r.name,
            silent_ms: until(r.last_contact_ms) - r.since_ms,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestCompany, TestDb};

    async fn heard_at(test: &TestDb, node: NodeId, at: Instant) {
        let mut owner = test.owner().await.unwrap();
        sqlx::query("UPDATE node SET last_contact_ms = $2 WHERE node_id = $1")
            .bind(node.0)
            .bind(at.0)
            .execute(&mut owner)
            .await
            .unwrap();
    }

    async fn told(test: &TestDb) -> Vec<(String, String, serde_json::Value)> {
        let mut owner = test.owner().await.unwrap();
        let sql =
            "SELECT kind, subject, body FROM outbox WHERE kind LIKE 'node.%' ORDER BY event_no";
        sqlx::query_as(sql).fetch_all(&mut owner).await.unwrap()
    }

    #[tokio::test]
    async fn silence_and_return_are_told_once_each_by_whichever_process_looks() {
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let node = company.station(0).await.unwrap().id();
        let never = company.station(1).await.unwrap().id();
        let gone = Instant(1_800_000_000_000);
        heard_at(&test, node, gone).await;
        let look = |at: Instant| look(&test.db, company.id, at);
        assert_eq!(look(gone.plus_ms(SILENT_MS)).await.unwrap(), 0);
        let late = gone.plus_ms(SILENT_MS + 5_000);
        // Two processes at once.
        let (a, b) = tokio::join!(look(late), look(late));
        assert_eq!(a.unwrap() + b.unwrap(), 1);
        assert_eq!(look(late.plus_ms(SILENT_MS)).await.unwrap(), 0);
        heard_at(&test, node, late).await;
        let (a, b) = tokio::join!(look(late), look(late));
        assert_eq!(a.unwrap() + b.unwrap(), 1);
        let said = told(&test).await;
        let subject = format!("node:{node}");
        let body = json!({"node": node.0, "name": "node 0", "silent_s": SILENT_MS / 1_000 + 5});
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(
            said[0],
            ("node.silent".to_owned(), subject.clone(), body.clone())
        );
        assert_eq!(said[1], ("node.back".to_owned(), subject, body));
        assert!(said.iter().all(|(_, s, _)| !s.contains(&never.to_string())));
    }

    #[tokio::test]
    async fn a_company_sets_for_how_long_its_nodes_may_be_silent() {
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let node = company.station(0).await.unwrap().id();
        let gone = Instant(1_800_000_000_000);
        heard_at(&test, node, gone).await;
        let mut owner = test.owner().await.unwrap();
        sqlx::query("INSERT INTO operations_settings (company_id, node_silent_ms) VALUES ($1, $2)")
            .bind(company.id.0)
            .bind(600_000_i64)
            .execute(&mut owner)
            .await
            .unwrap();
        let look = |ms| look(&test.db, company.id, gone.plus_ms(ms));
        assert_eq!(look(600_000).await.unwrap(), 0);
        assert_eq!(look(600_001).await.unwrap(), 1);
    }

    #[test]
    fn health_is_by_the_last_contact() {
        let now = Instant(1_000_000);
        let of = |revoked, last: Option<i64>| Health::of(revoked, last.map(Instant), 1_000, now);
        assert_eq!(of(false, None), Health::Never);
        assert_eq!(of(false, Some(999_000)), Health::Heard);
        assert_eq!(of(false, Some(998_999)), Health::Silent);
        assert_eq!(of(true, Some(999_999)), Health::Revoked);
        // A clock that was set back makes nobody silent.
        assert_eq!(of(false, Some(2_000_000)), Health::Heard);
    }
}
