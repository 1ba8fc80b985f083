//! What is printed of a booking.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use domain::codec::from_cbor;
use domain::ids::{Kid, LayoutVersion, SaleOrdinal, SeatNo, StopSeq, TicketId, TripId};
use domain::layout::SeatLayout;
use domain::money::Minor;
use domain::passenger::PassengerClass;
use domain::ticket::{SignedTicket, Suite, TicketClaim};
use domain::time::Instant;
use domain::trip::Trip;
use uuid::Uuid;

use super::{At, Papers, Printed};
use crate::aftersale::rules::DEFAULT_CONDITIONS;
use crate::company::layout_of;
use crate::db::DbError;
use crate::keys::HubKeys;
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;

/// A stored ticket's columns that its QR text is made of.
struct Stored {
    id: Uuid,
    trip: i64,
    seat: i32,
    legs: (i32, i32),
    class: i16,
    ordinal: i32,
    layout_version: i32,
    issued_at_ms: i64,
    kid: Vec<u8>,
    suite: i16,
    tag: Vec<u8>,
    test: bool,
}

fn signed(s: &Stored) -> Result<SignedTicket, DbError> {
    let damaged = || DbError::damaged(format!("ticket {}", s.id));
    let legs = legs_of(s.legs.0, s.legs.1)?;
    let class = u8::try_from(s.class).ok();
    let claim = TicketClaim {
        id: TicketId(s.id),
        trip: TripId(s.trip as u64),
        seat: SeatNo(s.seat as u16),
        from: legs.from(),
        to: legs.to(),
        class: class
            .and_then(PassengerClass::from_code)
            .ok_or_else(damaged)?,
        ordinal: SaleOrdinal(s.ordinal as u16),
        issued_at: Instant(s.issued_at_ms),
        lease: None,
        layout_version: LayoutVersion(s.layout_version as u32),
        test: s.test,
    };
    let kid: [u8; 4] = s.kid.as_slice().try_into().map_err(|_| damaged())?;
    let suite = if s.suite == 0 {
        Suite::Ed25519
    } else {
        Suite::Hmac256
    };
    SignedTicket::from_parts(claim, Kid(kid), suite, &s.tag).map_err(|_| damaged())
}

fn at(trip: &Trip, seq: StopSeq, leaves: bool) -> Result<At, DbError> {
    let stop = trip
        .stop(seq)
        .ok_or_else(|| DbError::damaged(format!("a stop of trip {}", trip.id)))?;
    Ok(At {
        stop: stop.name.clone(),
        time: if leaves { stop.departs } else { stop.arrives },
        zone: stop.zone.clone(),
    })
}

/// What is printed of one booking, `names` opening the sealed passenger of a coupon; `None` where
/// nobody knows it.
pub async fn load(
    tx: &mut TenantTx,
    keys: &HubKeys,
    booking: Uuid,
    names: impl Fn(i16, &[u8]) -> Option<String>,
) -> Result<Option<Papers>, DbError> {
    let company = tx.company().0;
    let head = sqlx::query!(
        r#"SELECT b.reference, b.created_at_ms, c.name, r.conditions AS "conditions?"
           FROM booking b JOIN company c USING (company_id)
           LEFT JOIN aftersale_rule r USING (company_id)
           WHERE b.company_id = $1 AND b.booking_id = $2"#,
        company,
        booking
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(head) = head else { return Ok(None) };
    let rows = sqlx::query!(
        r#"SELECT k.ticket_id, k.trip_id, k.seat, k.printed_seat, lower(k.legs) AS "from!", upper(k.legs) AS "to!",
                  k.class, k.ordinal, k.layout_version, k.issued_at_ms, k.kid, k.suite, k.tag,
                  k.test, k.fare_minor, k.currency, t.body, t.route_code,
                  c.coupon_no AS "coupon_no?", c.passenger_sealed
           FROM ticket k
           JOIN trip t ON t.company_id = k.company_id AND t.trip_id = k.trip_id
           LEFT JOIN coupon c ON c.company_id = k.company_id AND c.ticket_id = k.ticket_id
           WHERE k.company_id = $1 AND k.booking_id = $2 AND k.state = 0
           ORDER BY t.departs_at_ms, k.trip_id, k.seat, k.ticket_id"#,
        company,
        booking
    )
    .fetch_all(tx.conn())
    .await?;
    let mut layouts: BTreeMap<i64, Option<SeatLayout>> = BTreeMap::new();
    let mut tickets = Vec::with_capacity(rows.len());
    for r in rows {
        let trip: Trip =
            from_cbor(&r.body).map_err(|_| DbError::damaged(format!("trip {}", r.trip_id)))?;
        if let Entry::Vacant(unknown) = layouts.entry(r.trip_id) {
            unknown.insert(layout_of(tx, &trip).await?);
        }
        let ticket = signed(&Stored {
            id: r.ticket_id,
            trip: r.trip_id,
            seat: r.printed_seat.unwrap_or(r.seat),
            legs: (r.from, r.to),
            class: r.class,
            ordinal: r.ordinal,
            layout_version: r.layout_version,
            issued_at_ms: r.issued_at_ms,
            kid: r.kid,
            suite: r.suite,
            tag: r.tag,
            test: r.test,
        })?;
        let (claim, seat) = (ticket.claim, SeatNo(r.seat as u16));
        let layout = layouts.get(&r.trip_id).and_then(Option::as_ref);
        tickets.push(Printed {
            seat_label: layout.map_or_else(|| seat.to_string(), |l| l.label(seat)),
            from: at(&trip, claim.from, true)?,
            to: at(&trip, claim.to, false)?,
            passenger: r
                .coupon_no
                .zip(r.passenger_sealed)
                .and_then(|(no, sealed)| names(no, &sealed)),
            class: claim.class,
            fare_minor: Minor(r.fare_minor),
            currency: r
                .currency
                .parse()
                .map_err(|_| DbError::damaged("a ticket's currency"))?,
            route: trip.route,
            headsign: trip.headsign,
            code: keys.short_code(&claim),
            ticket,
        });
    }
    Ok(Some(Papers {
        booking,
        reference: head.reference,
        company: head.name,
        conditions: head
            .conditions
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| DEFAULT_CONDITIONS.to_owned()),
        created_at: Instant(head.created_at_ms),
        tickets,
    }))
}
