//! Tells CRIU of an open file that has lost its name on NFS by the one that the agent has given it.
//!
//! The client has renamed it to `.nfs` and digits, and lets nobody rename it again (fs/namei.c, `may_delete`). CRIU takes such a name for
//! none, and to link the file it would need DAC_READ_SEARCH (linkat(2), AT_EMPTY_PATH). CRIU compares what a name leads to
//! with what is open before it believes one.

use core::ffi::c_char;
use core::slice;

use crate::kernel;
use crate::told;

/// readlink(2), access(2); not every architecture has the older ones.
#[cfg(target_arch = "x86_64")]
const READLINKAT: usize = 267;
#[cfg(target_arch = "x86_64")]
const FACCESSAT: usize = 269;
#[cfg(target_arch = "aarch64")]
const READLINKAT: usize = 78;
#[cfg(target_arch = "aarch64")]
const FACCESSAT: usize = 48;

/// What an open file is called is asked of the kernel there (criu/util.c, `read_fd_link`).
const OPEN_FILES: &[u8] = b"/proc/self/fd/";

/// How such a name begins, and how many hexadecimal digits follow (fs/nfs/unlink.c).
const RENAMED: &[u8] = b".nfs";
const DIGITS: usize = 24;

/// How the agent's name for the same begins.
const OURS: &[u8] = b"crik-open.";

/// Above all paths.
const PATH_BYTES: usize = 4096;

/// # Safety
/// As readlink(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readlink(path: *const c_char, into: *mut c_char, size: usize) -> isize {
    let arguments = [kernel::AT_FDCWD as usize, path as usize, into as usize, size, 0, 0];
    let length = unsafe { kernel::call(READLINKAT, arguments) };
    if length <= 0 || !unsafe { is_open_file(path) } {
        return told(length);
    }
    let shown = unsafe { slice::from_raw_parts(into.cast::<u8>(), length as usize) };
    let mut name = [0; PATH_BYTES];
    match ours(shown, &mut name) {
        Some(bytes) if bytes <= size && exists(&name) => {
            let into = unsafe { slice::from_raw_parts_mut(into.cast::<u8>(), bytes) };
            into.iter_mut().zip(name.iter()).for_each(|(to, from)| *to = *from);
            bytes as isize
        }
        _ => length,
    }
}

/// # Safety
/// As readlink(2), into a buffer of `buffer` bytes, which is what a compiler knows that hardens programs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __readlink_chk(
    path: *const c_char,
    into: *mut c_char,
    size: usize,
    buffer: usize,
) -> isize {
    if size > buffer {
        kernel::abort();
    }
    unsafe { readlink(path, into, size) }
}

unsafe fn is_open_file(path: *const c_char) -> bool {
    OPEN_FILES.iter().enumerate().all(|(i, byte)| unsafe { *path.cast::<u8>().add(i) } == *byte)
}

/// Writes the agent's name for `shown`, with a zero behind it, if that is one of NFS's; returns how long it is.
fn ours(shown: &[u8], into: &mut [u8; PATH_BYTES]) -> Option<usize> {
    let directory = shown.len().checked_sub(RENAMED.len() + DIGITS)?;
    let (directory, name) = shown.split_at_checked(directory)?;
    let (start, digits) = name.split_at_checked(RENAMED.len())?;
    let is_renamed = start.iter().eq(RENAMED) && digits.iter().all(u8::is_ascii_hexdigit);
    let bytes = directory.len() + OURS.len() + DIGITS;
    if !is_renamed || directory.last() != Some(&b'/') || bytes >= into.len() {
        return None;
    }
    let name = directory.iter().chain(OURS).chain(digits);
    into.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    Some(bytes)
}

/// The path ends with a zero.
fn exists(path: &[u8; PATH_BYTES]) -> bool {
    let arguments = [kernel::AT_FDCWD as usize, path.as_ptr() as usize, 0, 0, 0, 0];
    unsafe { kernel::call(FACCESSAT, arguments) == 0 }
}
