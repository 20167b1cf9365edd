//! What fails, and when.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The operations that count; what only ends the use of a file does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are the kernel's names")]
pub enum Op {
    Lookup,
    GetAttr,
    SetAttr,
    ReadLink,
    MkDir,
    Unlink,
    RmDir,
    SymLink,
    Rename,
    Link,
    Open,
    Create,
    Read,
    Write,
    Flush,
    FSync,
    OpenDir,
    ReadDir,
    FSyncDir,
    StatFs,
}

impl Op {
    /// True if it changes the file system, or makes it durable.
    pub fn changes(self) -> bool {
        !matches!(
            self,
            Self::Lookup
                | Self::GetAttr
                | Self::ReadLink
                | Self::Open
                | Self::Read
                | Self::Flush
                | Self::OpenDir
                | Self::ReadDir
                | Self::StatFs
        )
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// With this error number, once.
    Once(i32),
    /// With this error number, and all that follow too.
    FromThenOn(i32),
    /// With this error number, and all that follow too, if they change anything.
    ChangesFromThenOn(i32),
    /// It takes so long.
    Slow(Duration),
    /// The file system answers nothing any more. Who waits can be killed, as with NFS.
    Hang,
}

/// What a file system is like that is not a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// Everything is one user's, and nobody may give it away: an access point of EFS, and an NFS export with root_squash whose
    /// files are all that user's.
    OneOwner,
    /// Everybody may do everything with everything, and to say otherwise has no effect; there are no links, a name is the same
    /// in capitals, and nobody can fsync a directory: SMB as AKS mounts it, and worse.
    Smb,
    /// A directory cannot be renamed: buckets that are mounted by FUSE.
    Bucket,
    /// A file that was removed is gone for who has it open too: a server that knows nothing of open files, when somebody else than
    /// the client removes it.
    Forgetful,
    /// A file that was just made is not found, and is made once more by who asks for a new one: two clients of a server that keeps
    /// to itself what it has.
    Careless,
    /// What was written may be lost: `fsync` of a file fails.
    Volatile,
}

/// Longer than anything that waits in a test, so that a test that waits in vain fails and does not hang itself.
const FOR_EVER: Duration = Duration::from_secs(120);

/// Shared by a file system and the test that makes it fail.
#[derive(Default)]
pub struct Faults {
    state: Mutex<State>,
    cleared: Condvar,
    manners: Mutex<Option<Manners>>,
    quota: Mutex<Option<u64>>,
    way: Mutex<Way>,
}

/// The way to the server.
#[derive(Default)]
struct Way {
    round_trip: Option<Duration>,
    in_flight: usize,
    most: usize,
}

/// An operation that is on its way.
pub(super) struct InFlight<'a>(&'a Faults);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.way().in_flight -= 1;
    }
}

#[derive(Default)]
struct State {
    ops: Vec<(Op, u64)>,
    armed: Option<(usize, Fault)>,
    hang_at: Option<Op>,
    bandwidth: Option<u64>,
    read_bandwidth: Option<u64>,
    lost: Option<(Op, u64, i32)>,
    late: Option<(Op, u64, Duration)>,
    short_writes: bool,
}

impl Faults {
    /// Counts anew, and lets the `n`-th operation from now fail; the first is 1. A [`Fault::Hang`] begins after it.
    pub fn arm(&self, n: usize, fault: Fault) {
        *self.state() = State { armed: Some((n, fault)), ..State::default() };
    }

    /// Counts anew, and lets the file system hang after the next `op`.
    pub fn hang_at(&self, op: Op) {
        *self.state() = State { hang_at: Some(op), ..State::default() };
    }

    /// Counts anew, and lets nothing fail.
    pub fn count(&self) {
        *self.state() = State::default();
    }

    /// Lets nothing fail any more. What hangs goes on.
    pub fn clear(&self) {
        let mut state = self.state();
        *state = State { ops: std::mem::take(&mut state.ops), ..State::default() };
        self.cleared.notify_all();
    }

    /// True while nothing is answered.
    pub fn hang(&self) -> bool {
        let state = self.state();
        matches!(state.armed, Some((at, Fault::Hang)) if state.ops.len() >= at)
    }

    /// Lets writes be no faster than so many bytes per second.
    pub fn limit_bandwidth(&self, bytes_per_second: u64) {
        self.state().bandwidth = Some(bytes_per_second);
    }

    /// True while it fails in a way that lasts.
    pub fn lasts(&self) -> bool {
        let state = self.state();
        matches!(
            state.armed,
            Some((at, Fault::Hang | Fault::FromThenOn(_) | Fault::ChangesFromThenOn(_))) if state.ops.len() >= at
        )
    }

    /// Lets reads be no faster than so many bytes per second.
    pub fn limit_reads(&self, bytes_per_second: u64) {
        self.state().read_bandwidth = Some(bytes_per_second);
    }

    /// Lets the next `op` on this inode be done and answered with an error number, as by a server that was asked twice since its
    /// first answer was lost.
    pub fn lose_answer(&self, op: Op, inode: u64, errno: i32) {
        self.state().lost = Some((op, inode, errno));
    }

