//! Reads /proc and its directories, with neither the C library nor an allocator.

use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::slice;

use crate::kernel::{self, AT_FDCWD};

/// readlink(2), getdents(2), statfs(2), statx(2).
#[cfg(target_arch = "x86_64")]
mod nr {
    pub const STATFS: usize = 137;
    pub const GETDENTS64: usize = 217;
    pub const READLINKAT: usize = 267;
    pub const STATX: usize = 332;
}
#[cfg(target_arch = "aarch64")]
mod nr {
    pub const STATFS: usize = 43;
    pub const GETDENTS64: usize = 61;
    pub const READLINKAT: usize = 78;
    pub const STATX: usize = 291;
}

/// `O_DIRECTORY | O_CLOEXEC` and `O_CLOEXEC` (open(2)).
#[cfg(target_arch = "x86_64")]
const O_DIRECTORY: usize = 0o200_000;
#[cfg(target_arch = "aarch64")]
const O_DIRECTORY: usize = 0o40_000;
const O_CLOEXEC: usize = 0o2_000_000;

/// statx(2): numbers alone, and no word with the server of a network's file system.
const AT_STATX_DONT_SYNC: usize = 0x4000;
const STATX_INO: usize = 0x100;
/// Where the numbers stand in 256 bytes, each 8 (linux/stat.h): the device's major and minor number are one, the lower half first.
const INODE_AT: usize = 4;
const DEVICE_AT: usize = 17;

/// statfs(2): the type stands first in 120 bytes.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Where name and length stand in an entry of a directory (getdents64(2)).
const LENGTH_AT: usize = 16;
const NAME_AT: usize = 19;

/// Above a line of /proc/PID/maps, whose path has 4,096 bytes at most.
const LINE_BYTES: usize = 8192;

/// A short path in /proc, with a zero behind it.
#[derive(Clone, Copy)]
pub struct Path {
    bytes: [u8; 64],
    length: usize,
}

impl Path {
    pub fn of(text: &[u8]) -> Self {
        Self { bytes: [0; 64], length: 0 }.then(text)
    }

    /// What does not fit leads to no file.
    pub fn then(mut self, text: &[u8]) -> Self {
        let room = self.bytes.len() - 1;
        for byte in text {
            if let Some(place) = self.bytes.get_mut(self.length).filter(|_| self.length < room) {
                *place = *byte;
                self.length += 1;
            }
        }
        self
    }

    pub fn number(self, number: u64) -> Self {
        let mut digits = [0; 20];
        let (mut rest, mut first) = (number, digits.len());
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (rest % 10) as u8;
            (rest, first) = (rest / 10, at);
            if rest == 0 {
                break;
            }
        }
        self.then(digits.get(first..).unwrap_or_default())
    }

    pub fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn pointer(&self) -> usize {
        self.bytes.as_ptr() as usize
    }
}

/// # Safety
/// It ends with a zero.
pub unsafe fn text<'a>(path: *const c_char) -> &'a [u8] {
    let path = path.cast::<u8>();
    let length = (0..).take_while(|at| unsafe { *path.add(*at) } != 0).count();
    unsafe { slice::from_raw_parts(path, length) }
}

/// As openat(2).
pub fn open(path: &Path, flags: usize) -> isize {
    unsafe { kernel::call(kernel::nr::OPENAT, [AT_FDCWD as usize, path.pointer(), flags, 0, 0, 0]) }
}

/// Where a link leads; what does not fit is nothing.
pub fn link(path: &Path) -> Path {
    let mut to = Path::of(b"");
    let arguments =
        [AT_FDCWD as usize, path.pointer(), to.bytes.as_mut_ptr() as usize, to.bytes.len() - 1, 0, 0];
    let length = unsafe { kernel::call(nr::READLINKAT, arguments) };
    to.length = usize::try_from(length).unwrap_or(0);
    to
}

