//! A notebook server that is scaled to 0 at night.

use anyhow::{Context as _, Result, ensure};
use crik_tests::cluster::Space;
use crik_tests::wait::wait_for;
use serde_json::json;

use super::apply;
use crate::{Turn, logs};

/// Runs a cell, by the server's REST and its WebSocket.
const CELL: &str = include_str!("../../../cluster/cell.py");

/// The kernel knows in the morning what it was told in the evening.
pub fn sleeps_at_night(turn: &Turn, file: &str) -> Result<()> {
    let space = apply(turn, file)?;
    let evening = space.running("notebook-0", None)?;
    let kernel = wait_for("the server to start a kernel", || cell(&space, "new", "").ok())
        .with_context(|| space.describe())?;
    cell(&space, &kernel, "import os; answer = 41; me = os.getpid()")?;
    scale(&space, 0)?;
    let gone = || space.pods("app=notebook").ok().filter(Vec::is_empty).map(drop);
    wait_for("the pod to be gone", gone).with_context(|| space.describe())?;
    scale(&space, 1)?;
    space.running("notebook-0", Some(&evening))?;
    logs(&space, "notebook-0", "restored generation 00000001")?;
    // Of the very same process.
    let said = wait_for("the kernel to answer", || {
        cell(&space, &kernel, "print(answer + 1, me == os.getpid())").ok()
    })
    .with_context(|| space.kubectl(&["logs", "notebook-0"]).unwrap_or_default())?;
    ensure!(said == "42 True", "{said:?}");
    space.held()
}

fn scale(space: &Space, replicas: u32) -> Result<()> {
    let patch = json!({"spec": {"replicas": replicas}}).to_string();
    space.kubectl(&["patch", "statefulset", "notebook", "--patch", &patch]).map(drop)
}

/// What a cell prints in a kernel, or the id of a new one.
fn cell(space: &Space, kernel: &str, code: &str) -> Result<String> {
    let said = space.kubectl(&["exec", "notebook-0", "--", "python3", "-c", CELL, kernel, code])?;
    Ok(said.trim().to_owned())
}
