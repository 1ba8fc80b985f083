//! What the database knows of the whole hub, looked up when somebody asks for the metrics.

use crate::clock;
use crate::db::{Db, DbError};

impl super::Metrics {
    /// Looks at pool, outbox and nodes.
    pub async fn look(&self, db: &Db) -> Result<(), DbError> {
        let inner = &self.0;
        let pool = db.pool();
        let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
        let busy = i64::from(pool.size()).saturating_sub(idle);
        for (state, count) in [("idle", idle), ("busy", busy)] {
            inner.pool.with_label_values(&[state]).set(count);
        }
        let now = clock::now();
        let outbox =
            sqlx::query!(r#"SELECT waiting AS "waiting!", oldest_at_ms FROM outbox_backlog()"#)
                .fetch_one(pool)
                .await?;
        inner.outbox_waiting.set(outbox.waiting);
        let age_ms = outbox.oldest_at_ms.map_or(0, |at| (now.0 - at).max(0));
        let none: [&str; 0] = [];
        inner
            .outbox_age
            .with_label_values(&none)
            .set(age_ms as f64 / 1_000.0);
        let nodes = sqlx::query!(
            r#"SELECT company AS "company!", node_id AS "node!", name AS "name!", kind AS "kind!",
                      last_contact_ms AS "last_contact_ms!", unsynced AS "unsynced!",
                      silent AS "silent!"
               FROM node_contacts()"#
        )
        .fetch_all(pool)
        .await?;
        // A node that was renamed or revoked is not told under its old name for ever.
        inner.node_contact.reset();
        inner.node_unsynced.reset();
        inner.node_silent.reset();
        for row in nodes {
            let node = row.node.to_string();
            let labels = [&row.company, &node, &row.name, &row.kind].map(String::as_str);
            let contact = row.last_contact_ms as f64 / 1_000.0;
            inner.node_contact.with_label_values(&labels).set(contact);
            inner
                .node_unsynced
                .with_label_values(&labels)
                .set(row.unsynced);
            inner
                .node_silent
                .with_label_values(&labels)
                .set(i64::from(row.silent));
        }
        Ok(())
    }
}
