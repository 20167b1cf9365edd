//! Images across builds, containers and configurations.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::cargo_bin;
use crik_tests::chain;
use crik_tests::pod::Pod;
use crik_tests::spec::{Spec, bind};
use crik_tests::story::{CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started};
use crik_tests::volume::Volume;
use serde_json::json;

#[test]
fn an_image_of_one_build_is_restored_by_another_and_the_other_way_round() -> Result<()> {
    let volume = Volume::new()?;
    let builds = [cargo_bin("crik-agent", "crik", &[])?, cargo_bin("crik-agent", "crik", &["other-build"])?];
    ensure!(fs::read(&builds[0])? != fs::read(&builds[1])?, "the two builds are the same");
    let (mut outputs, mut inits) = (Vec::new(), Vec::new());
    for build in [0, 1, 1, 0] {
        let pod = Pod::new(&volume, "node-a", &SINGLE).binary(&builds[build]);
        outputs.push(checkpointed(&pod)?);
        inits.push(Volume::manifest(&volume.newest("job-0")?)?["tree"]["init"].clone());
    }
    ensure!(inits.iter().all(|init| *init == inits[0]), "the tree changed its init: {inits:?}");
    chain::verify(&outputs)?;
    // A fresh start of the other build has an init of its own.
    let fresh = Volume::new()?;
    checkpointed(&Pod::new(&fresh, "node-a", &SINGLE).binary(&builds[1]))?;
    ensure!(Volume::manifest(&fresh.newest("job-0")?)?["tree"]["init"] != inits[0]);
    Ok(())
}

#[test]
fn the_manifest_says_what_was_frozen() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&Pod::new(&volume, "node-a", &SINGLE))?;
    let generation = volume.newest("job-0")?;
    let manifest = Volume::manifest(&generation)?;
    ensure!(manifest["version"] == 2 && manifest["generation"] == 1, "{manifest}");
    ensure!(
        manifest["identity"]["argv"] == json!(SINGLE) && manifest["identity"]["node"] == "node-a",
        "{manifest}"
    );
    ensure!(manifest["tree"]["root"].as_i64() >= Some(300), "{manifest}");
    let files = manifest["files"].as_object().context("no files")?;
    for (name, facts) in files {
        ensure!(
            fs::metadata(generation.join(name))?.len() == facts["size"].as_u64().unwrap_or(u64::MAX),
            "{name}"
        );
        ensure!(facts["blake3"].as_str().is_some_and(|hash| hash.len() == 64), "{name}");
    }
    ensure!(files.contains_key("criu/inventory.img") && files.contains_key("criu/dump.log"), "{files:?}");
    Ok(())
}

/// As without a control group namespace: paths below it name the container.
fn see_host_cgroups(spec: &mut Spec) {
    spec.mounts.push(bind(Path::new("/sys/fs/cgroup"), "/sys/fs/cgroup", "ro"));
}

#[test]
fn additional_paths_inotify_and_control_group_files_go_along() -> Result<()> {
    let volume = Volume::new()?;
    let command = ["python3", "/programs/extra.py", "/srv/data", "/srv/watched"];
    let pod = Pod::new(&volume, "node-a", &command)
        .config("additionalPaths: [/srv/data, /srv/not-made-yet]\ninotifyIncompatiblePaths: [/srv/watched]")
        .with(see_host_cgroups);
    let mut outputs = Vec::new();
    for _ in 0..3 {
        outputs.push(checkpointed(&pod)?);
    }
    chain::verify(&outputs).map(drop)
}

#[test]
fn a_file_that_the_next_container_lacks_is_named_with_its_remedy() -> Result<()> {
    let volume = Volume::new()?;
    let command = ["python3", "/programs/extra.py", "/srv/data", "/srv/watched"];
    let pod = Pod::new(&volume, "node-a", &command)
        .config("inotifyIncompatiblePaths: [/srv/watched]\ncarry: {exclude: [/srv/data]}")
        .with(see_host_cgroups);
    let mut running = started(&pod)?;
    running.stop()?;
    let told = "no checkpoint; the application is told to stop: the program has /srv/data";
    ensure!(running.stderr.text().contains(told), "{}", running.transcript());
    ensure!(running.stderr.text().contains("into additionalPaths") && volume.generations("job-0").is_empty());
    Ok(())
}

#[test]
fn all_capabilities_work_too() -> Result<()> {
    let volume = Volume::new()?;
    let all = capabilities_of_this_machine()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).with(|spec| spec.capabilities = all);
    let outputs = [checkpointed(&pod)?, checkpointed(&pod)?, checkpointed(&pod)?];
    chain::verify(&outputs).map(drop)
}

/// The names of all capabilities that this machine can give (capabilities(7), in the order of their bits).
fn capabilities_of_this_machine() -> Result<Vec<String>> {
    let names = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE \
                 NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT \
                 SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE \
                 AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ \
                 PERFMON BPF CHECKPOINT_RESTORE";
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).context("no bounding set")?;
    let mask = u64::from_str_radix(mask.trim(), 16)?;
    let given = names.split_whitespace().enumerate().filter(|(bit, _)| mask & 1 << bit != 0);
    Ok(given.map(|(_, name)| format!("CAP_{name}")).collect())
}

#[test]
fn a_read_only_root_file_system_is_enough() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).with(|spec| spec.read_only = true);
    let outputs = [checkpointed(&pod)?, checkpointed(&pod)?, checkpointed(&pod)?];
    chain::verify(&outputs).map(drop)
}

#[test]
fn replicas_have_image_directories_of_their_own() -> Result<()> {
    let volume = Volume::new()?;
    let replica = |name: &str| {
        Pod::new(&volume, "node-a", &SINGLE).with(|spec| {
            spec.name = name.to_owned();
            spec.env("POD_NAME", name);
        })
    };
    let (zero, one) = (checkpointed(&replica("job-0"))?, checkpointed(&replica("job-1"))?);
    let (mut again_zero, mut again_one) = (started(&replica("job-0"))?, started(&replica("job-1"))?);
    resumes(&again_zero, 1)?;
    resumes(&again_one, 1)?;
    ends_with(&mut again_zero, CHECKPOINTED)?;
    ends_with(&mut again_one, CHECKPOINTED)?;
    chain::verify(&[zero, again_zero.stdout.text()])?;
    chain::verify(&[one, again_one.stdout.text()]).map(drop)
}

#[test]
fn the_log_can_be_json_with_a_duration_for_each_step() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .with(|spec| spec.command(&["crik", "run", "--log-format", "json", "--"], &SINGLE));
    checkpointed(&pod)?;
    let mut running = started(&pod)?;
    ends_with(&mut running, CHECKPOINTED)?;
    let log = running.stderr.text();
    let lines = log.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
    for step in ["restore", "decide", "freeze", "commit"] {
        // What is told on the way has none.
        let done = lines.iter().any(|line| line["step"] == step && line["ms"].is_u64());
        ensure!(done, "no duration of {step} in {log}");
    }
    Ok(())
}

#[test]
fn a_changed_exit_code_is_used_after_a_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = started(&Pod::new(&volume, "node-a", &SINGLE).config("exitCode: {checkpointed: 75}"))?;
    ends_with(&mut running, 75)
}
