//! A pod, as far as its object tells something of crik.

use crik_api::report::{
    LAST_CHECKPOINT, LAST_START, LastCheckpoint, LastStart, MOVE, Move, OWN_ANNOTATIONS, PROTECTION,
    ToldProtection,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::args::{Chosen, OnePod};
use super::client::{Client, KubectlError};
use super::lacking_right::Right;
use crate::cluster::pod::{UnknownContainer, crik_of, under_crik};

/// The label of a pod that asks the controller for crik.
const INJECT: &str = "crik.dev/inject";

/// Why a pod that asks for crik has not got it.
pub const NOT_BEHIND_CRIK: &str = "its command is not behind crik; the warning when it was created says why";

/// Who makes a pod, and makes another one when it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// What it is, such as `StatefulSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What tells it from others of its name.
    pub uid: String,
}

/// A pod's object.
#[derive(Debug, Clone)]
pub struct Pod(Value);

impl From<Value> for Pod {
    fn from(object: Value) -> Self {
        Self(object)
    }
}

impl Pod {
    /// The pod of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn get(client: &Client, of: &OnePod) -> Result<Self, KubectlError> {
        client.get("pod", &of.pod).map(Self)
    }

    /// All pods under crik that are chosen.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn all(client: &Client, chosen: &Chosen) -> Result<Vec<Self>, KubectlError> {
        let mut which = Vec::new();
        if chosen.all_namespaces {
            which.push("--all-namespaces");
        }
        which.extend(chosen.selector.iter().flat_map(|selector| ["--selector", selector]));
        let pods = client.list("pods", &which)?.into_iter().map(Self);
        Ok(pods.filter(Self::is_under_crik).collect())
    }

    /// Whether it asks for crik, or an agent of crik has told something of it, or crik is what it runs.
    fn is_under_crik(&self) -> bool {
        self.asks_for_crik()
            || OWN_ANNOTATIONS.iter().any(|name| self.annotation(name).is_some())
            || self.runs_crik()
    }

    fn asks_for_crik(&self) -> bool {
        self.label(INJECT) == Some("true")
    }

    /// Whether it asks for crik, and was created without.
    pub fn was_left_out(&self) -> bool {
        self.asks_for_crik() && !self.runs_crik()
    }

    /// Whether the command of a container is crik's. An image may have crik as its entrypoint, of which the pod says nothing.
    pub fn runs_crik(&self) -> bool {
        self.containers().any(|one| crik_of(one).is_some())
    }

    fn containers(&self) -> impl Iterator<Item = &Value> {
        self.0["spec"]["containers"].as_array().into_iter().flatten()
    }

    /// The container that runs under crik, and crik as it is started in it.
    ///
    /// # Errors
    /// Nobody can tell which it is.
    pub fn container(&self, name: Option<&str>) -> Result<(&str, &str), UnknownContainer> {
        let container = under_crik(&self.0, name)?;
        Ok((container["name"].as_str().unwrap_or_default(), crik_of(container).unwrap_or("crik")))
    }

    fn of_metadata(&self, name: &str) -> &str {
        self.0["metadata"][name].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.of_metadata("name")
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.of_metadata("namespace")
    }

    /// What tells it from others of its name.
    pub fn uid(&self) -> &str {
        self.of_metadata("uid")
    }

    /// Its node, once it has one.
    pub fn node(&self) -> Option<&str> {
        self.0["spec"]["nodeName"].as_str()
    }

    /// What its author says of where it may run.
    pub fn spec(&self) -> &Value {
        &self.0["spec"]
    }

    /// Whether somebody has deleted it.
    pub fn is_ending(&self) -> bool {
        !self.0["metadata"]["deletionTimestamp"].is_null()
    }

    /// The phase, or that it is being ended.
    pub fn status(&self) -> &str {
        if self.is_ending() { "Ending" } else { self.0["status"]["phase"].as_str().unwrap_or("Unknown") }
    }

    /// Whether its program may be there.
    pub fn runs(&self) -> bool {
        self.0["status"]["phase"] == "Running" && !self.is_ending()
    }

    /// Whether a container of it has been started.
    pub fn has_begun(&self) -> bool {
        !["Pending", "Unknown"].contains(&self.status())
    }

    /// Whether its programs are over, and it only stays to be looked at, as a Job's pods do.
    pub fn is_over(&self) -> bool {
        ["Succeeded", "Failed"].contains(&self.status())
    }

    /// How often its containers have been started again.
    pub fn restarts(&self) -> u64 {
        let all = ["initContainerStatuses", "containerStatuses"].into_iter();
        let all = all.flat_map(|list| self.0["status"][list].as_array().into_iter().flatten());
        all.filter_map(|one| one["restartCount"].as_u64()).sum()
    }

    /// Its address.
    pub fn address(&self) -> Option<&str> {
        self.0["status"]["podIP"].as_str()
    }

    /// Who makes another one when it is gone.
    pub fn owner(&self) -> Option<Owner> {
        let all = self.0["metadata"]["ownerReferences"].as_array()?;
        let owner = all.iter().find(|one| one["controller"] == true)?;
        let of = |name: &str| owner[name].as_str().unwrap_or_default().to_owned();
        Some(Owner { kind: of("kind"), name: of("name"), uid: of("uid") })
    }

    /// What a label of it says.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0["metadata"]["labels"][name].as_str()
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.0["metadata"]["annotations"][name].as_str()
    }

    /// What cannot be read is of another release, and no news.
    fn told<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.annotation(name)?).ok()
    }

    /// Whether its program could go on elsewhere, as its agent has told.
    pub fn protection(&self) -> Option<ToldProtection> {
        self.told(PROTECTION)
    }

    /// The newest checkpoint that its agent has told of.
    pub fn last_checkpoint(&self) -> Option<LastCheckpoint> {
        self.told(LAST_CHECKPOINT)
    }

    /// How its program has started, as its agent has told.
    pub fn last_start(&self) -> Option<LastStart> {
        self.told(LAST_START)
    }

    /// How far the move is that an eviction has asked for.
    pub fn moved(&self) -> Option<Move> {
        self.told(MOVE)
    }

    /// Why its container does not run yet, in the cluster's words.
    pub fn waits_for(&self) -> String {
        let all = |list: &str| self.0["status"][list].as_array().cloned().unwrap_or_default();
        let unscheduled = all("conditions")
            .into_iter()
            .find(|one| one["type"] == "PodScheduled" && one["status"] == "False");
        let waiting = ["initContainerStatuses", "containerStatuses"].into_iter().flat_map(all);
        let waiting = waiting.map(|one| one["state"]["waiting"].clone()).find(Value::is_object);
        let of = |object: Value, name: &str| object[name].as_str().map(str::to_owned);
        let why = unscheduled.and_then(|one| of(one, "message"));
        why.or_else(|| waiting.and_then(|one| of(one, "reason"))).unwrap_or_else(|| self.status().to_owned())
    }

    /// The right to delete it.
    pub fn to_delete(&self) -> Right<'_> {
        let (name, namespace) = (Some(self.name()), self.namespace());
        Right { verb: "delete", resource: "pods", group: "", name, namespace }
    }

    /// Deletes this pod, with its own grace period. One that has come after it in the meantime stays.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn delete(&self, client: &Client) -> Result<(), KubectlError> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", self.namespace(), self.name());
        let this = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": self.uid()}});
        match client.delete(&path, &this) {
            Err(error) if ["NotFound", "Conflict"].iter().any(|reason| error.has_reason(reason)) => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
pub mod fixture {
    use serde_json::json;

    use super::*;

    /// A pod of a StatefulSet's on node-a that runs, with these annotations; what they have is JSON.
    pub fn pod(annotations: &[(&str, Value)]) -> Value {
        let annotations: serde_json::Map<String, Value> =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), json!(value.to_string()))).collect();
        json!({
            "metadata": {
                "name": "job-0", "namespace": "jobs", "uid": "1", "annotations": annotations,
                "ownerReferences": [{"kind": "StatefulSet", "name": "job", "uid": "set", "controller": true}],
            },
            "spec": {
                "nodeName": "node-a",
                "containers": [{"name": "app", "command": ["/usr/local/lib/crik/bin/crik", "run", "--", "job"]}],
            },
            "status": {"phase": "Running"},
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_under_crik_by_its_label_its_agent_or_its_command() {
        let is = |change: fn(&mut Value)| {
            let mut pod = fixture::pod(&[]);
            pod["spec"]["containers"] = json!([{"name": "app", "command": ["job"]}]);
            change(&mut pod);
            Pod(pod).is_under_crik()
        };
        assert!(!is(|_| ()));
        assert!(is(|pod| pod["metadata"]["labels"] = json!({INJECT: "true"})));
        assert!(!is(|pod| pod["metadata"]["labels"] = json!({INJECT: "false"})));
        assert!(is(|pod| pod["metadata"]["annotations"][PROTECTION] = json!("{}")));
        assert!(is(|pod| pod["spec"]["containers"][0]["args"] = json!(["crik", "run"])));
    }

    #[test]
    fn a_pod_that_only_stays_to_be_looked_at_is_over() {
        let with = |phase: &str| {
            let mut pod = fixture::pod(&[]);
            pod["status"] = json!({"phase": phase, "containerStatuses": [{"restartCount": 2}]});
            Pod(pod)
        };
        assert!(with("Succeeded").is_over() && with("Failed").is_over() && !with("Running").is_over());
        assert_eq!(with("Running").restarts(), 2);
    }

    #[test]
    fn crik_is_where_the_container_starts_it_from() {
        let pod = Pod(fixture::pod(&[]));
        assert_eq!(pod.container(None).unwrap(), ("app", "/usr/local/lib/crik/bin/crik"));
        let why = pod.container(Some("proxy")).unwrap_err().to_string();
        assert!(why.contains("the containers app; give --container"), "{why}");
    }

    #[test]
    fn what_an_agent_of_another_release_has_told_is_no_news() {
        let pod = Pod(fixture::pod(&[(PROTECTION, json!({"protected": "perhaps"}))]));
        assert!(pod.protection().is_none() && pod.is_under_crik());
    }

    #[test]
    fn why_it_does_not_run_is_told_in_the_clusters_words() {
        let mut pod = fixture::pod(&[]);
        pod["status"] = json!({"phase": "Pending"});
        assert_eq!(Pod(pod.clone()).waits_for(), "Pending");
        pod["status"]["containerStatuses"] = json!([{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]);
        assert_eq!(Pod(pod.clone()).waits_for(), "ImagePullBackOff");
        let message = "0/2 nodes are available";
        pod["status"]["conditions"] =
            json!([{"type": "PodScheduled", "status": "False", "message": message}]);
        assert_eq!(Pod(pod).waits_for(), message);
    }
}
