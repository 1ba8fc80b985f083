//! What the office and readers see of messages.

use domain::ids::CompanyId;
use domain::time::Instant;
use uuid::Uuid;

use super::WayId;
use crate::db::{Db, DbError};
use crate::tenant::TenantTx;

/// A message as it is listed.
#[derive(Debug, Clone)]
pub(in crate::notification) struct NoticeRow {
    pub(in crate::notification) id: Uuid,
    pub(in crate::notification) no: i64,
    pub(in crate::notification) event: Uuid,
    pub(in crate::notification) kind: String,
    pub(in crate::notification) subject: String,
    pub(in crate::notification) language: String,
    pub(in crate::notification) text_sealed: Vec<u8>,
    pub(in crate::notification) created_at: Instant,
    pub(in crate::notification) read_at: Option<Instant>,
}

/// Messages of the company, the latest first: of one subject, in one state, or one of them.
pub(in crate::notification) async fn list(
    tx: &mut TenantTx,
    one: Option<Uuid>,
    (subject, state): (Option<&str>, Option<&str>),
    (before, most): (i64, i64),
) -> Result<Vec<NoticeRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT n.notice_id, n.notice_no, n.event_id, n.kind, n.subject, n.language,
             n.text_sealed, n.created_at_ms, n.read_at_ms
         FROM notice n
         WHERE n.company_id = $1 AND ($2::uuid IS NULL OR n.notice_id = $2)
             AND ($3::text IS NULL OR n.subject = $3)
             AND ($4::text IS NULL OR EXISTS (
                 SELECT FROM notice_delivery d WHERE d.company_id = $1
                     AND d.notice_id = n.notice_id AND d.state = $4))
             AND n.notice_no < $5
         ORDER BY n.notice_no DESC LIMIT $6",
        tx.company().0,
        one,
        subject,
        state,
        before,
        most
    )
    .fetch_all(tx.conn())
    .await?;
    let notice = rows.into_iter().map(|r| NoticeRow {
        id: r.notice_id,
        no: r.notice_no,
        event: r.event_id,
        kind: r.kind,
        subject: r.subject,
        language: r.language,
        text_sealed: r.text_sealed,
        created_at: Instant(r.created_at_ms),
        read_at: r.read_at_ms.map(Instant),
    });
    Ok(notice.collect())
}

/// A way out as it is shown.
#[derive(Debug, Clone)]
pub(in crate::notification) struct DeliveryRow {
    pub(in crate::notification) notice: Uuid,
    pub(in crate::notification) channel: String,
    pub(in crate::notification) address_sealed: Vec<u8>,
    pub(in crate::notification) state: String,
    pub(in crate::notification) tries: i32,
    pub(in crate::notification) next_try_at: Option<Instant>,
    pub(in crate::notification) last_error: Option<String>,
    pub(in crate::notification) sent_at: Option<Instant>,
    pub(in crate::notification) ended_at: Option<Instant>,
}

/// The ways out of some messages.
pub(in crate::notification) async fn deliveries_of(
    tx: &mut TenantTx,
    notices: &[Uuid],
) -> Result<Vec<DeliveryRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT notice_id, channel, address_sealed, state, tries, next_try_at_ms, last_error,
             sent_at_ms, ended_at_ms
         FROM notice_delivery WHERE company_id = $1 AND notice_id = ANY ($2)
         ORDER BY notice_id, channel",
        tx.company().0,
        notices
    )
    .fetch_all(tx.conn())
    .await?;
    let delivery = rows.into_iter().map(|r| DeliveryRow {
        notice: r.notice_id,
        channel: r.channel,
        address_sealed: r.address_sealed,
        state: r.state,
        tries: r.tries,
        next_try_at: r.next_try_at_ms.map(Instant),
        last_error: r.last_error,
        sent_at: r.sent_at_ms.map(Instant),
        ended_at: r.ended_at_ms.map(Instant),
    });
    Ok(delivery.collect())
}

/// Failed ways out of a message begin again. How many.
pub(in crate::notification) async fn resend(
    tx: &mut TenantTx,
    notice: Uuid,
    now: Instant,
) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "UPDATE notice_delivery SET state = 'waiting', tries = 0, next_try_at_ms = $3,
             ended_at_ms = NULL, gateway_id = NULL
         WHERE company_id = $1 AND notice_id = $2 AND state = 'failed'",
        tx.company().0,
        notice,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// The message that a gateway calls so.
pub(in crate::notification) async fn of_gateway(
    db: &Db,
    id: &str,
) -> Result<Option<(CompanyId, WayId)>, DbError> {
    let row = sqlx::query!(
        r#"SELECT company_id AS "company!", notice_id AS "notice!", channel AS "channel!"
           FROM notice_of_gateway($1)"#,
        id
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|r| {
        let way = WayId {
            notice: r.notice,
            channel: r.channel,
        };
        (CompanyId(r.company), way)
    }))
}

/// What a gateway said later. A message that has arrived stays so.
pub(in crate::notification) async fn reported(
    tx: &mut TenantTx,
    way: &WayId,
    (state, error): (&str, Option<&str>),
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE notice_delivery SET state = $4, last_error = $5, ended_at_ms = $6,
             next_try_at_ms = NULL
         WHERE company_id = $1 AND notice_id = $2 AND channel = $3
             AND state IN ('sending', 'sent')",
        tx.company().0,
        way.notice,
        way.channel,
        state,
        error,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A message in somebody's inbox.
#[derive(Debug, Clone)]
pub(in crate::notification) struct InboxRow {
    pub(in crate::notification) company: CompanyId,
    pub(in crate::notification) company_name: String,
    pub(in crate::notification) notice: NoticeRow,
}

/// A person's messages from every company, the latest first.
pub(in crate::notification) async fn inbox(
    db: &Db,
    person: Uuid,
    unread: bool,
    (before, most): (i64, i64),
) -> Result<Vec<InboxRow>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company_id!", notice_id AS "notice_id!",
               notice_no AS "notice_no!", event_id AS "event_id!", kind AS "kind!",
               subject AS "subject!", language AS "language!", text_sealed AS "text_sealed!",
               created_at_ms AS "created_at_ms!", read_at_ms, company AS "company!"
           FROM inbox_of_person($1, $2, $3, $4)"#,
        person,
        before,
        unread,
        most
    )
    .fetch_all(db.pool())
    .await?;
    let row = rows.into_iter().map(|r| InboxRow {
        company: CompanyId(r.company_id),
        company_name: r.company,
        notice: NoticeRow {
            id: r.notice_id,
            no: r.notice_no,
            event: r.event_id,
            kind: r.kind,
            subject: r.subject,
            language: r.language,
            text_sealed: r.text_sealed,
            created_at: Instant(r.created_at_ms),
            read_at: r.read_at_ms.map(Instant),
        },
    });
    Ok(row.collect())
}

/// Whose message it is, where it is in this person's inbox.
pub(in crate::notification) async fn company_of_notice(
    db: &Db,
    notice: Uuid,
    reader: Uuid,
) -> Result<Option<CompanyId>, DbError> {
    let found = sqlx::query_scalar!("SELECT company_of_notice($1, $2)", notice, reader)
        .fetch_one(db.pool())
        .await?;
    Ok(found.map(CompanyId))
}

/// It was read; the first time counts.
pub(in crate::notification) async fn mark_read(
    tx: &mut TenantTx,
    notice: Uuid,
    now: Instant,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE notice SET read_at_ms = coalesce(read_at_ms, $3)
         WHERE company_id = $1 AND notice_id = $2",
        tx.company().0,
        notice,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
