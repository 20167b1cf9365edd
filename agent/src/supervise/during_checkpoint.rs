//! A checkpoint that nobody had to ask for by a stop. If one is asked for meanwhile its time counts from then on.

use std::io;

use anyhow::Result;
use crik_store::generation::manifest::Manifest;

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
    /// Takes note of what comes until `checkpoint` is done. The end of the tree is for the supervisor to tell again.
    ///
    /// # Errors
    /// The tree can no longer be watched over.
    pub async fn of(
        supervisor: &mut Supervisor,
        checkpoint: impl Future<Output = Result<Manifest>>,
    ) -> io::Result<(Result<Manifest>, Self)> {
        let mut meanwhile = Self::default();
        let mut checkpoint = std::pin::pin!(checkpoint);
        loop {
            let event = tokio::select! {
                // A tree that was killed after its commit has not ended by itself.
                biased;
                done = &mut checkpoint => return Ok((done, meanwhile)),
                event = supervisor.next() => event?,
            };
            match event {
                Event::Stop(signal) => {
                    meanwhile.stop.get_or_insert_with(|| Stop::by(signal));
                }
                Event::Signal(signal) => meanwhile.signals.push(signal),
                Event::Ended(_) => return Ok((checkpoint.await, meanwhile)),
            }
        }
    }
}
