//! Asks the cluster by kubectl, which has the person's configuration, credentials and rights.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Output, Stdio};

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::connection::Connection;
use super::lacking_right::LackingRight;
use crate::base::{exit_codes, limits};

/// Why the cluster did not do what was asked.
#[derive(Debug, Error)]
pub enum KubectlError {
    /// There is no kubectl.
    #[error("cannot run {program}: {source}; install kubectl, or name it in the variable KUBECTL")]
    NotThere {
        /// What was tried.
        program: String,
        /// Why it did not work.
        source: io::Error,
    },
    /// The API server refuses for want of a right.
    #[error("{said}; {lacking}")]
    Forbidden {
        /// In kubectl's words.
        said: String,
        /// What would help.
        lacking: LackingRight,
    },
    /// kubectl has failed.
    #[error("kubectl {asked}: {said}")]
    Failed {
        /// What it was asked.
        asked: String,
        /// In its words.
        said: String,
    },
    /// It says something else than what it was asked.
    #[error("kubectl {asked} does not answer as expected: {source}")]
    Unexpected {
        /// What it was asked.
        asked: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl KubectlError {
    /// Whether the same could work a moment later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

/// A kubectl, and what it is told of the cluster.
#[derive(Debug)]
pub struct Client {
    program: OsString,
    options: Vec<String>,
}

impl Client {
    /// The one that `KUBECTL` names, or that is in PATH.
    pub fn new(connection: &Connection) -> Self {
        let program = std::env::var_os(limits::KUBECTL_VARIABLE).filter(|path| !path.is_empty());
        let options = connection.words().to_vec();
        Self { program: program.unwrap_or_else(|| "kubectl".into()), options }
    }

    /// An object.
    ///
    /// # Errors
    /// There is none, or nobody answers.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value, KubectlError> {
        self.json(&["get", kind, name])
    }

    /// All objects of a kind that `which` describes in kubectl's words.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn list(&self, kind: &str, which: &[&str]) -> Result<Vec<Value>, KubectlError> {
        let mut list: Value = self.json(&[&["get", kind], which].concat())?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    /// Changes an object, by a merge patch (RFC 7396).
    ///
    /// # Errors
    /// The API server refuses.
    pub fn patch(&self, kind: &str, name: &str, patch: &Value) -> Result<(), KubectlError> {
        self.ask(&["patch", kind, name, "--type=merge", "--patch", &patch.to_string()]).map(drop)
    }

    /// What kubectl prints as JSON.
    ///
    /// # Errors
    /// It fails, or prints something else.
    fn json<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T, KubectlError> {
        let said = self.ask(&[words, &["--output=json"]].concat())?;
        let unexpected = |source| KubectlError::Unexpected { asked: words.join(" "), source };
        serde_json::from_str(&said).map_err(unexpected)
    }

    /// What kubectl prints.
    ///
    /// # Errors
    /// It fails.
    pub fn ask(&self, words: &[&str]) -> Result<String, KubectlError> {
        let mut command = self.command(words);
        if !self.options.iter().any(|option| option.starts_with("--request-timeout")) {
            command.arg(limits::KUBECTL_PATIENCE);
        }
        let output = self.output(command)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let asked = words.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        Err(failed(asked, String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// Runs kubectl, and returns what it prints and how it ends.
    ///
    /// # Errors
    /// There is no kubectl.
    pub fn run(&self, words: &[&str]) -> Result<Output, KubectlError> {
        self.output(self.command(words))
    }

    /// Runs kubectl at this program's own terminal. Returns its exit code.
    ///
    /// # Errors
    /// There is no kubectl.
    pub fn show(&self, words: &[&str]) -> Result<i32, KubectlError> {
        self.command(words).status().map(exit_code).map_err(|source| self.not_there(source))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.options).args(words);
        command
    }

    fn output(&self, mut command: Command) -> Result<Output, KubectlError> {
        command.stdin(Stdio::null()).output().map_err(|source| self.not_there(source))
    }

    fn not_there(&self, source: io::Error) -> KubectlError {
        KubectlError::NotThere { program: self.program.to_string_lossy().into_owned(), source }
    }
}

fn failed(asked: String, said: &str) -> KubectlError {
    match LackingRight::told(said) {
        Some(lacking) => KubectlError::Forbidden { said: said.to_owned(), lacking },
        None => KubectlError::Failed { asked, said: said.to_owned() },
    }
}

/// As a shell has it.
fn exit_code(status: ExitStatus) -> i32 {
    let by_signal = status.signal().map(|signal| exit_codes::SIGNAL_BASE + signal);
    status.code().or(by_signal).unwrap_or(exit_codes::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(program: &str) -> Client {
        Client { program: program.into(), options: Vec::new() }
    }

    #[test]
    fn without_a_kubectl_it_says_what_to_do() {
        let why = client("/nowhere/kubectl").get("pod", "job-0").unwrap_err();
        assert!(why.to_string().contains("cannot run /nowhere/kubectl") && !why.may_pass(), "{why}");
        assert!(why.to_string().contains("KUBECTL"), "{why}");
    }

    #[test]
    fn what_is_no_json_is_told_with_the_question() {
        let why = client("echo").get("pod", "job-0").unwrap_err().to_string();
        assert!(why.starts_with("kubectl get pod job-0 does not answer as expected: "), "{why}");
    }

    #[test]
    fn a_failure_is_told_in_kubectls_words() {
        let why = failed("get pod x".to_owned(), "Error from server (NotFound): pods \"x\" not found");
        assert_eq!(why.to_string(), "kubectl get pod x: Error from server (NotFound): pods \"x\" not found");
    }
}
