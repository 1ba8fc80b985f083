//! Messages and their ways out, what people want, and who is concerned by what.

use domain::codec::from_cbor;
use domain::ids::CompanyId;
use domain::money::Currency;
use domain::time::{Instant, Zone};
use domain::trip::Trip;
use uuid::Uuid;

use super::rules::{After, Quiet};
use super::template::Language;
use crate::db::{Db, DbError};
use crate::tenant::TenantTx;

mod keep;
mod office;
pub(super) use keep::{prune, put_settings, settings};
pub(super) use office::{
    DeliveryRow, InboxRow, NoticeRow, company_of_notice, deliveries_of, inbox, list, mark_read,
    of_gateway, reported, resend,
};

/// What every text of a company may say.
#[derive(Debug, Clone)]
pub(super) struct Company {
    pub(super) name: String,
    pub(super) zone: Zone,
    pub(super) currency: Currency,
    pub(super) language: Language,
    pub(super) phone: String,
}

pub(super) async fn company(tx: &mut TenantTx) -> Result<Company, DbError> {
    let row = sqlx::query!(
        "SELECT name, zone, currency, language, contact_phone FROM company WHERE company_id = $1",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    let damaged = |_| DbError::damaged("a company's zone or currency");
    Ok(Company {
        name: row.name,
        zone: row.zone.parse().map_err(damaged)?,
        currency: row.currency.parse().map_err(damaged)?,
        language: Language::of_tag(&row.language).unwrap_or(Language::En),
        phone: row.contact_phone,
    })
}

/// A trip as it was sold.
pub(super) async fn trip(tx: &mut TenantTx, trip: i64) -> Result<Option<Trip>, DbError> {
    let body = sqlx::query_scalar!(
        "SELECT body FROM trip WHERE company_id = $1 AND trip_id = $2",
        tx.company().0,
        trip
    )
    .fetch_optional(tx.conn())
    .await?;
    let read = |body: Vec<u8>| from_cbor(&body).map_err(|_| DbError::damaged("a trip"));
    body.map(read).transpose()
}

/// Who booked.
#[derive(Debug, Clone)]
pub(super) struct Booker {
    pub(super) booking: Uuid,
    pub(super) person: Option<Uuid>,
    pub(super) contact_sealed: Option<Vec<u8>>,
    /// Of a booking from before contacts were sealed.
    pub(super) phone: Option<String>,
}

macro_rules! booker {
    ($rows:expr) => {
        $rows.map(|r| Booker {
            booking: r.booking_id,
            person: r.person_id,
            contact_sealed: r.contact_sealed,
            phone: r.contact_phone,
        })
    };
}

pub(super) async fn booker(tx: &mut TenantTx, reference: &str) -> Result<Option<Booker>, DbError> {
    let row = sqlx::query!(
        "SELECT booking_id, person_id, contact_sealed, contact_phone
         FROM booking WHERE company_id = $1 AND reference = $2",
        tx.company().0,
        reference
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(booker!(row))
}

/// Who booked a trip that is late: those with a live ticket on it.
pub(super) async fn bookers_of_trip(tx: &mut TenantTx, trip: i64) -> Result<Vec<Booker>, DbError> {
    let rows = sqlx::query!(
        "SELECT b.booking_id, b.person_id, b.contact_sealed, b.contact_phone
         FROM booking b
         WHERE b.company_id = $1 AND b.booking_id IN (
             SELECT k.booking_id FROM ticket k
             WHERE k.company_id = $1 AND k.trip_id = $2 AND k.state = 0)
         ORDER BY b.booking_id",
        tx.company().0,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(booker!(rows.into_iter()).collect())
}

/// Who booked a trip that was cancelled: those that were made an offer for it, whatever they have
/// done with it meanwhile.
pub(super) async fn bookers_of_cancelled(
    tx: &mut TenantTx,
    trip: i64,
) -> Result<Vec<Booker>, DbError> {
    let rows = sqlx::query!(
        "SELECT b.booking_id, b.person_id, b.contact_sealed, b.contact_phone
         FROM booking b
         WHERE b.company_id = $1 AND b.booking_id IN (
             SELECT o.booking_id FROM aftersale_offer o
             WHERE o.company_id = $1 AND o.kind = 'rebook' AND o.trip_id = $2)
         ORDER BY b.booking_id",
        tx.company().0,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(booker!(rows.into_iter()).collect())
}

/// Names and phones of counters' sales with live tickets on a trip.
pub(super) async fn counter_blobs(tx: &mut TenantTx, trip: i64) -> Result<Vec<Vec<u8>>, DbError> {
    let rows = sqlx::query_scalar!(
        r#"SELECT DISTINCT p.blob FROM ticket k
           JOIN ledger_posting l ON l.company_id = k.company_id AND l.ticket_id = k.ticket_id
               AND l.kind = 'sale'
           -- The fence of OFFSET 0: the planner takes the range of time for a third of the node's
           -- log and would read all of it, where an index finds the one sale.
           CROSS JOIN LATERAL (
               SELECT e.node_id, e.incarnation, e.seq FROM event e
               WHERE e.company_id = k.company_id AND e.node_id = k.issuer_node
                   AND e.personal_hash IS NOT NULL
                   AND e.at_ms BETWEEN k.issued_at_ms AND k.issued_at_ms + 999
                   AND substring(e.hash FROM 1 FOR 16) = uuid_send(l.entry_id)
               OFFSET 0) e
           JOIN event_personal p ON p.company_id = k.company_id AND p.node_id = e.node_id
               AND p.incarnation = e.incarnation AND p.seq = e.seq
           WHERE k.company_id = $1 AND k.trip_id = $2 AND k.state = 0
           LIMIT 500"#,
        tx.company().0,
        trip
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

/// Name and phone of the counter's sale that a ticket belongs to.
pub(super) async fn counter_blob(
    tx: &mut TenantTx,
    ticket: Uuid,
) -> Result<Option<Vec<u8>>, DbError> {
    let row = sqlx::query_scalar!(
        "SELECT p.blob FROM ticket k
         JOIN ledger_posting l ON l.company_id = k.company_id AND l.ticket_id = k.ticket_id
             AND l.kind = 'sale'
         JOIN event e ON e.company_id = k.company_id AND e.node_id = k.issuer_node
         JOIN event_personal p ON p.company_id = e.company_id AND p.node_id = e.node_id
             AND p.incarnation = e.incarnation AND p.seq = e.seq
         WHERE k.company_id = $1 AND k.ticket_id = $2
             AND e.personal_hash IS NOT NULL
             AND e.at_ms BETWEEN k.issued_at_ms AND k.issued_at_ms + 999
             AND uuid_send(l.entry_id) = substring(e.hash FROM 1 FOR 16)
         LIMIT 1",
        tx.company().0,
        ticket
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row)
}

/// Who waits: the account, and the sealed contact.
pub(super) async fn waiting(
    tx: &mut TenantTx,
    waiting: Uuid,
) -> Result<Option<(Option<Uuid>, Vec<u8>)>, DbError> {
    let row = sqlx::query!(
        "SELECT person_id, contact_sealed FROM waiting_entry
         WHERE company_id = $1 AND waiting_id = $2",
        tx.company().0,
        waiting
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|r| (r.person_id, r.contact_sealed)))
}

/// The office: people with one of these roles, and their sealed contacts.
pub(super) async fn staff(
    tx: &mut TenantTx,
    roles: &[&str],
) -> Result<Vec<(Uuid, Vec<u8>)>, DbError> {
    let rows = sqlx::query!(
        "SELECT person_id, contact_sealed FROM membership
         WHERE company_id = $1 AND roles && $2::text[] AND disabled_at_ms IS NULL
         ORDER BY person_id",
        tx.company().0,
        roles as _
    )
    .fetch_all(tx.conn())
    .await?;
    let pair = rows.into_iter().map(|r| (r.person_id, r.contact_sealed));
    Ok(pair.collect())
}

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preference {
    pub(super) language: Option<Language>,
    pub(super) sms: bool,
    pub(super) email: bool,
    pub(super) quiet: Option<Quiet>,
    /// Kinds that only the inbox gets.
    pub(super) muted: Vec<String>,
    /// 0: nothing was said.
    pub(super) version: i32,
}

impl Default for Preference {
    fn default() -> Self {
        Self {
            language: None,
            sms: true,
            email: true,
            quiet: Some(Quiet::DEFAULT),
            muted: vec![],
            version: 0,
        }
    }
}

pub(super) async fn preference(tx: &mut TenantTx, person: Uuid) -> Result<Preference, DbError> {
    let row = sqlx::query!(
        "SELECT language, sms, email, quiet_from_min, quiet_to_min, muted, version
         FROM notice_preference WHERE person_id = $1",
        person
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map_or_else(Preference::default, |r| Preference {
        language: r.language.as_deref().and_then(Language::of_tag),
        sms: r.sms,
        email: r.email,
        quiet: r
            .quiet_from_min
            .zip(r.quiet_to_min)
            .map(|(from_min, to_min)| Quiet { from_min, to_min }),
        muted: r.muted,
        version: r.version,
    }))
}

/// Writes what a person wants, unless somebody else did meanwhile. Whether it did.
pub(super) async fn prefer(
    tx: &mut TenantTx,
    person: Uuid,
    wanted: &Preference,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "INSERT INTO notice_preference AS p (person_id, language, sms, email, quiet_from_min,
             quiet_to_min, muted)
         SELECT $1, $2, $3, $4, $5, $6, $7 WHERE $8 = 0
             OR EXISTS (SELECT FROM notice_preference WHERE person_id = $1)
         ON CONFLICT (person_id) DO UPDATE SET language = excluded.language, sms = excluded.sms,
             email = excluded.email, quiet_from_min = excluded.quiet_from_min,
             quiet_to_min = excluded.quiet_to_min, muted = excluded.muted,
             version = p.version + 1
         WHERE p.version = $8",
        person,
        wanted.language.map(Language::as_str),
        wanted.sms,
        wanted.email,
        wanted.quiet.map(|q| q.from_min),
        wanted.quiet.map(|q| q.to_min),
        &wanted.muted,
        wanted.version
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A message to write.
#[derive(Debug)]
pub(super) struct NewNotice<'a> {
    pub(super) id: Uuid,
    pub(super) event: Uuid,
    pub(super) recipient_blind: &'a [u8],
    pub(super) person: Option<Uuid>,
    pub(super) kind: &'static str,
    pub(super) subject: &'a str,
    pub(super) language: &'static str,
    pub(super) text_sealed: &'a [u8],
    pub(super) ways: &'a [Way],
}

/// A way out of a message.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) channel: &'static str,
    pub(super) address_sealed: Vec<u8>,
    /// `None`: the person does not want it.
    pub(super) at: Option<Instant>,
}

/// Writes a message with its ways out, unless this person has one about this event.
pub(super) async fn insert(
    tx: &mut TenantTx,
    new: &NewNotice<'_>,
    now: Instant,
) -> Result<bool, DbError> {
    let channels: Vec<&str> = new.ways.iter().map(|w| w.channel).collect();
    let addresses: Vec<&[u8]> = new.ways.iter().map(|w| &w.address_sealed[..]).collect();
    let times: Vec<Option<i64>> = new.ways.iter().map(|w| w.at.map(|at| at.0)).collect();
    let done = sqlx::query!(
        r#"WITH fresh AS (
               INSERT INTO notice (company_id, notice_id, event_id, recipient_blind, person_id,
                   kind, subject, language, text_sealed, created_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
               ON CONFLICT (company_id, event_id, recipient_blind) DO NOTHING
               RETURNING notice_id
           ), ways AS (
               INSERT INTO notice_delivery (company_id, notice_id, channel, address_sealed, state,
                   next_try_at_ms)
               SELECT $1, f.notice_id, w.channel, w.address,
                   CASE WHEN w.at_ms IS NULL THEN 'off' ELSE 'waiting' END, w.at_ms
               FROM fresh f, UNNEST($11::text[], $12::bytea[], $13::bigint[])
                   AS w(channel, address, at_ms)
           )
           SELECT count(*) AS "count!" FROM fresh"#,
        tx.company().0,
        new.id,
        new.event,
        new.recipient_blind,
        new.person,
        new.kind,
        new.subject,
        new.language,
        new.text_sealed,
        now.0,
        &channels as _,
        &addresses as _,
        &times as _
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(done.count > 0)
}

/// A way out, named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WayId {
    pub(super) notice: Uuid,
    pub(super) channel: String,
}

/// Ways out whose time has come, of any company.
pub(super) async fn due(
    db: &Db,
    now: Instant,
    most: i32,
) -> Result<Vec<(CompanyId, WayId)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT company_id AS "company!", notice_id AS "notice!", channel AS "channel!"
           FROM due_notices($1, $2)"#,
        now.0,
        most
    )
    .fetch_all(db.pool())
    .await?;
    let named = rows.into_iter().map(|r| {
        let way = WayId {
            notice: r.notice,
            channel: r.channel,
        };
        (CompanyId(r.company), way)
    });
    Ok(named.collect())
}

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) way: WayId,
    pub(super) tries: i32,
    pub(super) address_sealed: Vec<u8>,
    pub(super) text_sealed: Vec<u8>,
}

