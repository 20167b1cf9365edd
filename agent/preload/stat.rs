//! Has programs find the files that they have open under the numbers that these had: device and inode, which are others in another
//! container, and by which programs tell whether a file was replaced behind their back.

use core::ffi::c_int;
use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, compiler_fence};

use crate::kernel::{self, AT_FDCWD, nr};
use crate::next::{self, Next};
use crate::page::{DEVICES, Number, Page, Renumbered};
use crate::start;

/// fstatat(2).
const AT_EMPTY_PATH: usize = 0x1000;
const AT_SYMLINK_NOFOLLOW: usize = 0x100;

/// Where a file's numbers are.
pub trait Answer {
    /// Device and inode.
    fn numbers(&self) -> (u64, u64);
    fn renumber(&mut self, device: u64, inode: u64);
}

/// The beginning of struct stat, which is the same on every 64-bit machine and with every C library.
#[repr(C)]
pub struct Stat {
    device: u64,
    inode: u64,
}

impl Answer for Stat {
    fn numbers(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    fn renumber(&mut self, device: u64, inode: u64) {
        (self.device, self.inode) = (device, inode);
    }
}

/// The beginning of struct statx (statx(2)).
#[repr(C)]
pub struct Statx {
    before: [u64; 4],
    inode: u64,
    between: [u64; 12],
    major: u32,
    minor: u32,
}

/// As the kernel makes one number of both in struct stat (`new_encode_dev`).
impl Answer for Statx {
    fn numbers(&self) -> (u64, u64) {
        let (major, minor) = (u64::from(self.major), u64::from(self.minor));
        (minor & 0xff | major << 8 | (minor & !0xff) << 12, self.inode)
    }

    fn renumber(&mut self, device: u64, inode: u64) {
        self.major = (device >> 8 & 0xfff) as u32;
        self.minor = (device & 0xff | device >> 12 & 0xf_ff00) as u32;
        self.inode = inode;
    }
}

/// Asks, and puts the numbers that the program knows in the place of those that are in the answer. Who was frozen on its way has the
/// numbers of one container and the table of another, and asks again.
///
/// # Safety
/// What is asked writes an `A` to `answer` when it returns zero.
pub unsafe fn answered<A: Answer>(answer: usize, ask: impl Fn() -> isize) -> isize {
    let Some(page) = start::page() else { return ask() };
    loop {
        let moves = page.moves.load(Relaxed);
        compiler_fence(SeqCst);
        let result = ask();
        let count = count(page);
        if result != 0 || count == 0 {
            return result;
        }
        let answer = unsafe { &mut *(answer as *mut A) };
        let (device, inode) = answer.numbers();
        let told = (told(page, count, DEVICES, device), told(page, count, device, inode));
        compiler_fence(SeqCst);
        if page.moves.load(Relaxed) == moves {
            answer.renumber(told.0, told.1);
            return result;
        }
    }
}

fn table(page: &Page) -> *const Renumbered {
    &raw const page.renumbered
}

fn count(page: &Page) -> usize {
    unsafe { (&raw const (*table(page)).count).read_volatile() as usize }
}

fn told(page: &Page, count: usize, device: u64, here: u64) -> u64 {
    let number = |index| unsafe { (&raw const (*table(page)).numbers).cast::<Number>().add(index).read_volatile() };
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = number(middle);
        if (found.device, found.here) == (device, here) {
            return found.told;
        }
        if (found.device, found.here) < (device, here) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    here
}

/// As the functions of the C library are called: what one does not take, it does not look at.
type Function = unsafe extern "C" fn(usize, usize, usize, usize, usize) -> c_int;

/// Asks the next function; the kernel where a C library has none: an old one was compiled into the program, and a new one has it for
/// old programs only.
unsafe fn ask(next: &'static Next, arguments: [usize; 5], number: usize, for_kernel: [usize; 5]) -> isize {
    let ([a, b, c, d, e], [v, w, x, y, z]) = (arguments, for_kernel);
    if let Some(function) = unsafe { next.function::<Function>() } {
        return unsafe { function(a, b, c, d, e) } as isize;
    }
    match unsafe { kernel::call(number, [v, w, x, y, z, 0]) } {
        error @ -4095..=-1 => next::fail(-error as c_int) as isize,
        result => result,
    }
}

/// `at` is what fstatat would be asked: directory, path, where the answer goes, and flags.
#[inline(never)]
unsafe fn of_file(next: &'static Next, arguments: [usize; 5], at: [usize; 4]) -> c_int {
    let [directory, path, answer, flags] = at;
    let at = [directory, path, answer, flags, 0];
    unsafe { answered::<Stat>(answer, || ask(next, arguments, nr::NEWFSTATAT, at)) as c_int }
}

macro_rules! of_files {
    ($($name:ident $next:ident ($($argument:ident),*) [$($given:expr),*] as $at:expr;)*) => {$(
        /// # Safety
        /// As fstatat(2). What is called with a version of the structure has one on 64-bit machines.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: usize),*) -> c_int {
            unsafe { of_file(&next::$next, [$($given),*], $at) }
        }
    )*};
}

