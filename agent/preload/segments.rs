//! Tells CRIU which pages of System V's shared memory there are, in a user namespace of the pod's own.
//!
//! CRIU asks what its own mapping of it leads to for holes (criu/shmem.c, `do_dump_one_shmem`), and /proc/PID/map_files wants
//! CHECKPOINT_RESTORE in the first user namespace for that. What is opened in its place is nothing, and what is asked of that is answered by
//! mincore(2). That knows no page that is swapped out, of which /proc tells (proc_sysvipc(5)): if there are any, all is there.

use core::ffi::c_int;

use crate::files::{self, Path};
use crate::maps;
use crate::{kernel, told};

#[cfg(target_arch = "x86_64")]
mod nr {
    pub const LSEEK: usize = 8;
    pub const MINCORE: usize = 27;
}
#[cfg(target_arch = "aarch64")]
mod nr {
    pub const LSEEK: usize = 62;
    pub const MINCORE: usize = 232;
}

const ENXIO: isize = -6;
const SEEK_DATA: c_int = 3;
const SEEK_HOLE: c_int = 4;

/// Where pages are larger mincore(2) refuses, and all is there.
const PAGE_BYTES: u64 = 4096;
/// The column of a segment that is swapped out, in bytes.
const SWAPPED_AT: usize = 15;

/// What was opened in the place of a segment.
#[derive(Clone, Copy)]
struct StandIn {
    open: isize,
    start: u64,
    end: u64,
    id: u64,
}

/// CRIU has one thread, and reads one segment after the other.
static mut STAND_IN: StandIn = StandIn { open: -1, start: 0, end: 0, id: 0 };

/// Opens nothing in the place of what this process has mapped where `name` says (`START-END`), if that is a segment.
pub fn open(name: &[u8]) -> Option<isize> {
    let (start, rest) = maps::hexadecimal(name)?;
    let (end, _) = maps::hexadecimal(rest.get(1..)?)?;
    let is_it = |mapping: &maps::Mapping<'_>| {
        let is_segment = mapping.path.iter().zip(b"/SYSV").filter(|(one, other)| one == other).count() == 5;
        (mapping.start == start && is_segment).then_some(mapping.inode)
    };
    let id = maps::find(maps::own(), is_it)?;
    let open = files::open(&Path::of(b"/dev/null"), kernel::O_CLOEXEC);
    unsafe { STAND_IN = StandIn { open, start, end, id } };
    Some(open)
}

/// # Safety
/// As lseek(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lseek64(open: c_int, offset: i64, whence: c_int) -> i64 {
    let segment = unsafe { STAND_IN };
    if segment.open != open as isize || (whence != SEEK_DATA && whence != SEEK_HOLE) {
        let arguments = [open as usize, offset as usize, whence as usize, 0, 0, 0];
        return told(unsafe { kernel::call(nr::LSEEK, arguments) }) as i64;
    }
    let size = segment.end - segment.start;
    let found = segment.first(offset as u64, whence == SEEK_DATA);
    // Afterwards: what was swapped out until now was not in core.
    let found = if segment.is_swapped() { segment.as_if_whole(offset as u64, whence) } else { found };
    match found {
        Some(at) => at as i64,
        None if whence == SEEK_HOLE => size as i64,
        None => told(ENXIO) as i64,
    }
}

impl StandIn {
    /// The first byte from `offset` on of a page that is there, or is not.
    fn first(&self, offset: u64, there: bool) -> Option<u64> {
        let mut at = offset & !(PAGE_BYTES - 1);
        while at < self.end - self.start {
            let mut in_core = [0_u8; 256];
            let bytes = (self.end - self.start - at).min(in_core.len() as u64 * PAGE_BYTES);
            let arguments =
                [(self.start + at) as usize, bytes as usize, in_core.as_mut_ptr() as usize, 0, 0, 0];
            if unsafe { kernel::call(nr::MINCORE, arguments) } < 0 {
                return there.then_some(at.max(offset));
            }
            let pages = bytes.div_ceil(PAGE_BYTES) as usize;
            let found = in_core.iter().take(pages).position(|page| (page & 1 == 1) == there);
            if let Some(page) = found {
                return Some((at + page as u64 * PAGE_BYTES).max(offset));
            }
            at += bytes;
        }
        None
    }

    fn as_if_whole(&self, offset: u64, whence: c_int) -> Option<u64> {
        (whence == SEEK_DATA && offset < self.end - self.start).then_some(offset)
    }

    /// Whether any of it is, which it is taken to be where the kernel does not tell.
    fn is_swapped(&self) -> bool {
        let list = Path::of(b"/proc/sysvipc/shm");
        let swapped = files::find_line(&list, |line| {
            let number = |at: usize| {
                let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
                maps::decimal(words.nth(at)?).map(|(number, _)| number)
            };
            if number(1)? == self.id { number(SWAPPED_AT) } else { None }
        });
        swapped != Some(0)
    }
}
