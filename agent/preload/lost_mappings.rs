//! Opens for CRIU the files that a process has mapped and that have lost their names, in a user namespace of the pod's own.
//!
//! /proc/PID/map_files asks for CHECKPOINT_RESTORE in the first user namespace (fs/proc/base.c, `proc_map_files_get_link`). Without it CRIU
//! opens what is mapped by its name (criu/proc_parse.c, `vma_get_mapfile_user`), which files have lost that were unlinked as soon as they
//! were there: all named semaphores of Python's multiprocessing, and much shared memory. Such a file is opened by a descriptor, which
//! some process still has as a rule. To a file of a memory file system without one nothing leads but its mappings, which is what an
//! anonymous one is, and as such CRIU takes it when it is told that there is no file.

use core::ffi::{c_char, c_int};

use crate::files::{self, Path};
use crate::maps::{self, Mapping};
use crate::{kernel, segments, told};

const EPERM: isize = -1;
const ENOENT: isize = -2;

/// What the kernel calls memory that has no file (mm/shmem.c, ipc/shm.c, mm/hugetlb.c): CRIU knows it by that.
const NO_FILES: [&[u8]; 3] = [b"/dev/zero", b"/SYSV", b"/anon_hugepage"];

/// As CRIU looks for what it has mapped itself.
const OWN: &[u8] = b"map_files/";

/// A mapped file that has lost its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Lost {
    device: (u64, u64),
    inode: u64,
    bytes: u64,
    /// Whether it may be taken for an anonymous one if no descriptor leads to it.
    like_anonymous: bool,
}

/// # Safety
/// As openat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(directory: c_int, path: *const c_char, flags: c_int, mode: u32) -> c_int {
    let arguments = [directory as usize, path as usize, flags as usize, mode as usize, 0, 0];
    let opened = unsafe { kernel::call(kernel::nr::OPENAT, arguments) };
    if opened != EPERM || directory < 0 {
        return told(opened) as c_int;
    }
    told(unsafe { instead(directory, path, flags) }.unwrap_or(opened)) as c_int
}

unsafe fn instead(directory: c_int, path: *const c_char, flags: c_int) -> Option<isize> {
    let path = unsafe { files::text(path) };
    if path.begins_with(OWN) {
        return segments::open(path.get(OWN.len()..)?);
    }
    let process = process(directory)?;
    let (start, _) = maps::hexadecimal(path)?;
    let lost = maps::find(process, |mapping| lost(mapping, start))?;
    let open = remembered(&lost, process);
    if open.is_empty() {
        return (lost.like_anonymous && is_mapped_alike(&lost)).then_some(ENOENT);
    }
    Some(files::open(&open, flags as usize)).filter(|opened| *opened >= 0)
}

/// That to which `directory` belongs, if it is its map_files.
fn process(directory: c_int) -> Option<u64> {
    let shown = files::link(&Path::of(b"/proc/self/fd/").number(directory as u64));
    let (process, rest) = maps::decimal(shown.text().get(b"/proc/".len()..)?)?;
    rest.iter().eq(b"/map_files").then_some(process)
}

fn lost(mapping: &Mapping<'_>, start: u64) -> Option<Lost> {
    let name = mapping.path.strip_suffix_of(b" (deleted)")?;
    if mapping.start != start || NO_FILES.iter().any(|no_file| name.begins_with(no_file)) {
        return None;
    }
    // There the kernel shows the same numbers of a file everywhere.
    let like_anonymous = mapping.shared && mapping.offset == 0 && files::in_memory(name);
    let Mapping { device, inode, .. } = *mapping;
    Some(Lost { device, inode, bytes: mapping.end - mapping.start, like_anonymous })
}

/// Where it is open; empty if it is nowhere. Processes of one tree map the same files, and nothing changes while CRIU looks.
fn remembered(lost: &Lost, process: u64) -> Path {
    let answers = unsafe { &mut *(&raw mut ANSWERS) };
    if let Some((_, open)) = answers.iter().flatten().find(|(of, _)| of == lost) {
        return *open;
    }
    let open = open_in(lost, process).or_else(|| files::find_process(|other| open_in(lost, other)));
    let open = open.unwrap_or(Path::of(b""));
    let next = unsafe { &mut *(&raw mut NEXT) };
    if let Some(answer) = answers.get_mut(*next % REMEMBERED) {
        *answer = Some((*lost, open));
    }
    *next += 1;
    open
}

/// As many as a tree usually has.
const REMEMBERED: usize = 64;
/// CRIU has one thread.
static mut ANSWERS: [Option<(Lost, Path)>; REMEMBERED] = [None; REMEMBERED];
static mut NEXT: usize = 0;

/// A path by which the kernel leads to it, in /proc/PID.
fn open_in(lost: &Lost, process: u64) -> Option<Path> {
    let of = Path::of(b"/proc/").number(process);
    let is_it = |path: &Path| files::numbers(path) == Some((lost.device, lost.inode));
    let program = of.then(b"/exe");
    if is_it(&program) {
        return Some(program);
    }
    files::find(&of.then(b"/fd"), |name| Some(of.then(b"/fd/").then(name)).filter(is_it))
}

/// CRIU knows such memory by its inode alone, and reads it where it has found it first (criu/shmem.c, `dump_one_shmem`): what has the same
/// number must be the same, and mapped in one piece.
fn is_mapped_alike(lost: &Lost) -> bool {
    let other = |mapping: &Mapping<'_>| {
        let alike =
            mapping.device == lost.device && mapping.offset == 0 && mapping.end - mapping.start == lost.bytes;
        (mapping.shared && mapping.inode == lost.inode && !alike).then_some(())
    };
    files::find_process(|process| maps::find(process, other)).is_none()
}

/// What slices have, without a call to the C library's `memcmp`.
trait Compared {
    fn begins_with(&self, start: &[u8]) -> bool;
    fn strip_suffix_of(&self, end: &[u8]) -> Option<&[u8]>;
}

impl Compared for [u8] {
    fn begins_with(&self, start: &[u8]) -> bool {
        self.get(..start.len()).is_some_and(|own| own.iter().eq(start))
    }

    fn strip_suffix_of(&self, end: &[u8]) -> Option<&[u8]> {
        let (rest, own) = self.split_at_checked(self.len().checked_sub(end.len())?)?;
        own.iter().eq(end).then_some(rest)
    }
}
