//! The suites that there are, as cargo tells it when it has built them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::build::cargo;
use crate::harness::interrupt::CLEANS_UP;
use crate::pod::FORMAT;

/// Suites that are run once more, with checkpoints in chunks: they have what else is taken for granted of those that CRIU writes as files.
const IN_CHUNKS_TOO: [&str; 3] = ["continuity", "killed_criu", "carry"];

/// A program of tests.
#[derive(Clone)]
pub struct Suite {
    /// As `cargo test --test` knows it; unit tests have the kind of their program before it.
    pub name: String,
    program: PathBuf,
    package: PathBuf,
    /// Whether its checkpoints are kept in chunks.
    in_chunks: bool,
}

impl Suite {
    /// Runs it as cargo would: in its package's directory, which a test may also ask for.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.package).env("CARGO_MANIFEST_DIR", &self.package);
        command.env(CLEANS_UP, "1").stdin(Stdio::null());
        if self.in_chunks {
            command.env(FORMAT, "chunks");
        }
        command
    }

    /// The same with checkpoints in chunks, if it is one of those.
    fn in_chunks(&self) -> Option<Self> {
        let name = format!("{} in chunks", self.name);
        IN_CHUNKS_TOO.contains(&self.name.as_str()).then(|| Self { name, in_chunks: true, ..self.clone() })
    }

    #[cfg(test)]
    pub(super) fn of(name: &str, program: &std::path::Path) -> Self {
        Self { name: name.to_owned(), program: program.to_owned(), package: "/".into(), in_chunks: false }
    }
}

/// What of cargo's messages is asked for (`cargo help build`, `--message-format`).
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds all suites of the workspace; what the compiler says goes to where this program's errors do.
///
/// # Errors
/// One does not compile, or cargo tells it in other words than it used to.
pub fn build() -> Result<Vec<Suite>> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--locked", "--no-run", "--lib", "--bins", "--tests"]);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "not all suites could be built");
    in_messages(&String::from_utf8(output.stdout)?)
}

fn in_messages(messages: &str) -> Result<Vec<Suite>> {
    let artifacts = messages.lines().filter(|line| line.contains(r#""reason":"compiler-artifact""#));
    let artifacts = artifacts.map(serde_json::from_str).collect::<Result<Vec<Artifact>, _>>()?;
    let suites: Vec<Suite> = artifacts.into_iter().filter_map(suite).collect();
    ensure!(!suites.is_empty(), "cargo names no suite");
    let in_chunks: Vec<Suite> = suites.iter().filter_map(Suite::in_chunks).collect();
    Ok([suites, in_chunks].concat())
}

fn suite(Artifact { manifest_path, target, profile, executable }: Artifact) -> Option<Suite> {
    let program = executable.filter(|_| profile.test)?;
    let name = match target.kind.first()?.as_str() {
        "test" => target.name,
        kind => format!("{kind} {}", target.name),
    };
    Some(Suite { name, program, package: manifest_path.parent()?.to_owned(), in_chunks: false })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn message(kind: &str, test: bool, executable: Option<&str>) -> String {
        json!({"reason": "compiler-artifact", "manifest_path": "/crik/tests/Cargo.toml", "executable": executable,
            "target": {"name": "cluster", "kind": [kind]}, "profile": {"test": test}})
        .to_string()
    }

    #[test]
    fn programs_of_tests_are_suites_and_no_others() {
        let messages = [
            message("test", true, Some("/target/cluster-1")),
            message("bin", true, Some("/target/cluster-2")),
            message("bin", false, Some("/target/cluster")),
            message("lib", false, None),
            json!({"reason": "build-finished", "success": true}).to_string(),
        ];
        let suites = in_messages(&messages.join("\n")).unwrap();
        assert_eq!(
            suites.iter().map(|suite| &suite.name[..]).collect::<Vec<_>>(),
            ["cluster", "bin cluster"]
        );
        let command = suites[1].command();
        assert_eq!(command.get_program(), "/target/cluster-2");
        assert_eq!(command.get_current_dir(), Some(Path::new("/crik/tests")));
    }

    #[test]
    fn some_are_run_once_more_in_chunks() {
        let carry =
            in_messages(&message("test", true, Some("/target/carry")).replace("cluster", "carry")).unwrap();
        let of = |suite: &Suite| suite.command().get_envs().any(|(name, _)| name == FORMAT);
        assert_eq!(
            carry.iter().map(|suite| (&suite.name[..], of(suite))).collect::<Vec<_>>(),
            [("carry", false), ("carry in chunks", true)]
        );
    }

    #[test]
    fn no_suite_at_all_is_no_success() {
        assert!(in_messages(r#"{"reason":"build-finished","success":true}"#).is_err());
    }
}
