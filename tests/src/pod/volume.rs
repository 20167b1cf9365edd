//! The shared volume: a directory that pods on every "node" see.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::command::run;
use crate::faulty::Faulty;

/// How many pods of each name there were on a volume.
#[derive(Clone, Default)]
pub(crate) struct PodCount(Arc<Mutex<BTreeMap<String, u32>>>);

impl PodCount {
    /// How many there were before this one.
    pub(super) fn next(&self, name: &str) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())))
    }
}

/// A volume that is removed at the end.
pub struct Volume {
    pods: PodCount,
    /// Unmounted before its directory is removed.
    _mount: Option<Mounted>,
    dir: tempfile::TempDir,
}

/// A volume that fails on demand. It is unmounted first of all when this is dropped: to remove what hangs would hang.
pub struct FaultyVolume {
    /// What fails.
    pub faulty: Faulty,
    /// As pods see it.
    pub volume: Volume,
    /// As it is without faults.
    pub backing: Volume,
}

/// A file system that is mounted as long as this lives.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Where pods see the volume.
pub const MOUNT: &str = "/checkpoints";

impl FaultyVolume {
    /// What is left of it.
    pub fn unmount(self) -> Volume {
        self.backing
    }
}

impl Volume {
    /// An empty one, on a real disk: fsync on a memory file system shows nothing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("crik-volume-").tempdir_in("/var/tmp")?;
        Ok(Self { pods: PodCount::default(), _mount: None, dir })
    }

    /// An empty one that has only so many megabytes.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn of_size(megabytes: u32) -> Result<Self> {
        let options = format!("size={megabytes}m");
        Self::mounted(PodCount::default(), |to| {
            mount(Some("tmpfs"), to, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
                .context("cannot mount a tmpfs")
        })
    }

    /// What `mount` mounts at the directory that it is told, for the pods that are counted so.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub(crate) fn mounted(pods: PodCount, mount: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let volume = Self { pods, ..Self::new()? };
        mount(volume.path())?;
        Ok(Self { _mount: Some(Mounted(volume.path().into())), ..volume })
    }

    /// Another one with the same contents, which fails on demand.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn faulty_copy(&self) -> Result<FaultyVolume> {
        let backing = self.copy()?;
        let volume = Self { pods: backing.pods(), ..Self::new()? };
        let faulty = Faulty::mount(backing.path(), volume.path())?;
        Ok(FaultyVolume { faulty, volume, backing })
    }

    /// Another one with the same contents, whose server is far away and does many things at the same time.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn far_copy(&self) -> Result<FaultyVolume> {
        let backing = self.copy()?;
        let volume = Self { pods: backing.pods(), ..Self::new()? };
        let faulty = Faulty::mount_wide(backing.path(), volume.path())?;
        Ok(FaultyVolume { faulty, volume, backing })
    }

    /// Another one with the same contents.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn copy(&self) -> Result<Self> {
        let copy = Self { pods: self.pods.copy(), ..Self::new()? };
        let from = self.path().join(".");
        run("cp", &["--archive", &from.to_string_lossy(), &copy.path().to_string_lossy()])?;
        Ok(copy)
    }

    /// Counts the pods on it, so that each comes to another node.
    pub(super) fn pods(&self) -> PodCount {
        self.pods.clone()
    }

    /// Its directory on this machine.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The committed generations of the image directory `job`, oldest first.
    pub fn generations(&self, job: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join(job).join("generations")).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        found.sort();
        found
    }

    /// The staging directories of the image directory `job`.
    pub fn staged(&self, job: &str) -> Vec<PathBuf> {
        let holds = fs::read_dir(self.path().join(job).join("holders")).into_iter().flatten().flatten();
        let inside = holds.flat_map(|hold| fs::read_dir(hold.path()).into_iter().flatten().flatten());
        let is_staging = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            ["staging-", "interval-"].iter().any(|start| name.starts_with(start))
        };
        inside.map(|entry| entry.path()).filter(is_staging).collect()
    }

    /// The newest committed generation of the image directory `job`.
    ///
    /// # Errors
    /// There is none.
    pub fn newest(&self, job: &str) -> Result<PathBuf> {
        self.generations(job).pop().with_context(|| format!("{job} has no generation"))
    }

    /// The manifest of a generation.
    ///
    /// # Errors
    /// It has none.
    pub fn manifest(generation: &Path) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&fs::read(generation.join("manifest.json"))?)?)
    }

    /// Puts another manifest in the place of a generation's, so that it looks as if it had been committed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_manifest(generation: &Path, manifest: &serde_json::Value) -> Result<()> {
        let bytes = serde_json::to_vec(manifest)?;
        fs::write(generation.join("manifest.blake3"), blake3::hash(&bytes).to_hex().as_str())?;
        Ok(fs::write(generation.join("manifest.json"), bytes)?)
    }
}
