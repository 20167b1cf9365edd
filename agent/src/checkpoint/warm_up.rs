//! Stores what a running tree has in memory before there is a checkpoint of it, so that the one that may come writes only what has changed
//! since. The tree runs on, and nothing of it is taken for a checkpoint: chunks are named by what is in them.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crik_store::chunks::stream::StreamWriter;
use crik_store::generation::keys::GenerationKeys;
use crik_store::generation::streams::{Proven, StreamsWriter, Warmed};
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::staging::{Purpose, Staging};

use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::locked;
use crate::tree::process::private_pages;
use crate::tree::process::snapshot::{self, Process, Tree};

/// What was stored, and what is being stored.
#[derive(Default)]
pub struct WarmUp(Mutex<State>);

#[derive(Default)]
struct State {
    warmed: Vec<Arc<Warmed>>,
    under_way: Option<Arc<Headway>>,
    /// How many checkpoints are being taken: nothing is begun beside them.
    held_up: usize,
    /// Whether something was given up that may still lie there.
    waste: bool,
}

impl State {
    /// What hangs on the volume is under way until it has ended, so that there is never more than one.
    fn cut_short(&self) {
        if let Some(headway) = &self.under_way {
            headway.give_up();
        }
    }
}

/// As long as it lives nothing is stored beforehand.
pub struct HeldUp<'a>(&'a WarmUp);

impl Drop for HeldUp<'_> {
    fn drop(&mut self) {
        locked(&self.0.0).held_up -= 1;
    }
}

impl WarmUp {
    /// What was stored.
    pub fn warmed(&self) -> Vec<Arc<Warmed>> {
        locked(&self.0).warmed.clone()
    }

    /// Gives up what is under way. What was made durable counts.
    pub fn cut_short(&self) {
        locked(&self.0).cut_short();
    }

    /// The same, and nothing else is begun.
    pub fn hold_up(&self) -> HeldUp<'_> {
        let mut state = locked(&self.0);
        state.held_up += 1;
        state.cut_short();
        HeldUp(self)
    }

    /// Gives up all that was stored, and what is under way. Whether there was anything; it is waste until it is swept.
    pub fn forget(&self) -> bool {
        let mut state = locked(&self.0);
        state.cut_short();
        let had = !state.warmed.is_empty();
        state.waste |= had;
        state.warmed.clear();
        had
    }

    /// Whether there may be waste, if nothing is under way that could make more; who asks sweeps it.
    pub fn take_waste(&self) -> bool {
        let mut state = locked(&self.0);
        let is_quiet = state.under_way.is_none() && state.warmed.is_empty();
        is_quiet && std::mem::take(&mut state.waste)
    }

    /// Whether a checkpoint is being taken.
    pub fn is_held_up(&self) -> bool {
        locked(&self.0).held_up > 0
    }

    /// Whether something is under way, or has not ended yet.
    pub fn is_under_way(&self) -> bool {
        locked(&self.0).under_way.is_some()
    }

    /// Begins. None if a checkpoint is being taken, or another one has begun that is not over.
    fn begin(&self) -> Option<Arc<Headway>> {
        let mut state = locked(&self.0);
        if state.held_up > 0 || state.under_way.is_some() {
            return None;
        }
        let headway = Arc::<Headway>::default();
        state.under_way = Some(Arc::clone(&headway));
        Some(headway)
    }

    /// What was stored counts, if it is wanted still.
    fn keep(&self, headway: &Headway, part: Warmed) -> io::Result<()> {
        let mut state = locked(&self.0);
        headway.go_on(0)?;
        state.warmed.push(Arc::new(part));
        Ok(())
    }

    /// What was not done may lie there in part.
    fn end(&self, is_done: bool) {
        let mut state = locked(&self.0);
        state.under_way = None;
        state.waste |= !is_done;
    }

    /// Stores what these processes have in memory. Blocks, in a thread that may be slow. How many bytes were read and how many had to be
    /// written; None if it was not begun, or was cut short.
    ///
    /// # Errors
    /// The volume cannot be written, or has no room for a checkpoint besides.
    pub fn run(&self, tree: &Tree, storing: &Storing<'_>) -> io::Result<Option<Stored>> {
        let Some(headway) = self.begin() else { return Ok(None) };
        let stored = Parts::store(tree, self, storing, &headway);
        self.end(stored.is_ok());
        match stored {
            Err(_) if headway.is_given_up() => Ok(None),
            stored => stored.map(Some),
        }
    }
}

/// What it is stored with.
pub struct Storing<'a> {
    /// Who has the image directory.
    pub hold: &'a Arc<Hold>,
    /// The keys to generations.
    pub keys: &'a GenerationKeys,
    /// Of what chunks are not stored again.
    pub proven: Proven,
    /// How many bytes a second the volume takes, if that is known.
    pub volume: Option<f64>,
    /// How many bytes are read in a second.
    pub rate: u64,
    /// How many bytes are made durable together.
    pub part: u64,
    /// Whether there is room for a part more, and for a checkpoint besides.
    pub has_room: &'a dyn Fn() -> io::Result<()>,
}

