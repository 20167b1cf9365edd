//! A defect of the agent must not end the application: the agent is the container's first process, and all others end with it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use thiserror::Error;

/// A part of the agent panicked. Where and why is on standard error already.
#[derive(Debug, Error)]
#[error("a defect of crik, please report it: {0}")]
pub struct Defect(String);

impl Defect {
    fn new(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Self(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it has no words").to_owned())
    }
}

/// Does a part of a start or a stop. What it has borrowed may be half changed after a defect, so only what is safe in any
/// state may be used afterwards: passing signals on, and reaping.
///
/// # Errors
/// It panicked.
pub async fn contained<T>(part: impl Future<Output = T>) -> Result<T, Defect> {
    AssertUnwindSafe(part).catch_unwind().await.map_err(|panic| Defect::new(panic.as_ref()))
}

/// The same for a part that is no future.
///
/// # Errors
/// It panicked.
pub fn contained_now<T>(part: impl FnOnce() -> T) -> Result<T, Defect> {
    catch_unwind(AssertUnwindSafe(part)).map_err(|panic| Defect::new(panic.as_ref()))
}

/// Locks `what`, also after somebody panicked who had it: all that is kept under a lock is whole at any time.
pub fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_words() {
        let number = 7;
        let error = contained(async { assert_eq!(number, 8, "not eight") }).await.unwrap_err();
        assert!(error.to_string().contains("not eight"), "{error}");
        assert!(contained_now(|| panic!("plain")).unwrap_err().to_string().ends_with("plain"));
        assert_eq!(contained(async { number }).await.unwrap(), 7);
    }
}
