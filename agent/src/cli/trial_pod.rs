//! A trial in a second pod: `crik doctor --trial --manifest` keeps a checkpoint and prints the pod, and that runs `crik trial-pod`.

use std::io::{self, Read as _};

use anyhow::{Context as _, Result};
use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::Generation;
use serde_json::Value;

use super::args::{Doctor, TrialPod};
use super::trial;
use crate::base::logging::{self, LogFormat};
use crate::base::output::{Output, print};
use crate::config::Config;
use crate::doctor::in_second_pod;
use crate::doctor::second_pod::{self, Image};
use crate::supervise;
use crate::supervise::trial::{Kept, Tried};
use crate::tree::criu;

/// What has to be known before the manifest is applied, and what to do then.
const NEXT: &str = "for about two seconds the copy runs BESIDE the program, with what the program has in memory. Its volumes are read-only, it \
has no name service and no token, and a NetworkPolicy lets it reach nobody: on a cluster whose network does not enforce these, a copy that \
knows addresses can reach them. Apply what was printed, look at the log of the pod, and delete both:
  kubectl apply -f trial.json
  kubectl wait --for=jsonpath='{.status.containerStatuses[0].state.terminated}' --timeout=10m pod/NAME-crik-trial
  kubectl logs NAME-crik-trial
  kubectl delete -f trial.json
The checkpoint is removed from the volume after 15 minutes, and at the end of this pod.";

/// Has the agent keep a checkpoint, and prints the manifest of the pod that resumes it.
///
/// # Errors
/// Standard input has no pod, or there is no checkpoint.
pub fn print_manifest(args: &Doctor) -> Result<i32> {
    let pod = read_pod()?;
    // Before the program is frozen.
    second_pod::container(&pod, args.container.as_deref())?;
    let tried = trial::ask(true)?;
    let Some(Kept { path, generation }) = &tried.image else {
        eprint!("{}", supervise::trial::told(&tried));
        return Ok(trial::exit_code(tried.shown));
    };
    let files = second_pod::files(path, &Manifest::read(path, *generation, None)?)?;
    let image = Image { path, generation: *generation, files: &files };
    let list = second_pod::manifest(&pod, args.container.as_deref(), &image)?;
    print(Output::Json, &list, |_| String::new())?;
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    eprintln!("{}crik: {}", supervise::trial::told(&tried), NEXT.replace("NAME", name));
    Ok(0)
}

fn read_pod() -> Result<Value> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    // What is no JSON is no pod either.
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// Resumes the copy in the pod of which it is the first process, and prints what that has shown.
///
/// # Errors
/// There is no such checkpoint, or the configuration is wrong.
pub fn resume(args: &TrialPod) -> Result<i32> {
    logging::init(LogFormat::Human, false);
    // SAFETY: no other thread runs yet.
    unsafe { criu::prepare_environment() };
    let config = Config::load(&args.config_path)?;
    let image = (args.image.as_path(), Generation(args.generation));
    let (manifest, copy) = in_second_pod::resume(image, &args.volumes, &config)
        .context("the checkpoint of the trial is not there any more; take another one")?;
    let tried = Tried::by_copy(&config, &manifest, copy)?;
    print(Output::Table, &tried, supervise::trial::told)?;
    Ok(trial::exit_code(tried.shown))
}
