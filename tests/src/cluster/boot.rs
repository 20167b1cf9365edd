//! The boot of a node, as the containers on it see it: how long ago that was, and what the kernel made up then (random(4)). The kernel is
//! this machine's, so they get time namespaces, and another file in the place of the boot id.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::namespaces::Namespaces;
use super::runtime::runtime;

/// How much longer than this machine the first node has been up at its first boot.
const FIRST: Duration = Duration::from_secs(40 * 24 * 3600);

/// How much younger the next node is, and more than that: no local time of day fits by accident.
const BETWEEN_NODES: Duration = Duration::from_secs(26 * 3600);

/// How much younger a node is that was booted again, whatever it was before.
const BETWEEN_BOOTS: Duration = Duration::from_secs(3 * 24 * 3600);

/// Where the node has its boot id: in its own memory, where also the root of a user namespace may read it.
const BOOT_ID: &str = "/run/boot_id";

/// Makes one up. It is not put over that of the node's own `/proc`: where something lies over a part of it, the kernel lets no user
/// namespace have one of its own (`mount_too_revealing` in the kernel's fs/namespace.c).
const MAKE_BOOT_ID: &str = "cat /proc/sys/kernel/random/uuid > \"$1\" && chmod 0444 \"$1\"";

/// Puts its first argument over the boot id of the container of which the runtime tells on standard input.
const PUT_BOOT_ID: &str = r#"bundle=$(sed -n 's/.*"bundle": *"\([^"]*\)".*/\1/p')
exec mount --bind "$1" "$bundle/rootfs/proc/sys/kernel/random/boot_id""#;

/// How far the clocks of the node of this number are ahead after so many boots before.
pub fn ahead(number: u8, boots: u32) -> Duration {
    FIRST.saturating_sub(BETWEEN_NODES * u32::from(number - 1)).saturating_sub(BETWEEN_BOOTS * boots)
}

/// Writes what containerd makes all containers of this boot from, and gives the node its boot id.
///
/// # Errors
/// A file cannot be written, or containerd's client fails.
pub fn write(directory: &Path, ahead: Duration, namespaces: &Namespaces) -> Result<()> {
    let mut make = Command::new("sh");
    make.args(["-c", MAKE_BOOT_ID, "sh", BOOT_ID]);
    namespaces.run(make)?;
    // What it makes them from if nobody says otherwise.
    let mut default = Command::new(runtime()?.join("ctr"));
    default.args(["oci", "spec"]);
    let mut spec: Value = serde_json::from_str(&namespaces.run(default)?)?;
    // What containerd leaves out when it makes the specification itself (`WithoutDefaultSecuritySettings`).
    let process = spec["process"].as_object_mut().context("a specification without a process")?;
    process.remove("rlimits");
    let linux = spec["linux"].as_object_mut().context("a specification without linux")?;
    let offset = json!({"secs": ahead.as_secs(), "nanosecs": 0});
    linux.insert("timeOffsets".to_owned(), json!({"monotonic": offset, "boottime": offset}));
    let spaces = linux.get_mut("namespaces").and_then(Value::as_array_mut).context("no namespaces")?;
    spaces.push(json!({"type": "time"}));
    spec["hooks"] = json!({"createContainer": [{
        "path": "/bin/sh",
        "args": ["sh", "-c", PUT_BOOT_ID, "hook", BOOT_ID],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    }]});
    Ok(fs::write(directory.join("spec.json"), serde_json::to_vec(&spec)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_boots_are_alike_and_the_second_node_is_younger() {
        let boots: Vec<Duration> =
            (1..=2).flat_map(|node| (0..5).map(move |boot| ahead(node, boot))).collect();
        assert!(boots.iter().all(|one| boots.iter().filter(|other| *other == one).count() == 1), "{boots:?}");
        assert_eq!(ahead(1, 0) - ahead(2, 0), BETWEEN_NODES);
        assert!(ahead(1, 1) < ahead(2, 0), "a node that was booted again is the younger one");
    }
}
