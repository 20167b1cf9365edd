//! The controller's command line: what cannot work is said in one line, with its remedy.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use crik_tests::build::cargo_bin;
use crik_tests::controller::Controller;
use serde_json::Value;

fn controller(arguments: &[&str]) -> Result<(Output, String)> {
    let mut command = Command::new(cargo_bin("crik-controller", "crik-controller", &[])?);
    // Neither a cluster nor somebody's kubeconfig.
    let output = command
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("RUST_BACKTRACE", "1")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output, said))
}

#[test]
fn a_file_source_without_a_file_names_the_flag() -> Result<()> {
    let (output, said) = controller(&["--source", "file"])?;
    ensure!(output.status.code() == Some(2) && said.contains("--nodes-file"), "{said}");
    Ok(())
}

#[test]
fn an_address_in_use_is_named_with_the_flag_to_change_it() -> Result<()> {
    let other = Controller::start(&[])?;
    let address = format!("0.0.0.0:{}", other.port());
    let (output, said) = controller(&["--source", "file", "--nodes-file", "none", "--listen", &address])?;
    ensure!(
        output.status.code() == Some(1) && said.contains(&address) && said.contains("--listen"),
        "{said}"
    );
    ensure!(!said.contains("backtrace"), "{said}");
    Ok(())
}

#[test]
fn without_a_cluster_it_says_where_it_looked_for_one() -> Result<()> {
    let (output, said) = controller(&["--log-format", "json"])?;
    let line: Value = serde_json::from_str(said.trim())?;
    let message = line["message"].as_str().unwrap_or_default();
    ensure!(
        output.status.code() == Some(1) && line["level"] == "ERROR" && message.contains("KUBECONFIG"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_controller_that_is_ready_is_told_by_each_of_its_addresses() -> Result<()> {
    let other = Controller::start(&[])?;
    let (output, said) = controller(&["check", &other.url("")])?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && told == format!("127.0.0.1:{} is ready\n", other.port()),
        "{told}{said}"
    );
    Ok(())
}

#[test]
fn what_is_no_controllers_url_is_refused_at_once() -> Result<()> {
    for url in ["crik-controller.crik:9376", "ftp://crik-controller", "/readyz"] {
        let (output, said) = controller(&["check", url])?;
        ensure!(output.status.code() == Some(1) && said.contains("no URL of a controller"), "{url}: {said}");
    }
    Ok(())
}
