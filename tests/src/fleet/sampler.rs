//! What replicas have to bear, looked at each second.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::own_network::connects;
use crate::controller::{Controller, metric};
use crate::http::get;

const EVERY: Duration = Duration::from_secs(1);

/// Answers of a replica to agents.
const ROUNDS: &str = "crik_requests_total{route=\"/v1/nodes/{name}\",code=\"200\"}";

/// What they had to bear.
#[derive(Debug, Default, Clone, Copy)]
pub struct Load {
    /// The most connections that were opened in a second.
    pub connects: u64,
    /// The most questions of agents that were answered in a second.
    pub rounds: u64,
    /// Connections in all.
    pub all_connects: u64,
    /// Questions in all.
    pub all_rounds: u64,
}

/// Looks at replicas that are in the network of this thread, until it is dropped.
pub struct Sampler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    replicas: Mutex<BTreeMap<Ipv4Addr, String>>,
    load: Mutex<Load>,
    enough: AtomicBool,
}

impl Sampler {
    /// Looks at none yet.
    pub fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let looks = Arc::clone(&shared);
        Self { shared, thread: Some(thread::spawn(move || looks.look())) }
    }

    /// Looks at this one, too.
    pub fn look_at(&self, replica: &Controller) {
        lock(&self.shared.replicas).insert(replica.ip(), replica.url("/metrics"));
    }

    /// Looks no more at the one of this address.
    pub fn forget(&self, address: Ipv4Addr) {
        lock(&self.shared.replicas).remove(&address);
    }

    /// What they had to bear since this was asked last.
    pub fn load(&self) -> Load {
        std::mem::take(&mut *lock(&self.shared.load))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.shared.enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn look(&self) {
        let mut before = self.count();
        while !self.enough.load(Ordering::Relaxed) {
            thread::sleep(EVERY.saturating_sub(before.at.elapsed()));
            let now = self.count();
            lock(&self.load).note(&before, &now);
            before = now;
        }
    }

    fn count(&self) -> Counted {
        let at = Instant::now();
        let replicas = lock(&self.replicas).clone();
        let rounds = replicas.into_iter().map(|(ip, url)| (ip, rounds(&url).ok())).collect();
        Counted { at, connects: connects().unwrap_or_default(), rounds }
    }
}

/// What was counted until some moment; nothing of a replica that does not tell.
struct Counted {
    at: Instant,
    connects: u64,
    rounds: BTreeMap<Ipv4Addr, Option<u64>>,
}

impl Load {
    fn note(&mut self, before: &Counted, now: &Counted) {
        let seconds = (now.at - before.at).as_secs_f64();
        // To look is a connection to each replica.
        let connects = now.connects.saturating_sub(before.connects + now.rounds.len() as u64);
        let of = |ip| before.rounds.get(ip).copied().flatten().unwrap_or_default();
        let rounds: u64 =
            now.rounds.iter().filter_map(|(ip, all)| Some(all.as_ref()?.saturating_sub(of(ip)))).sum();
        self.connects = self.connects.max((connects as f64 / seconds) as u64);
        self.rounds = self.rounds.max((rounds as f64 / seconds) as u64);
        self.all_connects += connects;
        self.all_rounds += rounds;
    }
}

fn rounds(url: &str) -> Result<u64> {
    // Who was not asked yet has no such line.
    Ok(metric(&get(url)?.body, ROUNDS).unwrap_or_default() as u64)
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_a_second_is_counted_without_those_who_look() {
        let at = Instant::now();
        let one = Ipv4Addr::LOCALHOST;
        let before = Counted { at, connects: 10, rounds: [(one, Some(100))].into() };
        let after = at + Duration::from_secs(2);
        let now = Counted { at: after, connects: 31, rounds: [(one, Some(140))].into() };
        let mut load = Load::default();
        load.note(&before, &now);
        assert_eq!((load.connects, load.rounds, load.all_connects, load.all_rounds), (10, 20, 20, 40));
    }
}
