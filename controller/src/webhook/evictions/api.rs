//! What is read and written of a pod that is to be evicted.

use crik_api::report::{MOVE, Move};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{Selector, SelectorExt as _};
use kube::{Api, Client, Resource as _};
use serde_json::json;
use thiserror::Error;

use crate::base::causes::with_causes;
use crate::workloads::{WatchedPod, Workload};

/// Why it is not known what is to be answered.
#[derive(Debug, Error)]
pub enum Problem {
    /// There was no answer in time.
    #[error("the API server takes too long to answer what is asked of it about the pod")]
    Late,
    /// The Pod was another one each time that it was to be written.
    #[error("the Pod is written by others again and again")]
    Contended,
    /// The API server does not show or take something.
    #[error(
        "{what}: {why}; the controller needs the verbs get on pods, patch on pods/status and list on poddisruptionbudgets"
    )]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        why: String,
    },
}

/// What came of writing.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there.
    Done,
    /// The Pod is another one by now, or is gone.
    Changed,
}

/// Asks the API server.
pub struct ApiServer(Client);

/// The PodDisruptionBudgets of a namespace.
pub struct Budgets(Vec<PodDisruptionBudget>);

impl ApiServer {
    /// By this client.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// A Pod, by `NAMESPACE/NAME`, as it is now.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn pod(&self, pod: &str) -> Result<Option<WatchedPod>, Problem> {
        let (namespace, name) = parts(pod);
        let pods: Api<WatchedPod> = Api::namespaced(self.0.clone(), namespace);
        pods.get_opt(name).await.map_err(refused("the Pod cannot be read"))
    }

    /// The budgets of its namespace, which may be a moment old: the API server itself decides.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn budgets(&self, pod: &str) -> Result<Budgets, Problem> {
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(self.0.clone(), parts(pod).0);
        let all = budgets.list(&ListParams::default().match_any()).await;
        let all = all.map_err(refused("the PodDisruptionBudgets cannot be listed"))?;
        Ok(Budgets(all.items))
    }

    /// Writes the move on the Pod, if it is still the same and nobody has written it meanwhile.
    ///
    /// # Errors
    /// It is not taken.
    pub async fn write(&self, pod: &Workload, moving: &Move) -> Result<Written, Problem> {
        let text = serde_json::to_string(moving).unwrap_or_default();
        let patch = json!({"metadata": {
            "uid": pod.uid, "resourceVersion": pod.resource_version, "annotations": {MOVE: text},
        }});
        let pods: Api<WatchedPod> = Api::namespaced(self.0.clone(), pod.namespace());
        match pods.patch_status(pod.name(), &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
                Ok(Written::Changed)
            }
            written => {
                written.map(|_| Written::Done).map_err(refused("the move cannot be written on the Pod"))
            }
        }
    }
}

impl Budgets {
    /// Whether none of them forbids to evict this pod, by the rules of the API server (kubernetes/pkg/registry/core/pod/storage/
    /// eviction.go): one without a selector, or with an empty one, protects nothing, and a pod of two is never evicted.
    pub fn allow(&self, pod: &WatchedPod) -> bool {
        let labels = pod.meta().labels.clone().unwrap_or_default();
        let protects = |budget: &&PodDisruptionBudget| {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
            let selector: Option<Selector> = selector.and_then(|selector| selector.try_into().ok());
            selector.is_some_and(|selector| !selector.selects_all() && selector.matches(&labels))
        };
        let allows = |budget: &PodDisruptionBudget| {
            budget.status.as_ref().is_some_and(|status| status.disruptions_allowed > Some(0))
        };
        let of_pod: Vec<_> = self.0.iter().filter(protects).collect();
        of_pod.len() < 2 && of_pod.into_iter().all(allows)
    }
}

fn parts(pod: &str) -> (&str, &str) {
    pod.split_once('/').unwrap_or_default()
}

fn refused(what: &'static str) -> impl Fn(kube::Error) -> Problem {
    move |error| Problem::Refused { what, why: with_causes(&error) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn allow(budgets: &[Value]) -> bool {
        let pod = json!({"metadata": {"name": "job", "namespace": "n", "labels": {"app": "job"}}});
        let all = budgets.iter().map(|one| serde_json::from_value(one.clone()).unwrap()).collect();
        Budgets(all).allow(&serde_json::from_value(pod).unwrap())
    }

    fn budget(selector: &Value, allowed: u32) -> Value {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {},
               "spec": {"selector": selector}, "status": {"disruptionsAllowed": allowed, "currentHealthy": 1,
               "desiredHealthy": 1, "expectedPods": 1}})
    }

    #[test]
    fn a_budget_of_the_pod_that_has_none_left_forbids_its_eviction() {
        let (own, other) = (json!({"matchLabels": {"app": "job"}}), json!({"matchLabels": {"app": "other"}}));
        assert!(allow(&[]) && allow(&[budget(&own, 1)]) && !allow(&[budget(&own, 0)]));
        assert!(allow(&[budget(&other, 0)]) && allow(&[budget(&json!({}), 0)]));
        assert!(!allow(&[budget(&own, 1), budget(&own, 1)]), "the API server evicts none that has two");
        let expression = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["job"]}]});
        assert!(!allow(&[budget(&expression, 0)]));
    }
}
