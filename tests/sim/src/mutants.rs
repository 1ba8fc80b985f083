//! The hunt: each rule is switched off in turn, and the world must notice.

use domain::weaken::{Weakness, activate};
use serde::Serialize;
use sim::world::run_seed;

/// The rules that this world can see broken; the hub's row lock is tested on real Postgres.
const HUNTED: [Weakness; 9] = [
    Weakness::RegrantOnExpiry,
    Weakness::CursorBeforeCommit,
    Weakness::BatchDerivedIdentity,
    Weakness::NoContainmentCheck,
    Weakness::PrintBeforeCommit,
    Weakness::RetryGetsSecondGrant,
    Weakness::NoFreezeAfterRestore,
    Weakness::LateSaleKeepsItsNumber,
    Weakness::UndoForgetsLaterSales,
];

/// What became of one mutant.
#[derive(Debug, Serialize)]
pub struct Hunted {
    /// Which rule was off.
    pub mutant: String,
    /// The law that caught it.
    pub caught_by: Option<String>,
    /// What it saw.
    pub evidence: Option<String>,
    /// How many seeds it took.
    pub seeds: u64,
    /// How many operations it took, over all these seeds.
    pub operations: u64,
}

/// Hunts every mutant over at most `seeds` seeds each.
pub fn hunt_all(first: u64, seeds: u64) -> Vec<Hunted> {
    let found = HUNTED.map(|weakness| {
        activate(Some(weakness));
        let hunted = hunt(weakness, first, seeds);
        activate(None);
        match &hunted.caught_by {
            Some(law) => println!(
                "{:<22} caught by \"{law}\" after {} seeds, {} operations",
                hunted.mutant, hunted.seeds, hunted.operations
            ),
            None => println!("{:<22} NOT CAUGHT in {} seeds", hunted.mutant, hunted.seeds),
        }
        hunted
    });
    found.into()
}

fn hunt(weakness: Weakness, first: u64, seeds: u64) -> Hunted {
    let mut hunted = Hunted {
        mutant: format!("{weakness:?}"),
        caught_by: None,
        evidence: None,
        seeds: 0,
        operations: 0,
    };
    for seed in first..first + seeds {
        let outcome = run_seed(seed);
        hunted.seeds += 1;
        hunted.operations += outcome.took_effect.values().sum::<u64>();
        if let Some(violation) = outcome.violation {
            hunted.caught_by = Some(violation.law.to_owned());
            hunted.evidence = Some(violation.what);
            break;
        }
    }
    hunted
}
