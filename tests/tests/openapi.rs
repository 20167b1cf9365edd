//! The description of the controller's API, as it is served, holds against a generator of requests: what it allows is answered as
//! it says, and what it does not allow is refused.

use std::process::Command;

use anyhow::{Result, ensure};
use crik_tests::build::workspace;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::tools::schemathesis;

/// Requests of one kind for each route; the rest comes from the description, whatever this is.
const EXAMPLES: &str = "40";

#[test]
fn the_served_description_holds_against_a_generator_of_requests() -> Result<()> {
    let controller = Controller::start(&[TestNode::ready("a"), TestNode::ready("b").shutting_down()])?;
    let directory = tempfile::tempdir()?;
    let own = workspace().join("tests/tools/schemathesis");
    let output = Command::new(schemathesis()?)
        .arg("--config-file")
        .arg(own.join("schemathesis.toml"))
        .args(["run", &controller.url("/openapi.yaml")])
        // The same each time, so that what fails fails again.
        .args(["--max-examples", EXAMPLES, "--generation-deterministic"])
        .args(["--phases", "coverage,fuzzing", "--continue-on-failure", "--no-shrink"])
        // A stream never ends; controller_events reads it.
        .args(["--exclude-path", "/v1/events", "--request-timeout", "10"])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", own)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // It keeps what it has found out beside where it runs.
        .current_dir(directory.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let summary = said.split("Test cases:").nth(1).and_then(|rest| rest.lines().nth(1)).unwrap_or_default();
    println!("{}", summary.trim());
    let cases: u32 = summary.split_whitespace().next().unwrap_or_default().parse().unwrap_or_default();
    ensure!(cases > 200, "{said}");
    Ok(())
}
