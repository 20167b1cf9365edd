//! For what something is made below a hold.

/// What is made there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The checkpoint of a stop.
    Stop,
    /// A checkpoint after which the application goes on.
    Interval,
    /// The log of a restore.
    Restore,
    /// A checkpoint that is never committed.
    Trial,
    /// What is stored for a checkpoint that is to come.
    WarmUp,
}

impl Purpose {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Stop, Self::Interval, Self::Restore, Self::Trial, Self::WarmUp];

    /// What the names of its directories begin with.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stop => "staging",
            Self::Interval => "interval",
            Self::Restore => "restore",
            Self::Trial => "trial",
            Self::WarmUp => "warm-up",
        }
    }
}