/// A file's device and inode.
pub fn numbers(path: &Path) -> Option<((u64, u64), u64)> {
    let mut told = [0_u64; 32];
    let arguments =
        [AT_FDCWD as usize, path.pointer(), AT_STATX_DONT_SYNC, STATX_INO, told.as_mut_ptr() as usize, 0];
    let failed = unsafe { kernel::call(nr::STATX, arguments) };
    let [device, inode] = [told.get(DEVICE_AT)?, told.get(INODE_AT)?];
    (failed == 0).then_some(((device & 0xffff_ffff, device >> 32), *inode))
}

/// Whether what has this name is, or was, in a directory of a memory file system.
pub fn in_memory(name: &[u8]) -> bool {
    let Some(end) = name.iter().rposition(|byte| *byte == b'/') else { return false };
    let mut directory = [0_u8; 4097];
    if end + 1 >= directory.len() {
        return false;
    }
    directory.iter_mut().zip(name.iter().take(end + 1)).for_each(|(to, from)| *to = *from);
    let mut told = [0_u64; 16];
    let arguments = [directory.as_ptr() as usize, told.as_mut_ptr() as usize, 0, 0, 0, 0];
    unsafe { kernel::call(nr::STATFS, arguments) == 0 && told.first() == Some(&TMPFS_MAGIC) }
}

/// What `found` says of the first process of which it says something.
pub fn find_process<T>(mut found: impl FnMut(u64) -> Option<T>) -> Option<T> {
    find(&Path::of(b"/proc"), |name| match crate::maps::decimal(name) {
        Some((process, [])) => found(process),
        _ => None,
    })
}

/// What `found` says of the first name in a directory of which it says something.
pub fn find<T>(directory: &Path, mut found: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
    let open = open(directory, O_DIRECTORY | O_CLOEXEC);
    let mut entries = MaybeUninit::<[u8; 2048]>::uninit();
    let mut result = None;
    while let (None, Some(mut entries)) = (&result, unsafe { read(nr::GETDENTS64, open, &mut entries) }) {
        while let (None, Some(length)) = (&result, length(entries)) {
            let Some((entry, rest)) = entries.split_at_checked(length) else { break };
            let name = entry.get(NAME_AT..).unwrap_or_default().split(|byte| *byte == 0).next();
            (result, entries) = (name.and_then(&mut found), rest);
        }
    }
    close(open);
    result
}

fn length(entries: &[u8]) -> Option<usize> {
    let [low, high] = [entries.get(LENGTH_AT)?, entries.get(LENGTH_AT + 1)?];
    Some(usize::from(u16::from_le_bytes([*low, *high])))
}

/// What `found` says of the first line of a file of which it says something.
pub fn find_line<T>(path: &Path, mut found: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
    let open = open(path, O_CLOEXEC);
    let mut chunk = MaybeUninit::<[u8; 4096]>::uninit();
    let (mut line, mut length, mut result) = ([0_u8; LINE_BYTES], 0, None);
    while let (None, Some(chunk)) = (&result, unsafe { read(kernel::nr::READ, open, &mut chunk) }) {
        for byte in chunk {
            if *byte == b'\n' {
                result = result.or_else(|| line.get(..length).and_then(&mut found));
                length = 0;
            } else if let Some(place) = line.get_mut(length) {
                *place = *byte;
                length += 1;
            }
        }
    }
    close(open);
    result
}

unsafe fn read<const MOST: usize>(
    call: usize,
    open: isize,
    into: &mut MaybeUninit<[u8; MOST]>,
) -> Option<&[u8]> {
    let count = unsafe { kernel::call(call, [open as usize, into.as_mut_ptr() as usize, MOST, 0, 0, 0]) };
    (count > 0).then(|| unsafe { slice::from_raw_parts(into.as_ptr().cast(), count as usize) })
}

fn close(open: isize) {
    unsafe { kernel::call(kernel::nr::CLOSE, [open as usize, 0, 0, 0, 0, 0]) };
}
