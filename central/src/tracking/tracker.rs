//! Takes fixes in and tells who listens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant as Moment};

use domain::ids::{CompanyId, NodeId, TripId};
use domain::time::Instant;
use domain::tracking::{Fix, Implausible, Track, plausible};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use uuid::Uuid;

use super::db;
use super::flush;
use super::known::{Facts, Standing};
use super::live::{Kept, Live, MemoryLive};
use super::roads::Roads;
use super::view::Told;
use crate::db::{Db, DbError};

/// How long what is known of a trip is good for.
const KNOWN_FOR: Duration = Duration::from_secs(8);
/// How long a trip that nobody asks for is remembered.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(30);
/// How often listeners are looked after.
const TEND_EVERY: Duration = Duration::from_secs(2);
/// How often even the word of a sound Redis is checked against the database, in looks.
const TRUST_LOOKS: u32 = 5;
/// Fixes that wait to be told to other processes.
const TELLING_MAX: usize = 4_096;
/// Fixes that wait to be written; beyond it they are not taken, and come again.
const PENDING_MAX: usize = 50_000;
/// Streams that one process carries.
const STREAMS_MAX: usize = 20_000;

/// Who says where a bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A node, which has to be the trip's own.
    Node(NodeId),
    /// The trip's crew; whoever calls has made sure of it.
    Crew,
}

/// Why a fix does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Nobody knows the trip.
    #[error("there is no trip {0}")]
    UnknownTrip(TripId),
    /// Another node is on board.
    #[error("another device is on board of trip {0}")]
    NotOnBoard(TripId),
    /// Before boarding, after arrival, or cancelled.
    #[error("trip {0} was not on its way then: it is followed from boarding until it arrives")]
    NotOnTrip(TripId),
    /// No bus was there.
    #[error(transparent)]
    Implausible(#[from] Implausible),
}

/// Word of whether fixes were written down.
#[derive(Debug)]
pub struct Written(Option<oneshot::Receiver<()>>);

impl IntoFuture for Written {
    type Output = bool;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = bool> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.0 {
                Some(word) => word.await.is_ok(),
                None => true,
            }
        })
    }
}

/// What came of fixes.
#[derive(Debug)]
pub struct Taken {
    /// Numbers of those that count.
    pub counted: Vec<u64>,
    /// Numbers of those that never will, and why.
    pub refused: Vec<(u64, NotTaken)>,
    /// Whether those that count were written down; await it.
    pub written: Written,
}

#[derive(Debug, Clone)]
struct Known {
    /// None of a trip that is not there.
    facts: Option<Arc<Facts>>,
    track: Track,
    heard_at: Instant,
    loaded: Moment,
    used: Moment,
}

/// Fixes that wait to be written, and who wants to know.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) company: CompanyId,
    pub(super) kept: Vec<Kept>,
    pub(super) done: oneshot::Sender<()>,
}

/// What all parts of tracking share in this process.
pub(super) struct Inner {
    pub(super) db: Db,
    pub(super) live: Live,
    pub(super) roads: Roads,
    trips: Mutex<BTreeMap<TripId, Known>>,
    feeds: Mutex<BTreeMap<TripId, watch::Sender<Option<Arc<Told>>>>>,
    pub(super) pending: Mutex<Vec<Pending>>,
    pending_fixes: AtomicUsize,
    flushing: AtomicBool,
    pub(super) days: Mutex<BTreeSet<i64>>,
    telling: Mutex<Option<mpsc::Sender<Kept>>>,
    tended: AtomicBool,
    streams: AtomicUsize,
    ending: Mutex<Option<watch::Receiver<bool>>>,
    pub(super) links: Mutex<BTreeMap<Uuid, (Moment, bool)>>,
}

