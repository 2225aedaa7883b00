//! Counting what the standard test runner prints.

use std::{fmt, mem};

/// Reads the runner's lines, of one test binary after the other.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Counts,
    /// Between a binary's first and last line.
    running: bool,
    part: Part,
    /// Tests of the current binary that said they skip.
    said_skipped: usize,
}

/// Where in a binary's output we are.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    /// Progress, failures, results.
    #[default]
    Told,
    /// What successful tests printed, of which only skipping and notes are told. Whether the current test's skipping was counted.
    Successes { counted: bool },
}

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Tally {
    /// Read a line. Returns whether it is for people.
    pub(super) fn read(&mut self, line: &str) -> bool {
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
            "successes:" => self.part = Part::Successes { counted: false },
            "failures:" => self.part = Part::Told,
            _ => {}
        }
        match &mut self.part {
            Part::Told => true,
            Part::Successes { counted } => {
                if line.starts_with("---- ") && line.ends_with(" stdout ----") {
                    *counted = false;
                }
                let says_so = line.starts_with("skipped: ");
                if says_so && !mem::replace(counted, true) {
                    self.said_skipped += 1;
                }
                // What is worth knowing of a test that passed: how near it came to a limit.
                says_so || line.starts_with("noted: ")
            }
        }
    }

    /// The sum, when there is nothing more to read. A run that did not succeed though no test failed was not built, or was killed.
    pub(super) fn finish(mut self, succeeded: bool) -> Counts {
        self.note_death();
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
