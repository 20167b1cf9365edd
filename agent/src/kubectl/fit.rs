//! Whether a node may take a pod, by what the pod says of nodes. What it asks of CPU, memory and volumes only the scheduler weighs.

use serde_json::Value;

use super::node::Node;
use super::pod::Pod;

/// Why the node cannot take the pod; none if it may.
pub fn obstacle(pod: &Pod, node: &Node) -> Option<String> {
    let spec = pod.spec();
    let elsewhere =
        || (!wants(spec, node)).then(|| "is not what the pod asks for (nodeSelector, affinity)".to_owned());
    node.unfit(&spec["tolerations"]).or_else(elsewhere)
}

fn wants(spec: &Value, node: &Node) -> bool {
    let selector = spec["nodeSelector"].as_object().into_iter().flatten();
    let mut of_selector = selector.map(|(name, value)| node.label(name) == value.as_str());
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = required["nodeSelectorTerms"].as_array();
    of_selector.all(|fits| fits) && terms.is_none_or(|terms| terms.iter().any(|term| has(term, node)))
}

/// Whether a node is as a term says (k8s.io/api/core/v1, `NodeSelectorTerm`).
fn has(term: &Value, node: &Node) -> bool {
    let all = |list: &str| term[list].as_array().into_iter().flatten();
    let label = |one: &Value| node.label(one["key"].as_str().unwrap_or_default()).map(str::to_owned);
    all("matchExpressions").all(|one| is(one, label(one).as_deref()))
        && all("matchFields").all(|one| is(one, Some(node.name())))
}

fn is(expression: &Value, value: Option<&str>) -> bool {
    let listed = || {
        let values = expression["values"].as_array().into_iter().flatten();
        values.filter_map(Value::as_str).collect::<Vec<_>>()
    };
    let than = || Some((value?.parse::<i64>().ok()?, listed().first()?.parse::<i64>().ok()?));
    match expression["operator"].as_str().unwrap_or_default() {
        "In" => value.is_some_and(|value| listed().contains(&value)),
        "NotIn" => value.is_none_or(|value| !listed().contains(&value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => than().is_some_and(|(value, than)| value > than),
        "Lt" => than().is_some_and(|(value, than)| value < than),
        // One of a later release is the scheduler's to judge.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{node, pod};
    use super::*;

    fn fits(spec: Value) -> bool {
        let mut pod = pod::fixture::pod(&[]);
        pod["spec"] = spec;
        obstacle(&Pod::from(pod), &Node::from(node::fixture::node("a"))).is_none()
    }

    #[test]
    fn a_node_has_to_be_as_the_pods_selector_says() {
        assert!(fits(json!({})));
        assert!(fits(json!({"nodeSelector": {"zone": "1"}})));
        assert!(!fits(json!({"nodeSelector": {"zone": "1", "disk": "fast"}})));
    }

    #[test]
    fn a_node_has_to_be_as_one_term_of_its_affinity_says() {
        let with = |terms: Value| {
            let required =
                json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
            fits(json!({"affinity": {"nodeAffinity": required}}))
        };
        let one =
            |operator: &str, values: Value| json!({"key": "zone", "operator": operator, "values": values});
        let term = |expression: Value| json!({"matchExpressions": [expression]});
        for fitting in [
            one("In", json!(["2", "1"])),
            one("Exists", json!([])),
            one("Gt", json!(["0"])),
            one("Lt", json!(["2"])),
        ] {
            assert!(with(json!([term(fitting.clone())])), "{fitting}");
        }
        for unfit in [one("NotIn", json!(["1"])), one("DoesNotExist", json!([])), one("Gt", json!(["1"]))] {
            assert!(!with(json!([term(unfit.clone())])), "{unfit}");
            assert!(with(json!([term(unfit), term(one("Exists", json!([])))])));
        }
        let field = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]});
        assert!(!with(json!([field])));
    }
}
