//! Does the same to many things at the same time: with small files it is the volume's answers that are waited for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, Scope, scope};

use crate::base::limits;
use crate::base::panics::locked;
use crate::base::watchdog::Watchdog;

/// Lets so many threads of this `name` do `work`, which are watched over as this one is. A pod has as many threads as it is allowed
/// to have: those that there are do it, and this one if there are none.
pub fn in_threads<'scope>(
    scope: &'scope Scope<'scope, '_>,
    (name, count): (&str, usize),
    work: impl Fn() + Clone + Send + 'scope,
) {
    let watchdog = Watchdog::of_this_thread();
    let begin = |_: &usize| {
        let (work, watchdog) = (work.clone(), watchdog.clone());
        Builder::new().name(name.to_owned()).spawn_scoped(scope, move || watchdog.watch(work)).is_ok()
    };
    if (0..count).take_while(begin).count() == 0 {
        work();
    }
}

/// Does `work` for each of `items`, many of which are small files; after an error nothing more is begun. Few are done one after the
/// other, since each thread takes a process id, of which a restore needs some to be free.
///
/// # Errors
/// The first of the errors.
pub fn try_for_each<T: Sync, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let some = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if locked(&failed).is_some() {
                return;
            }
            if let Err(error) = work(item) {
                locked(&failed).get_or_insert(error);
            }
        }
    };
    let threads = (items.len() / limits::ITEMS_PER_VERIFIER).min(limits::VERIFIERS_MAX);
    scope(|scope| in_threads(scope, ("crik-verify", threads), some));
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::watchdog::moved;

    #[test]
    fn each_is_done_once_and_seen_by_who_watches() {
        let items: Vec<usize> = (0..1000).collect();
        let (done, watchdog) = (Mutex::new(Vec::new()), Watchdog::default());
        let work = |item: &usize| {
            moved();
            locked(&done).push(*item);
            Ok::<_, ()>(())
        };
        watchdog.watch(|| try_for_each(&items, work)).unwrap();
        assert_eq!(watchdog.seen(), 1000);
        let done = done.into_inner().unwrap();
        assert_eq!((done.len(), done.iter().collect::<BTreeSet<_>>().len()), (1000, 1000));
    }

    #[test]
    fn after_an_error_nothing_more_is_begun_and_few_items_take_no_thread() {
        let begun = AtomicUsize::new(0);
        let fails = |_: &usize| Err(begun.fetch_add(1, Ordering::Relaxed));
        assert!(try_for_each(&[0; 1000], fails).is_err());
        // One for each thread at most.
        assert!(begun.into_inner() <= limits::VERIFIERS_MAX);
        let own = std::thread::current().id();
        let here = |_: &usize| if std::thread::current().id() == own { Ok(()) } else { Err(()) };
        try_for_each(&[0; limits::ITEMS_PER_VERIFIER - 1], here).unwrap();
    }
}
