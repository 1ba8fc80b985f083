//! A failing seed as a short script: operations that can be left out are left out.

use crate::world::{Outcome, Step, run_script};

/// The most runs that shrinking may take.
const RUNS_MAX: usize = 400;

/// Leaves out steps, large pieces first, as long as the same law breaks.
pub fn shrink(outcome: &Outcome) -> Outcome {
    let Some(violation) = &outcome.violation else {
        return outcome.clone();
    };
    let law = violation.law;
    let mut best = outcome.clone();
    best.script
        .truncate(best.broke_at.map_or(best.script.len(), |at| at + 1));
    let mut piece = best.script.len().div_ceil(2);
    let mut runs = 0;
    while piece > 0 && runs < RUNS_MAX {
        let mut from = 0;
        while from < best.script.len() && runs < RUNS_MAX {
            let mut shorter: Vec<Step> = best.script.clone();
            shorter.drain(from..(from + piece).min(shorter.len()));
            runs += 1;
            let tried = run_script(outcome.seed, &shorter);
            if tried.violation.as_ref().is_some_and(|v| v.law == law) {
                best = tried;
                best.script
                    .truncate(best.broke_at.map_or(best.script.len(), |at| at + 1));
            } else {
                from += piece;
            }
        }
        piece /= 2;
    }
    best
}

/// The script as it can be pasted into a reproduction.
pub fn print(outcome: &Outcome) -> String {
    let broken = outcome.violation.as_ref();
    let broken = broken.map_or(String::new(), |v| {
        format!(", breaks \"{}\": {}", v.law, v.what)
    });
    let steps: Vec<String> = outcome
        .script
        .iter()
        .map(|Step { op, wait_ms }| format!("    Step {{ op: Op::{op:?}, wait_ms: {wait_ms} }},\n"))
        .collect();
    format!(
        "// seed {seed}, {count} steps{broken}\nlet outcome = run_script({seed}, &[\n{steps}]);",
        seed = outcome.seed,
        count = steps.len(),
        steps = steps.concat(),
    )
}
