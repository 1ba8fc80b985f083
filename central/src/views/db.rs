//! The queries behind the views.

use domain::codec::{from_cbor, to_hex};
use domain::fare::FareIndex;
use domain::ids::{
    CompanyId, Issuer, Kid, LayoutVersion, LeaseEpoch, LeaseNo, NodeId, SaleOrdinal, SeatNo,
    TicketId, TripId,
};
use domain::lease::LeaseStatus;
use domain::passenger::PassengerClass;
use domain::ticket::{
    KeyMaterial, KeyRecord, ShortCode, SignedTicket, Suite, TicketClaim, TicketLease,
};
use domain::time::{Instant, ServiceDate};
use domain::trip::Trip;

use super::page::Cursor;
use super::rows::{
    FareView, KeyView, LeaseView, NodeView, SeatClaimView, TicketView, TripView, optional_time,
};
use super::time;
use crate::company::fares_of;
use crate::db::{Db, DbError};
use crate::keys::HubKeys;
use crate::nodes::silence::{Health, SILENT_MS};
use crate::sync::buckets::{legs_of, state_of};
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lease_standing;
use crate::ticketing::leases::public_key;
use crate::ticketing::short::issuer_of;

/// Every company of the hub, by name.
pub async fn all_companies(db: &Db) -> Result<Vec<CompanyId>, DbError> {
    let ids = sqlx::query_scalar!(r#"SELECT all_companies() AS "id!""#)
        .fetch_all(db.pool())
        .await?;
    Ok(ids.into_iter().map(CompanyId).collect())
}

/// A company's trips from a cursor of (departure in ms, trip number) on.
pub async fn trips(
    tx: &mut TenantTx,
    date: Option<ServiceDate>,
    from: Option<&str>,
    to: Option<&str>,
    cursor: &Cursor,
) -> Result<Vec<(i64, TripView)>, DbError> {
    let mut after: (i64, i64) = (cursor.part(0, i64::MIN), cursor.part(1, 0));
    let mut found = vec![];
    let wanted = cursor.fetch();
    loop {
        let rows = sqlx::query!(
            r#"SELECT t.trip_id, t.departs_at_ms, t.boarding_closes_ms, t.body, c.name,
                      t.frozen_by IS NOT NULL AS "frozen!"
               FROM trip t JOIN company c USING (company_id)
               WHERE t.company_id = $1
                 AND ($2::text IS NULL OR t.service_date = $2::text::date)
                 AND (t.departs_at_ms, t.trip_id) > ($3, $4)
               ORDER BY t.departs_at_ms, t.trip_id LIMIT $5"#,
            tx.company().0,
            date.map(|d| d.to_string()),
            after.0,
            after.1,
            wanted
        )
        .fetch_all(tx.conn())
        .await?;
        let last_page = (rows.len() as i64) < wanted;
        for r in rows {
            after = (r.departs_at_ms, r.trip_id);
            let trip = stored_trip(r.trip_id, &r.body)?;
            let view = TripView::new(&trip, &r.name, &r.boarding_closes_ms, r.frozen);
            if view.runs(from, to) {
                found.push((r.departs_at_ms, view));
            }
        }
        if last_page || found.len() as i64 >= wanted {
            return Ok(found);
        }
    }
}

fn stored_trip(id: i64, body: &[u8]) -> Result<Trip, DbError> {
    from_cbor(body).map_err(|_| DbError::damaged(format!("trip {id}")))
}

/// One trip with its fares.
pub async fn trip(tx: &mut TenantTx, id: TripId) -> Result<Option<TripView>, DbError> {
    let row = sqlx::query!(
        r#"SELECT t.boarding_closes_ms, t.body, c.name, t.frozen_by IS NOT NULL AS "frozen!"
           FROM trip t JOIN company c USING (company_id)
           WHERE t.company_id = $1 AND t.trip_id = $2"#,
        tx.company().0,
        id.0 as i64
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let trip = stored_trip(id.0 as i64, &row.body)?;
    let mut view = TripView::new(&trip, &row.name, &row.boarding_closes_ms, row.frozen);
    let table = fares_of(tx, &trip).await?;
    view.fares = Some(table.map_or_else(Vec::new, |t| fare_views(&trip, &FareIndex::new(&t))));
    Ok(Some(view))
}

fn fare_views(trip: &Trip, index: &FareIndex) -> Vec<FareView> {
    let mut fares = vec![];
    for (i, from) in trip.stops.iter().enumerate() {
        for (j, to) in trip.stops.iter().enumerate().skip(i + 1) {
            for class in PassengerClass::ALL {
                if let Some(fare) = index.fare(&from.code, &to.code, class) {
                    fares.push(FareView {
                        from: i as u8,
                        to: j as u8,
                        class: class.as_str(),
                        fare_minor: fare.0,
                    });
                }
            }
        }
    }
    fares
}

/// A company's devices, by number.
pub async fn nodes(
    tx: &mut TenantTx,
    now: Instant,
    cursor: &Cursor,
) -> Result<Vec<NodeView>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT n.node_id, c.name AS company, n.name, n.kind, n.stop_code, n.enrolled_at_ms,
                  n.last_contact_ms, n.told_last_seq, n.frozen, n.revoked,
                  COALESCE(l.incarnation, n.highest_incarnation) AS "incarnation!",
                  COALESCE(l.stored_seq, 0) AS "stored_seq!",
                  COALESCE(l.judged_seq, 0) AS "judged_seq!",
                  (SELECT s.node_silent_ms FROM operations_settings s
                   WHERE s.company_id = n.company_id) AS silent_ms,
                  (SELECT count(*) FROM event_verdict v
                   WHERE v.company_id = n.company_id AND v.node_id = n.node_id) AS "quarantined!",
                  ARRAY(SELECT t.trip_id FROM trip t
                        WHERE t.company_id = n.company_id AND t.onboard_node = n.node_id
                        ORDER BY t.departs_at_ms DESC LIMIT 20) AS "trips!"
           FROM node n JOIN company c USING (company_id)
           LEFT JOIN LATERAL (
               SELECT incarnation, stored_seq, judged_seq FROM node_log l
               WHERE l.company_id = n.company_id AND l.node_id = n.node_id
               ORDER BY incarnation DESC LIMIT 1) l ON true
           WHERE n.company_id = $1 AND n.node_id > $2
           ORDER BY n.node_id LIMIT $3"#,
        tx.company().0,
        cursor.part(0, uuid::Uuid::nil()),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|r| NodeView {
            node: r.node_id,
            company: r.company,
            name: r.name,
            kind: r.kind,
            stop: r.stop_code,
            trips: r.trips,
            enrolled_at: optional_time(r.enrolled_at_ms),
            last_contact_at: optional_time(r.last_contact_ms),
            last_contact_ms: r.last_contact_ms,
            incarnation: r.incarnation,
            told_seq: r.told_last_seq,
            stored_seq: r.stored_seq,
            judged_seq: r.judged_seq,
            unsynced: (r.told_last_seq - r.stored_seq).max(0),
            quarantined: r.quarantined,
            frozen: r.frozen,
            revoked: r.revoked,
            health: Health::of(
                r.revoked,
                r.last_contact_ms.map(Instant),
                r.silent_ms.unwrap_or(SILENT_MS),
                now,
            )
            .as_str(),
        })
        .collect())
}

