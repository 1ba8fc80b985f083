//! Writes fixes down, all that came meanwhile at once.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ids::{CompanyId, TripId};
use domain::time::Instant;
use domain::tracking::{Seen, Track};
use serde_json::json;

use super::db;
use super::known::{Facts, Move};
use super::live::Kept;
use super::tracker::{Pending, Tracker, locked};
use crate::audit::Actor;
use crate::clock;
use crate::db::{Backoff, DbError};
use crate::operations::{Command, trips};
use crate::outbox::{self, Happened};

/// How long fixes wait for others to be written with.
const TOGETHER: Duration = Duration::from_millis(300);

/// Writes until nothing waits.
pub(super) async fn run(tracker: Tracker) {
    loop {
        tokio::time::sleep(TOGETHER).await;
        let Some(pending) = tracker.waiting() else {
            return;
        };
        let mut by_company: BTreeMap<CompanyId, Vec<Pending>> = BTreeMap::new();
        for one in pending {
            by_company.entry(one.company).or_default().push(one);
        }
        for (company, pending) in by_company {
            let mut kept: Vec<Kept> = vec![];
            let mut done = vec![];
            for one in pending {
                kept.extend(one.kept);
                done.push(one.done);
            }
            match write(&tracker, company, &kept).await {
                Ok(moves) => {
                    for word in done {
                        // Whoever has gone does not want to know.
                        let _ = word.send(());
                    }
                    for (trip, step) in moves {
                        move_trip(&tracker, company, trip, step).await;
                    }
                }
                // Whoever sent them is not told that they are written, and sends them again.
                Err(error) => tracing::warn!(%error, "positions were not written"),
            }
        }
    }
}

type Moves = Vec<(TripId, Move)>;

async fn write(tracker: &Tracker, company: CompanyId, kept: &[Kept]) -> Result<Moves, DbError> {
    let mut days: Vec<i64> = kept.iter().map(|k| db::day_of(k.fix.at)).collect();
    days.sort_unstable();
    days.dedup();
    days.retain(|day| !locked(&tracker.0.days).contains(day));
    if !days.is_empty() {
        match db::make_days(&tracker.0.db, &days).await {
            Ok(()) => locked(&tracker.0.days).extend(days),
            Err(error) => tracing::warn!(%error, "positions go to the rest: no day was made"),
        }
    }
    let mut by_trip: BTreeMap<TripId, Vec<&Kept>> = BTreeMap::new();
    for one in kept {
        by_trip.entry(one.fix.trip).or_default().push(one);
    }
    let mut facts = BTreeMap::new();
    for trip in by_trip.keys() {
        if let Some(known) = tracker.facts(*trip).await? {
            facts.insert(*trip, known);
        }
    }
    let mut backoff = Backoff::new();
    loop {
        match write_once(tracker, company, kept, &by_trip, &facts).await {
            Err(error) if backoff.again(&error).await => {}
            done => return done,
        }
    }
}

async fn write_once(
    tracker: &Tracker,
    company: CompanyId,
    kept: &[Kept],
    by_trip: &BTreeMap<TripId, Vec<&Kept>>,
    facts: &BTreeMap<TripId, std::sync::Arc<Facts>>,
) -> Result<Moves, DbError> {
    let now = clock::now();
    let mut tx = tracker.0.db.tenant(company).await?;
    db::insert_fixes(&mut tx, kept).await?;
    let numbers: Vec<i64> = facts.keys().map(|trip| trip.0 as i64).collect();
    let mut tracks = db::lock_tracks(&mut tx, &numbers).await?;
    let mut moves = vec![];
    let mut changed: BTreeMap<TripId, Track> = BTreeMap::new();
    for (trip, facts) in facts {
        let Some(mut track) = tracks.remove(trip) else {
            continue;
        };
        let before = track.clone();
        let mut fixes = by_trip.get(trip).cloned().unwrap_or_default();
        fixes.sort_by_key(|kept| (kept.fix.at, kept.fix.seq));
        for one in fixes {
            let Some(seen) = track.observe(&facts.route, &one.fix) else {
                continue;
            };
            db::put_call(&mut tx, *trip, seen).await?;
            if let Seen::Arrived { stop, at } = seen {
                db::learn_leg(&mut tx, facts, (stop, at)).await?;
            }
            if let Some(step) = facts.moves(seen) {
                say(&mut tx, facts, step, now).await?;
                if facts.settings.moves_trips {
                    moves.push((*trip, step));
                }
            }
        }
        if track != before {
            changed.insert(*trip, track);
        }
    }
    db::put_tracks(&mut tx, &changed, now).await?;
    tx.commit().await?;
    Ok(moves)
}

async fn say(
    tx: &mut crate::tenant::TenantTx,
    facts: &Facts,
    step: Move,
    now: Instant,
) -> Result<(), DbError> {
    let (kind, at) = match step {
        Move::Departed(at) => ("trip.departure_seen", at),
        Move::Arrived(at) => ("trip.arrival_seen", at),
    };
    let happened = Happened {
        kind,
        subject: &format!("trip:{}", facts.trip),
        body: json!({
            "trip": facts.trip.0,
            "route": facts.route_code,
            "at": at.to_string(),
            "moves_trip": facts.settings.moves_trips,
        }),
    };
    outbox::put(tx, happened, now).await.map(drop)
}

/// Lets a trip depart or arrive as its fixes show, where its company wants that.
async fn move_trip(tracker: &Tracker, company: CompanyId, trip: TripId, step: Move) {
    let moved = async {
        let mut tx = tracker.0.db.tenant(company).await?;
        let running = trips::locked(&mut tx, trip).await?;
        let command = match step {
            Move::Departed(at) => Command::Depart(at),
            Move::Arrived(at) => Command::Arrive(at),
        };
        trips::run(&mut tx, running, &command, Actor::System, clock::now()).await?;
        Ok::<_, trips::TripError>(tx.commit().await?)
    };
    match moved.await {
        Ok(()) => tracker.look_again(trip),
        // A person decides what the rules refuse; the outbox has told.
        Err(error) => tracing::warn!(%trip, %error, "what the fixes show did not move the trip"),
    }
}
