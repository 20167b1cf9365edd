//! Where a pod's checkpoints are kept: on a volume that the next pod can mount, or in a bucket.

use std::path::Path;

use crik_api::configuration::VARIABLE;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PersistentVolumeClaimVolumeSource, Pod, PodSpec, ProjectedVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use serde_json::json;

use super::asked::{CLAIM, annotation};
use super::configuration::Configuration;
use super::refusal::Refusal;
use super::settings::Settings;

/// The volume for checkpoints.
const VOLUME: &str = "crik-checkpoints";
/// Where it is mounted.
const MOUNT: &str = "/checkpoints";
/// The image directory on it.
const DIRECTORY: &str = "/checkpoints/${POD_NAME}";

/// The volume with the agent's token.
const TOKEN: &str = "crik-token";
/// Where it is mounted.
const TOKEN_MOUNT: &str = "/var/run/crik-token";
/// The agent's key for the token in it.
const TOKEN_KEY: &str = "nodeStateServerTokenFile";
/// How long a token is good; the kubelet renews it before.
const TOKEN_SECONDS: i64 = 3600;

/// Gives the container its configuration, and what that leads to: the volume for checkpoints and the token. Returns the claim of that volume.
///
/// # Errors
/// There is no place for checkpoints that the next pod has too.
pub fn give(
    pod: &mut Pod,
    at: usize,
    settings: &Settings,
    mut configuration: Configuration,
    warnings: &mut Vec<String>,
) -> Result<Option<String>, Refusal> {
    let claim = annotation(pod, CLAIM).map(str::to_owned);
    let is_nameless = pod.metadata.name.as_ref().is_none_or(String::is_empty);
    let Some(spec) = pod.spec.as_mut() else { return Ok(None) };
    if claim.is_some() || !is_bucket(&configuration) {
        mount_claim(spec, at, claim.or_else(|| settings.volume_claim.clone()), &mut configuration);
    }
    let directory = configuration.text("imageDir").ok_or(Refusal::NoPlace)?.to_owned();
    outlasts(spec, at, &directory)?;
    is_its_own(&spec.containers[at], &directory)?;
    if spec.host_users == Some(false) && !is_bucket(&configuration) {
        warnings.push(
            "crik: hostUsers is false, so the volume for checkpoints must be one that can be mounted with other ids: NFS cannot, and the pod \
             would not start"
                .to_owned(),
        );
    }
    if is_nameless && directory.contains("${POD_NAME}") {
        warnings.push(format!(
            "crik: the next pod will have another name, and so another directory than {directory}, and will go on with nothing; if there is \
             one pod at a time, name one that stays by crik.dev/image-dir"
        ));
    }
    if let Some(audience) = &settings.token_audience {
        give_token(spec, at, audience, &mut configuration);
    }
    let value = Some(configuration.variable());
    let variable = EnvVar { name: VARIABLE.to_owned(), value, value_from: None };
    spec.containers[at].env.get_or_insert_default().push(variable);
    Ok(claim_of(spec, at, &directory))
}

/// The claim of the volume that a directory lies on.
fn claim_of(spec: &PodSpec, at: usize, directory: &str) -> Option<String> {
    let mount = mount_of(&spec.containers[at], directory)?;
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
    Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone())
}

fn is_bucket(configuration: &Configuration) -> bool {
    configuration.text("imageDir").is_some_and(|directory| directory.contains("://"))
}

/// Mounts the claim where the image directory is, unless something is mounted there.
fn mount_claim(spec: &mut PodSpec, at: usize, claim: Option<String>, configuration: &mut Configuration) {
    let Some(claim) = claim else { return };
    let directory = configuration.text("imageDir").filter(|directory| !directory.contains("://"));
    let directory = directory.unwrap_or(DIRECTORY).to_owned();
    let is_ours = Path::new(&directory).starts_with(MOUNT);
    if is_ours && mount_of(&spec.containers[at], &directory).is_none() {
        let volume = volume_of_claim(spec, claim);
        mount(&mut spec.containers[at], volume, MOUNT, false);
    }
    configuration.set("imageDir", json!(directory));
}

