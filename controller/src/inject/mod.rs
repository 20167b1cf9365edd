//! What is added to a pod that asks for crik by its label, and what is said where it cannot work. Rules alone: they ask nobody
//! and know no time, so that the same pod always gets the same. May import `base`.
//!
//! Each step adds what is missing and leaves what is there, so a pod that has all of it gets no change.

mod configuration;
mod container;
mod duration;
mod place;
mod programs;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use self::configuration::Configuration;
use self::refusal::Refusal;
pub use self::settings::Settings;

/// What the names of all labels and annotations begin with.
const PREFIX: &str = "crik.dev/";

/// The label of a pod that asks for crik.
const LABEL: &str = "crik.dev/inject";

/// Names the container that is to run under crik; without it that is the first.
const CONTAINER: &str = "crik.dev/container";

/// Names the claim of the volume for checkpoints.
const CLAIM: &str = "crik.dev/volume-claim";

/// The kubelet makes these pods of its own files; what is seen of them at the API server is a picture.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The labels of the pod's namespace.
pub type Labels = BTreeMap<String, String>;

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Injected {
    /// The pod: another one, or the same.
    pub pod: Pod,
    /// What whoever creates it should know.
    pub warnings: Vec<String>,
}

/// Adds to the pod what it needs to run under crik, if it asks for that and it can work; else it stays as it is, and a warning says
/// why.
pub fn inject(pod: &Pod, namespace: &Labels, settings: &Settings) -> Injected {
    let mut warnings = Vec::new();
    let changed = is_wanted(pod).then(|| under_crik(pod, namespace, settings, &mut warnings));
    let pod = match changed {
        Some(Ok(changed)) => changed,
        Some(Err(refusal)) => {
            warnings.push(format!("crik: the pod stays as it is: {refusal}"));
            pod.clone()
        }
        None => pod.clone(),
    };
    Injected { pod, warnings }
}

/// Whether the pod asks for crik.
pub fn is_wanted(pod: &Pod) -> bool {
    let is_mirror = annotation(pod, MIRROR).is_some();
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL));
    !is_mirror && label.is_some_and(|label| label == "true")
}

fn under_crik(
    pod: &Pod,
    namespace: &Labels,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<Pod, Refusal> {
    let mut pod = pod.clone();
    refusal::of_pod(&pod, namespace)?;
    let at = container::chosen(&pod)?;
    let command = container::command(&pod, at)?;
    if container::needs_configuration(&pod, at) {
        let configuration = Configuration::of(&pod, settings, warnings)?;
        place::give(&mut pod, at, settings, configuration, warnings)?;
    }
    if command.needs_programs() {
        programs::give(&mut pod, at, settings)?;
    }
    container::put_under_crik(&mut pod, at, command);
    Ok(pod)
}

fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}
