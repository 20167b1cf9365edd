//! A node, as far as its object tells whether pods may come to it or have to leave it.

use serde_json::Value;

/// What Kubernetes itself puts on a node that is cordoned, which is told in another word.
const OF_CORDONS: &str = "node.kubernetes.io/unschedulable";

/// What keeps pods away that do not tolerate it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint<'a> {
    key: &'a str,
    value: &'a str,
    effect: &'a str,
}

impl Taint<'_> {
    /// Whether it keeps a pod away, or drives it away.
    fn is_strict(&self) -> bool {
        ["NoSchedule", "NoExecute"].contains(&self.effect)
    }

    /// Whether a toleration of a pod's is one of this (k8s.io/api/core/v1, `Toleration`).
    fn is_tolerated(&self, by: &Value) -> bool {
        let of = |name: &str| by[name].as_str().unwrap_or_default();
        let any = of("operator") == "Exists";
        let key = of("key") == self.key || of("key").is_empty() && any;
        key && (any || of("value") == self.value) && (of("effect").is_empty() || of("effect") == self.effect)
    }
}

/// A node's object.
#[derive(Debug, Clone)]
pub struct Node(Value);

impl From<Value> for Node {
    fn from(object: Value) -> Self {
        Self(object)
    }
}

impl Node {
    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// What a label of it says.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0["metadata"]["labels"][name].as_str()
    }

    /// Whether its kubelet is heard of and well.
    fn is_ready(&self) -> bool {
        let conditions = self.0["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|one| one["type"] == "Ready").any(|one| one["status"] == "True")
    }

    fn is_cordoned(&self) -> bool {
        self.0["spec"]["unschedulable"] == true
    }

    fn taints(&self) -> impl Iterator<Item = Taint<'_>> {
        self.0["spec"]["taints"].as_array().into_iter().flatten().map(|taint| {
            let of = |name: &str| taint[name].as_str().unwrap_or_default();
            Taint { key: of("key"), value: of("value"), effect: of("effect") }
        })
    }

    /// Why pods with these tolerations may not come here, or have to leave: its state, or a taint. None if they may.
    pub fn unfit(&self, tolerations: &Value) -> Option<String> {
        if let Some(state) = self.state() {
            return Some(state.to_owned());
        }
        let tolerated = |taint: &Taint<'_>| {
            tolerations.as_array().is_some_and(|all| all.iter().any(|one| taint.is_tolerated(one)))
        };
        let strict = self.taints().find(|taint| taint.is_strict() && !tolerated(taint));
        strict.map(|taint| format!("has the taint {}", taint.key))
    }

    /// What is true of it for all pods, if it is not well.
    fn state(&self) -> Option<&'static str> {
        match (self.is_ready(), self.is_cordoned()) {
            (false, _) => Some("not ready"),
            (true, true) => Some("cordoned"),
            (true, false) => None,
        }
    }

    /// Its state for a person: with all taints but that which goes with a cordon.
    pub fn told(&self) -> String {
        let taints = self.taints().filter(Taint::is_strict).filter(|taint| taint.key != OF_CORDONS);
        let words = std::iter::once(self.state().unwrap_or("ready").to_owned());
        words.chain(taints.map(|taint| taint.key.to_owned())).collect::<Vec<_>>().join(", ")
    }

    /// Whether it is well, and open for every pod.
    pub fn is_well(&self) -> bool {
        self.state().is_none()
    }
}

#[cfg(test)]
pub mod fixture {
    use serde_json::json;

    use super::*;

    /// A node that is ready.
    pub fn node(name: &str) -> Value {
        json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/arch": "amd64", "zone": "1"}},
            "spec": {},
            "status": {"conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]},
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(change: impl FnOnce(&mut Value)) -> Node {
        let mut node = fixture::node("a");
        change(&mut node);
        Node(node)
    }

    #[test]
    fn a_cordon_and_a_silent_kubelet_are_states() {
        assert_eq!((node(|_| ()).told().as_str(), node(|_| ()).unfit(&Value::Null)), ("ready", None));
        let cordoned = node(|node| {
            node["spec"] =
                json!({"unschedulable": true, "taints": [{"key": OF_CORDONS, "effect": "NoSchedule"}]});
        });
        assert_eq!((cordoned.told().as_str(), cordoned.is_well()), ("cordoned", false));
        let silent = node(|node| node["status"]["conditions"][1]["status"] = json!("Unknown"));
        assert_eq!(silent.unfit(&Value::Null).as_deref(), Some("not ready"));
    }

    #[test]
    fn a_taint_counts_for_pods_that_do_not_tolerate_it() {
        let tainted = |effect: &str| {
            node(|node| node["spec"]["taints"] = json!([{"key": "gpu", "value": "a100", "effect": effect}]))
        };
        let unfit = |tolerations: Value| tainted("NoSchedule").unfit(&tolerations).is_some();
        assert_eq!(tainted("NoExecute").unfit(&json!([])).as_deref(), Some("has the taint gpu"));
        assert!(!tainted("PreferNoSchedule").told().contains("gpu"));
        assert!(unfit(json!([{"key": "gpu", "operator": "Equal", "value": "t4"}])));
        assert!(unfit(json!([{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}])));
        for tolerated in [
            json!([{"operator": "Exists"}]),
            json!([{"key": "gpu", "operator": "Exists"}]),
            json!([{"key": "x", "operator": "Exists"}, {"key": "gpu", "value": "a100", "effect": "NoSchedule"}]),
        ] {
            assert!(!unfit(tolerated.clone()), "{tolerated}");
        }
    }
}
