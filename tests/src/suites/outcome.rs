//! How a suite ended, from what it said and how its process ended: each has to agree.

use std::process::ExitStatus;

/// How a suite ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How many tests passed.
    pub passed: usize,
    /// The tests that did not.
    pub failed: Vec<String>,
    /// What else is wrong: it came to no result, or its process ended otherwise than its result has it.
    pub broken: Option<String>,
}

impl Outcome {
    /// Of a suite's process, and all that it said.
    pub fn of(status: ExitStatus, said: &str) -> Self {
        let result = said.lines().rev().find_map(|line| line.strip_prefix("test result: "));
        let failed = failed(said);
        let broken = match (result, status.success() == failed.is_empty()) {
            (Some(_), true) => None,
            (Some(_), false) => Some(format!("names {} failed tests, and ended with {status}", failed.len())),
            (None, _) => Some(format!("came to no result, and ended with {status}")),
        };
        Self { passed: result.map_or(0, passed), failed, broken }
    }

    /// Whether all of it went well.
    pub fn is_good(&self) -> bool {
        self.failed.is_empty() && self.broken.is_none()
    }
}

fn passed(result: &str) -> usize {
    let words: Vec<&str> = result.split_whitespace().collect();
    let number = words.windows(2).find_map(|pair| pair[1].starts_with("passed").then_some(pair[0]));
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The names below the last line `failures:`; before it the same line begins what the tests said.
fn failed(said: &str) -> Vec<String> {
    let names = said.rsplit_once("\nfailures:\n").map_or("", |(_, names)| names);
    names.lines().map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const GOOD: &str = "
running 2 tests
test it_holds ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    const BAD: &str = "
failures:

---- it_holds stdout ----
Error: it does not

failures:
    it_holds
    room::it_holds_too

test result: FAILED. 11 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 27.86s
";

    fn of(code: i32, said: &str) -> Outcome {
        Outcome::of(ExitStatus::from_raw(code << 8), said)
    }

    #[test]
    fn a_suite_is_good_if_it_says_so_and_ends_so() {
        assert_eq!(of(0, GOOD), Outcome { passed: 2, failed: Vec::new(), broken: None });
        assert!(of(0, GOOD).is_good());
    }

    #[test]
    fn failed_tests_are_named() {
        let outcome = of(101, BAD);
        assert_eq!((outcome.passed, &outcome.broken), (11, &None));
        assert_eq!(outcome.failed, ["it_holds", "room::it_holds_too"]);
        assert!(!outcome.is_good());
    }

    #[test]
    fn a_suite_that_ends_in_any_other_way_has_failed() {
        let told = |outcome: Outcome| outcome.broken.unwrap();
        assert!(told(of(0, "")).contains("no result"));
        assert!(told(of(101, GOOD)).contains("exit status: 101"));
        assert!(told(of(0, BAD)).contains("names 2 failed tests, and ended with exit status: 0"));
        assert!(told(Outcome::of(ExitStatus::from_raw(9), "running 2 tests\n")).contains("signal: 9"));
    }
}
