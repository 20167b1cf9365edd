//! crik, CRIU and their libraries: an init container puts them into an emptyDir, which the container finds where their loader
//! looks for them.

use crik_api::configuration::INSTALL;
use std::path::Path;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, LocalObjectReference, Pod, PodSpec, ResourceRequirements,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::place::mount;
use super::refusal::Refusal;
use super::settings::Settings;

/// crik as the container starts it.
pub const CRIK: &str = "/usr/local/lib/crik/bin/crik";

/// Where crik's libraries have to be: their loader is named so in each program.
const LIBRARIES: &str = "/usr/local/lib/crik";

/// The emptyDir.
const VOLUME: &str = "crik-programs";
/// Where the init container fills it.
const FILLED: &str = "/crik-programs";

/// Names the volumes of a pod that the Cluster Autoscaler may remove with its node, with commas and without spaces between them; it keeps a
/// node with an emptyDir that is not named
/// (<https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>).
const MAY_GO: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

/// What of a container's resources is asked for once more: what all that run at the same time ask for counts, and what one asks for
/// that runs before them, whichever is more. So the pod asks for no more, and is of the same class.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Gives the container the programs.
///
/// # Errors
/// It has something else there.
pub fn give(pod: &mut Pod, at: usize, settings: &Settings) -> Result<(), Refusal> {
    let Some(spec) = pod.spec.as_mut() else { return Ok(()) };
    let container = &mut spec.containers[at];
    let mounts = || container.volume_mounts.iter().flatten();
    if mounts().any(|mount| mount.name != VOLUME && is_in_the_way(mount)) {
        return Err(Refusal::Taken { container: container.name.clone(), path: LIBRARIES.to_owned() });
    }
    if !mounts().any(|mount| mount.name == VOLUME) {
        mount(container, VOLUME.to_owned(), LIBRARIES, true);
    }
    let install = install(container, settings);
    let init = spec.init_containers.get_or_insert_default();
    if !init.iter().any(|one| one.name == INSTALL) {
        init.push(install);
    }
    let volumes = spec.volumes.get_or_insert_default();
    if !volumes.iter().any(|one| one.name == VOLUME) {
        let empty_dir = Some(EmptyDirVolumeSource::default());
        volumes.push(Volume { name: VOLUME.to_owned(), empty_dir, ..Volume::default() });
    }
    give_pull_secrets(spec, &settings.agent_pull_secrets);
    let_it_go(&mut pod.metadata);
    Ok(())
}

/// Programs that are copied anew for the next pod hold up no autoscaler. What else it may remove is for the pod to say.
fn let_it_go(meta: &mut ObjectMeta) {
    let named = meta.annotations.get_or_insert_default().entry(MAY_GO.to_owned()).or_default();
    if named.is_empty() {
        named.push_str(VOLUME);
    } else if !named.split(',').any(|name| name == VOLUME) {
        *named = format!("{named},{VOLUME}");
    }
}

/// Beside those that the pod has. The kubelet goes on without one that is not there.
fn give_pull_secrets(spec: &mut PodSpec, names: &[String]) {
    for name in names {
        let secrets = spec.image_pull_secrets.get_or_insert_default();
        if !secrets.iter().any(|secret| secret.name == *name) {
            secrets.push(LocalObjectReference { name: name.clone() });
        }
    }
}

/// Whether it takes the place of the libraries, or lies around them so that nothing can be mounted in it.
fn is_in_the_way(mount: &VolumeMount) -> bool {
    let (mounted, libraries) = (Path::new(&mount.mount_path), Path::new(LIBRARIES));
    mounted.starts_with(libraries) || libraries.starts_with(mounted) && mount.read_only == Some(true)
}

fn install(container: &Container, settings: &Settings) -> Container {
    let mut install = Container {
        name: INSTALL.to_owned(),
        image: Some(settings.agent_image.clone()),
        image_pull_policy: settings.image_pull_policy.clone(),
        command: Some(["/usr/local/bin/crik", "install", FILLED].map(str::to_owned).to_vec()),
        resources: container.resources.as_ref().map(of_cpu_and_memory),
        security_context: Some(rights()),
        ..Container::default()
    };
    mount(&mut install, VOLUME.to_owned(), FILLED, false);
    install
}

/// Root without anything else but the right to give crik's file what a pod needs that does not run as root.
fn rights() -> SecurityContext {
    let names = |name: &str| Some(vec![name.to_owned()]);
    SecurityContext {
        run_as_user: Some(0),
        run_as_non_root: Some(false),
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { add: names("SETFCAP"), drop: names("ALL") }),
        ..SecurityContext::default()
    }
}

fn of_cpu_and_memory(of: &ResourceRequirements) -> ResourceRequirements {
    let mut resources = of.clone();
    resources.claims = None;
    for list in [&mut resources.requests, &mut resources.limits].into_iter().flatten() {
        list.retain(|name, _| RESOURCES.contains(&name.as_str()));
    }
    resources
}
