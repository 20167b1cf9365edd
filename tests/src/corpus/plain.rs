//! Moves a workload by CRIU alone, in the same container and by the same script, so that it is seen what crik adds.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::checkpoint::{Figures, size};
use super::cycles::used_first;
use super::event::Event;
use super::material::pod;
use super::scripts::Used;
use super::workload::Workload;
use crate::pod::{Pod, Running};
use crate::spec::Spec;
use crate::volume::Volume;
use crate::wait::wait_for;

/// How CRIU is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// With the least rights and options with which it works, in the pod that crik has, too.
    Plain,
    /// As the Go program of crik's name calls it (its `internal/exec` at version 0.1.2), in a pod that is `privileged` as its example is.
    Go,
}

/// What the Go program has the runtime's own mounts left out by.
const GO_EXTERNAL: [(&str, &str); 7] = [
    ("/usr/share/zoneinfo", "zoneinfo"),
    ("/dev/null", "null"),
    ("/dev/random", "random"),
    ("/dev/urandom", "urandom"),
    ("/dev/tty", "tty"),
    ("/dev/zero", "zero"),
    ("/dev/full", "full"),
];

/// What it says by CRIU's RPC, less `orphan_pts_master`, for which the command line has no word: it matters to terminals alone.
const GO_DUMP: &str = "--tcp-established --tcp-close --ghost-limit 500M --manage-cgroups=ignore";
const GO_RESTORE: &str =
    "--tcp-established --tcp-close --file-locks --evasive-devices --manage-cgroups=ignore";

/// What CRIU logs on its way where nothing is wrong (criu/tun.c, criu/cr-restore.c, criu/rlimit.c).
const ONLY_CALLED_ERRORS: [&str; 4] = ["tun", "oom_score_adj", "RLIMIT_NOFILE", "Can't set max open files"];

/// Runs a workload and preempts it once under load.
///
/// # Errors
/// It does not go on. The error has the [`Event`] at which that was, and CRIU's first error, if it tells one.
pub fn goes_on_by_criu(workload: &Workload, recipe: Recipe) -> Result<Figures> {
    let volume = Volume::new()?;
    let pod = by_criu(workload, recipe, &volume)?;
    let images = volume.path().join("plain/1");
    let mut running = pod.start()?;
    let count = used_first(workload, &running).context(Event::Started)?;
    let preempted = dumped(&mut running, &images).context(Event::Preempted)?;
    let resumed = restored(workload, &pod, &images, count).context(Event::Resumed)?;
    Ok(Figures { preempted, resumed, size: size(&images)?, ..Figures::default() })
}

fn dumped(running: &mut Running, images: &Path) -> Result<Duration> {
    let began = Instant::now();
    let error =
        || first_error(&images.join("dump.log")).unwrap_or_else(|| "its dump does not end".to_owned());
    let code = running.stop().with_context(error)?;
    ensure!(code == 0, "{}\n{}", error(), running.transcript());
    Ok(began.elapsed())
}

fn restored(workload: &Workload, pod: &Pod, images: &Path, least: i64) -> Result<Duration> {
    let mut running = pod.start()?;
    is_restored(&mut running, &images.join("restore.log"))?;
    let resumed = running.started.elapsed();
    let used = Used::new(workload, &running);
    used.has_its_state()?;
    used.counts_on_from(least)?;
    Ok(resumed)
}

fn by_criu(workload: &Workload, recipe: Recipe, volume: &Volume) -> Result<Pod> {
    let command: Vec<&str> = workload.command.iter().map(String::as_str).collect();
    let mut failed = Ok(());
    let pod = pod(workload, volume)?.with(|spec| {
        spec.command(&["/programs/plain.sh"], &command);
        if recipe == Recipe::Go {
            failed = as_the_go_program(spec);
        }
    });
    failed.map(|()| pod)
}

fn as_the_go_program(spec: &mut Spec) -> Result<()> {
    let external = |option: fn(&(&str, &str)) -> String| GO_EXTERNAL.iter().map(option).collect::<String>();
    let dump = external(|(path, name)| format!(" --external mnt[{path}]:{name}"));
    let restore = external(|(path, name)| format!(" --external mnt[{name}]:{path}"));
    spec.env("DUMP_OPTIONS", &format!("{GO_DUMP}{dump}"));
    spec.env("RESTORE_OPTIONS", &format!("{GO_RESTORE}{restore}"));
    spec.env("WRAPPER", "unshare --ipc");
    spec.user_namespace = false;
    spec.be_privileged()
}

/// Waits until CRIU has restored it, or has not.
fn is_restored(running: &mut Running, log: &Path) -> Result<()> {
    let error = || {
        first_error(log).unwrap_or_else(|| "it is gone, and the log of its restore has no error".to_owned())
    };
    let done = wait_for("CRIU to restore it", || {
        let finished =
            fs::read_to_string(log).is_ok_and(|text| text.contains("Restore finished successfully"));
        if finished { Some(true) } else { running.poll().map(|_| false) }
    })
    .with_context(error)?;
    ensure!(done, "{}\n{}", error(), running.transcript());
    Ok(())
}

fn first_error(log: &Path) -> Option<String> {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let mut errors = text.lines().filter_map(|line| line.split_once("Error ")).map(|(_, error)| error.trim());
    let error = errors.find(|error| !ONLY_CALLED_ERRORS.iter().any(|none| error.contains(none)));
    error.map(str::to_owned)
}
