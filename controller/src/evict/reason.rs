//! Why an eviction may go on.

/// Why an eviction may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No labelled pod of this name is known.
    Unknown,
    /// It does not run, or is being deleted.
    NotRunning,
    /// Its agent has never told anything, or that the program could not go on elsewhere.
    Unprotected,
    /// The node goes away, and each agent there takes its checkpoint already.
    NodeGoes,
    /// A PodDisruptionBudget protects the pod, which the API server says itself.
    Budget,
    /// The checkpoint is there.
    Durable,
    /// There is none.
    Failed,
    /// There was one, and nobody ended the pod then.
    Stayed,
    /// The deadline is over.
    Late,
    /// No agent has begun.
    Unheard,
}

impl Reason {
    /// The word in metrics and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotRunning => "not-running",
            Self::Unprotected => "unprotected",
            Self::NodeGoes => "node-goes",
            Self::Budget => "budget",
            Self::Durable => "durable",
            Self::Failed => "failed",
            Self::Stayed => "stayed",
            Self::Late => "late",
            Self::Unheard => "unheard",
        }
    }
}
