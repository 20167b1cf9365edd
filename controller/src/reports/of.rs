//! Whose a report is.

/// The pod that a report is of, as its token says.
#[derive(Debug, Clone)]
pub struct Of {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Tells it from others of its name.
    pub uid: String,
}
