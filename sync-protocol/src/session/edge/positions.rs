//! Positions on their way up: live ones as datagrams, the newest only; what was lost or could not
//! be sent goes after, when nothing else waits, and all of it within a budget.

use domain::tracking::Fix;

use crate::frame::EdgeFrame;
use crate::uptime::Uptime;

/// How often fixes that the hub has not taken are looked for, in ms.
pub(super) const BACKFILL_EVERY_MS: u64 = 5_000;
/// The most fixes of one frame that goes after.
const BACKFILL_FIXES: usize = 128;
/// What a frame costs beside its bytes: headers of QUIC, UDP and IP, and the acknowledgement.
const OVERHEAD_BYTES: u64 = 90;
/// About what a fix costs in a frame of several, in bytes.
const FIX_BYTES: u64 = 40;
/// A looked-for answer is given up after so many looks, in case the frame was lost.
const LOOKS_MAX: u8 = 2;
const DAY_MS: u64 = 24 * 3_600_000;
/// How much of a day's budget may be spent at once: an hour's.
const HOURS: u64 = 24;

/// How many bytes positions may cost. A bucket that fills by the day and holds an hour's worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    day_bytes: u64,
    left_bytes: u64,
    filled_at: Option<Uptime>,
}

impl Default for Budget {
    /// One fix a second for a drive of a day.
    fn default() -> Self {
        Self::of_day(12_000_000)
    }
}

impl Budget {
    /// So many bytes a day; 0 keeps every fix on the device.
    pub const fn of_day(day_bytes: u64) -> Self {
        Self {
            day_bytes,
            left_bytes: day_bytes / HOURS,
            filled_at: None,
        }
    }

    /// What may be spent at this moment, in bytes.
    pub const fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    fn fill(&mut self, now: Uptime) {
        let Some(at) = self.filled_at else {
            self.filled_at = Some(now);
            return;
        };
        let most = self.day_bytes / HOURS;
        // A restarted device counts its uptime anew.
        let gone_ms = now.0.saturating_sub(at.0);
        let earned = u128::from(self.day_bytes) * u128::from(gone_ms) / u128::from(DAY_MS);
        if earned > 0 {
            let earned = u64::try_from(earned).unwrap_or(u64::MAX);
            self.left_bytes = self.left_bytes.saturating_add(earned).min(most);
            self.filled_at = Some(now);
        } else if now < at {
            self.filled_at = Some(now);
        }
    }

    fn spend(&mut self, bytes: u64, now: Uptime) -> bool {
        self.fill(now);
        let affordable = self.left_bytes >= bytes;
        if affordable {
            self.left_bytes -= bytes;
        }
        affordable
    }
}

#[derive(Debug, Default)]
pub(super) struct PositionSender {
    /// The hub takes positions.
    started: bool,
    budget: Budget,
    /// The driver is looking for fixes.
    loading: bool,
    /// Numbers of a frame that goes after, until they are taken.
    in_flight: Vec<u64>,
    looks: u8,
}

impl PositionSender {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

    pub(super) fn budget(&self) -> Budget {
        self.budget
    }

    pub(super) fn start(&mut self) {
        self.started = true;
    }

    /// The datagram of a live fix, where the hub takes it and the budget allows it.
    pub(super) fn live(&mut self, fix: Fix, now: Uptime) -> Option<EdgeFrame> {
        if !self.started {
            return None;
        }
        let frame = EdgeFrame::Positions(vec![fix]);
        let bytes = frame.to_bytes().len() as u64 + OVERHEAD_BYTES;
        self.budget.spend(bytes, now).then_some(frame)
    }

    /// How many fixes to load that go after, if any should.
    pub(super) fn wants(&mut self, now: Uptime) -> Option<usize> {
        if !self.started || self.loading {
            return None;
        }
        if !self.in_flight.is_empty() {
            self.looks += 1;
            if self.looks < LOOKS_MAX {
                return None;
            }
            self.in_flight.clear();
        }
        self.budget.fill(now);
        let spare = self.budget.left_bytes.saturating_sub(OVERHEAD_BYTES) / FIX_BYTES;
        // Half of what is left stays for the live ones.
        let most = usize::try_from(spare / 2).unwrap_or(usize::MAX);
        let most = most.min(BACKFILL_FIXES);
        self.loading = most > 0;
        (most > 0).then_some(most)
    }

    /// The frame of fixes that go after.
    pub(super) fn backfill(&mut self, fixes: Vec<Fix>, now: Uptime) -> Option<EdgeFrame> {
        self.loading = false;
        if fixes.is_empty() || !self.started {
            return None;
        }
        let numbers = fixes.iter().map(|fix| fix.seq).collect();
        let frame = EdgeFrame::Positions(fixes);
        let bytes = frame.to_bytes().len() as u64 + OVERHEAD_BYTES;
        if !self.budget.spend(bytes, now) {
            return None;
        }
        self.in_flight = numbers;
        self.looks = 0;
        Some(frame)
    }

    /// Notes what the hub has taken; whether a frame that went after is done, so that the next
    /// may follow.
    pub(super) fn taken(&mut self, numbers: &[u64]) -> bool {
        let waited = !self.in_flight.is_empty();
        self.in_flight.retain(|number| !numbers.contains(number));
        waited && self.in_flight.is_empty()
    }
}