/// Where this process's part of the hub knows buses to be.
#[derive(Clone)]
pub struct Tracker(pub(super) Arc<Inner>);

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker")
            .field("live", &self.0.live)
            .finish_non_exhaustive()
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the streams of this process, given back when it is dropped.
pub(super) struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Tracker {
    /// For one process.
    pub fn new(db: Db) -> Self {
        Self::with(db, Arc::new(MemoryLive::default()))
    }

    /// With a store that other processes may share.
    pub fn with(db: Db, live: Live) -> Self {
        Self(Arc::new(Inner {
            db,
            live,
            roads: Roads::default(),
            trips: Mutex::default(),
            feeds: Mutex::default(),
            pending: Mutex::default(),
            pending_fixes: AtomicUsize::new(0),
            flushing: AtomicBool::new(false),
            days: Mutex::default(),
            telling: Mutex::default(),
            tended: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            ending: Mutex::default(),
            links: Mutex::default(),
        }))
    }

    /// Ends every stream once the hub is told to stop.
    pub fn end_with(&self, stopping: watch::Receiver<bool>) {
        *locked(&self.0.ending) = Some(stopping);
    }

    pub(super) fn ending(&self) -> Option<watch::Receiver<bool>> {
        locked(&self.0.ending).clone()
    }

    /// Judges fixes, tells who listens, and has those that count written down. An error means
    /// that nothing is known of them: they may come again.
    pub async fn take(
        &self,
        company: CompanyId,
        sender: Sender,
        fixes: Vec<Fix>,
        now: Instant,
    ) -> Result<Taken, DbError> {
        let (mut taken, mut refused, mut kept) = (vec![], vec![], vec![]);
        for fix in fixes {
            let facts = self.facts(fix.trip).await?;
            match self.judge(facts.as_deref(), company, sender, &fix, now) {
                Ok(()) => {
                    taken.push(fix.seq);
                    let one = Kept::new(company, fix, now);
                    self.tell(&one);
                    kept.push(one);
                }
                Err(why) => refused.push((fix.seq, why)),
            }
        }
        let written = if kept.is_empty() {
            Written(None)
        } else {
            Written(Some(self.write(company, kept)))
        };
        Ok(Taken {
            counted: taken,
            refused,
            written,
        })
    }

    fn judge(
        &self,
        facts: Option<&Facts>,
        company: CompanyId,
        sender: Sender,
        fix: &Fix,
        now: Instant,
    ) -> Result<(), NotTaken> {
        let facts = facts
            .filter(|facts| facts.company == company)
            .ok_or(NotTaken::UnknownTrip(fix.trip))?;
        match sender {
            Sender::Node(node) if facts.onboard != Some(node) => {
                return Err(NotTaken::NotOnBoard(fix.trip));
            }
            Sender::Node(_) | Sender::Crew => {}
        }
        if !facts.follows(fix.at) {
            return Err(NotTaken::NotOnTrip(fix.trip));
        }
        let trips = locked(&self.0.trips);
        let beside = trips.get(&fix.trip).and_then(|known| known.track.newest());
        plausible(fix, beside, now)?;
        Ok(())
    }

    /// Tells this process's listeners at once, other processes as soon as they can be.
    fn tell(&self, kept: &Kept) {
        if self.observe(kept) {
            let telling = self.telling();
            // What does not fit is old news by the time there is room.
            let _ = telling.try_send(kept.clone());
        }
    }

    fn telling(&self) -> mpsc::Sender<Kept> {
        let mut telling = locked(&self.0.telling);
        if let Some(sender) = telling.as_ref().filter(|sender| !sender.is_closed()) {
            return sender.clone();
        }
        let (sender, mut waiting) = mpsc::channel::<Kept>(TELLING_MAX);
        let live = Arc::clone(&self.0.live);
        tokio::spawn(async move {
            while let Some(kept) = waiting.recv().await {
                // Without it other processes look into the database.
                let _ = live.put(&kept).await;
            }
        });
        *telling = Some(sender.clone());
        sender
    }

    /// Moves the trip on in memory and tells this process's listeners; whether it was news.
    fn observe(&self, kept: &Kept) -> bool {
        let fix = &kept.fix;
        let (facts, track) = {
            let mut trips = locked(&self.0.trips);
            let Some(known) = trips.get_mut(&fix.trip) else {
                return false;
            };
            let Some(facts) = known.facts.clone() else {
                return false;
            };
            if known.track.newest().is_some_and(|n| !fix.is_newer_than(n)) {
                return false;
            }
            known.track.observe(&facts.route, fix);
            known.heard_at = kept.heard_at;
            (facts, known.track.clone())
        };
        let feeds = locked(&self.0.feeds);
        if let Some(feed) = feeds.get(&fix.trip) {
            feed.send_replace(Some(Arc::new(Told::new(&facts, &track, kept.heard_at))));
        }
        true
    }

    /// What the rules have to know of a trip, at most some seconds old.
    pub(super) async fn facts(&self, trip: TripId) -> Result<Option<Arc<Facts>>, DbError> {
        let now = Moment::now();
        {
            let mut trips = locked(&self.0.trips);
            if let Some(known) = trips.get_mut(&trip)
                && now.duration_since(known.loaded) < KNOWN_FOR
            {
                known.used = now;
                return Ok(known.facts.clone());
            }
        }
        self.tend();
        let company = crate::company::company_of_trip(&self.0.db, trip).await?;
        let standing = match company {
            Some(company) => {
                let mut tx = self.0.db.tenant(company).await?;
                db::standing(&mut tx, &self.0.roads, trip).await?
            }
            None => None,
        };
        let mut trips = locked(&self.0.trips);
        let before = trips.remove(&trip);
        let (facts, mut track, mut heard_at) = match standing {
            Some(Standing {
                facts,
                track,
                heard_at,
            }) => (Some(Arc::new(facts)), track, heard_at),
            None => (None, Track::default(), Instant(0)),
        };
        // Memory is ahead of the database by what is not written yet.
        if let Some(before) = before
            && let Some(newest) = before.track.newest()
            && track.newest().is_none_or(|n| newest.is_newer_than(n))
        {
            (track, heard_at) = (before.track, before.heard_at);
        }
        let known = Known {
            facts: facts.clone(),
            track: track.clone(),
            heard_at,
            loaded: now,
            used: now,
        };
        trips.insert(trip, known);
        drop(trips);
        // The database may know of fixes that nobody told of.
        if let Some(facts) = &facts {
            self.tell_newest(trip, facts, &track, heard_at);
        }
        Ok(facts)
    }

    /// Forgets what is known of a trip, because it was changed.
    pub(super) fn look_again(&self, trip: TripId) {
        if let Some(known) = locked(&self.0.trips).get_mut(&trip) {
            known.loaded = Moment::now().checked_sub(KNOWN_FOR).unwrap_or(known.loaded);
        }
    }

    /// How a trip stands by its fixes, with what other processes heard.
    pub(super) async fn standing(
        &self,
        trip: TripId,
    ) -> Result<Option<(Arc<Facts>, Track, Instant)>, DbError> {
        let Some(facts) = self.facts(trip).await? else {
            return Ok(None);
        };
        if let Ok(Some(kept)) = self.0.live.latest(trip).await
            && kept.company() == facts.company
        {
            self.observe(&kept);
        }
        let trips = locked(&self.0.trips);
        let known = trips.get(&trip);
        Ok(known.map(|known| (facts, known.track.clone(), known.heard_at)))
    }

    /// What this process hears of a trip from this moment on, the latest first.
    pub(super) async fn listen(
        &self,
        trip: TripId,
    ) -> Result<Option<watch::Receiver<Option<Arc<Told>>>>, DbError> {
        let feed = {
            let mut feeds = locked(&self.0.feeds);
            let feed = feeds
                .entry(trip)
                .or_insert_with(|| watch::Sender::new(None));
            feed.subscribe()
        };
        let Some((facts, track, heard_at)) = self.standing(trip).await? else {
            return Ok(None);
        };
        self.tell_newest(trip, &facts, &track, heard_at);
        Ok(Some(feed))
    }

    /// Tells who listens where the bus is, unless they know.
    fn tell_newest(&self, trip: TripId, facts: &Facts, track: &Track, heard_at: Instant) {
        if track.newest().is_none() {
            return;
        }
        let told = Told::new(facts, track, heard_at);
        let feeds = locked(&self.0.feeds);
        if let Some(feed) = feeds.get(&trip) {
            feed.send_if_modified(|last| {
                let news = last.as_ref().is_none_or(|last| told.is_newer_than(last));
                if news {
                    *last = Some(Arc::new(told));
                }
                news
            });
        }
    }

    /// A place among the streams, while there is one.
    pub(super) fn place(&self) -> Option<Place> {
        let before = self.0.streams.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(&self.0));
        (before < STREAMS_MAX).then_some(place)
    }

    fn write(&self, company: CompanyId, kept: Vec<Kept>) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        let count = kept.len();
        if self.0.pending_fixes.load(Ordering::Acquire) + count > PENDING_MAX {
            // Nobody says that it is done: they come again.
            return written;
        }
        self.0.pending_fixes.fetch_add(count, Ordering::AcqRel);
        locked(&self.0.pending).push(Pending {
            company,
            kept,
            done,
        });
        if !self.0.flushing.swap(true, Ordering::AcqRel) {
            let tracker = self.clone();
            tokio::spawn(async move { flush::run(tracker).await });
        }
        written
    }

    /// What waits to be written; nothing ends the writing.
    pub(super) fn waiting(&self) -> Option<Vec<Pending>> {
        let mut pending = locked(&self.0.pending);
        if pending.is_empty() {
            self.0.flushing.store(false, Ordering::Release);
            return None;
        }
        self.0.pending_fixes.store(0, Ordering::Release);
        Some(std::mem::take(&mut *pending))
    }

    /// Has this process's listeners looked after, from the first use on.
    fn tend(&self) {
        if !self.0.tended.swap(true, Ordering::AcqRel) {
            let heard = self.0.live.listen();
            tokio::spawn(tend(Arc::downgrade(&self.0)));
            tokio::spawn(hear(Arc::downgrade(&self.0), heard));
        }
    }

    /// Trips that somebody listens to.
    fn listened(&self) -> Vec<TripId> {
        let mut feeds = locked(&self.0.feeds);
        feeds.retain(|_, feed| feed.receiver_count() > 0);
        feeds.keys().copied().collect()
    }

    /// Looks into the database for what nobody told of.
    async fn catch_up(&self) -> Result<(), DbError> {
        let mut by_company: BTreeMap<CompanyId, Vec<i64>> = BTreeMap::new();
        for trip in self.listened() {
            if let Some(facts) = self.facts(trip).await? {
                let trips = by_company.entry(facts.company).or_default();
                trips.push(trip.0 as i64);
            }
        }
        for (company, trips) in by_company {
            let mut tx = self.0.db.tenant(company).await?;
            for kept in db::newest(&mut tx, &trips).await? {
                self.observe(&kept);
            }
        }
        Ok(())
    }
}

