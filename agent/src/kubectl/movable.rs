//! What has to hold before anything is done to a pod that is to go on in another one.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::client::{Client, KubectlError};
use super::fit;
use super::in_pod::{InPod, not_protected};
use super::node::Node;
use super::pod::{Owner, Pod};
use super::progress::Progress;

/// Why nothing is done.
#[derive(Debug, Error)]
pub enum NotMovable {
    /// There is no program in it to go on with.
    #[error("{pod} is {status}; only a pod that runs can be stopped for a checkpoint")]
    NotRunning {
        /// Its name.
        pod: String,
        /// What it is.
        status: String,
    },
    /// Its program would be lost.
    #[error("{pod} is not protected: {why}")]
    NotProtected {
        /// Its name.
        pod: String,
        /// Why, with the remedy.
        why: String,
    },
    /// Nobody would go on with it.
    #[error(
        "{0} has no owner that makes another pod when it is gone; make it part of a StatefulSet, a Deployment or a Job"
    )]
    NoOwner(String),
    /// The next one comes to the same node.
    #[error("{pod} is made by {kind} {owner}, which makes the next one on the same node")]
    SameNode {
        /// Its name.
        pod: String,
        /// Its owner's kind.
        kind: String,
        /// Its owner's name.
        owner: String,
    },
    /// The next one looks elsewhere.
    #[error(
        "the pod after {pod} has another name, and would begin anew: imageDir is {image_dir}; take ${{POD_NAME}} out of it, such as \
         /checkpoints/NAME where there is one pod at a time"
    )]
    AnotherName {
        /// Its name.
        pod: String,
        /// Where its checkpoints are.
        image_dir: String,
    },
    /// It would have to stay.
    #[error("no other node can take {pod}: {nodes}")]
    NoOtherNode {
        /// Its name.
        pod: String,
        /// What is in the way on each.
        nodes: String,
    },
    /// Its Job would be over.
    #[error(
        "Job {job} has failed {failed} times of {limit} (backoffLimit), and would count this pod as one more: have podFailurePolicy ignore \
         the exit codes 75 and 143"
    )]
    LastTry {
        /// The Job's name.
        job: String,
        /// How many of its pods have failed.
        failed: u64,
        /// How many may.
        limit: u64,
    },
}

/// Checks that a pod can be moved.
///
/// # Errors
/// It cannot, or nobody answers.
pub fn check(client: &Client, pod: &Pod, crik: &InPod<'_>, progress: &Progress) -> Result<()> {
    let owner = owner(pod)?;
    if owner.kind == "Job" {
        another_try(&owner, &client.get("job", &owner.name)?)?;
    }
    match client.list("nodes", &[]) {
        Ok(nodes) => another_node(pod, &nodes.into_iter().map(Node::from).collect::<Vec<_>>())?,
        Err(error @ KubectlError::Forbidden { .. }) => {
            progress.done("check", &format!("whether another node can take it is not known: {error}"))
        }
        Err(error) => return Err(error.into()),
    }
    can_stop(pod, crik, owner.kind.ends_with("StatefulSet"))
}

/// Checks that a pod's program can be stopped, and gone on with in the next pod.
///
/// # Errors
/// It cannot, or does not answer.
pub fn can_stop(pod: &Pod, crik: &InPod<'_>, keeps_its_name: bool) -> Result<()> {
    let name = || pod.name().to_owned();
    if !pod.runs() {
        return Err(NotMovable::NotRunning { pod: name(), status: pod.status().to_owned() }.into());
    }
    let why = match pod.protection() {
        Some(told) => {
            (!told.protected).then(|| told.why.unwrap_or_else(|| "its agent does not say why".to_owned()))
        }
        None => not_protected(crik)?,
    };
    if let Some(why) = why {
        return Err(NotMovable::NotProtected { pod: name(), why }.into());
    }
    if keeps_its_name { Ok(()) } else { without_its_name(pod, &crik.json::<Listing>(&["list"])?.image_dir) }
}

/// What `crik list` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    image_dir: String,
}

/// What the next pod has another one of may not be in the directory's name.
fn without_its_name(pod: &Pod, image_dir: &str) -> Result<()> {
    let own = [Some(pod.name()), Some(pod.uid()), pod.address()];
    if own.into_iter().flatten().any(|own| !own.is_empty() && image_dir.contains(own)) {
        return Err(
            NotMovable::AnotherName { pod: pod.name().to_owned(), image_dir: image_dir.to_owned() }.into()
        );
    }
    Ok(())
}

