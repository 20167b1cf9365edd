//! Names and numbers that nobody else makes up.

use std::io;

/// Sixteen random bytes, in hexadecimal digits.
///
/// # Errors
/// The kernel gives none.
pub fn nonce() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A random number.
///
/// # Errors
/// The kernel gives none.
pub fn number() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u64::from_ne_bytes(bytes))
}
