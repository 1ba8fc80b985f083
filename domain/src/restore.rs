//! A hub that was restored from a backup: what it may not know, and when it may sell again.
//!
//! Between the backup and the loss the hub granted leases, sold seats and heard of sales that the
//! restored one has never heard of. Nodes know their part of it: their logs, and the grants, which
//! the hub signed and so believes. Until every node that could hold rights has told, the pools of
//! trips that may still be sold are frozen. Nothing is given a second time: epochs, lease numbers
//! and node incarnations of a later installation of the hub begin beyond those of an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::ChainHead;
use crate::ids::{HubIncarnation, LeaseEpoch, NodeId, NodeIncarnation, SeatNo, Seq};
use crate::lease::{Grant, SeatClaim};
use crate::time::Instant;
use crate::trip::{LEGS_MAX, Legs};
use crate::weaken::{Weakness, weakened};

/// How many lease numbers of a holder on a trip a restored hub passes over.
pub const LEASES_SKIPPED: u16 = 256;

/// Numberings of a trip's seats that each installation has for itself: more than a trip may have
/// swaps.
pub const NUMBERINGS_EACH: u32 = 64;

/// Where the seat numberings begin that an installation of the hub gives to swaps; `None` for one
/// never restored, which counts on from the layout's own. No two installations share any, so that no
/// number stands for two maps, whatever a lost hub gave out that nobody here has heard of.
pub fn first_numbering(hub: HubIncarnation) -> Option<u64> {
    hub.is_restored()
        .then(|| u64::from(hub.0) * u64::from(NUMBERINGS_EACH))
}

/// The installations of a hub that was never restored.
pub const FIRST: HubIncarnation = HubIncarnation(1);

/// 2026-01-01T00:00:00Z.
const COUNTED_FROM: Instant = Instant(1_767_225_600_000);
/// Epochs that one minute of an installation may give out, per trip.
const EPOCH_BITS: u32 = 8;

/// The last installation whose epochs have room in 32 bits.
pub const LAST: HubIncarnation = HubIncarnation(u32::MAX >> EPOCH_BITS);

impl HubIncarnation {
    /// The installation that begins when a backup of this one is restored: the minutes since the
    /// year 2026, so that two restores of one backup are two installations. Where the clock is
    /// behind it is still higher than this one, and `self` shall be the highest of all that anybody
    /// has heard of.
    pub fn restored_at(self, now: Instant) -> Self {
        let minutes = (now.0 - COUNTED_FROM.0) / 60_000;
        // Half the numbers are left to installations that follow by one each.
        let minutes = minutes.clamp(0, i64::from(u32::MAX >> (EPOCH_BITS + 1))) as u32;
        Self(self.0.saturating_add(1).max(minutes))
    }

    /// Whether it was ever restored.
    pub const fn is_restored(self) -> bool {
        self.0 > FIRST.0
    }
}

/// The first epoch that an installation of the hub may give out.
pub fn first_epoch(hub: HubIncarnation) -> LeaseEpoch {
    if hub.is_restored() {
        LeaseEpoch(hub.0.saturating_mul(1 << EPOCH_BITS))
    } else {
        LeaseEpoch(0)
    }
}

/// Below this no installation of the hub begins a node's incarnation.
pub fn first_incarnation(hub: HubIncarnation) -> NodeIncarnation {
    NodeIncarnation(if hub.is_restored() { hub.0 } else { 0 })
}

/// Whether the pool of a trip freezes: it may be sold, or ridden, at the restore point or later.
pub fn freezes(last_arrival: Instant, restore_point: Instant) -> bool {
    !weakened(Weakness::NoFreezeAfterRestore) && last_arrival >= restore_point
}

/// How many nodes that the hub does not know one node may make it wait for: a node's word for
/// another one is not signed by anybody.
pub const UNKNOWN_TOLD_MAX: usize = 64;

/// Whether a restored hub knows a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Membership {
    /// It is enrolled.
    #[default]
    Enrolled,
    /// Others tell of it, or the hub signed a grant to it: it was enrolled after the backup.
    Unknown,
    /// It came with a certificate of this hub, which does not know it, and asks to be taken in.
    Asks,
}

/// What a restored hub knows of one node that could hold rights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Awaited {
    /// Whether the hub knows it at all.
    pub membership: Membership,
    /// A person has taken the risk of not waiting for it, on every trip.
    pub given_up: bool,
    /// The heads of the node's logs when it told its grants; `None` until it has.
    pub told: Option<Vec<ChainHead>>,
    /// Its disk was replaced since the backup: what it tells may lack what it was granted.
    pub doubtful: bool,
}

/// How far the hub is with one log of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogStanding {
    /// Judged up to here, without a gap.
    pub judged: Seq,
    /// The event that the node named is stored and judged beside the log, as the end of a fork.
    pub fork_judged: bool,
}

