//! The control groups of a node, in every hierarchy that this machine has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::wait::wait_to_clean_up;

/// Where hierarchies are mounted (cgroups(7)): one directory for each in version 1, this one itself in version 2.
const ROOT: &str = "/sys/fs/cgroup";

/// Version 1 starts a new group with no processors and no memory; these are inherited by hand.
const INHERITED: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// A group of the same name in all hierarchies; removed with all below it when this is dropped.
pub struct Cgroups {
    name: String,
}

impl Cgroups {
    /// Makes it.
    ///
    /// # Errors
    /// This is not root, or there are no control groups.
    pub fn new(name: &str) -> Result<Self> {
        let cgroups = Self { name: name.to_owned() };
        let all = hierarchies();
        ensure!(!all.is_empty(), "no control groups are mounted at {ROOT}");
        for hierarchy in all {
            let group = hierarchy.join(name.trim_start_matches('/'));
            fs::create_dir_all(&group).with_context(|| group.display().to_string())?;
            inherit(&hierarchy, &group)?;
        }
        Ok(cgroups)
    }

    /// Puts a process into it. What the process has in memory by then counts elsewhere.
    ///
    /// # Errors
    /// It has ended.
    pub fn take_in(&self, pid: u32) -> Result<()> {
        hierarchies().iter().try_for_each(|root| {
            let file = root.join(self.name.trim_start_matches('/')).join("cgroup.procs");
            fs::write(&file, pid.to_string()).with_context(|| file.display().to_string())
        })
    }

    /// Lets what is in it have so much memory, and kills it if it takes more.
    ///
    /// # Errors
    /// No hierarchy counts memory.
    pub fn limit_memory(&self, bytes: u64) -> Result<()> {
        Ok(fs::write(self.memory_file(["memory.max", "memory.limit_in_bytes"])?, bytes.to_string())?)
    }

    /// The most memory that what is in it ever had, with what the kernel has for it.
    ///
    /// # Errors
    /// No hierarchy counts memory.
    pub fn peak_memory(&self) -> Result<u64> {
        let text = fs::read_to_string(self.memory_file(["memory.peak", "memory.max_usage_in_bytes"])?)?;
        Ok(text.trim().parse()?)
    }

    /// By its name in version 2 or in version 1.
    fn memory_file(&self, names: [&str; 2]) -> Result<PathBuf> {
        let groups = hierarchies().into_iter().map(|root| root.join(self.name.trim_start_matches('/')));
        let mut files = groups.flat_map(|group| names.map(|name| group.join(name)));
        files.find(|file| file.exists()).with_context(|| format!("no hierarchy has {}", names[0]))
    }
}

/// Removes what there is of this name in all hierarchies, and all below it.
///
/// # Errors
/// There are processes in it.
pub fn remove_all(name: &str) -> Result<()> {
    // A process that was killed leaves its group a moment later.
    wait_to_clean_up(&format!("{name} to be empty"), || {
        let groups = hierarchies().into_iter().map(|root| root.join(name.trim_start_matches('/')));
        // All are tried, also when one is not empty yet.
        (groups.filter(|group| !remove(group)).count() == 0).then_some(())
    })
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if let Err(error) = remove_all(&self.name) {
            eprintln!("control groups are left behind: {error:#}");
        }
    }
}

fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.join("cgroup.procs").exists()).collect()
}

/// From the hierarchy's root down to the group, as each takes only what the one above has.
fn inherit(hierarchy: &Path, group: &Path) -> Result<()> {
    let below = group.strip_prefix(hierarchy)?;
    let mut at = hierarchy.to_owned();
    for part in below {
        let next = at.join(part);
        for file in INHERITED {
            if let Ok(value) = fs::read_to_string(at.join(file)) {
                fs::write(next.join(file), value.trim())?;
            }
        }
        at = next;
    }
    Ok(())
}

/// Removes a group and all below it; true if none is left.
fn remove(group: &Path) -> bool {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.path().is_dir()) {
        remove(&entry.path());
    }
    let _ = fs::remove_dir(group);
    !group.exists()
}
