//! Every statement of the node. One test prepares them all.

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:literal;)*) => {
        $($(#[$doc])* pub(super) const $name: &str = $sql;)*
        /// All of them.
        pub(super) const ALL: &[&str] = &[$($name),*];
    };
}

/// Statements of the ring of fixes, a file of its own.
pub(super) mod ring {
    pub(in crate::store) const ADD: &str = "INSERT INTO fix (seq, at_ms, fix) VALUES (?1, ?2, ?3)";
    pub(in crate::store) const LAST: &str = "SELECT value FROM counter WHERE name = 'seq'";
    pub(in crate::store) const COUNT: &str = "INSERT INTO counter (name, value) VALUES ('seq', ?1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    pub(in crate::store) const PRUNE: &str = "DELETE FROM fix WHERE seq <= ?1";
    pub(in crate::store) const FORGET: &str = "DELETE FROM fix WHERE seq = ?1";
    pub(in crate::store) const WAITING: &str =
        "SELECT fix FROM fix WHERE at_ms < ?1 ORDER BY seq DESC LIMIT ?2";
    pub(in crate::store) const HOW_MANY: &str = "SELECT count(*) FROM fix";
}

statements! {
    INTEGRITY_CHECK = "PRAGMA integrity_check(20)";
    META_GET = "SELECT value FROM meta WHERE name = ?1";
    META_SET = "INSERT INTO meta (name, value) VALUES (?1, ?2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    META_DELETE = "DELETE FROM meta WHERE name = ?1";
    EVENT_INSERT = "INSERT INTO event
        (pos, hash, prev, at_ms, personal_hash, body, signature, personal, command_id, aside)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    EVENT_RANGE = "SELECT pos, hash, prev, at_ms, personal_hash, body, signature, personal,
        command_id, aside FROM event WHERE pos > ?1 AND pos <= ?2 ORDER BY pos LIMIT ?3";
    EVENT_HEAD = "SELECT pos, hash FROM event WHERE pos > ?1 AND pos <= ?2
        ORDER BY pos DESC LIMIT 1";
    EVENT_HASH = "SELECT hash FROM event WHERE pos = ?1";
    EVENT_ANY = "SELECT EXISTS (SELECT 1 FROM event)";
    MARK_BEGIN = "INSERT INTO log_mark (incarnation) VALUES (?1)";
    MARK_ALL = "SELECT incarnation, stored_seq, judged_seq FROM log_mark ORDER BY incarnation";
    MARK_SET = "UPDATE log_mark SET stored_seq = ?2, judged_seq = ?3 WHERE incarnation = ?1";
    VERDICT_SET = "INSERT INTO verdict (pos, verdict) VALUES (?1, ?2)
        ON CONFLICT (pos) DO UPDATE SET verdict = excluded.verdict";
    VERDICT_ALL = "SELECT pos, verdict FROM verdict ORDER BY pos";
    CURSOR_SET = "INSERT INTO bucket_cursor (bucket, id, change, applied_at_ms)
        VALUES (?1, ?2, ?3, ?4) ON CONFLICT (bucket) DO UPDATE
        SET change = excluded.change, applied_at_ms = excluded.applied_at_ms";
    CURSOR_ALL = "SELECT id, change, applied_at_ms FROM bucket_cursor ORDER BY bucket";
    FACT_SET = "INSERT INTO fact (bucket, key, item) VALUES (?1, ?2, ?3)
        ON CONFLICT (bucket, key) DO UPDATE SET item = excluded.item";
    FACT_ALL = "SELECT bucket, key, item FROM fact ORDER BY bucket, key";
    FACT_DROP = "DELETE FROM fact WHERE bucket = ?1 AND key = ?2";
    CURSOR_REWIND = "UPDATE bucket_cursor SET change = 0";
    GRANT_ADD = "INSERT INTO grant_received (trip, lease_no, incarnation, signed)
        VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    GRANT_ALL = "SELECT trip, lease_no, incarnation, signed FROM grant_received
        ORDER BY incarnation, trip, lease_no";
    WISH_ADD = "INSERT INTO wish (request_id, incarnation, request, made_at_ms, state)
        VALUES (?1, ?2, ?3, ?4, 'waiting') ON CONFLICT DO NOTHING";
    WISH_ANSWER = "UPDATE wish SET state = ?2, lease_no = ?3, why = ?4
        WHERE request_id = ?1 AND state = 'waiting'";
    WISH_ALL = "SELECT request_id, incarnation, request, made_at_ms, state, lease_no, why
        FROM wish ORDER BY made_at_ms, request_id";
    WISH_ABANDON = "UPDATE wish SET state = 'refused', why = ?1 WHERE state = 'waiting'";
}