/// Why a trip still waits for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// It has not told its grants.
    Grants,
    /// Its log is not here up to the position that it named.
    Events,
    /// It has told, but from a disk that was replaced: only a person can take the risk.
    Nothing,
    /// It was enrolled after the backup and has not come.
    Unknown,
    /// It was enrolled after the backup, has come, and a person has to take it in.
    Approval,
}

impl WaitsFor {
    /// The word it is shown under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grants => "grants",
            Self::Events => "events",
            Self::Nothing => "decision",
            Self::Unknown => "unknown",
            Self::Approval => "approval",
        }
    }
}

impl Awaited {
    /// Whether the node's grants and all of its log are here and understood.
    pub fn is_drained(&self, standing: impl Fn(&ChainHead) -> LogStanding) -> bool {
        self.told.as_ref().is_some_and(|logs| {
            logs.iter().all(|log| {
                let known = standing(log);
                known.judged >= log.seq || known.fork_judged
            })
        })
    }

    /// What is still waited for; `None` once the node holds nothing that the hub does not know.
    pub fn waits_for(&self, standing: impl Fn(&ChainHead) -> LogStanding) -> Option<WaitsFor> {
        match self.membership {
            _ if self.given_up => return None,
            Membership::Unknown => return Some(WaitsFor::Unknown),
            Membership::Asks => return Some(WaitsFor::Approval),
            Membership::Enrolled => {}
        }
        if self.told.is_none() {
            Some(WaitsFor::Grants)
        } else if !self.is_drained(standing) {
            Some(WaitsFor::Events)
        } else {
            self.doubtful.then_some(WaitsFor::Nothing)
        }
    }
}

/// Whether a hello shows a node whose disk may lack grants of the time that the hub has lost:
/// its store disagrees with its sidecar, is behind what the hub has of it, or began anew without
/// the hub's knowing.
pub fn is_doubtful(
    sidecar_disagrees: bool,
    begins_anew: bool,
    running: NodeIncarnation,
    highest: NodeIncarnation,
) -> bool {
    sidecar_disagrees || begins_anew || running > highest
}

/// What becomes of a grant that a node told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// The hub has it.
    Known,
    /// The hub signed it and does not know it: it binds from here on.
    Adopt,
    /// Its number stands for another grant: a person has to look.
    Strange,
}

/// Decides over a grant that a node told, its own or another's, and whose signature is the hub's
/// own: that is the proof, whoever brings it. `known` is the grant of its number, where the hub has
/// one.
pub fn decide_adoption(known: Option<&Grant>, told: &Grant) -> Adoption {
    match known {
        None => Adoption::Adopt,
        Some(known) if known == told => Adoption::Known,
        Some(_) => Adoption::Strange,
    }
}

/// The nodes among those named that a hub has to wait for, each once: it does not know them. What
/// names them is hearsay, so one teller names [`UNKNOWN_TOLD_MAX`] at most.
pub fn unheard_of(
    named: impl IntoIterator<Item = NodeId>,
    by: NodeId,
    known: impl Fn(NodeId) -> bool,
) -> BTreeSet<NodeId> {
    let mut unknown = BTreeSet::new();
    for node in named {
        if unknown.len() == UNKNOWN_TOLD_MAX {
            break;
        }
        if node != by && !known(node) {
            unknown.insert(node);
        }
    }
    unknown
}

/// Who owns seat-legs of one trip, one word of leg bits a seat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned(BTreeMap<SeatNo, u64>);

impl Owned {
    /// Adds some legs of a seat.
    pub fn add(&mut self, claim: SeatClaim) {
        *self.0.entry(claim.seat).or_default() |= claim.legs.mask();
    }

    /// Whether somebody owns some of the claim.
    pub fn overlaps(&self, claim: SeatClaim) -> bool {
        let owned = self.0.get(&claim.seat).copied().unwrap_or(0);
        owned & claim.legs.mask() != 0
    }

    /// What of a claim nobody owns, in order; it is owned afterwards.
    pub fn cover(&mut self, claim: SeatClaim) -> Vec<SeatClaim> {
        let owned = self.0.entry(claim.seat).or_default();
        let open = claim.legs.mask() & !*owned;
        *owned |= open;
        let seat = claim.seat;
        runs(open)
            .into_iter()
            .map(|legs| SeatClaim { seat, legs })
            .collect()
    }
}

/// The runs of set bits, as legs.
pub fn runs(mask: u64) -> Vec<Legs> {
    let mut runs = vec![];
    let mut from = 0u8;
    while from < LEGS_MAX {
        let rest = mask >> from;
        if rest == 0 {
            break;
        }
        from += rest.trailing_zeros() as u8;
        let len = (mask >> from).trailing_ones() as u8;
        runs.extend(Legs::new(
            crate::ids::StopSeq(from),
            crate::ids::StopSeq(from + len),
        ));
        from += len;
    }
    runs
}

#[cfg(test)]
mod tests;
