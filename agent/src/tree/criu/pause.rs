//! What is done when CRIU pauses.

use std::cell::RefCell;
use std::io;
use std::os::fd::RawFd;

use rust_criu::rust_criu_protobuf::rpc::Criu_notify;

use crate::base::panics::contained_now;

/// Called at CRIU's pauses. An error ends a restore, and CRIU kills what it has made.
pub type Hook = Box<dyn FnMut(Pause) -> io::Result<()> + Send>;

/// When CRIU pauses (criu(8), action scripts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// In a dump, before the first process is frozen.
    BeforeFreeze,
    /// In a dump, when all processes are frozen and nothing of them is looked at yet.
    Frozen,
    /// The image is written, and all processes are frozen.
    Dumped,
    /// Before the first process is made.
    BeforeFork,
    /// All processes are restored and none runs yet.
    BeforeResume,
    /// They run.
    Resumed,
}

impl Pause {
    /// As CRIU calls it. None for one at which nothing is done.
    pub(super) fn of(action: &str) -> Option<Self> {
        Some(match action {
            "pre-dump" => Self::BeforeFreeze,
            "query-ext-files" => Self::Frozen,
            "post-dump" => Self::Dumped,
            "pre-restore" => Self::BeforeFork,
            "post-restore" => Self::BeforeResume,
            "post-resume" => Self::Resumed,
            _ => return None,
        })
    }
}

/// Makes a call of rust-criu, with a hook for its pauses.
pub fn hooked<T>(hook: Hook, call: impl FnOnce() -> T) -> T {
    HOOK.set(Some(hook));
    let result = call();
    HOOK.set(None);
    result
}

/// The callback to give to rust-criu inside of [`hooked`].
pub fn notified(script: &str, _: &Criu_notify, _: Option<RawFd>) -> i32 {
    let Some(pause) = Pause::of(script) else { return 0 };
    // A CRIU that is not answered would wait for ever, and with it a tree that is half restored.
    let outcome =
        contained_now(|| HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook(pause))))
            .unwrap_or_else(|defect| Err(io::Error::other(defect)));
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            tracing::warn!("CRIU is told to give it up: {error}");
            1
        }
    }
}

thread_local! {
    /// rust-criu's callback is a bare function that runs on the calling thread, so the hook waits for it here.
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}
