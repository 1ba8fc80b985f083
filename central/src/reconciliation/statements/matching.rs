//! Which of our movements a statement's line is. Pure.

use std::collections::{BTreeMap, BTreeSet};

use domain::time::Instant;
use uuid::Uuid;

/// How far the two clocks may be apart, in ms.
const WINDOW_MS: i64 = 36 * 3_600_000;

/// A movement that we know of and that no line explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// `payment`, `refund` or `entry`.
    pub kind: &'static str,
    /// Which.
    pub id: Uuid,
    /// What it is known by, here and at the provider.
    pub references: Vec<String>,
    /// To us positive.
    pub amount_minor: i64,
    /// When.
    pub at: Instant,
    /// The payer's phone, as a keyed hash.
    pub phone: Option<Vec<u8>>,
}

/// A line that nothing of ours explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theirs {
    /// Which.
    pub id: Uuid,
    /// Theirs and what we had told them.
    pub references: Vec<String>,
    /// To us positive.
    pub amount_minor: i64,
    /// When, by the statement.
    pub at: Instant,
    /// The payer's phone, as a keyed hash.
    pub phone: Option<Vec<u8>>,
}

/// A line and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The line.
    pub line: Uuid,
    /// `payment`, `refund` or `entry`.
    pub kind: &'static str,
    /// Which.
    pub id: Uuid,
    /// `reference` or `amount`.
    pub by: &'static str,
}

/// Matches by reference and amount first, then by amount, time and phone where exactly one line
/// and one movement fit each other. Nothing is matched twice.
pub fn matches(theirs: &[Theirs], ours: &[Ours]) -> Vec<Match> {
    let mut found = vec![];
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    let mut by_reference: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, movement) in ours.iter().enumerate() {
        for reference in movement.references.iter().filter(|r| !r.is_empty()) {
            by_reference.entry(reference).or_default().push(index);
        }
    }
    let mut rest = vec![];
    for line in theirs {
        let named = line
            .references
            .iter()
            .filter_map(|r| by_reference.get(r.as_str()));
        let fits = |i: &usize| !taken.contains(i) && ours[*i].amount_minor == line.amount_minor;
        let hit = named.flatten().copied().find(|i| fits(i));
        match hit {
            Some(index) => {
                taken.insert(index);
                found.push(pair(line, &ours[index], "reference"));
            }
            None => rest.push(line),
        }
    }
    let mut by_amount: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (index, movement) in ours.iter().enumerate().filter(|(i, _)| !taken.contains(i)) {
        by_amount
            .entry(movement.amount_minor)
            .or_default()
            .push(index);
    }
    let candidates: Vec<Vec<usize>> = rest
        .iter()
        .map(|line| {
            let same = by_amount.get(&line.amount_minor).into_iter().flatten();
            same.copied().filter(|i| near(line, &ours[*i])).collect()
        })
        .collect();
    let mut wanted: BTreeMap<usize, usize> = BTreeMap::new();
    for index in candidates.iter().flatten() {
        *wanted.entry(*index).or_default() += 1;
    }
    for (line, fits) in rest.iter().zip(&candidates) {
        if let [only] = fits[..]
            && wanted.get(&only) == Some(&1)
        {
            found.push(pair(line, &ours[only], "amount"));
        }
    }
    found
}

fn pair(line: &Theirs, ours: &Ours, by: &'static str) -> Match {
    Match {
        line: line.id,
        kind: ours.kind,
        id: ours.id,
        by,
    }
}

/// Where both know a phone number it has to be the same.
fn near(line: &Theirs, ours: &Ours) -> bool {
    let phones = match (&line.phone, &ours.phone) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    phones && (line.at.0 - ours.at.0).abs() <= WINDOW_MS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn theirs(id: u128, reference: &str, amount: i64, at: i64) -> Theirs {
        Theirs {
            id: Uuid::from_u128(id),
            references: vec![reference.to_owned()],
            amount_minor: amount,
            at: Instant(at),
            phone: None,
        }
    }

    fn ours(id: u128, reference: &str, amount: i64, at: i64) -> Ours {
        Ours {
            kind: "payment",
            id: Uuid::from_u128(id),
            references: vec![reference.to_owned()],
            amount_minor: amount,
            at: Instant(at),
            phone: None,
        }
    }

    #[test]
    fn a_reference_comes_before_an_amount_and_two_that_fit_are_left_to_a_person() {
        let lines = [
            theirs(1, "a", 100, 0),
            theirs(2, "", 200, 0),
            theirs(3, "", 300, 0),
        ];
        let known = [
            ours(11, "a", 100, WINDOW_MS * 9),
            ours(12, "", 200, 60_000),
            ours(13, "", 300, 0),
            ours(14, "", 300, 1),
        ];
        let found = matches(&lines, &known);
        let got: Vec<_> = found
            .iter()
            .map(|m| (m.line.as_u128(), m.id.as_u128(), m.by))
            .collect();
        assert_eq!(got, [(1, 11, "reference"), (2, 12, "amount")]);
        let mut phoned = lines[1].clone();
        phoned.phone = Some(vec![1]);
        let mut other = known[1].clone();
        other.phone = Some(vec![2]);
        assert!(matches(&[phoned], &[other]).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_matched_twice_and_amounts_agree(
            lines in prop::collection::vec((0_u8..4, 1_i64..4, 0_i64..3), 0..12),
            known in prop::collection::vec((0_u8..4, 1_i64..4, 0_i64..3), 0..12),
        ) {
            let name = |n: u8| if n == 0 { String::new() } else { n.to_string() };
            let lines: Vec<_> = lines.iter().enumerate()
                .map(|(i, (r, a, t))| theirs(i as u128, &name(*r), *a, t * WINDOW_MS)).collect();
            let known: Vec<_> = known.iter().enumerate()
                .map(|(i, (r, a, t))| ours(i as u128, &name(*r), *a, t * WINDOW_MS)).collect();
            let found = matches(&lines, &known);
            let once: BTreeSet<_> = found.iter().map(|m| m.line).collect();
            let ids: BTreeSet<_> = found.iter().map(|m| m.id).collect();
            prop_assert_eq!((once.len(), ids.len()), (found.len(), found.len()));
            for m in &found {
                let a = lines[m.line.as_u128() as usize].amount_minor;
                prop_assert_eq!(a, known[m.id.as_u128() as usize].amount_minor);
            }
        }
    }
}
