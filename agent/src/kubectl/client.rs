//! Asks the cluster by kubectl, which has the person's configuration, credentials and rights.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::connection::Connection;
use super::lacking_right::{LackingRight, Right};
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

    /// Whether the API server gives this reason (k8s.io/apimachinery, `StatusReason`), as kubectl tells it.
    pub fn has_reason(&self, reason: &str) -> bool {
        matches!(self, Self::Failed { said, .. } if said.starts_with(&format!("Error from server ({reason})")))
    }

    /// What kubectl has complained of, if that is for want of a right.
    pub fn forbidden(said: &str) -> Option<Self> {
        LackingRight::told(said).map(|lacking| Self::Forbidden { said: said.to_owned(), lacking })
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

    /// That of a test's.
    #[cfg(test)]
    pub fn of(program: &str) -> Self {
        Self { program: program.into(), options: Vec::new() }
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

    /// The same one, which waits for answers no longer than until then. None if that is over.
    pub fn until(&self, end: Instant) -> Option<Self> {
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        // kubectl heeds the last, and 0 means for ever.
        let patience = (left > 0).then(|| format!("--request-timeout={left}ms"))?;
        Some(Self { program: self.program.clone(), options: [&*self.options, &[patience]].concat() })
    }

    /// Checks that who asks has a right. Somebody who may not ask for that either finds out later.
    ///
    /// # Errors
    /// It is lacking, or nobody answers.
    pub fn may(&self, right: &Right<'_>) -> Result<(), KubectlError> {
        let asked = right.asked();
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        let output = self.output(self.patient(&asked))?;
        if output.stdout.starts_with(b"no") {
            let (said, lacking) = right.is_lacking();
            return Err(KubectlError::Forbidden { said, lacking });
        }
        match said(&asked, &output) {
            Err(KubectlError::Forbidden { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Deletes what is at a path of the API server's, with these options (k8s.io/apimachinery, `DeleteOptions`): `kubectl delete` by a name
    /// knows no precondition.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn delete(&self, path: &str, options: &Value) -> Result<(), KubectlError> {
        let words = ["delete", "--raw", path, "--filename", "-"];
        let mut command = self.patient(&words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let answered = command.spawn().and_then(|child| told(child, &options.to_string()));
        said(&words, &answered.map_err(|source| self.not_there(source))?).map(drop)
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
        said(words, &self.output(self.patient(words))?)
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

    /// One that does not wait for ever.
    fn patient(&self, words: &[&str]) -> Command {
        let mut command = self.command(words);
        if !self.options.iter().any(|option| option.starts_with("--request-timeout")) {
            command.arg(limits::KUBECTL_PATIENCE);
        }
        command
    }

    fn output(&self, mut command: Command) -> Result<Output, KubectlError> {
        command.stdin(Stdio::null()).output().map_err(|source| self.not_there(source))
    }

    fn not_there(&self, source: io::Error) -> KubectlError {
        KubectlError::NotThere { program: self.program.to_string_lossy().into_owned(), source }
    }
}

/// Gives it its input, and waits for what comes of it. One that does not take it says itself why.
fn told(mut child: Child, input: &str) -> io::Result<Output> {
    if let Some(mut stdin) = child.stdin.take() {
        drop(stdin.write_all(input.as_bytes()));
    }
    child.wait_with_output()
}

/// What it has printed, or why it has failed.
fn said(words: &[&str], output: &Output) -> Result<String, KubectlError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let asked = words.iter().take(3).copied().collect::<Vec<_>>().join(" ");
    Err(failed(asked, String::from_utf8_lossy(&output.stderr).trim()))
}

fn failed(asked: String, said: &str) -> KubectlError {
    KubectlError::forbidden(said).unwrap_or_else(|| KubectlError::Failed { asked, said: said.to_owned() })
}

/// As a shell has it.
fn exit_code(status: ExitStatus) -> i32 {
    let by_signal = status.signal().map(|signal| exit_codes::SIGNAL_BASE + signal);
    status.code().or(by_signal).unwrap_or(exit_codes::FAILURE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn client(program: &str) -> Client {
        Client::of(program)
    }

    /// A kubectl that does what a shell is told.
    fn script(text: &str) -> Client {
        Client { program: "sh".into(), options: ["-c", text, "kubectl"].map(str::to_owned).to_vec() }
    }

    #[test]
    fn what_is_asked_in_a_hurry_is_not_waited_for_longer() {
        assert!(client("true").until(Instant::now()).is_none());
        let options = client("true").until(Instant::now() + Duration::from_secs(5)).unwrap().options;
        let left = options[0].strip_prefix("--request-timeout=").and_then(|left| left.strip_suffix("ms"));
        assert!((1..=5000).contains(&left.unwrap().parse::<u32>().unwrap()), "{options:?}");
    }

    #[test]
    fn a_right_that_is_lacking_is_told_before_it_is_needed() {
        let right =
            Right { verb: "delete", resource: "pods", group: "", name: Some("job-0"), namespace: "jobs" };
        script("echo yes").may(&right).unwrap();
        let why = script("echo no; exit 1").may(&right).unwrap_err().to_string();
        assert!(
            why.starts_with("you may not delete pods/job-0 in the namespace jobs; it takes a Role"),
            "{why}"
        );
        script("echo 'User \"eve\" cannot create resource \"x\" in API group \"y\"' >&2; exit 1")
            .may(&right)
            .unwrap();
        assert!(script("echo refused >&2; exit 1").may(&right).unwrap_err().may_pass());
    }

    #[test]
    fn what_is_deleted_is_told_with_its_precondition() {
        let taken = tempfile::NamedTempFile::new().unwrap();
        let client = script(&format!("echo \"$*\" >{0}; cat >>{0}", taken.path().display()));
        client
            .delete("/api/v1/namespaces/jobs/pods/job-0", &serde_json::json!({"kind": "DeleteOptions"}))
            .unwrap();
        let text = std::fs::read_to_string(taken.path()).unwrap();
        assert!(text.starts_with("delete --raw /api/v1/namespaces/jobs/pods/job-0 --filename - "), "{text}");
        assert!(text.ends_with("{\"kind\":\"DeleteOptions\"}"), "{text}");
        let gone = script("echo 'Error from server (NotFound): pods \"x\" not found' >&2; exit 1");
        let why = gone.delete("/x", &Value::Null).unwrap_err();
        assert!(why.has_reason("NotFound") && !why.has_reason("Conflict"), "{why}");
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
