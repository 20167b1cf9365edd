//! Checks what the programs in `programs/waits` write: `tick NAME MONOTONIC BOOTTIME`, once after each wait of 200 ms.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::pod::Running;
use crate::wait::wait_for;

/// The clocks of a program when it had waited in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// CLOCK_MONOTONIC.
    pub monotonic: Duration,
    /// CLOCK_BOOTTIME.
    pub boottime: Duration,
}

/// All ticks of an output, by the name of the way in which the program waited, in the order in which they came.
#[must_use]
pub fn ticks(output: &str) -> BTreeMap<String, Vec<Tick>> {
    let mut all: BTreeMap<String, Vec<Tick>> = BTreeMap::new();
    for (name, tick) in output.lines().filter_map(parse) {
        all.entry(name.to_owned()).or_default().push(tick);
    }
    all
}

fn parse(line: &str) -> Option<(&str, Tick)> {
    let mut words = line.strip_prefix("tick ")?.split(' ');
    let name = words.next()?;
    let mut clock = || Some(Duration::from_nanos(words.next()?.parse().ok()?));
    Some((name, Tick { monotonic: clock()?, boottime: clock()? }))
}

/// Waits until the program has waited some more times in each of these ways.
///
/// # Errors
/// In one of them it does not.
pub fn wait_for_each(running: &Running, ways: &[&str]) -> Result<()> {
    const TIMES: usize = 3;
    let counts = || {
        let found = ticks(&running.stdout.text());
        ways.iter().map(|way| (*way, found.get(*way).map_or(0, Vec::len))).collect::<BTreeMap<_, _>>()
    };
    let before = counts();
    let missing = || {
        let missing = counts().into_iter().filter(|(way, count)| *count < before[way] + TIMES);
        missing.map(|(way, _)| way).collect::<Vec<_>>()
    };
    wait_for("every way to wait", || missing().is_empty().then_some(()))
        .with_context(|| format!("it stands still in {:?}\n{}", missing(), running.transcript()))
}

/// A move of a program from one node to another.
pub struct Move {
    /// Before the last ticks on the first of the two.
    pub from: Instant,
    /// When the program had waited again in each of its ways.
    pub to: Instant,
}

impl Move {
    /// Checks that by its own clocks the program has not lived for longer than the move took, nor backwards, whatever it waited
    /// for.
    ///
    /// # Errors
    /// One of its clocks has jumped.
    pub fn check(&self, before: &str, after: &str) -> Result<()> {
        let took = self.to - self.from;
        let (before, after) = (ticks(before), ticks(after));
        for (way, ticks) in &before {
            let last = ticks.last().context("no tick")?;
            let next = after
                .get(way)
                .and_then(|ticks| ticks.first())
                .with_context(|| format!("{way}: no tick after"))?;
            for (clock, from, to) in
                [("monotonic", last.monotonic, next.monotonic), ("boottime", last.boottime, next.boottime)]
            {
                let passed = to.checked_sub(from).with_context(|| format!("{way}: {clock} went back"))?;
                ensure!(passed <= took, "{way}: {clock} has jumped by {passed:?} in a move of {took:?}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(before: u64, after: u64) -> Result<()> {
        let now = Instant::now();
        let the_move = Move { from: now, to: now + Duration::from_secs(2) };
        let line = |seconds: u64| format!("tick sleep {0}000000000 {0}000000000\n", seconds);
        the_move.check(&line(before), &line(after))
    }

    #[test]
    fn a_clock_that_jumps_is_found() {
        outcome(100, 101).unwrap();
        assert!(outcome(100, 103).unwrap_err().to_string().contains("jumped"));
        assert!(outcome(100, 99).unwrap_err().to_string().contains("went back"));
    }
}
