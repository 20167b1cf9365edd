//! What the crik in a pod's container says itself: `kubectl crik inspect` and `doctor`, and what others ask it.

use std::process::Output;

use anyhow::{Context as _, Error, Result, anyhow};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::args::{Doctor, Inspect, OnePod};
use super::client::{Client, KubectlError};
use super::pod::Pod;
use crate::base::exit_codes;
use crate::base::output;

/// The crik in the container of a pod.
pub struct InPod<'a> {
    client: &'a Client,
    container: &'a str,
    words: Vec<&'a str>,
}

impl<'a> InPod<'a> {
    /// That of a pod.
    ///
    /// # Errors
    /// Nobody can tell which container it is in.
    pub fn of(client: &'a Client, pod: &'a Pod, container: Option<&str>) -> Result<Self> {
        let (container, crik) = pod.container(container)?;
        Ok(Self { client, container, words: vec![pod.name(), "--container", container, "--", crik] })
    }

    /// The container that it is in.
    pub fn container(&self) -> &'a str {
        self.container
    }

    fn words(&self, options: &[&'a str], asked: &[&'a str]) -> Vec<&'a str> {
        [&["exec"], options, &self.words, asked].concat()
    }

    /// Asks it, at this program's own terminal. Returns its exit code.
    ///
    /// # Errors
    /// There is no kubectl.
    pub fn show(&self, options: &[&'a str], asked: &[&'a str]) -> Result<i32> {
        Ok(self.client.show(&self.words(options, asked))?)
    }

    /// Asks it, and returns what it says and how it ends.
    ///
    /// # Errors
    /// There is no kubectl.
    pub fn ask(&self, asked: &[&'a str]) -> Result<Output> {
        Ok(self.client.run(&self.words(&[], asked))?)
    }

    /// What it says, as JSON.
    ///
    /// # Errors
    /// It fails, or cannot be asked.
    pub fn json<T: DeserializeOwned>(&self, asked: &[&'a str]) -> Result<T> {
        let output = self.ask(&[asked, &["--output", "json"]].concat())?;
        if !output.status.success() {
            return Err(failure(&output));
        }
        serde_json::from_slice(&output.stdout).context("the crik in the pod is of another release")
    }
}

/// Why it could not be asked, or has failed.
fn failure(output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    KubectlError::forbidden(said.trim()).map_or_else(|| anyhow!(complaint(output)), Error::new)
}

/// What it has complained of, without what kubectl adds.
fn complaint(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let lines = said.lines().filter(|line| !line.starts_with("command terminated with exit code"));
    let said = lines.map(|line| line.trim_start_matches("crik: ")).collect::<Vec<_>>().join(" ");
    if said.is_empty() { format!("kubectl exec ended with {}", output.status) } else { said }
}

fn format(output: output::Output) -> &'static str {
    match output {
        output::Output::Table => "table",
        output::Output::Json => "json",
    }
}

/// Shows a checkpoint. Returns the exit code.
///
/// # Errors
/// There is no such pod.
pub fn inspect(client: &Client, args: &Inspect) -> Result<i32> {
    show(client, &args.pod, &["inspect", &args.generation, "--output", format(args.output)])
}

/// Has it looked into whether the program could go on elsewhere. Returns the exit code.
///
/// # Errors
/// There is no such pod.
pub fn doctor(client: &Client, args: &Doctor) -> Result<i32> {
    let words = ["doctor", "--output", format(args.output), "--trial"];
    show(client, &args.pod, &words[..if args.trial { 4 } else { 3 }])
}

fn show(client: &Client, of: &OnePod, asked: &[&str]) -> Result<i32> {
    let pod = Pod::get(client, of)?;
    InPod::of(client, &pod, of.container.as_deref())?.show(&[], asked)
}

/// What `crik doctor` says of a program that is not protected.
#[derive(Debug, Deserialize)]
struct Examination {
    verdict: Verdict,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    told: String,
}

/// Why its program could not go on elsewhere, if it could not.
///
/// # Errors
/// It cannot be asked.
pub fn not_protected(crik: &InPod<'_>) -> Result<Option<String>> {
    let output = crik.ask(&["doctor", "--output", "json"])?;
    match output.status.code() {
        Some(0 | exit_codes::WARNED) => Ok(None),
        Some(exit_codes::NOT_PROTECTED) => {
            let examination: Examination = serde_json::from_slice(&output.stdout)?;
            Ok(Some(examination.verdict.told))
        }
        _ => Err(failure(&output)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_complaint_is_criks_own() {
        let stderr =
            b"crik: no checkpoint: the volume is full\ncommand terminated with exit code 1\n".to_vec();
        let output = Output { status: ExitStatus::from_raw(256), stdout: Vec::new(), stderr };
        assert_eq!(complaint(&output), "no checkpoint: the volume is full");
        assert!(complaint(&Output { stderr: Vec::new(), ..output }).contains("exit status: 1"));
    }

    #[test]
    fn a_right_that_is_lacking_is_told_as_a_rule() {
        let stderr = b"Error from server (Forbidden): pods \"job-0\" is forbidden: User \"eve\" cannot create resource \
            \"pods/exec\" in API group \"\" in the namespace \"jobs\"\n";
        let output =
            Output { status: ExitStatus::from_raw(256), stdout: Vec::new(), stderr: stderr.to_vec() };
        let why = failure(&output).to_string();
        assert!(why.ends_with("resources: [pods/exec], verbs: [create]}"), "{why}");
    }
}
