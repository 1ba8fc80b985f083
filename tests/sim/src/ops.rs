//! Everything that can happen, as one enum. An operation counts only when it took effect.

use serde::Serialize;

use crate::dice::Dice;

/// Stations and the bus, by index: 0 and 1 sell, 2 validates.
pub const STATIONS: u8 = 2;
/// The bus.
pub const BUS: u8 = 2;
/// All nodes.
pub const NODES: u8 = 3;
/// Trips of the world.
pub const TRIPS: u8 = 3;

/// One thing that happens. Small numbers are taken modulo what there is when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Op {
    /// An agent begins to sell.
    OpenShift { node: u8 },
    /// An agent counts the drawer, wrong by this much.
    CloseShift { node: u8, off_by: i8 },
    /// Tickets are sold out of the node's leases.
    Sell {
        node: u8,
        trip: u8,
        to: u8,
        party: u8,
    },
    /// The last sale's command is given again, as after a lost answer.
    Retry { node: u8 },
    /// A ticket is taken back.
    Void { node: u8, nth: u8 },
    /// A passenger shows a ticket to the bus.
    Scan { nth: u16, trip: u8 },
    /// A node asks for seats.
    TopUp {
        node: u8,
        trip: u8,
        to: u8,
        count: u8,
    },
    /// A node gives a lease back.
    Surrender { node: u8, nth: u8 },
    /// A customer books out of the hub's pool.
    Book { trip: u8, from: u8, to: u8 },
    /// The office puts a trip into another bus.
    SwapBus { trip: u8, layout: u8 },
    /// The office takes a swap back.
    UndoSwap { nth: u8 },
    /// A stolen device signs a sale of a seat it was never granted.
    SellOutsideLease { node: u8, trip: u8, seat: u8 },
    /// A node's process is killed.
    Crash { node: u8 },
    /// A node's power fails in the middle of a sale's commit.
    CrashInCommit { node: u8, trip: u8, to: u8 },
    /// A node's power fails; what was not flushed (the sidecar's last writes) is gone.
    LoseUnsyncedDisk { node: u8, writes: u8 },
    /// A node comes back with the disk of an earlier time.
    RestoreOldDisk { node: u8, back: u8 },
    /// The hub's process is killed and comes back.
    CrashHub,
    /// The hub's disk is lost; it comes back from a backup.
    RestoreHub { back: u8 },
    /// A node's network is cut.
    Partition { node: u8 },
    /// A node's network is back.
    Heal { node: u8, reconnect: bool },
    /// The next frame of a node's link is lost.
    Drop { node: u8 },
    /// The next frame is delivered twice.
    Duplicate { node: u8 },
    /// The next frame is overtaken by those after it.
    Reorder { node: u8 },
    /// A node's clock jumps by up to ten minutes either way.
    ClockStep { node: u8, secs: i16 },
}

impl Op {
    /// Its name, for counting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenShift { .. } => "open_shift",
            Self::CloseShift { .. } => "close_shift",
            Self::Sell { .. } => "sell",
            Self::Retry { .. } => "retry",
            Self::Void { .. } => "void",
            Self::Scan { .. } => "scan",
            Self::TopUp { .. } => "top_up",
            Self::Surrender { .. } => "surrender",
            Self::Book { .. } => "book",
            Self::SwapBus { .. } => "swap_bus",
            Self::UndoSwap { .. } => "undo_swap",
            Self::SellOutsideLease { .. } => "sell_outside_lease",
            Self::Crash { .. } => "crash",
            Self::CrashInCommit { .. } => "crash_in_commit",
            Self::LoseUnsyncedDisk { .. } => "lose_unsynced_disk",
            Self::RestoreOldDisk { .. } => "restore_old_disk",
            Self::CrashHub => "crash_hub",
            Self::RestoreHub { .. } => "restore_hub",
            Self::Partition { .. } => "partition",
            Self::Heal { .. } => "heal",
            Self::Drop { .. } => "drop",
            Self::Duplicate { .. } => "duplicate",
            Self::Reorder { .. } => "reorder",
            Self::ClockStep { .. } => "clock_step",
        }
    }

    /// Every name, so that one that never took effect shows with a zero.
    pub const NAMES: [&'static str; 24] = [
        "open_shift",
        "close_shift",
        "sell",
        "retry",
        "void",
        "scan",
        "top_up",
        "surrender",
        "book",
        "swap_bus",
        "undo_swap",
        "sell_outside_lease",
        "crash",
        "crash_in_commit",
        "lose_unsynced_disk",
        "restore_old_disk",
        "crash_hub",
        "restore_hub",
        "partition",
        "heal",
        "drop",
        "duplicate",
        "reorder",
        "clock_step",
    ];

    /// A random operation.
    pub fn roll(dice: &mut Dice) -> Self {
        let weight = dice.below(1000);
        let node = dice.below(NODES.into()) as u8;
        let station = dice.below(STATIONS.into()) as u8;
        let trip = dice.below(TRIPS.into()) as u8;
        let mut small = || dice.below(256) as u8;
        match weight {
            0..16 => Self::SwapBus {
                trip,
                layout: small(),
            },
            16..42 => Self::UndoSwap { nth: small() },
            42..270 => Self::Sell {
                node: station,
                trip,
                to: small(),
                party: 1 + small() % 3,
            },
            270..390 => Self::Scan {
                nth: u16::from(small()) << 8 | u16::from(small()),
                trip,
            },
            390..490 => Self::TopUp {
                node: station,
                trip,
                to: small(),
                count: 1 + small() % 4,
            },
            490..540 => Self::Void {
                node: station,
                nth: small(),
            },
            540..580 => Self::Retry { node: station },
            580..630 => Self::Book {
                trip,
                from: small(),
                to: small(),
            },
            630..665 => Self::Surrender {
                node: station,
                nth: small(),
            },
            665..700 => Self::OpenShift { node: station },
            700..720 => Self::CloseShift {
                node: station,
                off_by: small() as i8,
            },
            720..735 => Self::SellOutsideLease {
                node: station,
                trip,
                seat: small(),
            },
            735..755 => Self::Crash { node },
            755..775 => Self::CrashInCommit {
                node: station,
                trip,
                to: small(),
            },
            775..790 => Self::LoseUnsyncedDisk {
                node,
                writes: small() % 4,
            },
            790..800 => Self::RestoreOldDisk {
                node,
                back: small(),
            },
            800..815 => Self::CrashHub,
            815..850 => Self::Partition { node },
            850..890 => Self::Heal {
                node,
                reconnect: small() % 2 == 0,
            },
            890..920 => Self::Drop { node },
            920..945 => Self::Duplicate { node },
            945..970 => Self::Reorder { node },
            970..978 => Self::RestoreHub { back: small() },
            _ => {
                let secs = (u16::from(small()) << 8 | u16::from(small())) % 1201;
                Self::ClockStep {
                    node,
                    secs: secs as i16 - 600,
                }
            }
        }
    }
}
