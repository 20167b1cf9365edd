//! What is added to a pod that asks for crik by its label, and what is said where it cannot work. Rules alone: they ask nobody
//! and know no time, so that the same pod always gets the same. May import `registry` and `base`.
//!
//! Each step adds what is missing and leaves what is there, so a pod that has all of it gets no change.

mod asked;
mod configuration;
mod container;
mod duration;
mod expansion;
mod facts;
mod form;
mod nodes;
mod place;
mod programs;
mod refusal;
mod sandbox;
mod settings;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Pod;

use self::asked::without_own_annotations;
pub use self::asked::{Labels, is_wanted};
use self::configuration::Configuration;
pub use self::facts::{Claim, Entrypoint, Facts};
use self::refusal::Refusal;
pub use self::settings::Settings;
use crate::registry::Question;

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Injected {
    /// The pod: another one, or the same.
    pub pod: Pod,
    /// What whoever creates it should know.
    pub warnings: Vec<String>,
    /// What the rules have to be told before they can say more.
    pub asks: Option<Question>,
    /// The claim of the volume on which its checkpoints are to be kept.
    pub claim: Option<String>,
}

impl Injected {
    /// A pod that asks for crik and stays as it is, but for annotations that are the controller's own.
    pub fn unchanged(pod: &Pod, why: impl std::fmt::Display) -> Self {
        let warnings = vec![format!("crik: the pod stays as it is: {why}")];
        Self { pod: without_own_annotations(pod), warnings, asks: None, claim: None }
    }

    /// Whether there is anything of crik in it that was not there before.
    pub fn is_put_under_crik(&self, before: &Pod) -> bool {
        self.pod.spec != before.spec
    }
}

/// Adds to the pod what it needs to run under crik, if it asks for that and it can work; else it stays as it is, and a warning says
/// why. Annotations that are the controller's own are taken away in both cases.
pub fn inject(pod: &Pod, facts: &Facts, settings: &Settings) -> Injected {
    let mut injected = Injected { pod: pod.clone(), warnings: Vec::new(), asks: None, claim: None };
    if !is_wanted(pod) {
        return injected;
    }
    injected.pod = without_own_annotations(pod);
    match under_crik(&mut injected, facts, settings) {
        Ok(()) => injected,
        Err(Refusal::Unasked(question)) => Injected { asks: Some(question), ..Injected::unchanged(pod, "") },
        Err(refusal) => {
            let mut left = Injected::unchanged(pod, refusal);
            injected.warnings.append(&mut left.warnings);
            Injected { warnings: injected.warnings, ..left }
        }
    }
}

fn under_crik(injected: &mut Injected, facts: &Facts, settings: &Settings) -> Result<(), Refusal> {
    let Injected { pod, warnings, claim, .. } = injected;
    refusal::of_pod(pod, facts, settings)?;
    let at = container::chosen(pod)?;
    container::may_be_unconfined(pod, at)?;
    let command = container::command(pod, at, &facts.entrypoint)?;
    if container::needs_configuration(pod, at) {
        if !command.needs_programs() {
            warnings.push(configuration::OVER_THE_IMAGES.to_owned());
        }
        let configuration = Configuration::of(pod, settings, warnings)?;
        *claim = place::give(pod, at, settings, configuration, warnings)?;
    }
    if command.needs_programs() {
        programs::give(pod, at, settings)?;
    }
    container::put_under_crik(pod, at, command);
    if let Some(spec) = pod.spec.as_mut() {
        sandbox::warn_of_shared_ids(spec, warnings);
        sandbox::give_own_users(spec, settings, warnings);
    }
    Ok(())
}
