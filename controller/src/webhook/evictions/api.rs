//! What is read and written of a pod that is to be evicted.

use std::collections::BTreeMap;

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

/// What they leave for a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It may be evicted.
    Place,
    /// So many others that are to be evicted stand still already that the API server would let none go after them.
    OthersFirst,
    /// The API server would not let it go.
    Nothing,
}

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
    /// What they leave for this pod while the programs of others, of which these are the labels, stand still, by the rules of the API
    /// server (kubernetes/pkg/registry/core/pod/storage/eviction.go): one without a selector, or with an empty one, protects nothing, and
    /// a pod of two is never evicted. One whose labels are not known counts as protected by the same.
    pub fn left(&self, pod: &WatchedPod, stopped: &[Option<&BTreeMap<String, String>>]) -> Left {
        let labels = pod.meta().labels.clone().unwrap_or_default();
        let all = self.0.iter().filter_map(|one| Some((one, protects(one)?)));
        let mut of_pod = all.filter(|(_, selector)| selector.matches(&labels));
        let Some((budget, selector)) = of_pod.next() else { return Left::Place };
        if of_pod.next().is_some() {
            return Left::Nothing;
        }
        if !pod.is_ready && lets_unready_go(budget) {
            return Left::Place;
        }
        let before = stopped.iter().filter(|one| one.is_none_or(|labels| selector.matches(labels))).count();
        match allowed(budget) {
            0 => Left::Nothing,
            allowed if before < allowed => Left::Place,
            _ => Left::OthersFirst,
        }
    }
}

/// What it selects, if that is protected.
fn protects(budget: &PodDisruptionBudget) -> Option<Selector> {
    let selector: Selector = budget.spec.as_ref()?.selector.clone()?.try_into().ok()?;
    (!selector.selects_all()).then_some(selector)
}

fn allowed(budget: &PodDisruptionBudget) -> usize {
    let said = budget.status.as_ref().and_then(|status| status.disruptions_allowed);
    said.and_then(|number| number.try_into().ok()).unwrap_or_default()
}

/// Whether it lets pods go that are not ready, however many others are.
fn lets_unready_go(budget: &PodDisruptionBudget) -> bool {
    let policy = budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref());
    let is_healthy = budget.status.as_ref().is_some_and(|status| {
        status.desired_healthy > Some(0) && status.current_healthy >= status.desired_healthy
    });
    policy == Some("AlwaysAllow") || is_healthy
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

    fn pod(ready: &str) -> WatchedPod {
        let pod = json!({"metadata": {"name": "job", "namespace": "n", "labels": {"app": "job"}},
                         "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        serde_json::from_value(pod).unwrap()
    }

    fn all(budgets: &[Value]) -> Budgets {
        Budgets(budgets.iter().map(|one| serde_json::from_value(one.clone()).unwrap()).collect())
    }

    fn left(budgets: &[Value]) -> Left {
        all(budgets).left(&pod("True"), &[])
    }

    fn budget(selector: &Value, allowed: u32) -> Value {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {},
               "spec": {"selector": selector}, "status": {"disruptionsAllowed": allowed, "currentHealthy": 1,
               "desiredHealthy": 1, "expectedPods": 1}})
    }

    #[test]
    fn a_budget_of_the_pod_that_has_none_left_forbids_its_eviction() {
        let (own, other) = (json!({"matchLabels": {"app": "job"}}), json!({"matchLabels": {"app": "other"}}));
        let expression = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["job"]}]});
        for (budgets, expected) in [
            (vec![], Left::Place),
            (vec![budget(&own, 1)], Left::Place),
            (vec![budget(&own, 0)], Left::Nothing),
            (vec![budget(&other, 0)], Left::Place),
            (vec![budget(&json!({}), 0)], Left::Place),
            // The API server evicts none that has two.
            (vec![budget(&own, 1), budget(&own, 1)], Left::Nothing),
            (vec![budget(&expression, 0)], Left::Nothing),
        ] {
            assert_eq!(left(&budgets), expected, "{budgets:?}");
        }
    }

    #[test]
    fn no_more_programs_stand_still_than_the_budget_lets_go() {
        let own = json!({"matchLabels": {"app": "job"}});
        let labels = |app: &str| BTreeMap::from([("app".to_owned(), app.to_owned())]);
        let (same, other) = (labels("job"), labels("other"));
        for (allowed, stopped, expected) in [
            (1, vec![Some(&same)], Left::OthersFirst),
            (1, vec![Some(&other)], Left::Place),
            (1, vec![None], Left::OthersFirst),
            (2, vec![Some(&same), Some(&other)], Left::Place),
            (2, vec![Some(&same), None], Left::OthersFirst),
            (0, vec![Some(&same)], Left::Nothing),
        ] {
            let found = all(&[budget(&own, allowed)]).left(&pod("True"), &stopped);
            assert_eq!(found, expected, "{allowed} {stopped:?}");
        }
    }

    #[test]
    fn a_pod_that_is_not_ready_may_go_where_the_others_are_enough_or_that_is_said() {
        let mut one = budget(&json!({"matchLabels": {"app": "job"}}), 0);
        assert_eq!(all(&[one.clone()]).left(&pod("False"), &[]), Left::Place);
        one["status"]["currentHealthy"] = json!(0);
        assert_eq!(all(&[one.clone()]).left(&pod("False"), &[]), Left::Nothing);
        one["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
        assert_eq!(all(&[one.clone()]).left(&pod("False"), &[]), Left::Place);
        assert_eq!(all(&[one]).left(&pod("True"), &[]), Left::Nothing);
    }
}