    /// Lets the next `op` on this inode take so long.
    pub fn delay(&self, op: Op, inode: u64, duration: Duration) {
        self.state().late = Some((op, inode, duration));
    }

    /// True until the operation has come that is to take long.
    pub fn awaits_delay(&self) -> bool {
        self.state().late.is_some()
    }

    /// Lets each operation take so long at least, however many there are at the same time. Makes sense with a file system that is
    /// mounted for many.
    pub fn set_round_trip(&self, round_trip: Duration) {
        *self.way() = Way { round_trip: Some(round_trip), in_flight: 0, most: 0 };
    }

    /// How many operations were under way at the same time, at most, since the round trip was set.
    pub fn most_at_the_same_time(&self) -> usize {
        self.way().most
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held during an operation, which takes as long as it takes.
    pub(super) fn in_flight(&self) -> InFlight<'_> {
        let round_trip = {
            let mut way = self.way();
            way.in_flight += 1;
            way.most = way.most.max(way.in_flight);
            way.round_trip
        };
        round_trip.into_iter().for_each(thread::sleep);
        InFlight(self)
    }

    /// What becomes of the answer to an operation that was done.
    pub(super) fn answered(&self, op: Op, inode: u64) -> io::Result<()> {
        let mut state = self.state();
        match state.lost {
            Some((lost, at, errno)) if (lost, at) == (op, inode) => {
                state.lost = None;
                Err(io::Error::from_raw_os_error(errno))
            }
            _ => Ok(()),
        }
    }

    /// Takes as long as a read of `bytes` takes.
    pub(super) fn read(&self, bytes: usize) {
        let bandwidth = self.state().read_bandwidth;
        if let Some(bandwidth) = bandwidth {
            thread::sleep(Duration::from_secs_f64(bytes as f64 / bandwidth as f64));
        }
    }

    /// Lets the file system be another one than a disk's.
    pub fn behave(&self, manners: Manners) {
        *self.manners.lock().unwrap_or_else(PoisonError::into_inner) = Some(manners);
    }

    /// Lets all files together have no more than so many bytes, of which the free space that is told knows nothing.
    pub fn limit_bytes(&self, quota: u64) {
        *self.quota.lock().unwrap_or_else(PoisonError::into_inner) = Some(quota);
    }

    pub(super) fn quota(&self) -> Option<u64> {
        *self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn manners(&self) -> Option<Manners> {
        *self.manners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every write of more than one byte write only the first half.
    pub fn shorten_writes(&self) {
        self.state().short_writes = true;
    }

    /// The operations since they were counted anew.
    pub fn ops(&self) -> Vec<Op> {
        self.state().ops.iter().map(|(op, _)| *op).collect()
    }

    /// The same with the inode on which each was done: the file, or the directory in which a name was changed; of a rename
    /// the one to which it led.
    pub fn log(&self) -> Vec<(Op, u64)> {
        self.state().ops.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before an operation: fails if it is to fail.
    pub(super) fn before(&self, op: Op, inode: u64) -> io::Result<()> {
        let late = self.state().late.take_if(|(late, at, _)| (*late, *at) == (op, inode));
        late.into_iter().for_each(|(.., duration)| thread::sleep(duration));
        let mut state = self.state();
        state.ops.push((op, inode));
        if state.hang_at == Some(op) {
            (state.hang_at, state.armed) = (None, Some((state.ops.len(), Fault::Hang)));
        }
        let Some((at, fault)) = state.armed else { return Ok(()) };
        let (now, after) = (state.ops.len() == at, state.ops.len() >= at);
        let errno = match fault {
            Fault::Once(errno) => now.then_some(errno),
            Fault::FromThenOn(errno) => after.then_some(errno),
            Fault::ChangesFromThenOn(errno) => (after && op.changes()).then_some(errno),
            Fault::Slow(duration) if now => {
                drop(state);
                thread::sleep(duration);
                return Ok(());
            }
            Fault::Slow(_) | Fault::Hang => None,
        };
        errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    /// To be called after an operation was answered. An operation that was not taken from the kernel can be given up by a
    /// process that is killed, so a hang begins here, and not in the operation that is to hang.
    pub(super) fn after(&self) {
        let mut state = self.state();
        let hangs = |state: &State| matches!(state.armed, Some((at, Fault::Hang)) if state.ops.len() >= at);
        let began = Instant::now();
        while hangs(&state) && began.elapsed() < FOR_EVER {
            state = self
                .cleared
                .wait_timeout(state, FOR_EVER)
                .map_or_else(|error| error.into_inner().0, |woken| woken.0);
        }
    }

    /// How much of a write of `bytes` is done, which takes as long as it takes.
    pub(super) fn written(&self, bytes: usize) -> usize {
        let (bandwidth, short) = {
            let state = self.state();
            (state.bandwidth, state.short_writes)
        };
        if let Some(bandwidth) = bandwidth {
            thread::sleep(Duration::from_secs_f64(bytes as f64 / bandwidth as f64));
        }
        if short && bytes > 1 { bytes / 2 } else { bytes }
    }
}
