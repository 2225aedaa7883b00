//! Counting what the standard test runner prints.

use std::{collections::BTreeMap, env, fmt, mem, process::ExitCode, time::Duration};

/// Reads the runner's lines, of one test binary after the other.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Counts,
    /// Between a binary's first and last line.
    running: bool,
    part: Part,
    /// Tests of the current binary that said they skip.
    said_skipped: usize,
    /// How long tests took, as far as they say so.
    took: BTreeMap<String, Duration>,
}

/// How many of the slowest tests are named.
const NAMED: usize = 20;
/// The least duration of a test that is listed as slow.
const SLOW: Duration = Duration::from_secs(2);

/// The position in a binary's output.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    /// Progress, failures, results.
    #[default]
    Told,
    /// The output of a successful test, of which only skips and notes are printed; `counted` is whether its skip was counted.
    Successes { test: String, counted: bool },
}

/// How a test of the lab says how many seconds it took.
const TOOK: &str = "took: ";

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ran and succeeded.
    pub passed: usize,
    /// Ran and failed, or were killed.
    pub failed: usize,
    /// Did not run, or said that the machine lacks something.
    pub skipped: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Counts {
    /// Say what was counted, and whether that is good: no test failed, and some test ran where only some were asked for.
    #[must_use]
    pub fn conclude(self, is_filtered: bool) -> ExitCode {
        // In CI a skipped test is a check that was not made.
        let strict = env::var_os("CI").is_some_and(|value| value == "true");
        if strict && self.skipped > 0 {
            println!("\nskipped tests are failures in CI");
        }
        let nothing = is_filtered && self == Self::default();
        if nothing {
            println!("\nno test name contains that");
        }
        println!("\n{self}");
        let good = !nothing && self.failed == 0 && !(strict && self.skipped > 0);
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Tally {
    /// Read a line. Returns whether it is for people.
    pub fn read(&mut self, line: &str) -> bool {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.running = false;
            self.part = Part::Told;
            self.add(result);
            return true;
        }
        if is_start(line) {
            self.note_death();
            self.running = true;
            self.part = Part::Told;
            return true;
        }
        match line {
            "successes:" => self.part = Part::Successes { test: String::new(), counted: false },
            "failures:" => self.part = Part::Told,
            _ => {}
        }
        match &mut self.part {
            Part::Told => true,
            Part::Successes { test, counted } => {
                if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
                    (*test, *counted) = (name.to_owned(), false);
                }
                if let Some(took) = line.strip_prefix(TOOK).and_then(|seconds| seconds.parse().ok()) {
                    self.took.insert(test.clone(), Duration::from_secs_f64(took));
                }
                let says_so = line.starts_with("skipped: ");
                if says_so && !mem::replace(counted, true) {
                    self.said_skipped += 1;
                }
                // A note of a passed test: how near it came to a limit.
                says_so || line.starts_with("noted: ")
            }
        }
    }

    /// The slowest tests, a line each.
    #[must_use]
    pub fn slowest(&self) -> String {
        let mut slow: Vec<_> = self.took.iter().filter(|(_, took)| **took >= SLOW).collect();
        slow.sort_by_key(|(_, took)| std::cmp::Reverse(**took));
        let lines = slow.iter().take(NAMED).map(|(test, took)| format!("{:>6.1} s  {test}\n", took.as_secs_f64()));
        lines.collect()
    }

    /// The sum, when there is nothing more to read. A run that did not succeed though no test failed was not built, or was killed.
    #[must_use]
    pub fn finish(mut self, succeeded: bool) -> Counts {
        self.note_death();
        print!("\n{}", self.slowest());
        if !succeeded && self.counts.failed == 0 {
            self.counts.failed = 1;
        }
        self.counts
    }

    /// A binary that began and never told its result was killed, or exited in the middle of a test.
    fn note_death(&mut self) {
        if mem::take(&mut self.running) {
            println!("a test binary ended without a result: counted as a failure");
            self.counts.failed += 1;
        }
    }

    fn add(&mut self, result: &str) {
        let count = |what: &str| {
            let mut parts = result.split([';', '.']).map(str::trim);
            parts.find_map(|part| part.strip_suffix(what)?.trim().parse::<usize>().ok()).unwrap_or(0)
        };
        // To the runner, what returned has passed.
        let said_skipped = mem::take(&mut self.said_skipped);
        self.counts.passed += count("passed").saturating_sub(said_skipped);
        self.counts.failed += count("failed");
        self.counts.skipped += count("ignored") + said_skipped;
    }
}

/// `running 3 tests`, `running 1 test`
fn is_start(line: &str) -> bool {
    let count = line.strip_prefix("running ").and_then(|rest| rest.split_once(' '));
    count.is_some_and(|(count, tests)| count.parse::<usize>().is_ok() && ["test", "tests"].contains(&tests))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum, and the lines that were told.
    fn tally(output: &str, succeeded: bool) -> (String, Vec<&str>) {
        let mut tally = Tally::default();
        let told = output.lines().filter(|line| tally.read(line)).collect();
        (tally.finish(succeeded).to_string(), told)
    }

    #[test]
    fn results_of_all_binaries_are_summed() {
        let output = "running 3 tests\n\
                      test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
                      running 1 test\n\
                      test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        assert_eq!(tally(output, false).0, "2 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_says_it_skips_has_not_passed() {
        let output = "running 2 tests\ntest a ... ok\ntest b ... ok\n\nsuccesses:\n\n\
                      ---- a stdout ----\nskipped: a: no Docker\nskipped: a: and no IPv6\n\n\
                      ---- b stdout ----\nall is well\nnoted: one of two\n\n\nsuccesses:\n    a\n    b\n\n\
                      test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        let (counts, told) = tally(output, true);
        assert_eq!(counts, "1 passed, 0 failed, 1 skipped");
        assert!(told.contains(&"skipped: a: no Docker") && told.contains(&"test b ... ok"), "{told:?}");
        assert!(told.contains(&"noted: one of two"), "{told:?}");
        assert!(!told.contains(&"all is well") && !told.contains(&"    a"), "{told:?}");
    }

    #[test]
    fn the_slowest_tests_are_named_the_slowest_first() {
        let mut tally = Tally::default();
        let output = "running 3 tests\nsuccesses:\n\n---- a stdout ----\ntook: 2.5\n\n---- b stdout ----\ntook: 12.04\n\n\
                      ---- c stdout ----\ntook: 0.1\n";
        output.lines().for_each(|line| {
            tally.read(line);
        });
        assert_eq!(tally.slowest(), "  12.0 s  b\n   2.5 s  a\n");
    }

    #[test]
    fn what_a_failing_test_printed_is_told_and_is_no_skip() {
        let output = "running 1 test\ntest a ... FAILED\n\nsuccesses:\n\nsuccesses:\n\nfailures:\n\n\
                      ---- a stdout ----\nskipped: a: half of it\nboom\n\n\nfailures:\n    a\n\n\
                      test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        let (counts, told) = tally(output, false);
        assert_eq!(counts, "0 passed, 1 failed, 0 skipped");
        assert!(told.contains(&"boom"), "{told:?}");
    }

    #[test]
    fn a_binary_that_is_killed_is_a_failure() {
        let output = "running 2 tests\ntest a ... ok\n\
                      running 1 test\n\
                      test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        assert_eq!(tally(output, false).0, "1 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn tests_that_do_not_compile_are_a_failure() {
        assert_eq!(tally("", false).0, "0 passed, 1 failed, 0 skipped");
    }
}
