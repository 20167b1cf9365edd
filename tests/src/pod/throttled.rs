//! A volume on a disk that takes and gives only so many bytes a second, as a network disk does.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};

use super::Running;
use super::volume::{PodCount, Volume};
use crate::command::run;

/// Where the kernel is told how fast a disk may be (cgroup v1). What it writes back on its own counts for the group of all, so the limit
/// stands there, and who is to be held up by it has to be in it.
const GROUP: &str = "/sys/fs/cgroup/blkio";

/// The limits that a disk has there.
const LIMITS: [&str; 2] = ["blkio.throttle.write_bps_device", "blkio.throttle.read_bps_device"];

/// A volume with a disk of its own, which is removed at the end.
pub struct ThrottledVolume {
    /// As pods see it. Unmounted before its disk is removed.
    pub volume: Volume,
    _disk: Disk,
    image: tempfile::TempDir,
}

/// A loop device.
struct Disk {
    device: PathBuf,
    number: String,
}

impl ThrottledVolume {
    /// An empty one of so many megabytes, which are taken from the real disk.
    ///
    /// # Errors
    /// A tool is missing, or this machine cannot limit a disk.
    pub fn new(megabytes: u32, bytes_per_second: u64) -> Result<Self> {
        let image = tempfile::Builder::new().prefix("crik-disk-").tempdir_in("/var/tmp")?;
        let path = image.path().join("disk");
        let name = path.to_string_lossy();
        run("fallocate", &["--length", &format!("{megabytes}MiB"), &name])?;
        run("mke2fs", &["-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", &name])?;
        let disk = Disk::of(&path)?;
        let device = disk.device.clone();
        let volume = Volume::mounted(PodCount::default(), |to| {
            mount(Some(&device), to, Some("ext4"), MsFlags::MS_NOATIME, None::<&str>)
                .context("cannot mount a disk")
        })?;
        disk.limit(bytes_per_second)?;
        Ok(Self { volume, _disk: disk, image })
    }

    /// Where its bytes are.
    pub fn image(&self) -> &Path {
        self.image.path()
    }

    /// Lets the limit count for what the container's processes do, and what they start.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn hold_up(&self, running: &Running) -> Result<()> {
        let processes = running.processes();
        ensure!(!processes.is_empty(), "the container has ended\n{}", running.transcript());
        for process in processes {
            match fs::write(format!("{GROUP}/cgroup.procs"), process.host_pid.to_string()) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                written => written?,
            }
        }
        Ok(())
    }
}

impl Disk {
    /// Past the page cache of the file, which would be a second one.
    fn of(file: &Path) -> Result<Self> {
        let device = run("losetup", &["--find", "--show", "--direct-io=on", &file.to_string_lossy()])?;
        let device = PathBuf::from(device.trim());
        let name = device.file_name().context("losetup names no device")?.to_owned();
        let number = fs::read_to_string(Path::new("/sys/block").join(name).join("dev"))?;
        Ok(Self { device, number: number.trim().to_owned() })
    }

    /// At most so many bytes a second, in each direction; 0 for as many as it can.
    fn limit(&self, bytes_per_second: u64) -> Result<()> {
        LIMITS.iter().try_for_each(|limit| {
            let to = format!("{GROUP}/{limit}");
            fs::write(&to, format!("{} {bytes_per_second}", self.number))
                .with_context(|| format!("{to}: this needs the blkio controller of cgroup v1"))
        })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.limit(0);
        let _ = run("losetup", &["--detach", &self.device.to_string_lossy()]);
    }
}
