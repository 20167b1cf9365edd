//! The manifest of a second pod in which the checkpoint of a trial is resumed, for where a container may make no namespaces. It is made of
//! the first pod's object: what the copy needs, and nothing by which a controller, a Service or a peer could take it for the first.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crik_api::configuration::INSTALL;
use crik_store::generation::manifest::Manifest;
use crik_store::generation::open_files::Access;
use crik_store::image_dir::{Generation, layout};
use serde_json::{Map, Value, json};
use thiserror::Error;

pub use super::second_pod_volumes::Files;
use super::second_pod_volumes::Volumes;
use crate::base::limits;
use crate::cluster::pod::{UnknownContainer, crik_of, under_crik};
use crate::tree::criu::images::{self, ImageError};

/// The subcommand that the second pod runs.
pub const SUBCOMMAND: &str = "trial-pod";

/// What a second pod has of the first one: where and as whom it may run.
const OF_POD: [&str; 8] = [
    "securityContext",
    "nodeSelector",
    "tolerations",
    "imagePullSecrets",
    "runtimeClassName",
    "schedulerName",
    "serviceAccountName",
    "hostUsers",
];

/// The same for its container.
const OF_CONTAINER: [&str; 8] =
    ["name", "image", "imagePullPolicy", "env", "envFrom", "workingDir", "securityContext", "resources"];

/// Why there is no manifest.
#[derive(Debug, Error)]
pub enum NoSecondPod {
    /// It is something else.
    #[error("what comes on standard input is no pod as JSON; pipe kubectl get pod NAME -o json into this")]
    NotAPod,
    /// It does not say which container is meant.
    #[error(transparent)]
    Which(#[from] UnknownContainer),
    /// The image is in the pod itself.
    #[error("{0} is on no volume of the pod's that a second one can mount")]
    NoVolume(PathBuf),
}

/// The checkpoint that it resumes.
pub struct Image<'a> {
    /// Where it is in the first pod.
    pub path: &'a Path,
    /// Its number.
    pub generation: Generation,
    /// What its program has open.
    pub files: &'a Files,
}

/// What the program of an image has open.
///
/// # Errors
/// The image cannot be read.
pub fn files(image: &Path, manifest: &Manifest) -> Result<Files, ImageError> {
    let directory = image.join(layout::IMAGES);
    let sockets = images::open_files(&directory)?.unix_sockets();
    let sockets = sockets.map_err(|what| images::damaged(&directory, what))?;
    let open = manifest.volume_files.iter().map(|file| file.path.clone()).collect();
    let written = manifest.volume_files.iter().filter(|file| file.access >= Access::Append);
    let written = written.map(|file| file.path.clone());
    let unnamed = manifest.unnamed_files.iter().map(|file| file.name.clone());
    let bound = sockets.iter().filter(|socket| socket.name.starts_with(b"/")).map(|socket| {
        let name = socket.name.strip_suffix(&[0]).unwrap_or(&socket.name);
        PathBuf::from(std::ffi::OsStr::from_bytes(name))
    });
    Ok(Files { open, changed: written.chain(unnamed).chain(bound).collect() })
}

/// The container of `pod` that crik runs in.
///
/// # Errors
/// Nobody can tell.
pub fn container<'a>(pod: &'a Value, name: Option<&str>) -> Result<&'a Value, NoSecondPod> {
    if pod["kind"] != "Pod" || !pod["metadata"]["name"].is_string() {
        return Err(NoSecondPod::NotAPod);
    }
    Ok(under_crik(pod, name)?)
}

