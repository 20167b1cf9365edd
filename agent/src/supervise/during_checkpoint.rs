//! A checkpoint that nobody had to ask for by a stop. If one is asked for meanwhile its time counts from then on.

use std::io;

use anyhow::Result;

use crate::base::limits;
use crate::supervise::stop::Stop;
use crate::supervise::supervisor::{Event, Supervisor};

/// What came while a checkpoint was taken. Nothing is passed to a tree that may be frozen.
#[derive(Debug, Default)]
pub struct Meanwhile {
    /// The first signal that asks for a stop.
    pub stop: Option<Stop>,
    /// What else came, in its order.
    pub signals: Vec<i32>,
}

impl Meanwhile {
    /// Keeps a signal for the tree. As with pending ones each counts once, and only those for real time each time (signal(7)).
    pub fn keep(&mut self, signal: i32) {
        if signal >= limits::FIRST_REAL_TIME_SIGNAL || !self.signals.contains(&signal) {
            self.signals.push(signal);
        }
    }

    /// Takes note of what comes until `checkpoint` is done. The end of the tree is for the supervisor to tell again.
    ///
    /// # Errors
    /// The tree can no longer be watched over.
    pub async fn of<T>(
        supervisor: &mut Supervisor,
        checkpoint: impl Future<Output = Result<T>>,
    ) -> io::Result<(Result<T>, Self)> {
        let mut meanwhile = Self::default();
        let mut checkpoint = std::pin::pin!(checkpoint);
        loop {
            let event = tokio::select! {
                // What the checkpoint has come to says what becomes of a tree that has ended.
                biased;
                done = &mut checkpoint => return Ok((done, meanwhile)),
                event = supervisor.next() => event?,
            };
            match event {
                Event::Stop(signal) => {
                    meanwhile.stop.get_or_insert_with(|| Stop::by(signal));
                }
                Event::Signal(signal) => meanwhile.keep(signal),
                Event::Ended(_) => return Ok((checkpoint.await, meanwhile)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_kept_in_its_order_and_counts_as_often_as_if_it_were_pending() {
        let mut meanwhile = Meanwhile::default();
        let real_time = limits::FIRST_REAL_TIME_SIGNAL;
        for signal in [libc::SIGUSR1, libc::SIGHUP, real_time, libc::SIGUSR1, real_time] {
            meanwhile.keep(signal);
        }
        assert_eq!(meanwhile.signals, [libc::SIGUSR1, libc::SIGHUP, real_time, real_time]);
    }
}
