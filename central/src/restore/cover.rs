//! Claims for rights that a restored hub learned of: of every seat-leg what nobody owns.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use domain::codec::from_cbor;
use domain::ids::{LeaseNo, NodeId, SeatNo, Seq, TripId};
use domain::ingest::Unlisted;
use domain::lease::{Grant, SeatClaim};
use domain::restore::Owned;
use domain::swap::Swaps;
use domain::ticket::parse_qr;
use domain::time::Instant;

use super::db;
use crate::db::DbError;
use crate::nodes::NodeContext;
use crate::sync::buckets::legs_of;
use crate::tenant::TenantTx;
use crate::ticketing::inventory::lock_trip;

/// Who sold a ticket, and under which of its grants.
type Seller = Option<(NodeId, LeaseNo)>;

/// What is owned of one trip.
#[derive(Default)]
struct Taken {
    claims: Owned,
    tickets: Vec<(Seller, SeatClaim)>,
}

/// Pieces to insert, by column.
#[derive(Default)]
struct Pieces {
    trips: Vec<i64>,
    seats: Vec<i32>,
    from: Vec<i32>,
    to: Vec<i32>,
    holders: Vec<Option<uuid::Uuid>>,
    numbers: Vec<Option<i32>>,
}

impl Pieces {
    fn push(&mut self, trip: i64, holder: Seller, piece: SeatClaim) {
        self.trips.push(trip);
        self.seats.push(piece.seat.0.into());
        self.from.push(piece.legs.from().0.into());
        self.to.push(piece.legs.to().0.into());
        self.holders.push(holder.map(|(node, _)| node.0));
        self.numbers.push(holder.map(|(_, no)| no.0.into()));
    }
}

/// Gives every open lease that was taken over from its holder's word, and every lost ticket that a
/// validator saw, the claims that it lacks and that nobody else has. The trips are locked.
pub(super) async fn cover(tx: &mut TenantTx, trips: &[i64]) -> Result<(), DbError> {
    let mut maps = Maps::default();
    let leases = adopted(tx, &mut maps, trips).await?;
    let lost = lost_tickets(tx, &mut maps, trips).await?;
    if leases.is_empty() && lost.is_empty() {
        return Ok(());
    }
    let concerned: Vec<i64> = leases.iter().chain(&lost).map(|(trip, ..)| *trip).collect();
    let mut taken = load(tx, &concerned).await?;
    let mut pieces = Pieces::default();
    for (trip, holder, claims) in leases.into_iter().chain(lost) {
        let of_trip = taken.entry(trip).or_default();
        let mut owned = of_trip.claims.clone();
        let others = of_trip.tickets.iter();
        for (_, sold) in others.filter(|(seller, _)| holder.is_none() || *seller != holder) {
            owned.add(*sold);
        }
        for piece in claims.into_iter().flat_map(|claim| owned.cover(claim)) {
            of_trip.claims.add(piece);
            pieces.push(trip, holder, piece);
        }
    }
    insert(tx, &pieces).await
}

/// The same for one trip whose seats are numbered otherwise from here on; it is locked.
pub(crate) async fn cover_trip(tx: &mut TenantTx, trip: TripId) -> Result<(), DbError> {
    cover(tx, &[trip.0 as i64]).await
}

/// The swaps of trips, as far as they were looked at.
#[derive(Default)]
struct Maps(BTreeMap<TripId, Swaps>);

impl Maps {
    async fn of(&mut self, tx: &mut TenantTx, trip: TripId) -> Result<&Swaps, DbError> {
        match self.0.entry(trip) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unread) => {
                let known = lock_trip(tx, trip).await?;
                Ok(unread.insert(known.map_or(Swaps::NONE, |trip| trip.swaps)))
            }
        }
    }
}

async fn adopted(
    tx: &mut TenantTx,
    maps: &mut Maps,
    trips: &[i64],
) -> Result<Vec<(i64, Seller, Vec<SeatClaim>)>, DbError> {
    let rows = sqlx::query!(
        "SELECT trip_id, granted FROM lease
         WHERE company_id = $1 AND trip_id = ANY($2) AND adopted_by IS NOT NULL AND status <> 2
         ORDER BY trip_id, epoch",
        tx.company().0,
        trips
    )
    .fetch_all(tx.conn())
    .await?;
    let mut adopted = Vec::with_capacity(rows.len());
    for row in rows {
        let grant: Grant = from_cbor(&row.granted).map_err(|_| DbError::damaged("a grant"))?;
        let holder = Some((grant.holder, grant.lease_no));
        // The grant keeps its numbering; its claims lie on the seats of the bus that drives.
        let swaps = maps.of(tx, grant.trip).await?;
        adopted.push((row.trip_id, holder, grant.claims_now(swaps).collect()));
    }
    Ok(adopted)
}