/// How much was stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored {
    /// Bytes of memory.
    pub read: u64,
    /// Bytes that were written.
    pub new: u64,
    /// How long it took.
    pub took: Duration,
}

/// A part is durable by itself, so that a stop finds most of what was done.
struct Parts<'a> {
    of: &'a WarmUp,
    storing: &'a Storing<'a>,
    headway: &'a Arc<Headway>,
    part: Option<Part>,
    stored: Stored,
    /// When what was read so far may have been.
    due: Instant,
}

struct Part {
    streams: StreamsWriter,
    stream: StreamWriter,
    staging: Staging,
    bytes: u64,
}

impl<'a> Parts<'a> {
    fn store(
        tree: &Tree,
        of: &'a WarmUp,
        storing: &'a Storing<'a>,
        headway: &'a Arc<Headway>,
    ) -> io::Result<Stored> {
        let began = Instant::now();
        let mut parts = Self { of, storing, headway, part: None, stored: Stored::default(), due: began };
        tree.0.iter().try_for_each(|process| parts.read(process))?;
        parts.finish()?;
        Ok(Stored { took: began.elapsed(), ..parts.stored })
    }

    fn read(&mut self, process: &Process) -> io::Result<()> {
        // Its id may be another one's by now.
        let is_it = snapshot::read(process.pid).is_some_and(|now| now.started == process.started);
        if !is_it || self.stored.read >= limits::WARM_UP_MAX_BYTES {
            return Ok(());
        }
        private_pages::read(process.pid, &mut |pages| self.take(pages))
    }

    fn take(&mut self, pages: &[u8]) -> io::Result<()> {
        self.headway.go_on(0)?;
        if pages.is_empty() || self.stored.read >= limits::WARM_UP_MAX_BYTES {
            return Ok(());
        }
        let part = match &mut self.part {
            Some(part) => part,
            None => self.part.insert(begin(self.storing, self.of, self.headway)?),
        };
        part.stream.write_all(pages)?;
        part.bytes += pages.len() as u64;
        self.stored.read += pages.len() as u64;
        if part.bytes >= self.storing.part {
            self.finish()?;
        }
        self.slow_down(pages.len())
    }

    /// Makes what was taken durable.
    fn finish(&mut self) -> io::Result<()> {
        let Some(Part { streams, stream, staging, .. }) = self.part.take() else { return Ok(()) };
        let warmed =
            stream.finish().and_then(|()| streams.warm(&staging)).inspect_err(|_| sweep(&staging))?;
        self.stored.new += warmed.new_bytes;
        self.of.keep(self.headway, warmed)
    }

    /// Waits until as much time is over as this may take. Time that was lost before is not made up for.
    fn slow_down(&mut self, bytes: usize) -> io::Result<()> {
        let own = Duration::from_secs_f64(bytes as f64 / self.storing.rate as f64);
        self.due = self.due.max(Instant::now() - own) + own;
        while let Some(left) = self.due.checked_duration_since(Instant::now()) {
            self.headway.go_on(0)?;
            thread::sleep(left.min(limits::WARM_UP_POLL));
        }
        Ok(())
    }
}

impl Drop for Parts<'_> {
    fn drop(&mut self) {
        if let Some(Part { streams, stream, staging, .. }) = self.part.take() {
            drop((stream, streams));
            sweep(&staging);
        }
    }
}

fn begin(storing: &Storing<'_>, of: &WarmUp, headway: &Arc<Headway>) -> io::Result<Part> {
    (storing.has_room)()?;
    let staging = Staging::new(storing.hold, Purpose::WarmUp);
    staging.make().map_err(io::Error::other)?;
    let proven = Proven { warmed: of.warmed(), ..storing.proven.clone() };
    let streams = StreamsWriter::begin(&staging, (storing.keys, &proven), storing.volume, headway);
    let begun = streams.and_then(|streams| Ok((streams.stream("memory")?, streams)));
    let (stream, streams) = begun.inspect_err(|_| sweep(&staging))?;
    Ok(Part { streams, stream, staging, bytes: 0 })
}

/// What is left there is removed with the hold in any case.
fn sweep(staging: &Staging) {
    if let Err(error) = staging.sweep() {
        tracing::debug!("{} is left behind: {error}", staging.path().display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_begun_beside_a_checkpoint_nor_beside_what_has_not_ended() {
        let warm_up = WarmUp::default();
        let held_up = warm_up.hold_up();
        assert!(warm_up.begin().is_none());
        drop(held_up);
        let headway = warm_up.begin().unwrap();
        assert!(warm_up.begin().is_none() && !headway.is_given_up());
        drop(warm_up.hold_up());
        // It is cut short, and may hang on the volume.
        assert!(headway.is_given_up() && warm_up.begin().is_none());
    }

    #[test]
    fn what_is_cut_short_may_leave_waste_once_it_has_ended() {
        let warm_up = WarmUp::default();
        assert!(!warm_up.forget() && !warm_up.take_waste());
        drop(warm_up.begin().unwrap());
        assert!(!warm_up.forget() && !warm_up.take_waste());
        warm_up.end(false);
        assert!(warm_up.take_waste() && !warm_up.take_waste());
    }
}
