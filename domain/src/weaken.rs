//! Deliberate weakenings, to prove that the tests see each of them.
//!
//! Without the test-only feature `weaken` every question is answered `false` at compile time.

/// One rule that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Weakness {
    /// The grantor hands out seats of a lease past its `sell_until`.
    RegrantOnExpiry = 1,
    /// The hub tells the node a stored position before it has stored it.
    CursorBeforeCommit,
    /// The hub knows events by their place in a batch, not by position and hash.
    BatchDerivedIdentity,
    /// Ingest takes a sale without looking whether its lease holds the seat.
    NoContainmentCheck,
    /// A node hands out a ticket before the sale is committed.
    PrintBeforeCommit,
    /// A repeated lease request is granted again.
    RetryGetsSecondGrant,
    /// The hub sells without the row lock; only the constraint is left.
    NoBookingLock,
    /// A restored hub sells at once, whatever nodes were granted after the backup.
    NoFreezeAfterRestore,
    /// A late sale is taken on the seat of the number it was sold under, in whatever bus.
    LateSaleKeepsItsNumber,
    /// Undoing a swap leaves what was sold since on the seat of the other bus.
    UndoForgetsLaterSales,
}

impl Weakness {
    /// Every weakness, for a run over all of them.
    pub const ALL: [Self; 10] = [
        Self::RegrantOnExpiry,
        Self::CursorBeforeCommit,
        Self::BatchDerivedIdentity,
        Self::NoContainmentCheck,
        Self::PrintBeforeCommit,
        Self::RetryGetsSecondGrant,
        Self::NoBookingLock,
        Self::NoFreezeAfterRestore,
        Self::LateSaleKeepsItsNumber,
        Self::UndoForgetsLaterSales,
    ];
}

#[cfg(feature = "weaken")]
static ACTIVE: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Switches one rule off for the whole process, or all of them back on.
#[cfg(feature = "weaken")]
pub fn activate(weakness: Option<Weakness>) {
    ACTIVE.store(
        weakness.map_or(0, |w| w as u8),
        core::sync::atomic::Ordering::SeqCst,
    );
}

/// Whether this rule is switched off.
#[cfg(feature = "weaken")]
pub fn weakened(weakness: Weakness) -> bool {
    ACTIVE.load(core::sync::atomic::Ordering::Relaxed) == weakness as u8
}

/// Whether this rule is switched off: never, in a product build.
#[cfg(not(feature = "weaken"))]
pub const fn weakened(_: Weakness) -> bool {
    false
}
