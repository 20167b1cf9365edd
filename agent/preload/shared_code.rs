//! Has CRIU put the system calls that a process makes for it into code that can be written.
//!
//! CRIU writes a few bytes over the beginning of the first executable mapping (compel/src/lib/infect.c, `compel_execute_syscall`), which
//! the kernel refuses even to a tracer if the mapping is shared and read-only (mm/gup.c, `check_vma_flags`): the buffer of a compiler,
//! for instance, that all processes of a server have in common. The first private one does as well. CRIU is told nothing of it, so the
//! address is changed in all that it asks for until it has put back what was there.

use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::rlimits::path;
use crate::{kernel, told, vectors};

#[cfg(target_arch = "x86_64")]
pub const PTRACE: usize = 101;
#[cfg(target_arch = "aarch64")]
pub const PTRACE: usize = 117;

/// ptrace(2).
const PEEKTEXT: c_long = 1;
const PEEKUSER: c_long = 3;
const POKEDATA: c_long = 5;
pub const GETREGSET: c_long = 0x4204;
const SETREGSET: c_long = 0x4205;
/// The general registers (elf.h), each of a word.
const NT_PRSTATUS: usize = 1;
const REGISTERS: usize = 64;

const EAGAIN: isize = -11;

/// Above all that CRIU writes there (`BUILTIN_SYSCALL_SIZE` and `MEMFD_FNAME_SZ`).
const WRITTEN_BYTES: usize = 256;
/// Below it CRIU takes no mapping (criu/parasite-syscall.c, `PARASITE_START_AREA_MIN`), so one that has this much is there.
const LEAST_BYTES: usize = 4096;
/// What is read at once.
const PART_BYTES: usize = 1024;

/// The process of which the addresses below speak. CRIU asks for one after the other.
static PROCESS: AtomicUsize = AtomicUsize::new(0);
/// Where the mapping begins to which CRIU wants to write.
static WANTED: AtomicUsize = AtomicUsize::new(0);
/// Where that begins to which it does instead: the same if it may.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
/// How far a call is, which is written, run by the next registers that are set, and replaced by what was there.
static CALL: AtomicUsize = AtomicUsize::new(NONE);
const NONE: usize = 0;
const WRITTEN: usize = 1;
const RUN: usize = 2;

/// # Safety
/// As ptrace(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ptrace(request: c_long, process: c_int, address: usize, data: usize) -> c_long {
    let ask = |address: usize, data: usize| unsafe {
        kernel::call(PTRACE, [request as usize, process as usize, address, data, 0, 0])
    };
    let asked = match request {
        // The kernel writes the word to where the C function returns it from.
        PEEKTEXT..=PEEKUSER => {
            let from = if request == PEEKUSER { address } else { taken(process, address) };
            let mut word = 0_isize;
            match ask(from, &raw mut word as usize) {
                0 => return word as c_long,
                error => error,
            }
        }
        POKEDATA => {
            let to = taken(process, address);
            if address == WANTED.load(Relaxed) {
                CALL.store(if CALL.load(Relaxed) == NONE { WRITTEN } else { NONE }, Relaxed);
            }
            ask(to, data)
        }
        // The first that CRIU asks of a thread, before it changes anything of it.
        GETREGSET if address == NT_PRSTATUS && vectors::would_be_lost(process) => EAGAIN,
        SETREGSET if address == NT_PRSTATUS && is_to_be_led(process) => {
            let registers = unsafe { &*(data as *const Registers) };
            let mut led = MaybeUninit::<[usize; REGISTERS]>::uninit();
            let led = unsafe { registers.copied(&mut led) };
            ask(address, &raw const led as usize)
        }
        _ => ask(address, data),
    };
    told(asked) as c_long
}

/// struct iovec.
#[repr(C)]
struct Registers {
    words: *mut usize,
    bytes: usize,
}

impl Registers {
    /// The same, with what leads to where CRIU wanted to write leading to where it has.
    unsafe fn copied(&self, to: &mut MaybeUninit<[usize; REGISTERS]>) -> Registers {
        let count = (self.bytes / size_of::<usize>()).min(REGISTERS);
        let to: *mut usize = to.as_mut_ptr().cast();
        for i in 0..count {
            unsafe { to.add(i).write(moved(self.words.add(i).read())) };
        }
        Registers { words: to, bytes: count * size_of::<usize>() }
    }
}