/// The pod, and a NetworkPolicy that keeps it from everybody.
///
/// # Errors
/// [`NoSecondPod`].
pub fn manifest(pod: &Value, name: Option<&str>, image: &Image<'_>) -> Result<Value, NoSecondPod> {
    let container = container(pod, name)?;
    let volumes = Volumes::of(pod, container, image.files);
    let path = volumes.in_second_pod(image.path).ok_or_else(|| NoSecondPod::NoVolume(image.path.into()))?;
    let mut command = vec![crik_of(container).unwrap_or("crik").to_owned(), SUBCOMMAND.to_owned()];
    command.extend([image.generation.0.to_string(), path.display().to_string()]);
    command.extend(volumes.stood_in().map(|(from, at)| format!("{}={}", from.display(), at.display())));
    let mut second = picked(container, &OF_CONTAINER);
    second["env"] = container["env"].as_array().into_iter().flatten().map(|one| resolved(one, pod)).collect();
    second["command"] = json!(command);
    second["volumeMounts"] = json!(volumes.mounts());
    second["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    let labels = json!({"crik-trial": pod["metadata"]["uid"].as_str().unwrap_or("pod")});
    let meta = json!({
        "name": format!("{}-crik-trial", pod["metadata"]["name"].as_str().unwrap_or_default()),
        "namespace": pod["metadata"]["namespace"],
        "labels": labels,
    });
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta,
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress", "Egress"]},
    });
    let spec = spec(pod, second, &volumes);
    let second = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec});
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": [policy, second]}))
}

fn spec(pod: &Value, container: Value, volumes: &Volumes<'_>) -> Value {
    let mut spec = picked(&pod["spec"], &OF_POD);
    let host_name = pod["spec"]["hostname"].as_str().or(pod["metadata"]["name"].as_str());
    let others = json!({
        "hostname": host_name.filter(|name| name.len() < 64 && !name.contains('.')),
        "restartPolicy": "Never",
        "activeDeadlineSeconds": limits::TRIAL_POD_SECONDS,
        "terminationGracePeriodSeconds": 1,
        // It neither is the program for the cluster, nor finds anybody.
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "affinity": {"nodeAffinity": place(pod, volumes)},
        "initContainers": install(pod),
        "containers": [container],
        "volumes": volumes.all(),
    });
    if let (Some(spec), Value::Object(others)) = (spec.as_object_mut(), others) {
        spec.extend(others.into_iter().filter(|(_, value)| !value.is_null()));
    }
    spec
}

/// What brings crik to the pod, if its image has none.
fn install(pod: &Value) -> Option<Vec<&Value>> {
    let all = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    let ours: Vec<&Value> = all.filter(|one| one["name"] == INSTALL).collect();
    (!ours.is_empty()).then_some(ours)
}

/// Another node if there is one that will do, which shows more; but the same one for claims that may be those of a single node.
fn place(pod: &Value, volumes: &Volumes<'_>) -> Value {
    let mut affinity = pod["spec"]["affinity"]["nodeAffinity"].clone();
    let Some(node) = pod["spec"]["nodeName"].as_str() else { return affinity };
    let there =
        |operator| json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": [node]}]});
    if volumes.may_be_of_one_node() {
        return json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [there("In")]}});
    }
    let elsewhere = json!({"weight": 100, "preference": there("NotIn")});
    affinity["preferredDuringSchedulingIgnoredDuringExecution"] = json!([elsewhere]);
    affinity
}

fn picked(from: &Value, keys: &[&str]) -> Value {
    let of = |key: &&str| Some(((*key).to_owned(), from.get(key)?.clone()));
    Value::Object(keys.iter().filter_map(of).collect::<Map<_, _>>())
}

/// What a variable has of the first pod's object, which the second would have of its own.
fn resolved(variable: &Value, pod: &Value) -> Value {
    let value = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str().and_then(|path| {
        let meta = &pod["metadata"];
        let (of, key) = path.strip_prefix("metadata.")?.split_once("['").unwrap_or((&path[9..], "']"));
        match key.strip_suffix("']")? {
            "" => Some(meta[of].clone()),
            key => Some(meta[of][key].clone()),
        }
    });
    value.map_or_else(
        || variable.clone(),
        |value| json!({"name": variable["name"], "value": value.as_str().unwrap_or_default()}),
    )
}

#[cfg(test)]
mod tests;
