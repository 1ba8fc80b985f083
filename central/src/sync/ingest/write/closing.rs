//! Seats that wait: their ticket was voided, and the validator has not yet heard of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::ids::{SeatNo, TripId};
use domain::restore::runs;
use domain::swap::NO_SEAT;

use super::Writes;
use crate::db::DbError;
use crate::sync::ingest::load::Loaded;
use crate::tenant::TenantTx;

impl Writes {
    /// Locks the trips whose claims change, in order, and reads how far their validator has
    /// applied the manifest. In two statements: the second one sees what the lock waited for.
    pub(super) async fn lock_trips(
        &self,
        tx: &mut TenantTx,
    ) -> Result<HashMap<TripId, i64>, DbError> {
        let closed = self.closed.iter().map(|(trip, _)| trip);
        let trips: BTreeSet<i64> = closed
            .chain(self.blocked.iter().map(|(trip, _)| trip))
            .map(|trip| trip.0 as i64)
            .collect();
        let trips: Vec<i64> = trips.into_iter().collect();
        let company = tx.company().0;
        sqlx::query!(
            "SELECT trip_id FROM trip WHERE company_id = $1 AND trip_id = ANY($2)
             ORDER BY trip_id FOR UPDATE",
            company,
            &trips
        )
        .fetch_all(tx.conn())
        .await?;
        let rows = sqlx::query!(
            "SELECT t.trip_id, a.change_no FROM trip t
             JOIN bucket_ack a ON a.company_id = t.company_id AND a.node_id = t.onboard_node
                              AND a.bucket = 'trip:' || t.trip_id::text
             WHERE t.company_id = $1 AND t.trip_id = ANY($2)",
            company,
            &trips
        )
        .fetch_all(tx.conn())
        .await?;
        Ok(rows
            .into_iter()
            .map(|r| (TripId(r.trip_id as u64), r.change_no))
            .collect())
    }

    /// Blocks the seat-legs that must wait, each with the last void that it waits for.
    pub(super) async fn write_blocks(
        &self,
        tx: &mut TenantTx,
        loaded: &Loaded,
        heard: &HashMap<TripId, i64>,
    ) -> Result<(), DbError> {
        let mut waiting: BTreeMap<(TripId, SeatNo), (u64, i64)> = BTreeMap::new();
        // What has no seat since the bus was swapped keeps nobody from one.
        let seated = self.blocked.iter().filter(|b| b.1.seat != NO_SEAT);
        for (trip, claim) in seated {
            // A void whose change is not known is waited for until somebody looks at it.
            let change = loaded.void_changes.get(&(*trip, *claim));
            let change = change.copied().unwrap_or(i64::MAX);
            if heard.get(trip).is_some_and(|acked| *acked >= change) {
                continue;
            }
            let (mask, waits_for) = waiting.entry((*trip, claim.seat)).or_default();
            *mask |= claim.legs.mask();
            *waits_for = change.max(*waits_for);
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let (mut trips, mut seats, mut changes) = (vec![], vec![], vec![]);
        let (mut from, mut to) = (vec![], vec![]);
        for ((trip, seat), (mask, change)) in waiting {
            for legs in runs(mask) {
                trips.push(trip.0 as i64);
                seats.push(i32::from(seat.0));
                from.push(i32::from(legs.from().0));
                to.push(i32::from(legs.to().0));
                changes.push(change);
            }
        }
        sqlx::query!(
            "INSERT INTO claim (company_id, trip_id, seat, legs, kind, waits_for_change)
             SELECT $1, w.trip, w.seat, int4range(w.a, w.b), 'block', w.change_no
             FROM UNNEST($2::bigint[], $3::int[], $4::int[], $5::int[], $6::bigint[])
             AS w(trip, seat, a, b, change_no)",
            tx.company().0,
            &trips,
            &seats,
            &from,
            &to,
            &changes
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}
