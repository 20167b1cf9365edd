//! The steps at which a test can end the agent, or let it panic; and how it hurries a wait.
//!
//! Every step after which the volume, the tree or the attempts look different has a point here. The crash matrix
//! (`tests/tests/crash.rs`) is made from the list, and fails when one of them is never reached.

use std::time::Duration;

/// The environment variable that names the point at which the agent dies, in builds with the feature `fault-points`. Others do not look.
pub const VARIABLE: &str = "CRIK_FAULT";

/// The same for a panic, in place of a defect that nobody knows yet.
pub const PANIC_VARIABLE: &str = "CRIK_PANIC";

/// Names a number, by which the pauses between two looks at another pod's hold are divided, the time after which a resumed program has
/// shown that its checkpoint works, that for which a start waits for its volume, that for which a node must be well again, that for which a
/// program stands still after a checkpoint for a move, and that for which reports rest that are refused, so that minutes pass in seconds.
pub const HURRY_VARIABLE: &str = "CRIK_HURRY";

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A step of a start, a stop or an end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Point {
            /// All of them, in the order of a life.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

points! {
    /// A start has written its hold, which has no number yet.
    HoldPrepared,
    /// The hold has its number; older ones are still there.
    HoldTaken,
    /// Older holds are removed.
    OthersRemoved,
    /// A generation is found good.
    Verified,
    /// The attempt, or later the mark of an end, is in a file that does not have its name yet.
    PartialWritten,
    /// The attempt is on the volume.
    AttemptRecorded,
    /// Additional files are back in the container.
    FilesPutBack,
    /// Files of volumes have the length again that the program remembers.
    FilesCut,
    /// CRIU is about to make the first process.
    BeforeFork,
    /// The tree is restored, and nothing of it has run.
    BeforeResume,
    /// The tree runs, and its attempt does not say so yet.
    Resumed,
    /// The attempt says so.
    OutcomeRecorded,
    /// A superfluous generation is out of sight, and still has its contents.
    GenerationHidden,
    /// Its contents are removed, and the account of its attempts is still there.
    GenerationRemoved,
    /// The decision is made.
    Decided,
    /// There is room for one more generation.
    RoomMade,
    /// The staging directory is made.
    StagingMade,
    /// CRIU is about to freeze the first process.
    BeforeFreeze,
    /// The image is written, and the tree frozen by CRIU.
    Dumped,
    /// CRIU is gone, and the tree stopped or running again.
    Frozen,
    /// What goes into packs is durable.
    Packed,
    /// All files of the image are durable.
    Sealed,
    /// So is the manifest.
    ManifestWritten,
    /// The packs are where generations find them, and none needs them yet.
    PacksShared,
    /// The account of an earlier generation of the number is removed.
    NumberFreed,
    /// The generation has its name, which may not be durable.
    Renamed,
    /// The generation is committed.
    Committed,
    /// The tree is killed after its checkpoint.
    Killed,
    /// The end of the application is marked.
    EndMarked,
    /// The image directory is given back.
    Released,
}

/// Ends the agent here if a test wants it, as SIGKILL does: no destructor runs, no buffer is written, all threads end at
/// once, and with the container's first process everything in the container. (A SIGKILL that it sends itself has no
/// effect on the first process of a PID namespace, pid_namespaces(7).)
#[cfg(feature = "fault-points")]
pub fn reach(point: Point) {
    let is_in = |variable| std::env::var_os(variable).is_some_and(|wanted| wanted == *format!("{point:?}"));
    assert!(!is_in(PANIC_VARIABLE), "a test wanted a panic at {point:?}");
    if is_in(VARIABLE) {
        // SAFETY: exit_group(2) takes a number and does not return.
        unsafe { libc::syscall(libc::SYS_exit_group, 128 + libc::SIGKILL) };
    }
}

/// Does nothing.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn reach(_: Point) {}

/// A pause of a wait, as long as a test wants it.
#[cfg(feature = "fault-points")]
pub fn hurried(pause: Duration) -> Duration {
    let times = std::env::var(HURRY_VARIABLE).ok().and_then(|times| times.parse().ok());
    pause / times.unwrap_or(1).max(1)
}

/// A pause of a wait.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn hurried(pause: Duration) -> Duration {
    pause
}
