// Worlds that once broke a law, shrunk to what matters.

use crate::ops::Op;
use crate::world::{Step, run_script};

/// A node came back with a disk from before its shift opened. It numbered its next shift like
/// the lost one, and the hub quarantined every sale in it: nothing was open under that number.
#[test]
fn a_restored_station_never_reuses_a_shift_number() {
    let outcome = run_script(93, &[
        Step { op: Op::Sell { node: 1, trip: 1, to: 81, party: 2 }, wait_ms: 132 },
        Step { op: Op::CloseShift { node: 1, off_by: -89 }, wait_ms: 89827 },
        Step { op: Op::RestoreOldDisk { node: 1, back: 52 }, wait_ms: 375 },
        Step { op: Op::OpenShift { node: 0 }, wait_ms: 133_237 },
        Step { op: Op::TopUp { node: 1, trip: 0, to: 149, count: 3 }, wait_ms: 56150 },
        Step { op: Op::Sell { node: 1, trip: 0, to: 33, party: 1 }, wait_ms: 905 },
    ]);
    assert_eq!(outcome.violation, None);
    assert!(outcome.took_effect.contains_key("restore_old_disk"), "the disk was older");
    assert!(outcome.took_effect.get("sell").is_some_and(|n| *n == 2), "both sales took effect");
}
