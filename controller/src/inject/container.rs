//! The container that runs under crik: which it is, what it starts, and what it may.

use std::path::Path;

use crik_api::configuration::VARIABLE;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, SeccompProfile, SecurityContext,
};

use super::asked::{CONTAINER, annotation};
use super::expansion::spared;
use super::facts::Entrypoint;
use super::nodes;
use super::programs::CRIK;
use super::refusal::Refusal;
use crate::registry::{Image, Question};

/// What crik and CRIU need.
const CAPABILITIES: [&str; 2] = ["CHECKPOINT_RESTORE", "SYS_PTRACE"];

/// What a restore takes from each process what it never could have with. Runtimes give it, unless it is dropped; a process that can gain
/// nothing needs none (docs/install.md).
const SETPCAP: &str = "SETPCAP";

/// Names the container that kubectl means.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The variables by which the agent knows its pod and its node.
const VARIABLES: [(&str, &str); 3] = [
    ("POD_NAME", "metadata.name"),
    ("POD_NAMESPACE", "metadata.namespace"),
    ("KUBERNETES_NODE_NAME", "spec.nodeName"),
];

/// Where the agent finds its configuration, unless it is told otherwise.
const FILES: &str = "/etc/crik";

/// What the container starts.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// crik already: by this, or by whoever wrote the pod.
    Crik {
        /// Whether it is that of the init container.
        ours: bool,
    },
    /// A program.
    Program {
        /// What takes the place of the image's `ENTRYPOINT`.
        command: Vec<String>,
        /// What takes the place of its `CMD`, if the pod does not say so itself: what has a command gets no argument of the image's.
        args: Option<Vec<String>>,
    },
}

impl Command {
    /// Whether crik has to be brought.
    pub fn needs_programs(&self) -> bool {
        *self != Self::Crik { ours: false }
    }
}

/// The place of the container that is to run under crik.
///
/// # Errors
/// The annotation names another one.
pub fn chosen(pod: &Pod) -> Result<usize, Refusal> {
    let containers = pod.spec.as_ref().map_or(&[][..], |spec| &spec.containers);
    let name = annotation(pod, CONTAINER);
    // Another webhook may have put a container before the one that runs under crik already.
    let is_ours = |one: &Container| one.command.iter().flatten().next().is_some_and(|word| word == CRIK);
    let usual = annotation(pod, DEFAULT_CONTAINER);
    let is_usual = |one: &Container| usual.is_some_and(|name| one.name == name);
    let chosen = match name {
        Some(name) => containers.iter().position(|one| one.name == name),
        None => {
            let likely = containers.iter().position(is_ours).or_else(|| containers.iter().position(is_usual));
            likely.or((!containers.is_empty()).then_some(0))
        }
    };
    chosen.ok_or_else(|| {
        let names: Vec<&str> = containers.iter().map(|one| one.name.as_str()).collect();
        Refusal::NoSuchContainer { name: name.unwrap_or_default().to_owned(), there: names.join(", ") }
    })
}

fn container(pod: &Pod, at: usize) -> Option<&Container> {
    pod.spec.as_ref()?.containers.get(at)
}

/// What the container starts.
///
/// # Errors
/// Only its image knows, and what that says is not known.
pub fn command(pod: &Pod, at: usize, entrypoint: &Entrypoint) -> Result<Command, Refusal> {
    if let Some(ours) = is_crik(&words(pod, at)) {
        return Ok(Command::Crik { ours });
    }
    let Some(container) = container(pod, at) else { return Ok(Command::Crik { ours: false }) };
    let command = container.command.clone().filter(|words| !words.is_empty());
    if let Some(command) = command {
        return Ok(Command::Program { command, args: None });
    }
    match entrypoint {
        Entrypoint::Known(image) => of_image(container, image),
        Entrypoint::Unknown(why) => Err(Refusal::NoCommand(container.name.clone(), why.clone())),
        Entrypoint::Unasked => Err(Refusal::Unasked(Question {
            image: container.image.clone().unwrap_or_default(),
            architectures: nodes::architectures(pod),
        })),
    }
}

/// Whether the words start a crik, and if so whether it is that of the init container.
fn is_crik(words: &[&str]) -> Option<bool> {
    let is = |word: Option<&&str>, name: &str| word.is_some_and(|word| Path::new(word).ends_with(name));
    (is(words.first(), "crik") && is(words.get(1), "run")).then(|| words[0] == CRIK)
}

