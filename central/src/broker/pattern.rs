//! Topic patterns, as AMQP has them: words between dots, `*` for one, `#` for any number.

/// Whether a kind fits a pattern.
pub(super) fn matches(pattern: &str, kind: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let kind: Vec<&str> = kind.split('.').collect();
    // Which lengths of the pattern fit the words so far: bounded work, whatever the pattern.
    let mut fits = vec![false; pattern.len() + 1];
    fits[0] = true;
    skip_hashes(&pattern, &mut fits);
    for word in kind {
        let mut next = vec![false; pattern.len() + 1];
        for (at, wanted) in pattern.iter().enumerate() {
            if !fits[at] {
                continue;
            }
            if *wanted == "#" {
                next[at] = true;
            } else if *wanted == "*" || *wanted == word {
                next[at + 1] = true;
            }
        }
        skip_hashes(&pattern, &mut next);
        fits = next;
    }
    fits.last().copied().unwrap_or_default()
}

fn skip_hashes(pattern: &[&str], fits: &mut [bool]) {
    for (at, wanted) in pattern.iter().enumerate() {
        if *wanted == "#" && fits[at] {
            fits[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_are_one_word_and_hashes_are_any_number() {
        for (pattern, kind, fits) in [
            ("trip.delayed", "trip.delayed", true),
            ("trip.delayed", "trip.cancelled", false),
            ("trip.*", "trip.delayed", true),
            ("trip.*", "trip", false),
            ("trip.*", "trip.delayed.again", false),
            ("#", "trip.delayed", true),
            ("#", "", true),
            ("trip.#", "trip", true),
            ("trip.#.end", "trip.a.b.end", true),
            ("trip.#.end", "trip.a.b", false),
            ("*.#.*", "a.b", true),
            ("*.#.*", "a", false),
        ] {
            assert_eq!(matches(pattern, kind), fits, "{pattern} {kind}");
        }
    }
}
