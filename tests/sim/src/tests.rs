//! The world itself is held to its word, and every bug that it found is told again.

use crate::world::{run_script, run_seed, script_of};

mod reproductions {
    include!("../reproductions/found.rs");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (first, again) = (run_seed(7), run_seed(7));
    assert_eq!(first.trace_hash, again.trace_hash);
    assert_ne!(first.trace_hash, run_seed(8).trace_hash);
}

#[test]
fn a_script_runs_as_its_seed_did() {
    assert_eq!(
        run_script(7, &script_of(7)).trace_hash,
        run_seed(7).trace_hash
    );
}

#[test]
fn no_law_breaks_in_twenty_seeds() {
    for seed in 1..=20 {
        let outcome = run_seed(seed);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.tickets > 0, "seed {seed} sold nothing");
    }
}
