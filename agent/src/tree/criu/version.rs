//! Which CRIU is installed.

use std::sync::OnceLock;

use super::call::Call;
use super::error::CriuError;
use super::in_namespace::Namespaces;
use crate::base::headway::Headway;
use crate::base::limits::{self, CriuVersion};

/// The version of the `criu` that is installed. It is asked once: a container's programs do not change.
///
/// # Errors
/// It is missing or too old.
pub fn version() -> Result<CriuVersion, CriuError> {
    static KNOWN: OnceLock<CriuVersion> = OnceLock::new();
    match KNOWN.get() {
        Some(version) => Ok(*version),
        None => ask_version().map(|version| *KNOWN.get_or_init(|| version)),
    }
}

fn ask_version() -> Result<CriuVersion, CriuError> {
    let call = Call::begin(Namespaces::OWN, &[], &Headway::default())?;
    let missing = |error: rust_criu::CriuError| CriuError::Missing(error.to_string());
    let found = CriuVersion(call.criu()?.get_criu_version().map_err(missing)?);
    if found < limits::OLDEST_CRIU { Err(CriuError::TooOld(found)) } else { Ok(found) }
}
