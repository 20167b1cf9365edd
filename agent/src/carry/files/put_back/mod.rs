//! Puts what went along back to where it was, so that the places have exactly what they had. The volume may have been written by a
//! stranger: no link that is put back is followed, and nothing is written to where another thing is mounted.

mod attributes;
mod journal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crik_store::generation::parts::Parts;
use crik_store::image_dir::layout;

use self::journal::Journal;
use self::writer::Writer;
use super::error::{PutBackError, putting};
use super::image_own;
use super::list::{Entry, List};
use super::mounts::Mounts;
use super::places::{Place, PlaceKind, kind};
use super::resolve::resolve;
use super::spared::Spared;
use crate::base::headway::Headway;
use crate::base::{limits, units};
use crate::config::Config;

/// What was put back. Undone when it is dropped, unless it is kept.
pub struct PutBack(Journal);

impl PutBack {
    /// The tree is about to run: what was there before is gone for good.
    pub fn keep(self) {
        image_own::note(self.0.keep());
    }
}

/// Puts back what is among the parts of a generation.
///
/// # Errors
/// A file system of the container cannot be written, or the list is none; or it was given up. Nothing of it is left.
pub fn put_back(parts: &Parts, config: &Config, headway: &Arc<Headway>) -> Result<PutBack, PutBackError> {
    let path = parts.path();
    let open = |name: &str| parts.open(name).map_err(putting(&path.join(name)));
    let data = open(layout::CARRIED_DATA)?;
    let stored = data.size().map_err(putting(path))?;
    let list =
        List::read(open(layout::CARRIED_LIST)?, stored).map_err(putting(&path.join(layout::CARRIED_LIST)))?;
    let mounts = Mounts::read().map_err(putting(Path::new("/proc/self/mountinfo")))?;
    let spared = Spared::new(mounts, config);
    let mut writer = Writer::new(data, &spared, headway);
    let bases: Vec<Base> = list.places.iter().map(|place| Base::of(place, &spared)).collect();
    for (number, base) in bases.iter().enumerate() {
        let entries = list.entries.iter().filter(|entry| entry.place == number);
        put_place(base, entries, &mut writer)?;
    }
    writer.finish()?;
    tell(&writer, stored);
    Ok(PutBack(writer.journal()))
}

/// Removes what an agent of this pod has left behind that was killed while it put files back: in the places that outlast a container.
/// On volumes, which may not answer, it is done when something is put back there.
pub fn sweep() {
    let Ok(mounts) = Mounts::read() else { return };
    let own = mounts.iter().filter(|(path, mount)| kind(path, mount).is_some()).map(|(path, _)| path);
    own.chain([Path::new("/"), Path::new(limits::OWN_DIRECTORY)]).for_each(journal::sweep);
}

/// A place in this container.
struct Base<'a> {
    place: &'a Place,
    /// Where it is here, by the links of the container itself, such as `/var/run`.
    here: PathBuf,
    /// The mount that it is in.
    mount: PathBuf,
    /// Whether something else is mounted in its place, which is not the pod's own.
    taken: bool,
}

impl<'a> Base<'a> {
    fn of(place: &'a Place, spared: &Spared) -> Self {
        let here = if place.kind.is_named() { resolve(&place.path) } else { place.path.clone() };
        let mounted = spared.mounts().at(&here);
        let own = place.kind == PlaceKind::Layer || place.kind.is_named();
        let taken = !own && mounted.is_some_and(|mount| kind(&here, mount).is_none());
        Self { place, mount: spared.mounts().of(&here).to_owned(), here, taken }
    }

    /// Where an entry is here.
    fn map(&self, path: &Path) -> PathBuf {
        let rest = path.strip_prefix(&self.place.path).unwrap_or(path);
        if rest == Path::new("") { self.here.clone() } else { self.here.join(rest) }
    }
}

fn put_place<'e>(
    base: &Base<'_>,
    entries: impl Iterator<Item = &'e Entry>,
    writer: &mut Writer<'_>,
) -> Result<(), PutBackError> {
    if base.taken {
        tracing::warn!(
            step = "carry",
            "something else is mounted at {}, so what was there is not put back",
            base.here.display()
        );
        return Ok(());
    }
    let named = base.place.kind.is_named();
    let wanted = entries.map(|entry| (base.map(&entry.path), entry)).filter(|(here, _)| {
        writer.spared().mounts().of(here) == base.mount
            && (named || *here == base.here || !writer.spared().covers(here))
    });
    let wanted: Vec<(PathBuf, &Entry)> = wanted.collect();
    writer.make_parents(&base.here).map_err(putting(&base.here))?;
    for (here, entry) in &wanted {
        writer.put(here, entry, base.place.kind, &|path| base.map(path)).map_err(putting(here))?;
    }
    Ok(())
}

fn tell(writer: &Writer<'_>, stored: u64) {
    tracing::info!(
        step = "carry",
        files = writer.put,
        bytes = stored,
        removed = writer.removed.len(),
        "{} files, {}, are put back{}",
        writer.put,
        units::bytes(stored),
        told(&writer.removed, "were not there at the checkpoint and are removed")
    );
    if !writer.of_another_image.is_empty() {
        tracing::warn!(
            step = "carry",
            "this container's image lacks what the program had changed, and is another one{}",
            told(&writer.of_another_image, "are put back all the same")
        );
    }
}

/// A few of many paths.
fn told(paths: &[PathBuf], what: &str) -> String {
    const TOLD: usize = 3;
    let some: Vec<String> = paths.iter().take(TOLD).map(|path| path.display().to_string()).collect();
    match paths.len() {
        0 => String::new(),
        count @ 1..=TOLD => format!("; {count} {what}: {}", some.join(" ")),
        count => format!("; {count} {what}: {} …", some.join(" ")),
    }
}
