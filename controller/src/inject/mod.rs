//! What is added to a pod that asks for crik by its label, and what is said where it cannot work. Rules alone: they ask nobody
//! and know no time, so that the same pod always gets the same. May import `base`.
//!
//! Each step adds what is missing and leaves what is there, so a pod that has all of it gets no change.

mod asked;
mod configuration;
mod container;
mod duration;
mod place;
mod programs;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Pod;

pub use self::asked::{Labels, is_wanted};
use self::configuration::Configuration;
use self::refusal::Refusal;
pub use self::settings::Settings;

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
