//! The moment from which on a change of a file is the program's doing, by the clock of the container's own file system.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use crate::base::limits;
use crate::tree::process::snapshot;

/// A change time (inode(7)) in nanoseconds since 1970.
pub type ChangeTime = i64;

/// When the agent started.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    /// As a file shows it that was made then.
    at: ChangeTime,
    /// By how much the clock of the day was ahead of the time since boot, in nanoseconds.
    ahead: i64,
}

static BEGINNING: OnceLock<Beginning> = OnceLock::new();

/// Notes the moment. To be called before anything is put back and before the program runs.
pub fn note() {
    let at = limits::INIT_DIRECTORIES.iter().find_map(|directory| shown_by(Path::new(directory)).ok());
    BEGINNING.get_or_init(|| Beginning { at: at.unwrap_or_else(of_the_clock), ahead: ahead() });
}

/// Takes it over from the container's agent, for who looks from beside it.
pub fn adopt(at: ChangeTime) {
    BEGINNING.get_or_init(|| Beginning { at, ahead: ahead() });
}

/// When a process started, for one that has no agent (proc(5)); now, if it has ended.
pub fn of_process(pid: i32) -> ChangeTime {
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let since_boot = |ticks: u64| ticks.cast_signed().saturating_mul(1_000_000_000 / per_second.max(1));
    let process = snapshot::read(pid);
    process.map_or_else(of_the_clock, |process| ahead().saturating_add(since_boot(process.started)))
}

/// What has changed at this time or later has changed since the agent's start.
///
/// A clock of the day that was set back meanwhile has given changes an earlier time than the start has, so the moment is moved by
/// as much: to take more than what has changed does no harm.
pub fn since() -> ChangeTime {
    let Some(beginning) = BEGINNING.get() else { return of_the_clock() };
    beginning.at - (beginning.ahead - ahead()).max(0)
}

/// When something about a file has changed.
pub fn changed_at(meta: &Metadata) -> ChangeTime {
    nanoseconds(TimeSpec::new(meta.ctime(), meta.ctime_nsec()))
}

/// When its contents have changed, or its names if it is a directory, as far as no program has said another time.
pub fn modified_at(meta: &Metadata) -> ChangeTime {
    nanoseconds(TimeSpec::new(meta.mtime(), meta.mtime_nsec()))
}

/// What a new file in `directory` shows, if that is on the root file system.
fn shown_by(directory: &Path) -> io::Result<ChangeTime> {
    fs::create_dir_all(directory)?;
    if fs::metadata(directory)?.dev() != fs::metadata("/")?.dev() {
        return Err(io::ErrorKind::CrossesDevices.into());
    }
    let path = directory.join(format!(".beginning-{}", std::process::id()));
    let meta = File::create(&path).and_then(|file| file.metadata());
    fs::remove_file(&path)?;
    Ok(changed_at(&meta?))
}

/// By the clock that the kernel has for files of its own.
fn of_the_clock() -> ChangeTime {
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or(0, nanoseconds)
}

fn ahead() -> i64 {
    let read = |clock| clock_gettime(clock).map_or(0, nanoseconds);
    read(ClockId::CLOCK_REALTIME) - read(ClockId::CLOCK_BOOTTIME)
}

fn nanoseconds(time: TimeSpec) -> i64 {
    time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_began_before_it_is_looked_at() {
        let own = of_process(std::process::id().cast_signed());
        assert!(own <= of_the_clock() && own > of_the_clock() - 3600 * 1_000_000_000, "{own}");
    }

    #[test]
    fn what_is_made_after_the_beginning_has_changed_since() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("before"), "").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        note();
        fs::write(dir.path().join("after"), "").unwrap();
        let changed = |name: &str| changed_at(&fs::metadata(dir.path().join(name)).unwrap());
        assert!(changed("before") < since(), "{} {}", changed("before"), since());
        assert!(changed("after") >= since(), "{} {}", changed("after"), since());
    }
}
