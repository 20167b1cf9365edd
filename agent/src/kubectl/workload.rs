//! A workload whose pods are to stop and to go on together: a StatefulSet, a Deployment or a Job.

use std::fmt::{self, Display, Formatter};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::client::{Client, KubectlError};
use super::lacking_right::Right;
use super::pod::Pod;
use super::selector::selector;
use super::workload_name::{Kind, WorkloadName};

/// The annotation of a workload that is suspended: how many replicas it had.
const REPLICAS: &str = "crik.dev/replicas";

/// A workload's object.
#[derive(Debug)]
pub struct Workload {
    name: WorkloadName,
    object: Value,
}

impl Workload {
    /// The workload of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn get(client: &Client, name: &WorkloadName) -> Result<Self, KubectlError> {
        Ok(Self::of(name.clone(), client.get(name.resource(), name.name())?))
    }

    /// The workload that this object is.
    pub fn of(name: WorkloadName, object: Value) -> Self {
        Self { name, object }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.name.kind()
    }

    fn spec(&self) -> &Value {
        &self.object["spec"]
    }

    /// How many pods it is to have: 1 unless it says something else.
    pub fn replicas(&self) -> u64 {
        self.spec()["replicas"].as_u64().unwrap_or(1)
    }

    /// How many pods a Job is to have: no more than are still to be done.
    fn job_pods(&self) -> u64 {
        let parallelism = self.spec()["parallelism"].as_u64().unwrap_or(1);
        let done = self.object["status"]["succeeded"].as_u64().unwrap_or(0);
        self.spec()["completions"]
            .as_u64()
            .map_or(parallelism, |all| parallelism.min(all.saturating_sub(done)))
    }

    fn kept_replicas(&self) -> Option<u64> {
        self.object["metadata"]["annotations"][REPLICAS].as_str()?.parse().ok()
    }

    /// Whether it is suspended already.
    pub fn is_suspended(&self) -> bool {
        match self.kind() {
            Kind::Job => self.spec()["suspend"] == true,
            _ => self.replicas() == 0 && self.kept_replicas().is_some(),
        }
    }

    /// Checks that nothing of it is lost when its pods are gone.
    ///
    /// # Errors
    /// Something is.
    pub fn check(&self) -> Result<()> {
        let whole = self.kind() == Kind::Job || self.replicas() > 0;
        ensure!(whole, "{} has 0 replicas, and nothing to suspend", self.name);
        let claims = &self.spec()["persistentVolumeClaimRetentionPolicy"]["whenScaled"];
        let has_claims = self.spec()["volumeClaimTemplates"].as_array().is_some_and(|all| !all.is_empty());
        ensure!(
            !(has_claims && claims == "Delete"),
            "{} deletes its pods' claims when it is scaled to 0, and the checkpoints with them; set \
             persistentVolumeClaimRetentionPolicy.whenScaled: Retain",
            self.name
        );
        Ok(())
    }

    /// How many pods it is to have once it is resumed.
    ///
    /// # Errors
    /// It was not suspended, or somebody has scaled it since.
    pub fn to_resume(&self) -> Result<u64> {
        match (self.kind(), self.kept_replicas()) {
            (Kind::Job, _) if self.is_suspended() => Ok(self.job_pods()),
            (Kind::StatefulSet | Kind::Deployment, Some(kept)) if self.replicas() == 0 => Ok(kept),
            (Kind::StatefulSet | Kind::Deployment, Some(_)) => {
                bail!("{} has {} replicas already; somebody has scaled it", self.name, self.replicas())
            }
            _ => bail!("{} is not suspended", self.name),
        }
    }

    /// Its pods.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn pods(&self, client: &Client) -> Result<Vec<Pod>, KubectlError> {
        let selector = selector(&self.spec()["selector"]);
        let pods = client.list("pods", &["--selector", &selector])?.into_iter().map(Pod::from);
        Ok(pods.filter(|pod| self.owns(pod)).collect())
    }

    /// A Deployment owns pods by its ReplicaSets, which are named after it and after what its pods are labelled with.
    fn owns(&self, pod: &Pod) -> bool {
        let Some(owner) = pod.owner() else { return false };
        let replica_set = || Some(format!("{}-{}", self.name.name(), pod.label("pod-template-hash")?));
        match self.kind() {
            Kind::Deployment => Some(owner.name) == replica_set(),
            _ => self.object["metadata"]["uid"] == owner.uid,
        }
    }

    /// The rights that it takes to end its pods in time: a StatefulSet ends one after the other.
    pub fn to_suspend(&self) -> Vec<Right<'_>> {
        let (resource, group) = self.name.in_api();
        let namespace = self.object["metadata"]["namespace"].as_str().unwrap_or_default();
        let patch = Right { verb: "patch", resource, group, name: Some(self.name.name()), namespace };
        let delete = Right { verb: "delete", resource: "pods", group: "", name: None, namespace };
        if self.kind() == Kind::StatefulSet { vec![patch, delete] } else { vec![patch] }
    }

    /// Whether somebody has changed meanwhile what is to be kept of it.
    pub fn differs(&self, then: &Self) -> bool {
        let of = |one: &Self| (one.object["metadata"]["uid"].clone(), one.replicas(), one.is_suspended());
        of(self) != of(then)
    }

    /// Has its pods ended, and keeps how many there were.
    ///
    /// # Errors
    /// The API server refuses, or it has changed since it was read.
    pub fn suspend(&self, client: &Client) -> Result<(), KubectlError> {
        let mut patch = self.suspended();
        patch["metadata"]["resourceVersion"] = self.object["metadata"]["resourceVersion"].clone();
        self.patch(client, &patch)
    }

    fn suspended(&self) -> Value {
        match self.kind() {
            Kind::Job => json!({"spec": {"suspend": true}}),
            _ => json!({
                "metadata": {"annotations": {REPLICAS: self.replicas().to_string()}},
                "spec": {"replicas": 0},
            }),
        }
    }

    /// Has its pods made again.
    ///
    /// # Errors
    /// The API server refuses, or it is another one by now.
    pub fn resume(&self, client: &Client, replicas: u64) -> Result<(), KubectlError> {
        self.patch(client, &self.resumed(replicas))
    }

    fn resumed(&self, replicas: u64) -> Value {
        match self.kind() {
            Kind::Job => json!({"spec": {"suspend": false}}),
            _ => json!({"metadata": {"annotations": {REPLICAS: null}}, "spec": {"replicas": replicas}}),
        }
    }

    /// The uid makes it a precondition that it is still the same one.
    fn patch(&self, client: &Client, patch: &Value) -> Result<(), KubectlError> {
        let mut patch = patch.clone();
        patch["metadata"]["uid"] = self.object["metadata"]["uid"].clone();
        client.patch(self.name.resource(), self.name.name(), &patch)
    }
}

