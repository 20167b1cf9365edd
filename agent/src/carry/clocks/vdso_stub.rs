//! Sets the clock of a stopped process that the library does not reach: a stub in its vDSO adds the offset.
//!
//! Written again after each restore, since CRIU maps a fresh vDSO; a program that is exec'd later has a fresh one too.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crik_store::generation::clock_facts::Clocks;
use thiserror::Error;

use super::step_out;
use super::stub_code::{self, jump, jumps, stub};
use super::vdso::Vdso;

/// The clock of a process cannot be set.
#[derive(Debug, Error)]
pub enum StubError {
    /// It cannot be read or written.
    #[error("cannot set the clock of process {pid}: {error}; it needs the capability SYS_PTRACE")]
    Io {
        /// The process.
        pid: i32,
        /// What the kernel says.
        error: io::Error,
    },
    /// The kernel gave it no vDSO, or one without this function: the program asks the kernel, where nothing can be added.
    #[error("cannot set the clock of process {pid}: its kernel has no vDSO that reads it")]
    NoClock {
        /// The process.
        pid: i32,
    },
    /// There is no place for the stub.
    #[error("cannot set the clock of process {pid}: its vDSO is full to the last page")]
    NoRoom {
        /// The process.
        pid: i32,
    },
}

/// Has a process that is stopped read clocks which are this far ahead of the machine's. Returns how many of its threads had to be
/// helped over a read in which they were frozen.
///
/// # Errors
/// [`StubError`]; the process reads the machine's clocks then.
pub fn write(pid: i32, offsets: &Clocks) -> Result<usize, StubError> {
    let (vdso, clock) = vdso(pid)?;
    let room = vdso.room().ok_or(StubError::NoRoom { pid })?;
    let distance = i32::try_from(room as i64 - clock as i64).map_err(|_| StubError::NoRoom { pid })?;
    let jump = jump(distance);
    let head = vdso.start + clock as u64;
    let put = || {
        // Behind the room lies the stub, which is the same as it was.
        let helped = step_out::of(pid, &(vdso.start..vdso.start + room as u64), head, offsets)?;
        let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        memory.write_all_at(&stub(offsets), vdso.start + room as u64)?;
        memory.write_all_at(&jump, head)?;
        Ok(helped)
    };
    put().map_err(|error| StubError::Io { pid, error })
}

/// How far the clocks of a process are ahead by a stub; `None` without one.
///
/// # Errors
/// [`StubError`].
pub fn read(pid: i32) -> Result<Option<Clocks>, StubError> {
    let (vdso, clock) = vdso(pid)?;
    let head = std::array::from_fn(|i| vdso.bytes[clock + i]);
    let stub = jumps(head).and_then(|distance| clock.checked_add_signed(distance as isize));
    Ok(stub.and_then(|at| vdso.bytes.get(at..)).and_then(stub_code::offsets))
}

fn vdso(pid: i32) -> Result<(Vdso, usize), StubError> {
    let vdso = Vdso::of(pid).map_err(|error| StubError::Io { pid, error })?;
    let vdso = vdso.ok_or(StubError::NoClock { pid })?;
    let clock = vdso.clock().ok_or(StubError::NoClock { pid })?;
    Ok((vdso, clock))
}
