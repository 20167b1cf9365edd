//! The nodes that pods come to: no two are alike in anything that a container can see of them.

use std::env;
use std::fs;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// How much younger or older the next node is: a spot machine is replaced by one that was just booted, and few live longer
/// than a day. More than an hour above that, so that no local time of day fits by accident.
const BETWEEN_BOOTS: Duration = Duration::from_secs(26 * 3600);

/// How long before this machine the first node of a workload was booted: far enough that the younger ones are older than it
/// too, since a clock below zero cannot be had (time_namespaces(7)).
const FIRST: Duration = Duration::from_secs(40 * 24 * 3600);

/// What the boots of two nodes differ by besides, so that a clock is not the same again two nodes later.
const DRIFT: Duration = Duration::from_secs(13 * 60);

/// Chooses the clocks of whole suites: `younger`, `older` or `ever-older`, as [`Boots`] has them.
pub const VARIABLE: &str = "CRIK_TESTS_NEXT_NODE";

/// Which clocks the nodes of a workload have, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boots {
    /// The second was booted a day after the first, the third a day before the second, and so on.
    YoungerFirst,
    /// The second was booted a day before the first, the third a day after the second, and so on.
    OlderFirst,
    /// Each was booted a day after the one before it, as a spot machine in another's place is.
    EverYounger,
    /// Each was booted a day before the one before it: all that the clocks of a program without help can bear.
    EverOlder,
}

impl Boots {
    /// The younger one first, unless [`VARIABLE`] says otherwise.
    ///
    /// # Panics
    /// It says something else: a suite that then ran by the default would prove what nobody asked.
    pub fn wanted() -> Self {
        Self::wanted_or(Self::YoungerFirst)
    }

    /// These, unless [`VARIABLE`] says otherwise.
    ///
    /// # Panics
    /// It says something else.
    pub fn wanted_or(usual: Self) -> Self {
        match env::var(VARIABLE).as_deref() {
            Ok("older") => Self::OlderFirst,
            Ok("ever-older") => Self::EverOlder,
            Ok("younger") => Self::YoungerFirst,
            Ok("") | Err(_) => usual,
            Ok(other) => panic!("{VARIABLE} is {other:?}, and may be younger, older or ever-older"),
        }
    }

    /// How much longer than this machine the node of this number has been up.
    fn ahead(self, number: u32) -> Duration {
        match self {
            Self::EverOlder => FIRST + number * BETWEEN_BOOTS,
            Self::EverYounger => FIRST - number * BETWEEN_BOOTS,
            _ if number.is_multiple_of(2) => FIRST + number * DRIFT,
            Self::YoungerFirst => FIRST - BETWEEN_BOOTS - number * DRIFT,
            Self::OlderFirst => FIRST + BETWEEN_BOOTS + number * DRIFT,
        }
    }
}

/// A node, as its pods see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// How much longer than this machine it has been up.
    pub ahead: Duration,
    /// What the kernel made up at its boot (random(4)).
    pub boot_id: String,
    /// How much of its memory an ordinary pod asks for, which is what the kubelet makes a pod's oom_score_adj from.
    pub oom_score_adj: u16,
    /// The third number of its pods' addresses, 10.244.N.0/24: each node has a subnet of its own.
    pub subnet: u8,
}

impl Node {
    /// The node that the pod of this number comes to, if the first one came to `first`.
    ///
    /// # Errors
    /// The kernel makes up no boot id.
    pub fn nth(first: &str, number: u32, boots: Boots) -> Result<Self> {
        Self::new(named(first, number), boots.ahead(number))
    }

