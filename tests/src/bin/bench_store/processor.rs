//! The processor time of a container.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use crik_tests::measure::agent;
use crik_tests::pod::Running;

/// Counts what all processes of a container take, also those that have ended.
pub struct Processor {
    file: PathBuf,
}

impl Processor {
    /// Of this container. Can be read until it is removed, also when it has ended.
    ///
    /// # Errors
    /// It has ended already.
    pub fn of(running: &Running) -> Result<Self> {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", agent(running)?))?;
        let group = |line: &str| {
            let (_, group) = line.split_once(':')?;
            let (controllers, path) = group.split_once(':')?;
            controllers.split(',').any(|name| name == "cpuacct").then(|| path.to_owned())
        };
        let group = groups.lines().find_map(group).context("no cpuacct controller of cgroup v1")?;
        Ok(Self { file: PathBuf::from(format!("/sys/fs/cgroup/cpuacct{group}/cpuacct.usage")) })
    }

    /// Seconds so far.
    ///
    /// # Errors
    /// The container is removed.
    pub fn seconds(&self) -> Result<f64> {
        let nanoseconds: f64 = fs::read_to_string(&self.file)?.trim().parse()?;
        Ok(nanoseconds / 1e9)
    }
}