/// Once for each call: what is set next are the process's own.
fn is_to_be_led(process: c_int) -> bool {
    let is_written = process as usize == PROCESS.load(Relaxed) && CALL.load(Relaxed) == WRITTEN;
    if is_written {
        CALL.store(RUN, Relaxed);
    }
    is_written
}

fn moved(address: usize) -> usize {
    let behind = address.wrapping_sub(WANTED.load(Relaxed));
    if behind < WRITTEN_BYTES { TAKEN.load(Relaxed) + behind } else { address }
}

/// Where what CRIU wants of this address is done.
fn taken(process: c_int, address: usize) -> usize {
    let is_known = process as usize == PROCESS.load(Relaxed)
        && address.wrapping_sub(WANTED.load(Relaxed)) < WRITTEN_BYTES;
    if !is_known {
        let page = address & !(LEAST_BYTES - 1);
        let (wanted, taken) = instead(process, address).unwrap_or((page, page));
        PROCESS.store(process as usize, Relaxed);
        WANTED.store(wanted, Relaxed);
        TAKEN.store(taken, Relaxed);
        CALL.store(NONE, Relaxed);
    }
    moved(address)
}

/// Where the mapping of this address begins and where another one does, if this one cannot be written.
fn instead(process: c_int, address: usize) -> Option<(usize, usize)> {
    let (mut fixed, mut found) = (None, None);
    each(process, &mut |one| {
        let is_there = one.start <= address && address < one.end;
        if is_there && one.is(b'-', 1) && one.is(b's', 3) {
            fixed = Some(one.start);
        }
        let fits = one.is(b'x', 2) && one.is(b'p', 3) && !one.is_special;
        if fits && found.is_none() && one.end - one.start >= LEAST_BYTES {
            found = Some(one.start);
        }
    });
    Some((fixed?, found?))
}

/// A line of /proc/PID/maps (proc_pid_maps(5)).
struct Mapping {
    start: usize,
    end: usize,
    may: [u8; 4],
    /// The kernel's: its name is in brackets.
    is_special: bool,
}

impl Mapping {
    const NONE: Mapping = Mapping { start: 0, end: 0, may: [0; 4], is_special: false };

    fn is(&self, permission: u8, at: usize) -> bool {
        self.may.get(at) == Some(&permission)
    }
}

/// Calls `visit` with each mapping of a process, none if they cannot be read.
fn each(process: c_int, visit: &mut dyn FnMut(&Mapping)) {
    let path = path(process, b"/maps");
    let (mut line, mut column) = (Mapping::NONE, 0);
    unsafe {
        read_whole(path.as_ptr(), &mut |byte| match (column, byte) {
            (_, b'\n') => {
                visit(&line);
                (line, column) = (Mapping::NONE, 0);
            }
            (0, b'-') => column = 1,
            (1 | 2, b' ') => column += 1,
            (0, digit) => line.start = line.start << 4 | hexadecimal(digit),
            (1, digit) => line.end = line.end << 4 | hexadecimal(digit),
            (2, letter) => {
                let [_, b, c, d] = line.may;
                line.may = [b, c, d, letter];
            }
            (_, other) => line.is_special |= other == b'[',
        });
    }
}

fn hexadecimal(digit: u8) -> usize {
    match digit {
        b'0'..=b'9' => (digit - b'0').into(),
        _ => (digit.wrapping_sub(b'a') as usize + 10) & 0xf,
    }
}

/// Calls `visit` with each byte of a file; with none if it cannot be read.
unsafe fn read_whole(path: *const u8, visit: &mut dyn FnMut(u8)) {
    let mut part = MaybeUninit::<[u8; PART_BYTES]>::uninit();
    let how = [kernel::AT_FDCWD as usize, path as usize, kernel::O_RDONLY | kernel::O_CLOEXEC, 0, 0, 0];
    unsafe {
        let Ok(file) = usize::try_from(kernel::call(kernel::nr::OPENAT, how)) else { return };
        loop {
            let into = part.as_mut_ptr() as usize;
            let count = kernel::call(kernel::nr::READ, [file, into, PART_BYTES, 0, 0, 0]);
            if count <= 0 {
                break;
            }
            slice::from_raw_parts(part.as_ptr().cast(), count as usize).iter().for_each(|byte| visit(*byte));
        }
        kernel::call(kernel::nr::CLOSE, [file, 0, 0, 0, 0, 0]);
    }
}