    fn new(name: String, ahead: Duration) -> Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let subnet = NEXT.fetch_add(1, Ordering::Relaxed);
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/uuid").context("no boot id")?;
        // A restored process may raise it and not lower it without SYS_RESOURCE; the next pod's is the higher one.
        let oom_score_adj = 900 + u16::from(subnet % 64);
        Ok(Self { name, ahead, boot_id: boot_id.trim().to_owned(), oom_score_adj, subnet })
    }

    /// Another one that was booted 26 hours after this one.
    ///
    /// # Errors
    /// The kernel makes up no boot id.
    pub fn younger(&self) -> Result<Self> {
        Self::new(named(&self.name, 1), self.ahead.saturating_sub(BETWEEN_BOOTS))
    }

    /// Another one that was booted 26 hours before this one.
    ///
    /// # Errors
    /// The kernel makes up no boot id.
    pub fn older(&self) -> Result<Self> {
        Self::new(named(&self.name, 1), self.ahead + BETWEEN_BOOTS)
    }

    /// Another one: a younger one, unless [`VARIABLE`] says otherwise.
    ///
    /// # Errors
    /// The kernel makes up no boot id.
    pub fn another(&self) -> Result<Self> {
        if Boots::wanted() == Boots::YoungerFirst { self.younger() } else { self.older() }
    }

    /// The same with another name: a machine that was made anew may have its predecessor's.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// "26 hours after node-a", of when it was booted.
    pub fn booted_beside(&self, other: &Self) -> String {
        let hours = |longer: Duration, shorter: Duration| (longer - shorter).as_secs_f64() / 3600.0;
        if self.ahead <= other.ahead {
            format!("{:.0} hours after {}", hours(other.ahead, self.ahead), other.name)
        } else {
            format!("{:.0} hours before {}", hours(self.ahead, other.ahead), other.name)
        }
    }
}

/// `node-a` is followed by `node-b`, and after `node-z` comes `node-a1`.
fn named(first: &str, number: u32) -> String {
    let (start, letter) = match first.char_indices().next_back() {
        Some((at, last @ 'a'..='z')) if first[..at].ends_with('-') => (&first[..at], last),
        _ => return if number == 0 { first.to_owned() } else { format!("{first}-{number}") },
    };
    let index = u32::from(letter) - u32::from('a') + number;
    let letter = char::from_u32(u32::from('a') + index % 26).unwrap_or(letter);
    let round = if index < 26 { String::new() } else { (index / 26).to_string() };
    format!("{start}{letter}{round}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_a_name_of_its_own() {
        let names: Vec<String> = [0, 1, 25, 26, 27].map(|number| named("node-a", number)).into();
        assert_eq!(names, ["node-a", "node-b", "node-z", "node-a1", "node-b1"]);
        assert_eq!(
            [named("worker", 0), named("worker", 1), named("node-b", 1)],
            ["worker", "worker-1", "node-c"]
        );
    }

    #[test]
    fn the_second_node_is_a_day_younger_and_the_third_older_again() {
        let nodes: Vec<Node> =
            (0..3).map(|n| Node::nth("node-a", n, Boots::YoungerFirst).expect("a node")).collect();
        assert_eq!(nodes[1].booted_beside(&nodes[0]), "26 hours after node-a");
        assert_eq!(nodes[2].booted_beside(&nodes[1]), "27 hours before node-b");
        assert!(nodes[0].boot_id != nodes[1].boot_id && nodes[0].subnet != nodes[1].subnet);
        assert!(nodes[0].ahead != nodes[2].ahead);
    }

    #[test]
    fn of_those_that_are_ever_younger_each_is_younger_than_all_before() {
        let nodes: Vec<Node> =
            (0..4).map(|n| Node::nth("node-a", n, Boots::EverYounger).expect("a node")).collect();
        assert_eq!(nodes[1].booted_beside(&nodes[0]), "26 hours after node-a");
        assert!(nodes.windows(2).all(|pair| pair[1].ahead < pair[0].ahead));
    }

    #[test]
    fn no_clock_of_a_long_life_is_below_that_of_this_machine() {
        for boots in [Boots::YoungerFirst, Boots::OlderFirst, Boots::EverOlder] {
            assert!((0..1000).all(|number| boots.ahead(number) > Duration::ZERO), "{boots:?}");
        }
        assert!((0..30).all(|number| Boots::EverYounger.ahead(number) > Duration::ZERO));
    }
}
