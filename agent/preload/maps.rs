//! Reads what a process has mapped, as /proc/PID/maps tells it (proc_pid_maps(5)).

use crate::files::{self, Path};
use crate::kernel;

/// getpid(2).
#[cfg(target_arch = "x86_64")]
const GETPID: usize = 39;
#[cfg(target_arch = "aarch64")]
const GETPID: usize = 172;

/// A line.
pub struct Mapping<'a> {
    pub start: u64,
    pub end: u64,
    pub shared: bool,
    /// From where in the file, in bytes.
    pub offset: u64,
    /// Its file's device, major and minor number.
    pub device: (u64, u64),
    pub inode: u64,
    /// Its name.
    pub path: &'a [u8],
}

/// What `found` says of the first mapping of which it says something.
pub fn find<T>(process: u64, mut found: impl FnMut(&Mapping<'_>) -> Option<T>) -> Option<T> {
    let path = Path::of(b"/proc/").number(process).then(b"/maps");
    files::find_line(&path, |line| found(&parse(line)?))
}

/// This process.
pub fn own() -> u64 {
    unsafe { kernel::call(GETPID, [0; 6]) as u64 }
}

/// `START-END rwxs OFFSET MAJOR:MINOR INODE   PATH`.
fn parse(line: &[u8]) -> Option<Mapping<'_>> {
    let (start, rest) = hexadecimal(line)?;
    let (end, rest) = hexadecimal(rest.get(1..)?)?;
    let shared = *rest.get(4)? == b's';
    let (offset, rest) = hexadecimal(rest.get(6..)?)?;
    let (major, rest) = hexadecimal(rest.get(1..)?)?;
    let (minor, rest) = hexadecimal(rest.get(1..)?)?;
    let (inode, rest) = decimal(rest.get(1..)?)?;
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    Some(Mapping { start, end, shared, offset, device: (major, minor), inode, path: rest.get(blanks..)? })
}

/// The number with which `text` begins, and what follows.
pub fn hexadecimal(text: &[u8]) -> Option<(u64, &[u8])> {
    number(text, 16)
}

/// As [`hexadecimal`].
pub fn decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    number(text, 10)
}

fn number(text: &[u8], base: u32) -> Option<(u64, &[u8])> {
    let digits = text.iter().map_while(|byte| char::from(*byte).to_digit(base));
    let count = digits.clone().count();
    let number =
        digits.fold(0_u64, |number, digit| number.wrapping_mul(base.into()).wrapping_add(digit.into()));
    (count > 0).then_some((number, text.get(count..)?))
}