async fn lost_tickets(
    tx: &mut TenantTx,
    maps: &mut Maps,
    trips: &[i64],
) -> Result<Vec<(i64, Seller, Vec<SeatClaim>)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT trip_id, seat, lower(legs) AS "from!", upper(legs) AS "to!", code
           FROM unlisted_ticket WHERE company_id = $1 AND trip_id = ANY($2)
           ORDER BY trip_id, ticket_id"#,
        tx.company().0,
        trips
    )
    .fetch_all(tx.conn())
    .await?;
    let mut lost = Vec::with_capacity(rows.len());
    for row in rows {
        let shown = parse_qr(&row.code).map_err(|_| DbError::damaged("a lost ticket"))?;
        let printed = claim_of(row.seat, row.from, row.to)?;
        let swaps = maps.of(tx, TripId(row.trip_id as u64)).await?;
        // It names its seat in its own numbering; its passenger sits in the bus that drives.
        let seat = swaps.place(printed.seat, shown.claim.layout_version);
        let claims = seat.map(|seat| SeatClaim { seat, ..printed });
        lost.push((row.trip_id, None, claims.into_iter().collect()));
    }
    Ok(lost)
}

fn claim_of(seat: i32, from: i32, to: i32) -> Result<SeatClaim, DbError> {
    Ok(SeatClaim {
        seat: SeatNo(seat as u16),
        legs: legs_of(from, to)?,
    })
}

async fn load(tx: &mut TenantTx, trips: &[i64]) -> Result<BTreeMap<i64, Taken>, DbError> {
    let mut taken: BTreeMap<i64, Taken> = BTreeMap::new();
    let claims = sqlx::query!(
        r#"SELECT trip_id, seat, lower(legs) AS "from!", upper(legs) AS "to!" FROM claim
           WHERE company_id = $1 AND trip_id = ANY($2)"#,
        tx.company().0,
        trips
    )
    .fetch_all(tx.conn())
    .await?;
    for row in claims {
        let claim = claim_of(row.seat, row.from, row.to)?;
        taken.entry(row.trip_id).or_default().claims.add(claim);
    }
    let tickets = sqlx::query!(
        r#"SELECT trip_id, seat, lower(legs) AS "from!", upper(legs) AS "to!", issuer_node,
                  lease_no
           FROM ticket WHERE company_id = $1 AND trip_id = ANY($2) AND state = 0"#,
        tx.company().0,
        trips
    )
    .fetch_all(tx.conn())
    .await?;
    for row in tickets {
        let sold = claim_of(row.seat, row.from, row.to)?;
        let seller = row.issuer_node.zip(row.lease_no);
        let seller = seller.map(|(node, no)| (NodeId(node), LeaseNo(no as u16)));
        taken
            .entry(row.trip_id)
            .or_default()
            .tickets
            .push((seller, sold));
    }
    Ok(taken)
}

async fn insert(tx: &mut TenantTx, pieces: &Pieces) -> Result<(), DbError> {
    if pieces.trips.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO claim (company_id, trip_id, seat, legs, kind, node_id, lease_no)
         SELECT $1, w.trip, w.seat, int4range(w.a, w.b),
                CASE WHEN w.holder IS NULL THEN 'block' ELSE 'lease' END, w.holder, w.no
         FROM UNNEST($2::bigint[], $3::int[], $4::int[], $5::int[], $6::uuid[], $7::int[])
             AS w(trip, seat, a, b, holder, no)",
        tx.company().0,
        &pieces.trips,
        &pieces.seats,
        &pieces.from,
        &pieces.to,
        &pieces.holders as _,
        &pieces.numbers as _
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps the seats of the hub's own lost tickets that a validator saw: with a case each, and with
/// blocks on what nobody owns. Locks their trips.
pub(crate) async fn keep_seats(
    tx: &mut TenantTx,
    node: &NodeContext,
    incarnation: u32,
    lost: &[(Seq, Unlisted, Instant)],
    now: Instant,
) -> Result<(), DbError> {
    if lost.is_empty() {
        return Ok(());
    }
    let trips: Vec<i64> = lost.iter().map(|(_, l, _)| l.trip.0 as i64).collect();
    db::lock_trips(tx, &trips).await?;
    for (seq, ticket, seen_at) in lost {
        db::insert_unlisted(tx, node, (incarnation, *seq), ticket, *seen_at, now).await?;
    }
    cover(tx, &trips).await
}

/// The trips of some grants, each once.
pub(super) fn trips_of<'a>(grants: impl Iterator<Item = &'a Grant>) -> Vec<i64> {
    let mut trips: Vec<i64> = grants.map(|g| g.trip).map(|TripId(no)| no as i64).collect();
    trips.sort_unstable();
    trips.dedup();
    trips
}
