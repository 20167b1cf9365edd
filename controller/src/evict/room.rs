//! Whether one more move may begin, and whose turn it is.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::limits::Limits;

/// A pod that would begin.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// `NAMESPACE/NAME`.
    pub pod: &'a str,
    /// Its node.
    pub node: &'a str,
    /// When its first eviction came.
    pub since: Timestamp,
}

/// Another pod whose move is not over.
#[derive(Debug, Clone, Copy)]
pub struct Other<'a> {
    /// Who it is.
    pub who: Candidate<'a>,
    /// Whether it waits; else it is under way.
    pub waits: bool,
}

/// What there is on one node.
#[derive(Default)]
struct OnNode {
    under_way: usize,
    /// Those that wait and came before.
    before: usize,
}

/// Where one that would begin stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Whether it may begin.
    pub is_now: bool,
    /// Whether it is one of the next on its node, of which every replica has to know that they are still wanted.
    pub is_near: bool,
}

/// Where this one stands. Who came before takes its place first, where there is one on its node; one that is not heard of any more must
/// not be among the others. What begins makes no difference for those behind it, so replicas of which one is a moment behind the other
/// come to the same. One that is new, which the other replica does not know, may take a half of the places only.
pub fn turn<'a>(own: &Candidate<'a>, is_new: bool, others: &[Other<'a>], limits: &Limits) -> Turn {
    let part = |limit: u32| if is_new { limit.div_ceil(2) as usize } else { limit as usize };
    let (per_node, per_cluster) = (part(limits.moves_per_node), part(limits.moves_per_cluster));
    let mut nodes: BTreeMap<&str, OnNode> = BTreeMap::new();
    for other in others.iter().filter(|other| other.who.pod != own.pod) {
        let node = nodes.entry(other.who.node).or_default();
        node.under_way += usize::from(!other.waits);
        node.before += usize::from(other.waits && is_before(&other.who, own));
    }
    let taken = |node: &OnNode| node.under_way + node.before.min(per_node.saturating_sub(node.under_way));
    let (before, on_own) =
        nodes.get(own.node).map_or((0, 0), |node| (node.before, node.under_way + node.before));
    let is_now = on_own < per_node && nodes.values().map(taken).sum::<usize>() < per_cluster;
    Turn { is_now, is_near: before < per_node }
}

/// Of two that came in the same millisecond one is before the other too.
fn is_before(one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    (one.since, one.pod) < (other.since, other.pod)
}
