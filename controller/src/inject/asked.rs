//! What labels and annotations ask for, by their names.

use std::collections::BTreeMap;

use crik_api::report::OWN_ANNOTATIONS;
use k8s_openapi::api::core::v1::Pod;

/// What the names of all labels and annotations begin with.
pub const PREFIX: &str = "crik.dev/";

/// The label of a pod that asks for crik.
const LABEL: &str = "crik.dev/inject";

/// Names the container that is to run under crik; without it that is the first.
pub const CONTAINER: &str = "crik.dev/container";

/// Names the claim of the volume for checkpoints.
pub const CLAIM: &str = "crik.dev/volume-claim";

/// The kubelet makes these pods of its own files; what is seen of them at the API server is a picture.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The labels of the pod's namespace.
pub type Labels = BTreeMap<String, String>;

/// Whether the pod asks for crik.
pub fn is_wanted(pod: &Pod) -> bool {
    let is_mirror = annotation(pod, MIRROR).is_some();
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL));
    !is_mirror && label.is_some_and(|label| label == "true")
}

/// The pod without what the controller alone may say on one: a copied manifest has what was so of another pod, and whoever writes it
/// himself would have his pod taken for one that has a checkpoint, or is on its way.
pub fn without_own_annotations(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    if let Some(annotations) = pod.metadata.annotations.as_mut() {
        annotations.retain(|name, _| !OWN_ANNOTATIONS.contains(&name.as_str()));
    }
    pod
}

/// What an annotation of the pod says.
pub fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}
