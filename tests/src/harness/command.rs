//! Runs the tools of the machine.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

/// Which Debian package has a tool, for the message when it is missing.
const PACKAGES: [(&str, &str); 6] = [
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("mke2fs", "e2fsprogs"),
    ("mount", "mount"),
    ("setcap", "libcap2-bin"),
    ("wrk", "wrk"),
];

/// Runs a tool to its end and returns what it printed.
///
/// # Errors
/// It is missing, which names the package, or it failed, which tells what it said.
pub fn run(tool: &str, args: &[&str]) -> Result<String> {
    let output = output(tool, args)?;
    ensure!(
        output.status.success(),
        "{tool} {} failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output(tool: &str, args: &[&str]) -> Result<Output> {
    let package = PACKAGES.iter().find(|(name, _)| *name == tool).map_or(tool, |(_, package)| package);
    Command::new(tool)
        .args(args)
        .output()
        .with_context(|| format!("{tool} is missing; apt-get install {package}"))
}