/// The name of the pod's volume of this claim, which is added if the pod has none.
fn volume_of_claim(spec: &mut PodSpec, claim: String) -> String {
    let volumes = spec.volumes.get_or_insert_default();
    let of_claim = |volume: &&Volume| {
        volume.persistent_volume_claim.as_ref().is_some_and(|source| source.claim_name == claim)
    };
    if let Some(volume) = volumes.iter().find(of_claim) {
        return volume.name.clone();
    }
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim, read_only: None };
    let is_free = |name: &String| volumes.iter().all(|volume| volume.name != *name);
    let numbered = (2..).map(|number| format!("{VOLUME}-{number}"));
    let name = std::iter::once(VOLUME.to_owned()).chain(numbered).find(is_free).unwrap_or_default();
    volumes.push(Volume { name: name.clone(), persistent_volume_claim: Some(source), ..Volume::default() });
    name
}

/// Looks at what the directory lies on.
///
/// # Errors
/// It is of this pod alone.
fn outlasts(spec: &PodSpec, at: usize, directory: &str) -> Result<(), Refusal> {
    if directory.contains("://") {
        return Ok(());
    }
    let what = match mount_of(&spec.containers[at], directory) {
        None => "in the container's own file system".to_owned(),
        Some(mount) => {
            let is_it = |volume: &&Volume| volume.name == mount.name;
            match spec.volumes.iter().flatten().find(is_it).filter(|volume| volume.empty_dir.is_some()) {
                None => return Ok(()),
                Some(volume) => format!("on the emptyDir {}", volume.name),
            }
        }
    };
    Err(Refusal::NotShared { directory: directory.to_owned(), what })
}

/// What is there stays, and directories are named by the pod's name.
///
/// # Errors
/// The name is another one here.
fn is_its_own(container: &Container, directory: &str) -> Result<(), Refusal> {
    let given = container.env.iter().flatten().find(|one| one.name == "POD_NAME");
    let is_the_name = |one: &EnvVar| {
        let field = one.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        field.is_some_and(|field| field.field_path == "metadata.name")
    };
    match given {
        Some(one) if directory.contains("${POD_NAME}") && !is_the_name(one) => {
            Err(Refusal::OtherName(container.name.clone(), directory.to_owned()))
        }
        _ => Ok(()),
    }
}

/// The mount that a path lies on: the longest one.
fn mount_of<'a>(container: &'a Container, path: &str) -> Option<&'a VolumeMount> {
    let holds = |mount: &&VolumeMount| Path::new(path).starts_with(&mount.mount_path);
    container.volume_mounts.iter().flatten().filter(holds).max_by_key(|mount| mount.mount_path.len())
}

/// A token of the pod's own, if the controller wants one and the pod shows none yet.
fn give_token(spec: &mut PodSpec, at: usize, audience: &str, configuration: &mut Configuration) {
    if configuration.text(TOKEN_KEY).is_some() || configuration.text("nodeStateServerURL").is_none() {
        return;
    }
    // That of another container of the pod, which was chosen before.
    let has_volume = spec.volumes.iter().flatten().any(|volume| volume.name == TOKEN);
    let token = ServiceAccountTokenProjection {
        audience: Some(audience.to_owned()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
    };
    let source = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
    let projected = ProjectedVolumeSource { sources: Some(vec![source]), default_mode: None };
    let volume = Volume { name: TOKEN.to_owned(), projected: Some(projected), ..Volume::default() };
    if !has_volume {
        spec.volumes.get_or_insert_default().push(volume);
    }
    mount(&mut spec.containers[at], TOKEN.to_owned(), TOKEN_MOUNT, true);
    configuration.set(TOKEN_KEY, json!(format!("{TOKEN_MOUNT}/token")));
}

/// Mounts a volume in a container.
pub(super) fn mount(container: &mut Container, volume: String, path: &str, read_only: bool) {
    container.volume_mounts.get_or_insert_default().push(VolumeMount {
        name: volume,
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    });
}
