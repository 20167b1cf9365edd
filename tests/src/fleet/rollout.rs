//! Replicas of the controller behind one name, as a Deployment of the chart replaces them and as agents are led to them.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::sampler::{Load, Sampler};
use crate::controller::Controller;

/// The name of all replicas.
pub const URL: &str = "http://crik-controller.crik:9376";
const NAME: &str = "crik-controller.crik";

/// How large the file of names is: it is written in one piece, and never longer or shorter, since who reads it reads it whole.
const NAMES_BYTES: usize = 4096;

/// What a Deployment keeps to.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// `--shutdown-delay`.
    pub delay: Duration,
    /// How long names lead to a replica that is told to stop.
    pub names: Duration,
    /// `minReadySeconds`.
    pub ready: Duration,
}

/// The replicas, the oldest first. For a network of its own.
pub struct Rollout {
    timing: Timing,
    kubeconfig: PathBuf,
    directory: tempfile::TempDir,
    replicas: VecDeque<Controller>,
    started: u8,
    sampler: Sampler,
}

impl Rollout {
    /// Starts two that watch the same nodes, and lets this thread, and what it starts, find them by [`URL`].
    ///
    /// # Errors
    /// One does not get ready, or this is not root.
    pub fn start(kubeconfig: &Path, timing: Timing) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("hosts"), " ".repeat(NAMES_BYTES))?;
        names_from(&directory.path().join("hosts"))?;
        let (kubeconfig, replicas) = (kubeconfig.to_owned(), VecDeque::new());
        let mut rollout =
            Self { timing, kubeconfig, directory, replicas, started: 0, sampler: Sampler::start() };
        rollout.add()?;
        rollout.add()?;
        rollout.names_lead_to_all()?;
        Ok(rollout)
    }

    /// Another one, ready.
    fn add(&mut self) -> Result<()> {
        self.started += 1;
        let address = Ipv4Addr::new(127, 1, 1, self.started);
        let delay = format!("{}ms", self.timing.delay.as_millis());
        // All agents come from one address.
        let flags = ["--shutdown-delay", &delay, "--max-connections-per-peer", "100000"];
        let replica = Controller::watching_at(address, &self.kubeconfig, &flags)?;
        self.sampler.look_at(&replica);
        self.replicas.push_back(replica);
        Ok(())
    }

    fn names_lead_to_all(&self) -> Result<()> {
        let mut text = String::new();
        for replica in &self.replicas {
            writeln!(text, "{} {NAME}", replica.ip())?;
        }
        let file = File::options().write(true).open(self.directory.path().join("hosts"))?;
        Ok(file.write_all_at(format!("{text:NAMES_BYTES$}").as_bytes(), 0)?)
    }

    /// Each replica is replaced by another, as by a rolling update: one more is there before one is told to stop.
    ///
    /// # Errors
    /// One does not get ready, or does not end.
    pub fn update(&mut self) -> Result<()> {
        for _ in 0..self.replicas.len() {
            self.add()?;
            self.names_lead_to_all()?;
            sleep(self.timing.ready);
            self.end_oldest()?;
        }
        Ok(())
    }

    /// The oldest replica is evicted, and only then is there another one.
    ///
    /// # Errors
    /// One does not get ready, or does not end.
    pub fn drain(&mut self) -> Result<()> {
        self.end_oldest()?;
        self.add()?;
        self.names_lead_to_all()?;
        sleep(self.timing.ready);
        Ok(())
    }

    fn end_oldest(&mut self) -> Result<()> {
        let mut oldest = self.replicas.pop_front().context("no replica")?;
        oldest.terminate()?;
        sleep(self.timing.names);
        self.names_lead_to_all()?;
        oldest.wait()?;
        self.sampler.forget(oldest.ip());
        Ok(())
    }

    /// What the replicas had to bear since this was asked last.
    pub fn load(&self) -> Load {
        self.sampler.load()
    }
}

/// Has this thread, and what it starts, find addresses of names in a file.
fn names_from(file: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a view of the files")?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some(file), "/etc/hosts", none, MsFlags::MS_BIND, none).context("/etc/hosts")
}