/// A company's leases, from a cursor of (trip, node, number) on.
pub async fn leases(
    tx: &mut TenantTx,
    trip: Option<TripId>,
    node: Option<NodeId>,
    now: Instant,
    cursor: &Cursor,
) -> Result<Vec<LeaseView>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT l.trip_id, l.node_id, l.lease_no, l.epoch, l.status, l.granted, l.granted_at_ms,
                  l.closed_at_ms,
                  (SELECT count(*) FROM ticket k
                   WHERE k.company_id = l.company_id AND k.trip_id = l.trip_id
                     AND k.issuer_node = l.node_id AND k.lease_no = l.lease_no
                     AND k.state = 0) AS "tickets_sold!"
           FROM lease l
           WHERE l.company_id = $1
             AND ($2::bigint IS NULL OR l.trip_id = $2)
             AND ($3::uuid IS NULL OR l.node_id = $3)
             AND (l.trip_id, l.node_id, l.lease_no) > ($4, $5, $6)
           ORDER BY l.trip_id, l.node_id, l.lease_no LIMIT $7"#,
        tx.company().0,
        trip.map(|t| t.0 as i64),
        node.map(|n| n.0),
        cursor.part(0, 0_i64),
        cursor.part(1, uuid::Uuid::nil()),
        cursor.part(2, 0_i32),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let lease = lease_standing(&r.granted, r.status)?;
            let closed = lease.status == LeaseStatus::Closed;
            Ok(LeaseView {
                trip: r.trip_id,
                node: r.node_id,
                lease_no: r.lease_no,
                epoch: r.epoch,
                status: match lease.status {
                    LeaseStatus::Offered => "offered",
                    LeaseStatus::Accepted => "accepted",
                    LeaseStatus::Closed => "closed",
                },
                boarding: lease.grant.boarding.0,
                claims: lease
                    .grant
                    .claims
                    .iter()
                    .map(|c| SeatClaimView {
                        seat: c.seat.0,
                        from: c.legs.from().0,
                        to: c.legs.to().0,
                    })
                    .collect(),
                sell_until: lease.grant.sell_until.to_string(),
                in_doubt: !closed && now > lease.grant.sell_until,
                tickets_sold: r.tickets_sold,
                granted_at: time(r.granted_at_ms),
                closed_at: optional_time(r.closed_at_ms),
            })
        })
        .collect()
}

