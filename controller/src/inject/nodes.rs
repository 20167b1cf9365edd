//! The nodes that a pod may run on, as far as it says so itself.

use k8s_openapi::api::core::v1::{NodeSelectorTerm, Pod, PodSpec};

use crate::base::limits;
use crate::registry::ARCHITECTURES;

const ARCH: &str = "kubernetes.io/arch";
const OS: &str = "kubernetes.io/os";

/// Their architectures, of those that crik has programs for; none if that may be any. A pod that names others alone keeps as many
/// of them: it is not for all nodes either. What is asked by these is remembered, so there are not as many as anybody likes.
pub fn architectures(pod: &Pod) -> Vec<String> {
    let mut named = pod.spec.as_ref().map(|spec| selected(spec, ARCH)).unwrap_or_default();
    named.retain(|name| name.len() <= limits::LABEL_MAX);
    let is_ours = |name: &String| ARCHITECTURES.contains(&name.as_str());
    if named.iter().any(is_ours) {
        named.retain(is_ours);
    }
    named.truncate(ARCHITECTURES.len());
    named
}

/// Whether they run Windows.
pub fn is_windows(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let named = spec.os.as_ref().map(|os| vec![os.name.clone()]).unwrap_or_else(|| selected(spec, OS));
    named == ["windows"]
}

/// The values of a label that its nodes must have; none if each may.
fn selected(spec: &PodSpec, label: &str) -> Vec<String> {
    if let Some(value) = spec.node_selector.as_ref().and_then(|selector| selector.get(label)) {
        return vec![value.clone()];
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    // One of the terms has to hold, so each has to say it.
    let of_terms =
        required.map(|required| required.node_selector_terms.iter().map(|term| of_term(term, label)));
    let mut values: Vec<String> =
        of_terms.and_then(Iterator::collect::<Option<Vec<_>>>).unwrap_or_default().concat();
    values.sort();
    values.dedup();
    values
}

fn of_term(term: &NodeSelectorTerm, label: &str) -> Option<Vec<String>> {
    let mut all = term.match_expressions.iter().flatten();
    all.find(|one| one.key == label && one.operator == "In")?.values.clone()
}