/// Forgets what nobody asks for; looks into the database while Redis says nothing.
async fn tend(inner: Weak<Inner>) {
    for look in 0_u32.. {
        tokio::time::sleep(TEND_EVERY).await;
        let Some(tracker) = inner.upgrade().map(Tracker) else {
            return;
        };
        let now = Moment::now();
        locked(&tracker.0.trips)
            .retain(|_, known| now.duration_since(known.used) < FORGOTTEN_AFTER);
        locked(&tracker.0.links).retain(|_, (at, _)| now.duration_since(*at) < KNOWN_FOR);
        if (!tracker.0.live.is_heard() || look.is_multiple_of(TRUST_LOOKS))
            && let Err(error) = tracker.catch_up().await
        {
            tracing::warn!(%error, "positions cannot be read: listeners wait");
        }
    }
}

/// Passes on what other processes tell, to who listens here.
async fn hear(inner: Weak<Inner>, mut heard: broadcast::Receiver<Kept>) {
    loop {
        let kept = match heard.recv().await {
            Ok(kept) => kept,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let Some(tracker) = inner.upgrade().map(Tracker) else {
            return;
        };
        let listened = locked(&tracker.0.feeds).contains_key(&kept.fix.trip);
        if !listened {
            continue;
        }
        match tracker.facts(kept.fix.trip).await {
            Ok(Some(facts)) if facts.company == kept.company() => {
                tracker.observe(&kept);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a position was not passed on"),
        }
    }
}
