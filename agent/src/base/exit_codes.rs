//! Every exit code of `crik`.

/// An error of `crik` itself that has no code of its own.
pub const FAILURE: i32 = 1;

/// `crik doctor`: the program is protected, and something should be known.
pub const WARNED: i32 = 3;

/// `crik doctor`: the program is not protected.
pub const NOT_PROTECTED: i32 = 4;

/// The configuration is wrong; EX_CONFIG of sysexits.h. Wrong arguments are 2, as clap has it.
pub const CONFIGURATION: i32 = 78;

/// Nothing could be resumed and `onRestoreFailure` is `fail`; EX_TEMPFAIL of sysexits.h, since a later start may work.
pub const NOT_RESUMED: i32 = 75;

/// The command was found but could not be executed, as a shell has it (POSIX, 2.8.2).
pub const NOT_EXECUTABLE: i32 = 126;

/// The command was not found, as a shell has it.
pub const NOT_FOUND: i32 = 127;

/// Added to the signal's number when a signal ended the application, as a shell has it.
pub const SIGNAL_BASE: i32 = 128;

/// A checkpoint was committed. 128 + SIGTERM, so that a Job does not count the pod as completed and everything that
/// knows what a stopped pod looks like sees one. `exitCode.checkpointed` changes it.
pub const CHECKPOINTED: i32 = 143;