fn owner(pod: &Pod) -> Result<Owner, NotMovable> {
    let owner = pod.owner().ok_or_else(|| NotMovable::NoOwner(pod.name().to_owned()))?;
    // The kubelet makes pods of a node's own files.
    if ["DaemonSet", "Node"].contains(&&*owner.kind) {
        return Err(NotMovable::SameNode { pod: pod.name().to_owned(), kind: owner.kind, owner: owner.name });
    }
    Ok(owner)
}

fn another_node(pod: &Pod, nodes: &[Node]) -> Result<(), NotMovable> {
    let others = || nodes.iter().filter(|node| pod.node() != Some(node.name()));
    if others().any(|node| fit::obstacle(pod, node).is_none()) {
        return Ok(());
    }
    let told = others().filter_map(|node| Some(format!("{} {}", node.name(), fit::obstacle(pod, node)?)));
    let told = told.collect::<Vec<_>>().join(", ");
    let nodes = if told.is_empty() { "there is none".to_owned() } else { told };
    Err(NotMovable::NoOtherNode { pod: pod.name().to_owned(), nodes })
}

/// A Job counts a pod that is deleted as one that has failed, unless its policy ignores it (k8s.io/api/batch/v1, `JobSpec`).
fn another_try(owner: &Owner, job: &Value) -> Result<(), NotMovable> {
    let (failed, limit) =
        (job["status"]["failed"].as_u64().unwrap_or(0), job["spec"]["backoffLimit"].as_u64());
    let has_policy = job["spec"]["podFailurePolicy"].is_object();
    match limit {
        Some(limit) if failed >= limit && !has_policy => {
            Err(NotMovable::LastTry { job: owner.name.clone(), failed, limit })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{node, pod};
    use super::*;

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = pod::fixture::pod(&[]);
        change(&mut pod);
        Pod::from(pod)
    }

    #[test]
    fn a_pod_that_nobody_makes_anew_stays() {
        let why = owner(&pod(|pod| pod["metadata"]["ownerReferences"] = json!([]))).unwrap_err();
        assert!(why.to_string().starts_with("job-0 has no owner that makes another pod"), "{why}");
        // An owner that only cleans up after it makes none.
        assert!(
            owner(&pod(|pod| pod["metadata"]["ownerReferences"][0]["controller"] = json!(false))).is_err()
        );
        let why = owner(&pod(|pod| pod["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet")))
            .unwrap_err();
        assert!(why.to_string().contains("on the same node"), "{why}");
        assert_eq!(owner(&pod(|_| ())).unwrap().name, "job");
    }

    #[test]
    fn another_node_is_one_that_may_take_it() {
        let [own, other] = ["node-a", "node-b"].map(|name| Node::from(node::fixture::node(name)));
        let pod = pod(|_| ());
        another_node(&pod, &[own.clone(), other]).unwrap();
        let why = another_node(&pod, std::slice::from_ref(&own)).unwrap_err().to_string();
        assert!(why.ends_with("there is none"), "{why}");
        let mut cordoned = node::fixture::node("node-b");
        cordoned["spec"]["unschedulable"] = json!(true);
        let why = another_node(&pod, &[own, Node::from(cordoned)]).unwrap_err().to_string();
        assert_eq!(why, "no other node can take job-0: node-b cordoned");
    }

    #[test]
    fn a_directory_with_the_pods_own_name_is_not_the_next_ones() {
        let pod = pod(|pod| pod["status"]["podIP"] = json!("10.0.0.7"));
        for own in ["/checkpoints/job-0", "s3://bucket/job-0/x", "/checkpoints/10.0.0.7"] {
            let why = without_its_name(&pod, own).unwrap_err().to_string();
            assert!(why.contains("would begin anew") && why.contains("${POD_NAME}"), "{why}");
        }
        without_its_name(&pod, "/checkpoints/job").unwrap();
    }

    #[test]
    fn a_job_that_would_be_over_is_left_alone() {
        let owner = Owner { kind: "Job".to_owned(), name: "sum".to_owned(), uid: String::new() };
        let job = |failed: u64, policy: Value| json!({"spec": {"backoffLimit": 1, "podFailurePolicy": policy}, "status": {"failed": failed}});
        another_try(&owner, &job(0, Value::Null)).unwrap();
        another_try(&owner, &job(1, json!({"rules": []}))).unwrap();
        let why = another_try(&owner, &job(1, Value::Null)).unwrap_err().to_string();
        assert!(why.contains("Job sum has failed 1 times of 1"), "{why}");
    }
}