impl Display for Workload {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.name.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pod::fixture;
    use super::*;

    fn workload(name: &str, spec: Value) -> Workload {
        Workload { name: name.parse().unwrap(), object: json!({"metadata": {"uid": "set"}, "spec": spec}) }
    }

    fn suspended(mut workload: Workload) -> Workload {
        workload.object["metadata"]["annotations"][REPLICAS] = json!("3");
        workload
    }

    #[test]
    fn how_many_it_had_is_kept_and_given_back() {
        let running = workload("sts/x", json!({"replicas": 3}));
        assert!(!running.is_suspended());
        let patch = running.suspended();
        assert_eq!(
            (&patch["metadata"]["annotations"][REPLICAS], &patch["spec"]["replicas"]),
            (&json!("3"), &json!(0))
        );
        let gone = suspended(workload("sts/x", json!({"replicas": 0})));
        assert!(gone.is_suspended());
        assert_eq!(gone.to_resume().unwrap(), 3);
        assert_eq!(gone.resumed(3)["metadata"]["annotations"][REPLICAS], Value::Null);
    }

    #[test]
    fn what_somebody_has_scaled_or_made_anew_is_another_one() {
        let set = |replicas: u64| workload("sts/x", json!({"replicas": replicas}));
        assert!(!set(3).differs(&set(3)) && set(3).differs(&set(2)));
        let mut anew = set(3);
        anew.object["metadata"]["uid"] = json!("other");
        assert!(anew.differs(&set(3)));
        let job = |suspend: bool| workload("job/x", json!({"suspend": suspend}));
        assert!(job(true).differs(&job(false)));
    }

    #[test]
    fn only_a_stateful_sets_pods_are_deleted_here() {
        let verbs = |name: &str| {
            let workload = workload(name, json!({}));
            workload.to_suspend().iter().map(|right| right.asked()[2..4].join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(verbs("sts/x"), ["patch statefulsets.apps/x", "delete pods"]);
        assert_eq!(verbs("job/x"), ["patch jobs.batch/x"]);
    }

    #[test]
    fn what_is_not_suspended_is_not_resumed() {
        let why = |workload: Workload| workload.to_resume().unwrap_err().to_string();
        assert_eq!(why(workload("sts/x", json!({"replicas": 2}))), "statefulset/x is not suspended");
        assert_eq!(why(workload("job/x", json!({}))), "job/x is not suspended");
        let scaled = suspended(workload("deploy/x", json!({"replicas": 2})));
        assert_eq!(why(scaled), "deployment/x has 2 replicas already; somebody has scaled it");
    }

    #[test]
    fn a_job_has_no_more_pods_than_are_still_to_be_done() {
        let mut job = workload("job/x", json!({"suspend": true, "parallelism": 3, "completions": 4}));
        assert_eq!(job.to_resume().unwrap(), 3);
        job.object["status"]["succeeded"] = json!(3);
        assert_eq!(job.to_resume().unwrap(), 1);
    }

    #[test]
    fn claims_that_would_go_with_the_pods_are_kept() {
        let with = |policy: &str| {
            let templates = json!([{"metadata": {"name": "checkpoints"}}]);
            let policy = json!({"whenScaled": policy});
            workload(
                "sts/x",
                json!({"volumeClaimTemplates": templates, "persistentVolumeClaimRetentionPolicy": policy}),
            )
        };
        with("Retain").check().unwrap();
        assert!(with("Delete").check().unwrap_err().to_string().contains("whenScaled: Retain"));
        assert!(workload("sts/x", json!({"replicas": 0})).check().is_err());
    }

    #[test]
    fn its_pods_are_those_that_it_owns() {
        let mut pod = fixture::pod(&[]);
        assert!(workload("sts/job", json!({})).owns(&Pod::from(pod.clone())));
        let deployment = workload("deploy/job", json!({}));
        assert!(!deployment.owns(&Pod::from(pod.clone())));
        pod["metadata"]["ownerReferences"][0] =
            json!({"kind": "ReplicaSet", "name": "job-5f", "controller": true});
        pod["metadata"]["labels"]["pod-template-hash"] = json!("5f");
        assert!(deployment.owns(&Pod::from(pod)));
    }
}