/// What an image starts in this container, by Kubernetes' rules: the container's arguments take the place of its `CMD`
/// (<https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/>).
///
/// # Errors
/// There is nothing that it could start.
fn of_image(container: &Container, image: &Image) -> Result<Command, Refusal> {
    let own = container.args.as_ref().filter(|args| !args.is_empty());
    let whole: Vec<&str> =
        image.entrypoint.iter().chain(own.unwrap_or(&image.cmd)).map(String::as_str).collect();
    if let Some(ours) = is_crik(&whole) {
        return Ok(Command::Crik { ours });
    }
    if whole.is_empty() {
        return Err(Refusal::NoCommand(container.name.clone(), "it starts nothing by itself".to_owned()));
    }
    // Kubernetes leaves an image's words as they are, and not a pod's.
    let all_spared = |words: &[String]| words.iter().cloned().map(spared).collect();
    let args = own.is_none().then(|| all_spared(&image.cmd));
    Ok(Command::Program { command: all_spared(&image.entrypoint), args })
}

/// Whether the container may be taken out of its seccomp profile.
///
/// # Errors
/// Somebody has made one for it.
pub fn may_be_unconfined(pod: &Pod, at: usize) -> Result<(), Refusal> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()?.seccomp_profile.as_ref());
    let container = container(pod, at);
    let own = container.and_then(|one| one.security_context.as_ref()?.seccomp_profile.as_ref());
    match own.or(of_pod).filter(|profile| profile.type_ == "Localhost") {
        None => Ok(()),
        Some(profile) => Err(Refusal::Profile {
            container: container.map(|one| one.name.clone()).unwrap_or_default(),
            profile: profile.localhost_profile.clone().unwrap_or_default(),
        }),
    }
}

/// All words of its command line that the pod says.
fn words(pod: &Pod, at: usize) -> Vec<&str> {
    let container = container(pod, at);
    let lists = container.map(|one| [&one.command, &one.args]).into_iter().flatten().flatten();
    lists.flatten().map(String::as_str).collect()
}

/// Whether nobody has told it its configuration yet.
pub fn needs_configuration(pod: &Pod, at: usize) -> bool {
    let Some(container) = container(pod, at) else { return false };
    let is_told = container.env.iter().flatten().any(|one| one.name == VARIABLE);
    let named =
        words(pod, at).iter().take_while(|word| **word != "--").any(|word| word.starts_with("--config-path"));
    let mounted =
        container.volume_mounts.iter().flatten().any(|one| Path::new(&one.mount_path).starts_with(FILES));
    !is_told && !named && !mounted
}

/// Puts its command behind crik, and gives it what crik needs.
pub fn put_under_crik(pod: &mut Pod, at: usize, command: Command) {
    let Some(container) = pod.spec.as_mut().and_then(|spec| spec.containers.get_mut(at)) else { return };
    if let Command::Program { command, args } = command {
        let crik = [CRIK, "run", "--"].map(str::to_owned);
        container.command = Some(crik.into_iter().chain(command).collect());
        container.args = args.filter(|args| !args.is_empty()).or(container.args.take());
    }
    VARIABLES.into_iter().for_each(|(name, field)| give_variable(container, name, field));
    give_rights(container.security_context.get_or_insert_default());
}

fn give_variable(container: &mut Container, name: &str, field: &str) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|one| one.name == name) {
        return;
    }
    let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: field.to_owned() };
    let value_from = Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() });
    variables.push(EnvVar { name: name.to_owned(), value: None, value_from });
}

/// Whether one of a list of capabilities is this one.
fn has(listed: &str, name: &str) -> bool {
    listed == "ALL" || listed.strip_prefix("CAP_").unwrap_or(listed) == name
}

/// A privileged container has all of it.
fn give_rights(context: &mut SecurityContext) {
    if context.privileged == Some(true) {
        return;
    }
    let can_gain = context.allow_privilege_escalation != Some(false);
    let capabilities = context.capabilities.get_or_insert_default();
    let is_dropped = capabilities.drop.iter().flatten().any(|one| has(one, SETPCAP));
    let wanted = CAPABILITIES.into_iter().chain((is_dropped && can_gain).then_some(SETPCAP));
    let added = capabilities.add.get_or_insert_default();
    for name in wanted {
        if !added.iter().any(|one| has(one, name)) {
            added.push(name.to_owned());
        }
    }
    context.seccomp_profile =
        Some(SeccompProfile { type_: "Unconfined".to_owned(), localhost_profile: None });
}
