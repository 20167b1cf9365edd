//! Who uses semaphores: their list names nobody, but each says who has changed it last (semctl(2), `GETPID`).

use std::io;
use std::thread;

use super::table::Object;

/// Takes down who has changed a set last.
pub fn complete(object: &mut Object) {
    let of_set = || read(object.id);
    // To others the kernel tells nothing; root may be the one who has made it, as whom it is told.
    let asked = match of_set() {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => as_user(object.creator, of_set),
        asked => asked,
    };
    match asked {
        Ok(changed) => {
            object.processes = changed.processes;
            object.is_unused &= !changed.is_set;
        }
        Err(_) => object.is_unused = true,
    }
}

/// What the semaphores of a set say.
struct Changed {
    processes: Vec<i32>,
    is_set: bool,
}

fn read(id: i32) -> io::Result<Changed> {
    let mut changed = Changed { processes: Vec::new(), is_set: false };
    for number in 0..count(id)? {
        let pid = control(id, number, libc::GETPID)?;
        changed.processes.extend(Some(pid).filter(|pid| *pid > 0));
        changed.is_set |= control(id, number, libc::GETVAL)? > 0;
    }
    Ok(changed)
}

fn count(id: i32) -> io::Result<i32> {
    // SAFETY: all zero is one.
    let mut about: libc::semid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills it.
    let told = unsafe { libc::semctl(id, 0, libc::IPC_STAT, &raw mut about) };
    if told < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(about.sem_nsems).map_err(io::Error::other)
}

fn control(id: i32, number: i32, what: i32) -> io::Result<i32> {
    // SAFETY: these take nothing else.
    Ok(nix::errno::Errno::result(unsafe { libc::semctl(id, number, what) })?)
}

/// Asks as another user, by a thread that ends with it.
fn as_user<T: Send>(user: u32, ask: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    const UNCHANGED: libc::uid_t = libc::uid_t::MAX;
    let become_and_ask = || {
        // SAFETY: numbers; without the C library, which would change all threads.
        let became = unsafe { libc::syscall(libc::SYS_setresuid, UNCHANGED, user, UNCHANGED) };
        nix::errno::Errno::result(became)?;
        // It is lost with the user, for the whole process, whose files in /proc would be another's.
        // SAFETY: numbers.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
        ask()
    };
    thread::scope(|scope| scope.spawn(become_and_ask).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}
