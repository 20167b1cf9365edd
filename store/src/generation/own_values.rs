//! What each pod has of its own, such as its address: a command line or a file that differs in nothing else is the same.
//!
//! Kubernetes puts these values into arguments (`--advertise=$(POD_IP)`) and a start script puts them into files. Which variables
//! come from the downward API cannot be told from inside a container, so only values count that no two pods can share.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// An address of the pod, of the older protocol.
    Ipv4,
    /// An address of the pod, of the newer protocol.
    Ipv6,
    /// The pod's name.
    Host,
    /// The node's name.
    Node,
    /// The node's address.
    NodeIp,
    /// The pod's uid.
    Uid,
}

/// The values of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnValues(Vec<(Kind, String)>);

impl OwnValues {
    /// These, but for empty ones.
    pub fn new(values: impl IntoIterator<Item = (Kind, String)>) -> Self {
        let mut values: Vec<_> = values.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        // The longest first, since one may be a part of another, as a node's name is of its pods' on some clusters.
        values.sort_by(|(a, x), (b, y)| y.len().cmp(&x.len()).then(a.cmp(b)).then(x.cmp(y)));
        Self(values)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with the kind in the place of each value; two pods have the same if they differ in nothing else. A value counts
    /// only as a whole word: `10.0.0.5` is no part of `10.0.0.51`.
    pub fn taken_out_of(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let found = self.0.iter().find(|(_, value)| is_word_at(&result, rest, value));
            let (taken, length) = match found {
                Some((kind, value)) => (format!("\0{kind:?}\0"), value.len()),
                None => (first.to_string(), first.len_utf8()),
            };
            result.push_str(&taken);
            rest = &rest[length..];
        }
        result
    }
}

/// Whether `rest`, before which is `before`, begins with this word.
fn is_word_at(before: &str, rest: &str, word: &str) -> bool {
    let Some(after) = rest.strip_prefix(word) else { return false };
    let is_outside = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
    is_outside(before.chars().next_back())
        && is_outside(after.chars().next())
        && !goes_on(before, word, after)
}

/// Whether a word that is an address is only a part of a longer one.
fn goes_on(before: &str, word: &str, after: &str) -> bool {
    let goes_on_with = |separator: char, digit: fn(char) -> bool| {
        after.strip_prefix(separator).is_some_and(|after| after.starts_with(digit))
            || before.strip_suffix(separator).is_some_and(|before| before.ends_with(digit))
    };
    match word.parse() {
        Ok(IpAddr::V4(_)) => goes_on_with('.', |c| c.is_ascii_digit()),
        Ok(IpAddr::V6(_)) => goes_on_with(':', |c| c.is_ascii_hexdigit()),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(ip: &str, host: &str, node: &str) -> OwnValues {
        let values = [(Kind::Ipv4, ip), (Kind::Host, host), (Kind::Node, node), (Kind::Uid, "")];
        OwnValues::new(values.map(|(kind, value)| (kind, value.to_owned())))
    }

    #[test]
    fn what_differs_in_nothing_else_is_the_same() {
        let (one, other) = (pod("10.0.0.5", "job-0-x1", "node-a"), pod("10.244.31.7", "job-0-zz", "node-b"));
        for (then, now) in [
            ("--advertise=10.0.0.5", "--advertise=10.244.31.7"),
            ("http://10.0.0.5:80/job-0-x1", "http://10.244.31.7:80/job-0-zz"),
            ("job-0-x1.svc.cluster.local on node-a", "job-0-zz.svc.cluster.local on node-b"),
            ("nothing of it", "nothing of it"),
            ("ä10.0.0.5.", "ä10.0.0.5."),
        ] {
            assert_eq!(one.taken_out_of(then), other.taken_out_of(now), "{then}");
        }
    }

    #[test]
    fn anything_else_is_another_one() {
        let (one, other) = (pod("10.0.0.5", "job-0-x1", "node-a"), pod("10.244.31.7", "job-0-zz", "node-b"));
        for (then, now) in [
            ("--advertise=10.0.0.51", "--advertise=10.244.31.71"),
            ("--to=10.0.0.5.5", "--to=10.244.31.7.5"),
            ("--to=1.10.0.0.5", "--to=1.10.244.31.7"),
            ("--peer=10.0.0.6", "--peer=10.0.0.7"),
            ("--name=job-0-x1", "--name=10.244.31.7"),
            ("--batch=10 10.0.0.5", "--batch=20 10.244.31.7"),
        ] {
            assert_ne!(one.taken_out_of(then), other.taken_out_of(now), "{then}");
        }
    }

    #[test]
    fn a_value_that_is_a_part_of_another_is_none() {
        let nested = pod("10.0.0.5", "node-a-job", "node-a");
        assert_eq!(nested.taken_out_of("node-a-job node-a"), "\0Host\0 \0Node\0");
    }
}