/// Takes due ways out until a moment, after which nobody knows what became of them.
pub(super) async fn take(
    tx: &mut TenantTx,
    ways: &[WayId],
    (now, until): (Instant, Instant),
) -> Result<Vec<Outgoing>, DbError> {
    let notices: Vec<Uuid> = ways.iter().map(|w| w.notice).collect();
    let channels: Vec<&str> = ways.iter().map(|w| w.channel.as_str()).collect();
    let rows = sqlx::query!(
        "WITH due AS (
             SELECT d.notice_id, d.channel FROM notice_delivery d
             JOIN UNNEST($2::uuid[], $3::text[]) AS w(notice_id, channel)
                 ON w.notice_id = d.notice_id AND w.channel = d.channel
             WHERE d.company_id = $1 AND d.next_try_at_ms <= $4
             FOR UPDATE OF d SKIP LOCKED
         )
         UPDATE notice_delivery d SET state = 'sending', tries = d.tries + 1, next_try_at_ms = $5
         FROM due JOIN notice n ON n.company_id = $1 AND n.notice_id = due.notice_id
         WHERE d.company_id = $1 AND d.notice_id = due.notice_id AND d.channel = due.channel
         RETURNING d.notice_id, d.channel, d.tries, d.address_sealed, n.text_sealed",
        tx.company().0,
        &notices,
        &channels as _,
        now.0,
        until.0
    )
    .fetch_all(tx.conn())
    .await?;
    let outgoing = rows.into_iter().map(|r| Outgoing {
        way: WayId {
            notice: r.notice_id,
            channel: r.channel,
        },
        tries: r.tries,
        address_sealed: r.address_sealed,
        text_sealed: r.text_sealed,
    });
    Ok(outgoing.collect())
}

