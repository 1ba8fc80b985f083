//! How many tests passed and failed, read from the last lines of the test runners.

/// Passed and failed, summed over runners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests or steps that passed.
    pub passed: u64,
    /// Tests or steps that failed, timed out or could not be started.
    pub failed: u64,
}

impl Counts {
    /// One step, passed or failed.
    pub fn of_step(passed: bool) -> Self {
        Self {
            passed: u64::from(passed),
            failed: u64::from(!passed),
        }
    }

    /// Adds another runner's numbers.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// A program that runs tests and sums them up in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// cargo-nextest: one summary line at the end.
    Nextest,
    /// cargo test: one result line per test program.
    CargoTest,
}

/// Reads nextest's `Summary [...]` line or cargo test's `test result:` line; other lines say
/// nothing. Each runner is read by its own line only, since nextest repeats the other one when it
/// shows what a failed test printed.
pub fn parse(runner: Runner, line: &str) -> Option<Counts> {
    let line = line.trim_start();
    match runner {
        Runner::CargoTest => {
            let rest = line.strip_prefix("test result:")?;
            Some(sum(rest.split([';', '.'])))
        }
        Runner::Nextest => {
            let (_, rest) = line.strip_prefix("Summary [")?.split_once(" run: ")?;
            Some(sum(without_parentheses(rest).split(',')))
        }
    }
}

/// The name of a test that this line says has failed.
pub fn failed_test(runner: Runner, line: &str) -> Option<String> {
    let line = line.trim_start();
    match runner {
        Runner::CargoTest => {
            let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
            Some(name.to_owned())
        }
        Runner::Nextest => {
            let (verdict, rest) = line.split_once(" [")?;
            if !matches!(verdict, "FAIL" | "TIMEOUT" | "XFAIL") && !verdict.starts_with("SIG") {
                return None;
            }
            let (_, name) = rest.split_once("] ")?;
            // `(26/63) udp-relay tests::claim`: the position differs between the two mentions.
            let name = name.trim_start();
            Some(
                match name.strip_prefix('(').and_then(|n| n.split_once(") ")) {
                    Some((_, name)) => name.to_owned(),
                    None => name.to_owned(),
                },
            )
        }
    }
}

/// nextest says `44 passed (1 slow, 2 leaky)`: the part in parentheses is counted already.
fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|c| match c {
            '(' => {
                depth += 1;
                false
            }
            ')' => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0,
        })
        .collect()
}

fn sum<'a>(parts: impl Iterator<Item = &'a str>) -> Counts {
    let mut counts = Counts::default();
    for part in parts {
        let Some((number, what)) = part.trim().split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match what.trim() {
            "passed" => counts.passed += number,
            "failed" | "timed out" | "exec failed" => counts.failed += number,
            // Skipped, ignored, filtered out: neither passed nor failed.
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(runner: Runner, line: &str, passed: u64, failed: u64) {
        assert_eq!(
            parse(runner, line),
            Some(Counts { passed, failed }),
            "{line}"
        );
    }

    #[test]
    fn nextest_summaries_are_counted() {
        check(
            Runner::Nextest,
            "     Summary [   0.123s] 45 tests run: 44 passed (1 slow), 1 failed, 2 skipped",
            44,
            1,
        );
        check(
            Runner::Nextest,
            "Summary [0.01s] 1 test run: 1 passed, 0 skipped",
            1,
            0,
        );
        check(
            Runner::Nextest,
            "Summary [ 9.1s] 12/45 tests run: 9 passed (2 slow, 1 leaky), 1 failed, 1 timed out, 1 exec failed, 0 skipped",
            9,
            3,
        );
        check(
            Runner::Nextest,
            "Summary [0.0s] 0 tests run: 0 passed, 0 skipped",
            0,
            0,
        );
    }

    #[test]
    fn cargo_test_results_are_counted() {
        check(
            Runner::CargoTest,
            "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.04s",
            5,
            2,
        );
        check(
            Runner::CargoTest,
            "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
            7,
            0,
        );
    }

    #[test]
    fn other_lines_say_nothing() {
        let pass = "        PASS [   0.004s] domain money::tests::adds";
        assert_eq!(parse(Runner::Nextest, pass), None);
        assert_eq!(parse(Runner::CargoTest, "3 passed, 1 failed"), None);
        // nextest shows what a failed test printed.
        let repeated = "    test result: FAILED. 0 passed; 1 failed; 0 ignored";
        assert_eq!(parse(Runner::Nextest, repeated), None);
    }

    #[test]
    fn failed_tests_are_named_once_however_often_they_are_mentioned() {
        let named = |line| failed_test(Runner::Nextest, line);
        let expected = Some("udp-relay tests::drops".to_owned());
        assert_eq!(
            named("        FAIL [   0.103s] (26/63) udp-relay tests::drops"),
            expected
        );
        assert_eq!(
            named("     SIGABRT [   0.103s] (27/63) udp-relay tests::drops"),
            expected
        );
        assert_eq!(
            named("     TIMEOUT [ 600.003s] udp-relay tests::drops"),
            expected
        );
        assert_eq!(
            named("        PASS [   0.103s] (26/63) udp-relay tests::drops"),
            None
        );
        assert_eq!(
            named("  TERMINATING [> 600.000s] udp-relay tests::drops"),
            None
        );
        assert_eq!(
            failed_test(Runner::CargoTest, "test tests::drops ... FAILED"),
            Some("tests::drops".to_owned())
        );
    }
}
