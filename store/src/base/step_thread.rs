//! Threads for what works on the volume, used again and again: each new one takes a process id, of which a restore needs some to be
//! free, and a wait may be long.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;

use crate::base::panics::locked;

/// A part of the work; what it returns is dropped once the thread can be had again.
type Job = Box<dyn FnOnce() -> Told + Send>;

/// Tells the outcome.
type Told = Box<dyn FnOnce() + Send>;

/// A thread that has nothing to do.
struct Idle {
    jobs: Sender<Job>,
    /// Where those can be woken who wait for its outcomes, see [`wakes_the_runtime`].
    runtime: Option<Id>,
}

thread_local! {
    static IS_STEP: Cell<bool> = const { Cell::new(false) };
}

static IDLE: Mutex<Vec<Idle>> = Mutex::new(Vec::new());

/// Makes sure that so many threads are there, so that they have low process ids.
///
/// # Errors
/// The kernel makes no more of them.
pub fn prepare(count: usize) -> io::Result<()> {
    while locked(&IDLE).len() < count {
        let thread = begin()?;
        locked(&IDLE).push(thread);
    }
    Ok(())
}

/// Does `step`, which blocks. The outcome is nothing if there is no thread, or if it panics. Where nobody waits for it any more, it
/// is dropped in the thread.
///
/// A step that hangs may have a file of the volume open. If the application's process inherited it, its exec would close it,
/// and to close a file asks the volume again on some file systems (FUSE_FLUSH): the application would hang too. So each thread
/// has a table of descriptors of its own, and must not give any of them away.
pub fn run<T: Send + 'static>(step: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (tell, done) = oneshot::channel();
    let job: Job = Box::new(move || {
        let outcome = step();
        Box::new(move || drop(tell.send(outcome)))
    });
    // Without a thread the sender is dropped, which is an outcome too.
    if let Some(thread) = idle().or_else(|| begin().ok()) {
        let _ = thread.jobs.send(job);
    }
    done
}

fn idle() -> Option<Idle> {
    let (runtime, mut idle) = (runtime(), locked(&IDLE));
    let fits = |thread: &Idle| runtime.is_none() || thread.runtime == runtime;
    let found = idle.iter().position(fits)?;
    Some(idle.swap_remove(found))
}

/// True in a thread for steps. What it opens is its own, and what lives as long as the process is not begun in it.
pub fn is_step() -> bool {
    IS_STEP.get()
}

/// The agent has one; unit tests have many.
fn runtime() -> Option<Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

fn begin() -> io::Result<Idle> {
    let ((own, jobs), runtime) = (channel::<Job>(), runtime());
    let again = own.clone();
    thread::Builder::new().name("crik-step".to_owned()).spawn(move || {
        IS_STEP.set(true);
        leave_descriptors();
        while let Ok(job) = jobs.recv() {
            let tell = job();
            // Before anybody hears of it, who may want a thread at once.
            locked(&IDLE).push(Idle { jobs: again.clone(), runtime });
            tell();
        }
    })?;
    Ok(Idle { jobs: own, runtime })
}

/// Gives this thread a table of descriptors of its own, so that no process that is started inherits what it opens from now on. Files that
/// are open by now stay open in both, so it is for a thread that ends soon; of pipes and connections somebody may wait for the end. An
/// error means that the kernel lacks memory.
pub fn own_descriptors() {
    leave(|entry| {
        fs::metadata(entry).is_ok_and(|open| open.file_type().is_fifo() || open.file_type().is_socket())
    });
}

/// What is open in the process by now is not held open by a thread that stays: a connection that is closed later would not end. An
/// error means that the kernel lacks memory; then the thread works as it is.
fn leave_descriptors() {
    leave(|entry| !fs::read_link(entry).is_ok_and(|open| wakes_the_runtime(&open)));
}

/// Gives this thread a table of its own, without what is to be `left` (proc(5), `/proc/thread-self/fd`).
fn leave(left: impl Fn(&Path) -> bool) {
    if unshare(CloneFlags::CLONE_FILES).is_err() {
        return;
    }
    let open = fs::read_dir("/proc/thread-self/fd").into_iter().flatten().flatten();
    // First all of them, since the directory is one of them until it is read.
    let left: Vec<i32> = open
        .filter(|entry| left(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for fd in left.into_iter().filter(|fd| *fd > libc::STDERR_FILENO) {
        // SAFETY: the table is this thread's alone, and nothing in it belongs to this thread by now.
        unsafe { libc::close(fd) };
    }
}

/// The eventfd by which whoever tells an outcome wakes who waits for it (and its epoll, which is of the same kind). If it were closed,
/// its number would be that of the next file that is opened, and the wake-up would be written into that.
fn wakes_the_runtime(open: &Path) -> bool {
    open.as_os_str().as_encoded_bytes().starts_with(b"anon_inode:")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use super::*;

    /// The id of the thread that does a step.
    async fn id_of_a_step() -> i32 {
        run(|| nix::unistd::gettid().as_raw()).await.unwrap()
    }

    #[tokio::test]
    async fn steps_one_after_the_other_need_no_more_threads_than_steps_side_by_side() {
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..1200 {
            ids.insert(id_of_a_step().await);
        }
        // Other tests of this process take some of them meanwhile.
        assert!(ids.len() < 20, "{ids:?}");
    }

    #[tokio::test]
    async fn a_step_that_hangs_holds_up_no_other() {
        let (end, until) = channel::<()>();
        let hangs = run(move || until.recv());
        for _ in 0..3 {
            id_of_a_step().await;
        }
        drop(end);
        assert!(hangs.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_step_that_panics_says_nothing_and_the_next_works() {
        assert!(run(|| -> () { panic!("a test wanted it") }).await.is_err());
        assert!(id_of_a_step().await > 0);
    }

    /// Reads the end of a pipe that was there when a thread began, and waits for its `end`.
    async fn ends_beside(begin: impl FnOnce(Sender<()>, Receiver<()>)) {
        let (reader, writer) = io::pipe().unwrap();
        let (begun, is_begun) = channel();
        let (end, until) = channel::<()>();
        begin(begun, until);
        is_begun.recv().unwrap();
        drop(writer);
        // It ends only when nobody has the other end.
        assert_eq!(io::Read::read(&mut { reader }, &mut [0]).unwrap(), 0);
        drop(end);
    }

    #[tokio::test]
    async fn nothing_that_was_open_is_held_open() {
        id_of_a_step().await;
        ends_beside(|begun, until| drop(run(move || begun.send(()).is_ok() && until.recv().is_err()))).await;
    }

    #[tokio::test]
    async fn a_thread_with_descriptors_of_its_own_has_files_and_holds_no_pipe_open() {
        let mut file = tempfile::tempfile().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        ends_beside(move |begun, until| {
            thread::spawn(move || {
                own_descriptors();
                fs::write(format!("/proc/thread-self/fd/{fd}"), "still there").unwrap();
                begun.send(()).is_ok() && until.recv().is_err()
            });
        })
        .await;
        let mut told = String::new();
        io::Read::read_to_string(&mut file, &mut told).unwrap();
        assert_eq!(told, "still there");
    }
}