/// Writes what tries came to. One that a report has ended meanwhile stays ended.
pub(super) async fn ended(
    tx: &mut TenantTx,
    ended: &[(WayId, After)],
    now: Instant,
) -> Result<(), DbError> {
    let notices: Vec<Uuid> = ended.iter().map(|(w, _)| w.notice).collect();
    let channels: Vec<&str> = ended.iter().map(|(w, _)| w.channel.as_str()).collect();
    let states: Vec<&str> = ended.iter().map(|(_, a)| a.state).collect();
    let next: Vec<Option<i64>> = ended
        .iter()
        .map(|(_, a)| a.next_try_at.map(|t| t.0))
        .collect();
    let ids: Vec<Option<&str>> = ended.iter().map(|(_, a)| a.gateway_id.as_deref()).collect();
    let errors: Vec<Option<&str>> = ended.iter().map(|(_, a)| a.error.as_deref()).collect();
    sqlx::query!(
        "UPDATE notice_delivery d SET state = w.state, next_try_at_ms = w.next,
             gateway_id = coalesce(w.gateway_id, d.gateway_id), last_error = w.error,
             sent_at_ms = CASE WHEN w.state = 'sent' THEN $8 ELSE d.sent_at_ms END,
             ended_at_ms = CASE WHEN w.state = 'failed' THEN $8 END
         FROM UNNEST($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[])
             AS w(notice_id, channel, state, next, gateway_id, error)
         WHERE d.company_id = $1 AND d.notice_id = w.notice_id AND d.channel = w.channel
             AND d.state = 'sending'",
        tx.company().0,
        &notices,
        &channels as _,
        &states as _,
        &next as _,
        &ids as _,
        &errors as _,
        now.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
