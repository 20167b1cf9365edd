//! A node's D-Bus with a logind on it, by which the kubelet learns that its machine is about to be shut down.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::namespaces::Namespaces;
use super::program::{Place, Program};

/// Where programs look for the system's bus (D-Bus specification).
const SOCKET: &str = "/run/dbus/system_bus_socket";

/// Starts both, and waits until logind answers.
///
/// # Errors
/// One does not start; Debian's packages `dbus` and `python3-dbusmock` have them.
pub fn start(namespaces: &Namespaces, scripts: &Path, logs: &Path) -> Result<Vec<Program>> {
    let mut bus = Command::new("dbus-daemon");
    bus.arg("--nofork").arg("--nopidfile").arg("--config-file").arg(scripts.join("dbus.conf"));
    let mut bus = Program::start(Place::Node(namespaces), bus, logs)?;
    bus.wait_until("D-Bus to answer", || namespaces.run(ask("org.freedesktop.DBus", "/", PING)).is_ok())?;
    // Debian's own, which has the module, whatever else is in the path.
    let mut logind = Command::new("/usr/bin/python3");
    logind.args(["-m", "dbusmock", "--system", "--template"]).arg(scripts.join("logind.py"));
    let mut logind = Program::start(Place::Node(namespaces), logind, logs)?;
    logind.wait_until("logind to answer", || namespaces.run(inhibitors()).is_ok())?;
    Ok(vec![logind, bus])
}

/// The question that everything on a bus answers.
const PING: &str = "org.freedesktop.DBus.Peer.Ping";

/// Announces what logind announces before a machine is shut down.
pub fn prepare_for_shutdown() -> Command {
    let mut command = Command::new("dbus-send");
    command.args(["--system", "--type=signal", "/org/freedesktop/login1"]);
    command.args(["org.freedesktop.login1.Manager.PrepareForShutdown", "boolean:true"]);
    command
}

/// Asks who delays the shutdown.
pub fn inhibitors() -> Command {
    ask("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager.ListInhibitors")
}

fn ask(whom: &str, object: &str, method: &str) -> Command {
    let mut command = Command::new("dbus-send");
    command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={SOCKET}"));
    command.args([
        "--system",
        "--print-reply",
        "--reply-timeout=2000",
        &format!("--dest={whom}"),
        object,
        method,
    ]);
    command
}
