//! How soon those hear of a change who wait for it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::node;
use super::swarm::Swarm;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// By its name, the version of each node in a list.
///
/// # Errors
/// It is none.
pub fn versions(list: &str) -> Result<BTreeMap<String, String>> {
    let list: Value = serde_json::from_str(list)?;
    let text = |status: &Value, field: &str| status[field].as_str().map(str::to_owned);
    let statuses = list["nodes"].as_array().context("no list")?.iter();
    Ok(statuses.filter_map(|status| text(status, "name").zip(text(status, "version"))).collect())
}

/// Those of the first nodes of the fleet.
///
/// # Errors
/// It is no list, or has not all of them.
pub fn versions_of_first(list: &str, nodes: usize) -> Result<BTreeMap<String, String>> {
    let mut all = versions(list)?;
    let first: BTreeMap<_, _> = (0..nodes).filter_map(|n| all.remove_entry(&node::name(n))).collect();
    ensure!(first.len() == nodes, "{} of {nodes} nodes are listed", first.len());
    Ok(first)
}

/// Cordons a node and waits for its agent to hear of it, as often as that; the times in milliseconds.
///
/// # Errors
/// The change fails, or another answer comes.
pub fn timed(
    swarm: &mut Swarm,
    (polls, changes): (usize, usize),
    mut change: impl FnMut(usize, bool) -> Result<Instant>,
) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for round in 0..changes {
        let number = round * 7919 % polls;
        let began = change(number, true)?;
        let answer = swarm.change(PATIENCE)?;
        ensure!(answer.name == node::name(number) && answer.text.contains("\"cordoned\""), "{}", answer.text);
        latencies.push(answer.at.saturating_duration_since(began).as_secs_f64() * 1000.0);
        change(number, false)?;
        let back = swarm.change(PATIENCE)?;
        ensure!(back.name == node::name(number) && back.text.contains("\"ready\""), "{}", back.text);
    }
    Ok(latencies)
}

/// The value that so many of a hundred do not exceed.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_values_do_not_exceed_the_middle_one() {
        assert_eq!(
            [0, 50, 99, 100].map(|percent| percentile(&[3.0, 1.0, 2.0], percent)),
            [1.0, 2.0, 3.0, 3.0]
        );
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn a_list_that_lacks_a_node_is_told() {
        let list = json_of(2);
        assert_eq!(versions_of_first(&list, 2).unwrap().len(), 2);
        assert!(versions_of_first(&list, 3).is_err());
    }

    fn json_of(nodes: usize) -> String {
        let node = |n| serde_json::json!({"name": node::name(n), "version": "1-0"});
        serde_json::json!({"nodes": (0..nodes).map(node).collect::<Vec<_>>()}).to_string()
    }
}