const HERE: usize = AT_FDCWD as usize;

fn no_path() -> usize {
    c"".as_ptr().addr()
}

of_files! {
    stat STAT (path, answer) [path, answer, 0, 0, 0] as [HERE, path, answer, 0];
    stat64 STAT64 (path, answer) [path, answer, 0, 0, 0] as [HERE, path, answer, 0];
    lstat LSTAT (path, answer) [path, answer, 0, 0, 0] as [HERE, path, answer, AT_SYMLINK_NOFOLLOW];
    lstat64 LSTAT64 (path, answer) [path, answer, 0, 0, 0] as [HERE, path, answer, AT_SYMLINK_NOFOLLOW];
    fstat FSTAT (file, answer) [file, answer, 0, 0, 0] as [file, no_path(), answer, AT_EMPTY_PATH];
    fstat64 FSTAT64 (file, answer) [file, answer, 0, 0, 0] as [file, no_path(), answer, AT_EMPTY_PATH];
    fstatat FSTATAT (directory, path, answer, flags) [directory, path, answer, flags, 0] as [directory, path, answer, flags];
    fstatat64 FSTATAT64 (directory, path, answer, flags) [directory, path, answer, flags, 0] as [directory, path, answer, flags];
    __xstat XSTAT (version, path, answer) [version, path, answer, 0, 0] as [HERE, path, answer, 0];
    __xstat64 XSTAT64 (version, path, answer) [version, path, answer, 0, 0] as [HERE, path, answer, 0];
    __lxstat LXSTAT (version, path, answer) [version, path, answer, 0, 0] as [HERE, path, answer, AT_SYMLINK_NOFOLLOW];
    __lxstat64 LXSTAT64 (version, path, answer) [version, path, answer, 0, 0] as [HERE, path, answer, AT_SYMLINK_NOFOLLOW];
    __fxstat FXSTAT (version, file, answer) [version, file, answer, 0, 0] as [file, no_path(), answer, AT_EMPTY_PATH];
    __fxstat64 FXSTAT64 (version, file, answer) [version, file, answer, 0, 0] as [file, no_path(), answer, AT_EMPTY_PATH];
    __fxstatat FXSTATAT (version, directory, path, answer, flags) [version, directory, path, answer, flags] as [directory, path, answer, flags];
    __fxstatat64 FXSTATAT64 (version, directory, path, answer, flags) [version, directory, path, answer, flags] as [directory, path, answer, flags];
}

/// # Safety
/// As statx(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(directory: usize, path: usize, flags: usize, mask: usize, answer: usize) -> c_int {
    let arguments = [directory, path, flags, mask, answer];
    unsafe { answered::<Statx>(answer, || ask(&next::STATX, arguments, nr::STATX, arguments)) as c_int }
}
