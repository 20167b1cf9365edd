//! What the containers of a pod share with each other and with their node.

use k8s_openapi::api::core::v1::{PodSpec, Volume};

use super::settings::Settings;

/// What is shared, and stands in the way of a restore.
pub fn warn_of_shared_ids(spec: &PodSpec, warnings: &mut Vec<String>) {
    let shares = [("hostPID", spec.host_pid), ("shareProcessNamespace", spec.share_process_namespace)];
    for (field, _) in shares.into_iter().filter(|(_, value)| *value == Some(true)) {
        warnings.push(format!(
            "crik: with {field} others may have the program's process ids when it is to be resumed, and a restore fails then; leave {field} out"
        ));
    }
}

/// Gives the pod users of its own, if pods are to have them, it does not say itself, and nothing of it is known to need the node's.
pub fn give_own_users(spec: &mut PodSpec, settings: &Settings, warnings: &mut Vec<String>) {
    if settings.host_users != Some(false) || spec.host_users.is_some() {
        return;
    }
    match obstacle(spec) {
        None => spec.host_users = Some(false),
        Some(obstacle) => {
            warnings.push(format!(
                "crik: hostUsers stays as it is: {obstacle}; say it in the pod if it works there"
            ));
        }
    }
}

/// The API server refuses such a pod that shares a namespace with its node, and the kubelet one with a volume that the kernel cannot mount
/// with other ids (<https://kubernetes.io/docs/concepts/workloads/pods/user-namespaces/>).
fn obstacle(spec: &PodSpec) -> Option<String> {
    let shares = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    let shared = shares.into_iter().find(|(_, value)| *value == Some(true));
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let has_device = containers.flat_map(|one| &one.volume_devices).any(|devices| !devices.is_empty());
    let volume = spec.volumes.iter().flatten().find(|volume| !is_of_the_kubelet(volume));
    let of_volume = |volume: &Volume| {
        format!(
            "nobody knows whether the volume {} can be mounted with other ids, which NFS cannot",
            volume.name
        )
    };
    shared
        .map(|(field, _)| format!("the pod has {field}"))
        .or_else(|| has_device.then(|| "the pod has volumeDevices".to_owned()))
        .or_else(|| volume.map(of_volume))
}

/// Whether the kubelet makes it itself, on a file system of the node's.
fn is_of_the_kubelet(volume: &Volume) -> bool {
    volume.empty_dir.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}
