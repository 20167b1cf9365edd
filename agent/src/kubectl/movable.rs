//! What has to hold before anything is done to a pod that is to go on in another one.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::client::{Client, KubectlError};
use super::failure_policy::{self, Counted};
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
        "the pod after {pod} has another {what}, and would begin anew: imageDir is {image_dir}; take that out of it (${{POD_NAME}} and the \
         like), such as /checkpoints/NAME where there is one pod at a time"
    )]
    AnotherName {
        /// Its name.
        pod: String,
        /// What of the pod is in the directory's name.
        what: &'static str,
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
        "Job {job} has failed {failed} times of {limit} (backoffLimit, restarts included), and would count this pod as one more: have \
         podFailurePolicy ignore the exit codes 75 and 143"
    )]
    LastTry {
        /// The Job's name.
        job: String,
        /// How many of its pods have failed.
        failed: u64,
        /// How many may.
        limit: u64,
    },
    /// Its Job would be over by its own word.
    #[error(
        "Job {0} is over when a pod ends with 143, as one does that leaves a checkpoint: have podFailurePolicy ignore the exit codes 75 and 143"
    )]
    FailsJob(String),
}

/// Checks that a pod can be moved.
///
/// # Errors
/// It cannot, or nobody answers.
pub fn check(client: &Client, pod: &Pod, crik: &InPod<'_>, progress: &Progress) -> Result<()> {
    let owner = owner(pod)?;
    if owner.kind == "Job" {
        another_try(pod, crik.container(), &client.get("job", &owner.name)?)?;
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
    stays(pod, &crik.json::<Listing>(&["list"])?.image_dir, keeps_its_name)
}

/// What `crik list` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    image_dir: String,
}

/// What the next pod has another one of may not be in the directory's name.
fn stays(pod: &Pod, image_dir: &str, keeps_its_name: bool) -> Result<()> {
    let name = (!keeps_its_name).then(|| pod.name());
    let own = [("name", name), ("uid", Some(pod.uid())), ("address", pod.address()), ("node", pod.node())];
    let is_in = |own: &str| image_dir.split('/').any(|segment| has(segment, own));
    match own.into_iter().find(|(_, own)| own.is_some_and(is_in)) {
        Some((what, _)) => {
            let (pod, image_dir) = (pod.name().to_owned(), image_dir.to_owned());
            Err(NotMovable::AnotherName { pod, what, image_dir }.into())
        }
        None => Ok(()),
    }
}

/// Whether a part of a path is this word, or has it at an end of its own, as `run-${POD_NAME}` has.
fn has(segment: &str, word: &str) -> bool {
    let before = segment.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with(SET_OFF));
    let after = segment.strip_prefix(word).is_some_and(|rest| rest.starts_with(SET_OFF));
    !word.is_empty() && (before || after)
}

/// By which words of a name are set off.
const SET_OFF: [char; 3] = ['-', '_', '.'];

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

/// A Job counts a pod that is deleted as one that has failed, unless its policy ignores it, and restarts of containers besides
/// (k8s.io/api/batch/v1, `JobSpec`).
fn another_try(pod: &Pod, container: &str, job: &Value) -> Result<(), NotMovable> {
    let name = || job["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let failed = job["status"]["failed"].as_u64().unwrap_or(0) + pod.restarts();
    let limit = job["spec"]["backoffLimit"].as_u64();
    match (failure_policy::counts(&job["spec"]["podFailurePolicy"], container), limit) {
        (Counted::End, _) => Err(NotMovable::FailsJob(name())),
        (Counted::Failure, Some(limit)) if failed >= limit => {
            Err(NotMovable::LastTry { job: name(), failed, limit })
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
    fn a_directory_with_what_is_the_pods_own_is_not_the_next_ones() {
        let pod = pod(|pod| {
            pod["status"]["podIP"] = json!("10.0.0.7");
            pod["metadata"]["uid"] = json!("5c1e");
        });
        let refused = |image_dir: &str, keeps: bool| stays(&pod, image_dir, keeps).unwrap_err().to_string();
        for own in
            ["/checkpoints/job-0", "s3://bucket/job-0/x", "/checkpoints/run-job-0", "/checkpoints/job-0_b"]
        {
            let why = refused(own, false);
            assert!(
                why.contains("another name, and would begin anew") && why.contains("${POD_NAME}"),
                "{why}"
            );
            stays(&pod, own, true).unwrap();
        }
        for (own, what) in [("/c/10.0.0.7", "address"), ("/c/node-a", "node"), ("/c/x-5c1e/y", "uid")] {
            assert!(refused(own, true).contains(&format!("another {what},")), "{own}");
        }
        // What only has the same letters in it.
        for other in ["/checkpoints/job", "/checkpoints/job-01", "/checkpoints/10.0.0.70", "/c/mynode-ab"] {
            stays(&pod, other, false).unwrap();
        }
    }

    #[test]
    fn a_job_that_would_be_over_is_left_alone() {
        let tried = |failed: u64, restarts: u64, action: &str| {
            let codes = json!({"operator": "In", "values": [75, 143]});
            let job = json!({
                "metadata": {"name": "sum"}, "status": {"failed": failed},
                "spec": {"backoffLimit": 1, "podFailurePolicy": {"rules": [{"action": action, "onExitCodes": codes}]}},
            });
            let pod = pod(|pod| pod["status"]["containerStatuses"] = json!([{"restartCount": restarts}]));
            another_try(&pod, "app", &job).map_err(|why| why.to_string())
        };
        tried(0, 0, "Count").unwrap();
        tried(1, 3, "Ignore").unwrap();
        assert!(tried(1, 0, "Count").unwrap_err().contains("Job sum has failed 1 times of 1"));
        assert!(tried(0, 1, "Count").unwrap_err().contains("restarts included"));
        assert!(tried(0, 0, "FailJob").unwrap_err().contains("Job sum is over when a pod ends with 143"));
    }
}
