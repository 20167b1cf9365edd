//! What is told of all suites at the end.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};

use super::Outcome;

/// A suite that has ended.
#[derive(Clone)]
pub struct Ended {
    /// Which.
    pub name: String,
    /// How.
    pub outcome: Outcome,
    /// After how long.
    pub took: Duration,
}

/// A line for each, the longest first, which is how `LONGEST` should have them; and what was won by running them side by side.
pub fn table(all: &[Ended], took: Duration) -> String {
    let mut sorted: Vec<&Ended> = all.iter().collect();
    sorted.sort_by_key(|ended| std::cmp::Reverse(ended.took));
    let mut text = format!("{:<24} {:>6} {:>6} {:>7}\n", "suite", "passed", "failed", "seconds");
    for Ended { name, outcome, took } in sorted {
        let (passed, failed, seconds) = (outcome.passed, outcome.failed.len(), took.as_secs_f64());
        let _ = writeln!(text, "{name:<24} {passed:>6} {failed:>6} {seconds:>7.1}");
    }
    let (suites, passed) = (all.len(), all.iter().map(|ended| ended.outcome.passed).sum::<usize>());
    let sum = all.iter().map(|ended| ended.took).sum::<Duration>().as_secs();
    let _ = writeln!(text, "{suites} suites with {passed} tests passed took {sum} s in {} s", took.as_secs());
    text
}

/// Whether all of so many went well.
///
/// # Errors
/// A suite failed or was not run; all tests that failed are named.
pub fn verdict(all: &[Ended], wanted: usize) -> Result<()> {
    let bad: Vec<&Ended> = all.iter().filter(|ended| !ended.outcome.is_good()).collect();
    if bad.is_empty() && all.len() == wanted {
        return Ok(());
    }
    let mut said = format!("{} of {wanted} suites failed, {} were not run", bad.len(), wanted - all.len());
    for Ended { name, outcome, .. } in bad {
        for what in outcome.failed.iter().chain(&outcome.broken) {
            let _ = write!(said, "\n  {name}: {what}");
        }
    }
    bail!(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str, failed: &[&str], broken: Option<&str>, seconds: u64) -> Ended {
        let failed = failed.iter().map(|&test| test.to_owned()).collect();
        let outcome = Outcome { passed: 3, failed, broken: broken.map(str::to_owned) };
        Ended { name: name.to_owned(), outcome, took: Duration::from_secs(seconds) }
    }

    #[test]
    fn all_that_failed_is_named_at_the_end() {
        let all = [
            ended("nfs", &["a", "b"], None, 9),
            ended("docs", &[], None, 4),
            ended("ends", &[], Some("signal"), 1),
        ];
        let said = verdict(&all, 4).unwrap_err().to_string();
        assert_eq!(said, "2 of 4 suites failed, 1 were not run\n  nfs: a\n  nfs: b\n  ends: signal");
        assert!(verdict(&all[1..2], 1).is_ok() && verdict(&all[1..2], 2).is_err());
    }

    #[test]
    fn the_table_has_a_line_for_each_and_the_sum() {
        let all = [ended("docs", &[], None, 4), ended("nfs", &["a"], None, 9)];
        let text = table(&all, Duration::from_secs(10));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1..3], [["nfs", "3", "1", "9.0"], ["docs", "3", "0", "4.0"]]);
        assert_eq!(lines[3].join(" "), "2 suites with 6 tests passed took 13 s in 10 s");
    }
}
