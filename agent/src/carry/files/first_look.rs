//! Looks at the container's layer while the program still runs, so that little of it has to be looked at while it stands still.
//!
//! A layer has as many files as its image, and to ask each for its change time takes longer than to freeze most programs. From the
//! first look until the freeze the kernel tells what changes (see [`super::watches`]). With the tree frozen only that is looked at
//! again, and what can change without anybody being told:
//!
//! - what has gone along at the first look, since most of it is copied anyhow;
//! - files with several names, as a change is told for the name only by which it was made;
//! - files that somebody had open or mapped for writing at the first look, or has now: nothing tells of what is written through a
//!   mapping, but whoever opened, mapped and closed a file in between was told of when it was closed.
//!
//! Where that leaves a doubt, everything is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::{CarryError, taking};
use super::open_for_writing::{Who, Writable, open_for_writing};
use super::walk::{Found, Walk, sorted, unless_gone};
use super::watches::{Changes, Touched, Unsure, Watches};

/// What was seen of the layer.
#[derive(Debug)]
pub struct FirstLook {
    watches: Watches,
    who: Who,
    /// What is to be looked at again in any case.
    again: BTreeSet<PathBuf>,
}

impl FirstLook {
    /// Looks at what `walk` goes through, where those who can write are these. None if nobody would tell what changes from now on; it was looked at all the same.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn new(walk: &Walk<'_>, who: Who) -> Result<(Option<Self>, Vec<Found>), CarryError> {
        let meta = walk.top.symlink_metadata().map_err(taking(&walk.top))?;
        let watches = match Watches::new() {
            Ok(watches) => watches,
            Err(unsure) => {
                tell(unsure);
                return Ok((None, walk.run(meta)?));
            }
        };
        let walked = walk.clone().watched(&watches).below_top(meta)?;
        let found = walk.with_ancestors(walked.found)?;
        // Only now, since from here on whoever opens something is seen, or was told of.
        let open = match open_for_writing(who, |path| walk.is_on_its_mount(path)) {
            Ok(open) => open,
            Err(unsure) => {
                tell(unsure);
                return Ok((None, found));
            }
        };
        let again = found.iter().map(|found| found.path.clone());
        let again = again.chain(walked.with_more_names).chain(open.into_iter().map(|open| open.path));
        Ok((Some(Self { watches, who, again: again.collect() }), found))
    }

    /// All that goes along now. To be called when the tree is frozen, with what it was called with before.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn again(&self, walk: &Walk<'_>) -> Result<Result<Vec<Found>, Unsure>, CarryError> {
        let open = open_for_writing(self.who, |path| walk.is_on_its_mount(path));
        let (changes, open) = match (self.watches.changes(), open) {
            (Ok(changes), Ok(open)) => (changes, open),
            (Err(unsure), _) | (_, Err(unsure)) => return Ok(Err(unsure)),
        };
        let found = self.look_again(walk, &changes, &open)?;
        Ok(doubt(walk, &found, &open).map_or_else(|| Ok(sorted(found)), Err))
    }

    fn look_again(
        &self,
        walk: &Walk<'_>,
        changes: &Changes,
        open: &[Writable],
    ) -> Result<Vec<Found>, CarryError> {
        let replaced = replaced(changes);
        // What is below is another thing, or none, and it is walked.
        let is_below = |path: &Path| path.ancestors().skip(1).any(|above| replaced.contains(above));
        let named = changes.iter().flat_map(|(path, names)| names.keys().map(|name| path.join(name)));
        let paths: BTreeSet<PathBuf> = named
            .chain(changes.keys().cloned())
            .chain(self.again.iter().cloned())
            .chain(open.iter().map(|open| open.path.clone()))
            .filter(|path| !is_below(path))
            .collect();
        let mut found = BTreeMap::new();
        for path in paths {
            found.extend(walk.look_at(&path)?.map(|found| (path.clone(), found)));
            if replaced.contains(&path) {
                let anew = walk_anew(walk, path)?;
                found.extend(anew.into_iter().map(|found| (found.path.clone(), found)));
            }
        }
        walk.with_ancestors(found.into_values().collect())
    }
}

/// The names that may be those of other things now.
fn replaced(changes: &Changes) -> BTreeSet<PathBuf> {
    let names = changes.iter().flat_map(|(path, names)| names.iter().map(move |name| (path, name)));
    names
        .filter(|(_, (_, touched))| **touched == Touched::Replaced)
        .map(|(path, (name, _))| path.join(name))
        .collect()
}

/// What goes along of a directory that was not there before, or elsewhere.
fn walk_anew(walk: &Walk<'_>, path: PathBuf) -> Result<Vec<Found>, CarryError> {
    let is_new = |meta: &Metadata| meta.is_dir() && walk.holds(&path);
    match unless_gone(path.symlink_metadata()).map_err(taking(&path))?.filter(is_new) {
        Some(meta) => walk.at(path).run(meta),
        None => Ok(Vec::new()),
    }
}

/// Whether something has changed of which it is not known where it is.
fn doubt(walk: &Walk<'_>, found: &[Found], open: &[Writable]) -> Option<Unsure> {
    let mut names: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for found in found.iter().filter(|found| found.meta.is_file()) {
        *names.entry(key(&found.meta)).or_default() += 1;
    }
    let has_others =
        |found: &&Found| found.meta.nlink() > names.get(&key(&found.meta)).copied().unwrap_or_default();
    let is_missed = |open: &&Writable| {
        let meta = &open.meta;
        meta.nlink() > 0
            && walk.has_changed(meta)
            && !names.contains_key(&key(meta))
            && walk.holds(&open.path)
    };
    if found.iter().filter(|found| found.meta.is_file()).any(|found| has_others(&found)) {
        Some(Unsure("a file that has changed has a name that is not known"))
    } else {
        open.iter()
            .any(|open| is_missed(&open))
            .then_some(Unsure("a file that is open is not known by its name"))
    }
}

fn key(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Costs the program some time, and nothing else.
pub fn tell(unsure: Unsure) {
    tracing::debug!("all files of the container are looked at while the program stands still: {}", unsure.0);
}

#[cfg(test)]
mod tests;
