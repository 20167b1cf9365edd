//! Who holds an image directory, as others read it on the volume, and whether that pod may be passed over.

use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::backend::{Backend, Name};
use crate::base::limits;
use crate::image_dir::pod::Pod;

/// `holder.json` in `holders/NNNNNNNN/`. It appears whole or not at all, with its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The pod.
    pub pod: Pod,
    /// Made up for this one hold, so that a pod knows its own after an answer of the volume was lost.
    pub nonce: String,
    /// Since when, in seconds since 1970; for people.
    pub since: u64,
    /// After how long without a sign of life others may pass it over, in milliseconds.
    pub expiry_ms: u64,
}

/// The file's name.
pub const HOLDER: &str = "holder.json";

/// The file whose contents change as long as the holder lives.
pub const RENEWED: &str = "renewed";

/// The file that says that the holder is done.
pub const RELEASED: &str = "released";

/// What `renewed` says when there is nothing more to come. Earlier releases only had the file of that name.
pub const DONE: &str = "released\n";

/// What another pod sees of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The hold's number.
    pub number: u64,
    /// Who has it; none if the file cannot be understood.
    pub holder: Option<Holder>,
    /// Its last sign of life.
    pub renewed: Vec<u8>,
    /// True once it is given back.
    pub released: bool,
}

impl Seen {
    /// Reads the hold `number` in the directory `hold`. What cannot be understood is somebody all the same, since a
    /// volume that fails proves nothing.
    ///
    /// # Errors
    /// The volume cannot be read. A hold that has gone meanwhile is `NotFound`.
    pub fn read(backend: &dyn Backend, hold: &Name, number: u64) -> io::Result<Self> {
        let read = |name| backend.read(&hold.join(name), limits::SMALL_FILE_MAX_BYTES);
        let holder = parse(&read(HOLDER)?);
        let renewed = optional(read(RENEWED))?.unwrap_or_default();
        let released = renewed == DONE.as_bytes() || optional(backend.look(&hold.join(RELEASED)))?.is_some();
        Ok(Self { number, holder, renewed, released })
    }

    /// Why the holder cannot run any more, if that is proven for `here`.
    pub fn gone(&self, here: &Pod) -> Option<&'static str> {
        if self.released {
            return Some("it has given the image directory back");
        }
        self.holder.as_ref()?.pod.gone(here)
    }

    /// After how long without a sign of life the holder may be passed over.
    pub fn expiry(&self, own: Duration) -> Duration {
        self.holder.as_ref().map_or(own, |holder| Duration::from_millis(holder.expiry_ms))
    }

    /// Names the holder for people.
    pub fn name(&self) -> String {
        self.holder.as_ref().map_or_else(|| "an unknown pod".to_owned(), |holder| holder.pod.to_string())
    }
}

/// Reads a holder file; none if it is not one. Never panics, whatever is in it.
pub fn parse(bytes: &[u8]) -> Option<Holder> {
    serde_json::from_slice(bytes).ok()
}

fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Writes a sign of life, which must differ from the one before, or [`DONE`]. The file must be there: a hold that was taken away is not
/// made anew.
///
/// # Errors
/// The volume fails, or the hold was taken away.
pub fn renew(backend: &dyn Backend, hold: &Name, sign: &str) -> io::Result<()> {
    let renewed = hold.join(RENEWED);
    backend.look(&renewed)?;
    backend.write(&renewed, sign.as_bytes())
}

/// Adds up how long a holder has given no sign of life while we were able to look. It needs nobody's clock but ours,
/// and a volume that was away for all does not count against the holder.
#[derive(Debug, Default)]
pub struct Silence {
    last: Option<(Seen, Instant)>,
    silent: Duration,
}

impl Silence {
    /// One that has lasted for so long already, as another container has seen.
    pub fn after(seen: &Seen, silent: Duration, now: Instant) -> Self {
        Self { last: Some((seen.clone(), now)), silent }
    }

    /// Notes what was seen at `now`, and returns for how long it has been the same.
    pub fn observe(&mut self, seen: &Seen, now: Instant) -> Duration {
        match &self.last {
            Some((last, at)) if last == seen => {
                self.silent += now.saturating_duration_since(*at).min(limits::HOLD_POLL * 4);
            }
            _ => self.silent = Duration::ZERO,
        }
        self.last = Some((seen.clone(), now));
        self.silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::directory::Directory;

    fn seen(renewed: &str) -> Seen {
        Seen { number: 1, holder: None, renewed: renewed.into(), released: false }
    }

    #[test]
    fn any_sign_of_life_breaks_the_silence() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let at = |polls: u32| start + limits::HOLD_POLL * polls;
        assert_eq!(silence.observe(&seen("1"), at(0)), Duration::ZERO);
        assert_eq!(silence.observe(&seen("1"), at(2)), limits::HOLD_POLL * 2);
        assert_eq!(silence.observe(&seen("1"), at(3)), limits::HOLD_POLL * 3);
        assert_eq!(silence.observe(&seen("2"), at(4)), Duration::ZERO);
    }

    #[test]
    fn a_volume_that_was_away_does_not_count_against_the_holder() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        silence.observe(&seen("1"), start);
        let silent = silence.observe(&seen("1"), start + Duration::from_secs(3600));
        assert_eq!(silent, limits::HOLD_POLL * 4);
    }

    #[test]
    fn what_cannot_be_understood_is_somebody() {
        let volume = tempfile::tempdir().unwrap();
        std::fs::write(volume.path().join(HOLDER), "{").unwrap();
        let seen = Seen::read(&Directory::new(volume.path()), &Name::root(), 7).unwrap();
        assert_eq!((seen.holder.clone(), seen.gone(&Pod::default())), (None, None));
        assert_eq!(seen.expiry(Duration::from_secs(9)), Duration::from_secs(9));
    }
}
