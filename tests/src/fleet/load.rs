//! Throughput of one URL, by wrk.

use anyhow::{Context as _, Result};

use crate::command::run;

/// What wrk found.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Answers in a second.
    pub per_second: f64,
    /// The latency that 99 of 100 requests kept, in milliseconds.
    pub p99: f64,
}

/// Asks for a URL as quickly as 32 connections can, for some seconds.
///
/// # Errors
/// wrk is missing, or an answer was not a success.
pub fn load(url: &str, seconds: u32) -> Result<Load> {
    let said = run(
        "wrk",
        &["--threads=1", "--connections=32", &format!("--duration={seconds}s"), "--latency", url],
    )?;
    anyhow::ensure!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    let field = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let per_second = field("Requests/sec:").context("wrk told no throughput")?.parse()?;
    Ok(Load { per_second, p99: milliseconds(field("99%").context("wrk told no latency")?)? })
}

fn milliseconds(text: &str) -> Result<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (number, factor) = found.with_context(|| format!("{text:?} is no time"))?;
    Ok(number.parse::<f64>()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_wrk_are_read() {
        for (text, expected) in [("830.00us", 0.83), ("1.25ms", 1.25), ("1.10s", 1100.0)] {
            assert!((milliseconds(text).unwrap() - expected).abs() < 1e-9, "{text}");
        }
        assert!(milliseconds("soon").is_err());
    }
}