/// A company's tickets, by number; of one trip or one booking where that is asked.
pub async fn tickets(
    tx: &mut TenantTx,
    keys: &HubKeys,
    (trip, booking): (Option<TripId>, Option<uuid::Uuid>),
    cursor: &Cursor,
) -> Result<Vec<TicketView>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT ticket_id, trip_id, seat, lower(legs) AS "from!", upper(legs) AS "to!", class,
                  ordinal, issuer_node, lease_no, epoch, layout_version, issued_at_ms, kid, suite,
                  tag, fare_minor, currency, shift, booking_id, test, state,
                  COALESCE(printed_seat, seat) AS "printed_seat!"
           FROM ticket
           WHERE company_id = $1 AND ($2::bigint IS NULL OR trip_id = $2)
             AND ($3::uuid IS NULL OR booking_id = $3) AND ticket_id > $4
           ORDER BY ticket_id LIMIT $5"#,
        tx.company().0,
        trip.map(|t| t.0 as i64),
        booking,
        cursor.part(0, uuid::Uuid::nil()),
        cursor.fetch()
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let damaged = || DbError::damaged(format!("ticket {}", r.ticket_id));
            let class = u8::try_from(r.class)
                .ok()
                .and_then(PassengerClass::from_code);
            let class = class.ok_or_else(damaged)?;
            let legs = legs_of(r.from, r.to)?;
            let lease = r.lease_no.zip(r.epoch).map(|(no, epoch)| TicketLease {
                no: LeaseNo(no as u16),
                epoch: LeaseEpoch(epoch as u32),
            });
            let claim = TicketClaim {
                id: TicketId(r.ticket_id),
                trip: TripId(r.trip_id as u64),
                seat: SeatNo(r.printed_seat as u16),
                from: legs.from(),
                to: legs.to(),
                class,
                ordinal: SaleOrdinal(r.ordinal as u16),
                issued_at: Instant(r.issued_at_ms),
                lease,
                layout_version: LayoutVersion(r.layout_version as u32),
                test: r.test,
            };
            let kid = Kid(r.kid.as_slice().try_into().map_err(|_| damaged())?);
            let suite = if r.suite == 0 {
                Suite::Ed25519
            } else {
                Suite::Hmac256
            };
            let signed =
                SignedTicket::from_parts(claim, kid, suite, &r.tag).map_err(|_| damaged())?;
            Ok(TicketView {
                ticket: r.ticket_id,
                trip: r.trip_id,
                seat: r.seat,
                from: r.from,
                to: r.to,
                class: class.as_str(),
                state: state_of(r.state)?.as_str(),
                issuer: issuer_of(r.issuer_node).to_string(),
                lease_no: r.lease_no,
                ordinal: r.ordinal,
                shift: r.shift,
                booking: r.booking_id,
                fare_minor: r.fare_minor,
                currency: r.currency,
                issued_at: time(r.issued_at_ms),
                code: ShortCode::of(
                    &signed.claim,
                    &keys.mac_record(signed.claim.trip, issuer_of(r.issuer_node)),
                )
                .map(|code| code.to_string()),
                qr: signed.to_qr(),
            })
        })
        .collect()
}

/// The public keys of a company's issuers.
pub async fn keys(tx: &mut TenantTx) -> Result<Vec<KeyView>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT node_id, ticket_key AS "ticket_key!" FROM node
           WHERE company_id = $1 AND ticket_key IS NOT NULL ORDER BY node_id"#,
        tx.company().0
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let key = public_key(&r.ticket_key)?;
            let record = KeyRecord::signing(Issuer::Node(NodeId(r.node_id)), key);
            KeyView::of(&record).ok_or_else(|| DbError::damaged("a device's public key"))
        })
        .collect()
}

impl KeyView {
    /// A public key; a secret one is never shown.
    pub fn of(record: &KeyRecord) -> Option<Self> {
        let KeyMaterial::Ed25519(key) = &record.material else {
            return None;
        };
        Some(Self {
            kid: record.kid.to_string(),
            alg: "EdDSA",
            public_key: to_hex(key.as_bytes()),
            issuer: record.issuer.to_string(),
        })
    }
}
