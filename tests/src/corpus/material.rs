//! What a workload's pods are made from.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::workload::Workload;
use crate::harness::cache::{self, CACHE};
use crate::node::Boots;
use crate::pod::Pod;
use crate::rootfs::{Root, fingerprint};
use crate::spec::{Spec, bind};
use crate::volume::Volume;

/// Where a workload has its files.
const FILES: &str = "/workload";

/// What counts in a user namespace alone, and is given to a pod that has one of its own.
const CONFINED: [&str; 4] = ["CAP_SYS_ADMIN", "CAP_SYS_TIME", "CAP_NET_ADMIN", "CAP_SYS_RESOURCE"];

/// The pods of a workload.
///
/// # Errors
/// What they need cannot be built.
pub(super) fn pod(workload: &Workload, volume: &Volume) -> Result<Pod> {
    let command: Vec<&str> = workload.command.iter().map(String::as_str).collect();
    let mut pod = Pod::new(volume, "node-a", &command);
    if let Some(user) = workload.user {
        pod = pod.ordinary_user(user)?;
    }
    let files = if workload.config_map { None } else { Some(bind(&files(workload)?, FILES, "ro")) };
    let mounts = [files, data(workload, volume)?];
    pod = pod.boots(Boots::wanted_or(Boots::EverYounger)).with(|spec| {
        spec.root = Root::named(&workload.root);
        spec.mounts.extend(mounts.into_iter().flatten());
        workload.env.iter().for_each(|(name, value)| spec.env(name, value));
        if !workload.host_users {
            with_user_namespace(spec);
        }
        if let Some(bytes) = workload.shm {
            spec.mounts.push(shared_memory(bytes));
        }
    });
    if workload.config_map {
        let files: Vec<(&str, &str)> = workload.files.iter().map(|(name, text)| (&**name, &**text)).collect();
        pod = pod.config_map(FILES, &files);
    }
    pod = workload.empty_dirs.iter().fold(pod, |pod, path| pod.empty_dir(path));
    Ok(workload.config.iter().fold(pod, |pod, lines| pod.config(lines)))
}

fn with_user_namespace(spec: &mut Spec) {
    spec.user_namespace = true;
    spec.capabilities.extend(CONFINED.map(str::to_owned));
}

/// As an emptyDir with `medium: Memory` is there.
fn shared_memory(bytes: u64) -> serde_json::Value {
    json!({"type": "tmpfs", "source": "tmpfs", "destination": "/dev/shm", "options": ["mode=1777", format!("size={bytes}")]})
}

/// A claim that all pods of the workload have.
fn data(workload: &Workload, volume: &Volume) -> Result<Option<serde_json::Value>> {
    let Some(at) = &workload.data else { return Ok(None) };
    let directory = volume.path().join("data");
    fs::create_dir_all(&directory)?;
    fs::set_permissions(&directory, Permissions::from_mode(0o777))?;
    Ok(Some(bind(&directory, at, "rw")))
}

/// The directory with a workload's files, and with what its build has made of them: made once, kept outside the tree.
fn files(workload: &Workload) -> Result<PathBuf> {
    let root = Root::named(&workload.root);
    let made_from = format!("{:?} {:?} {}", workload.files, workload.build, root.made_from()?);
    let directory =
        Path::new(CACHE).join(format!("workload-{}-{:016x}", workload.name, fingerprint(&made_from)));
    fs::create_dir_all(CACHE)?;
    let lock = File::create(Path::new(CACHE).join(format!("workload-{}.lock", workload.name)))?;
    lock.lock()?;
    if !directory.exists() {
        let partial = directory.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        write(workload, &partial)?;
        build(workload, &root, &partial)?;
        fs::rename(&partial, &directory)?;
    }
    cache::used(&directory)?;
    Ok(directory)
}

fn write(workload: &Workload, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for (name, text) in &workload.files {
        let path = to.join(name);
        fs::create_dir_all(path.parent().context("no parent")?)?;
        fs::write(&path, text)?;
        let executable = name.ends_with(".sh") || text.starts_with("#!");
        fs::set_permissions(&path, Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
    }
    Ok(())
}

fn build(workload: &Workload, root: &Root, directory: &Path) -> Result<()> {
    let Some(command) = &workload.build else { return Ok(()) };
    let output = Command::new("sh")
        .args(["-ec", command])
        .current_dir(directory)
        .env("ROOT", root.path()?)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().rev().take(20).collect();
    let said: Vec<&str> = said.into_iter().rev().collect();
    ensure!(output.status.success(), "cannot build {}:\n{}", workload.name, said.join("\n"));
    Ok(())
}
