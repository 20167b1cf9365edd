//! The packs of an image directory, which its generations share. New ones are written below the hold and become shared with the commit;
//! those that no generation needs are swept by the holder.
//!
//! **Nothing that is needed is swept.** Only the holder commits and only the holder sweeps, each by renaming below its hold, so what a
//! former holder still tries fails. In one pod a sweep waits while a checkpoint is being written, which may refer to packs that only
//! generations have which are given up meanwhile.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::backend::Name;
use crate::base::limits;
use crate::image_dir::error::ImageDirError;
use crate::image_dir::hold::Hold;
use crate::image_dir::names::PACKS;
use crate::image_dir::{Generation, ImageDir, layout};

/// As long as it lives these packs are not swept.
#[derive(Debug)]
pub struct Spared {
    hold: Arc<Hold>,
    names: Vec<String>,
}

impl Drop for Spared {
    fn drop(&mut self) {
        self.hold.pack_use().give_up(&self.names);
    }
}

/// As long as it lives nothing is swept.
#[derive(Debug)]
pub struct InUse(Arc<Hold>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.pack_use().end();
    }
}

impl ImageDir {
    /// What the directory of the packs is called to which generations refer. There is none before the first.
    pub(crate) fn packs() -> Name {
        Name::from(PACKS)
    }

    /// The names of the packs that a generation needs.
    fn packs_of(&self, generation: Generation) -> Result<BTreeSet<String>, ImageDirError> {
        let list = generation.directory().join(layout::PACK_LIST);
        match self.backend().read(&list, limits::MANIFEST_MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            read => {
                let list = read.map_err(self.at("read", &list))?;
                Ok(String::from_utf8_lossy(&list).lines().map(str::to_owned).collect())
            }
        }
    }

    /// A generation of which it is not known here what it needs, if there is one.
    fn any_of_a_later_release(&self) -> Result<Option<Generation>, ImageDirError> {
        for generation in self.list()? {
            if self.is_of_a_later_release(generation)? {
                return Ok(Some(generation));
            }
        }
        Ok(None)
    }

    /// Whether packs go with `generations` once all of them are gone: none goes as long as it is not known what one of the others needs.
    pub(super) fn frees_packs(&self, generations: &[Generation]) -> bool {
        let is_known =
            |other: &Generation| self.is_of_a_later_release(*other).is_ok_and(|is_later| !is_later);
        self.list().is_ok_and(|all| all.iter().all(|other| generations.contains(other) || is_known(other)))
    }

    fn needed_packs(&self) -> Result<BTreeSet<String>, ImageDirError> {
        let mut needed = BTreeSet::new();
        for generation in self.list()? {
            needed.append(&mut self.packs_of(generation)?);
        }
        Ok(needed)
    }

    /// How many bytes would be free if a generation went, of packs that no other needs: none as long as it is not known what one needs.
    pub(super) fn bytes_of_own_packs(&self, generation: Generation) -> Result<u64, ImageDirError> {
        let Ok(mut own) = self.packs_of(generation) else { return Ok(0) };
        for other in self.list()?.into_iter().filter(|other| *other != generation) {
            let Ok(needed) = self.packs_of(other) else { return Ok(0) };
            own.retain(|pack| !needed.contains(pack));
        }
        own.iter().map(|pack| self.stored(&Name::from(PACKS).join(pack))).sum()
    }

    /// The names in a directory; none if it is not there.
    fn names_in(&self, directory: &Name) -> Result<Vec<String>, ImageDirError> {
        match self.backend().list(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => {
                let listed = listed.map_err(self.at("read", directory))?;
                Ok(listed.into_iter().map(|entry| entry.name).collect())
            }
        }
    }
}

impl Hold {
    /// Says that a checkpoint is begun that may refer to any pack of the directory.
    pub fn use_packs(self: &Arc<Self>) -> InUse {
        self.pack_use().begin();
        InUse(Arc::clone(self))
    }

    /// Says that packs of these names are wanted by a checkpoint that is to come.
    pub fn spare_packs(self: &Arc<Self>, names: Vec<String>) -> Spared {
        self.pack_use().spare(&names);
        Spared { hold: Arc::clone(self), names }
    }

    /// Lets generations refer to the packs in `fresh`, a directory below this hold, which is then removed.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub(super) fn share_packs(&self, fresh: &Name) -> Result<(), ImageDirError> {
        let (dir, shared) = (self.dir(), Name::from(PACKS));
        dir.backend().make_all(&shared).map_err(dir.at("create", &shared))?;
        let renamed = dir.backend().rename_all(fresh, &shared);
        renamed.map_err(|error| self.explain("share", &dir.path_of(fresh), error))?;
        dir.sync(&shared)?;
        dir.sync(&Name::root())?;
        dir.remove_all(fresh)
    }

    /// Removes the packs that no generation needs and nobody spares, unless a checkpoint is being written; one that begins has no more taken
    /// away.
    ///
    /// # Errors
    /// The volume fails, also where it is not known what a generation needs, or another pod holds the image directory now.
    pub fn sweep_packs(&self) -> Result<(), ImageDirError> {
        let Some(quiet) = self.pack_use().quiet() else { return Ok(()) };
        // First what there is: what becomes shared meanwhile is not among it.
        let there = self.dir().names_in(&Name::from(PACKS))?;
        if there.is_empty() {
            return Ok(());
        }
        let needed = self.dir().needed_packs()?;
        let needless: Vec<&String> = there.iter().filter(|name| !needed.contains(*name)).collect();
        if needless.is_empty() || self.keeps_packs_of_a_later_release()? {
            return Ok(());
        }
        for name in needless {
            if !self.pack_use().take(name, quiet, || self.take_pack_away(name))? {
                break;
            }
        }
        Ok(())
    }

    /// Whether packs stay that may be those of a later release, which is told: until that is used again the volume only fills.
    fn keeps_packs_of_a_later_release(&self) -> Result<bool, ImageDirError> {
        let Some(later) = self.dir().any_of_a_later_release()? else { return Ok(false) };
        self.warn_once(format!(
            "generation {later} was written by a later crik, and it is not known here which packs it needs: as long as it is there, \
             none is removed and the volume fills; use the newer crik, or its `crik gc`"
        ));
        Ok(true)
    }

    /// Removes the packs that no generation needs, and what a bucket still has of what was removed.
    ///
    /// # Errors
    /// As of [`Self::sweep_packs`]; what a bucket has of others is removed all the same.
    pub fn sweep_waste(&self) -> Result<(), ImageDirError> {
        let packs = self.sweep_packs();
        if let Err(error) = self.dir().backend().sweep(self.name()) {
            tracing::debug!("what nothing refers to any more is removed later: {error}");
        }
        packs
    }

    /// The same after a generation was removed, which is so whatever comes of this.
    ///
    /// # Errors
    /// Another pod holds the image directory now.
    pub(super) fn sweep_waste_of_removed(&self) -> Result<(), ImageDirError> {
        match self.sweep_waste() {
            Err(lost @ ImageDirError::Lost(_)) => Err(lost),
            Err(error) => {
                tracing::warn!(
                    "what was stored for a generation that is removed stays: {error}; if that is the list of a generation that is \
                     damaged, it stays until that generation is removed"
                );
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// It is renamed away first, so that who holds the directory no more takes nothing away.
    fn take_pack_away(&self, name: &str) -> Result<(), ImageDirError> {
        let (pack, trash) =
            (Name::from(PACKS).join(name), self.name().join(&format!("removing-pack-{name}")));
        let renamed = self.dir().backend().rename(&pack, &trash);
        renamed.map_err(|error| self.explain("remove", &self.dir().path_of(&pack), error))?;
        self.dir().remove_all(&trash)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::image_dir::fixture;

    fn write(directory: &Path, name: &str) {
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join(name), name).unwrap();
    }

    fn packs_of(hold: &Hold) -> std::path::PathBuf {
        hold.dir().path_of(&Name::from(PACKS))
    }

    /// Commits a generation that needs these packs.
    fn commit(hold: &Arc<Hold>, packs: &[&str]) -> Generation {
        let generation = fixture::commit(hold);
        fs::write(hold.dir().generation(generation).join(layout::PACK_LIST), packs.join("\n")).unwrap();
        generation
    }

    fn shared(hold: &Hold) -> Vec<String> {
        let mut found = hold.dir().names_in(&Name::from(PACKS)).unwrap();
        found.sort();
        found
    }

    #[test]
    fn packs_are_shared_and_go_with_the_last_generation_that_needs_them() {
        let (_volume, hold) = fixture::held();
        hold.sweep_packs().unwrap();
        let fresh = hold.name().join("staging-1/packs");
        ["a", "b", "c", "d"].iter().for_each(|name| write(&hold.dir().path_of(&fresh), name));
        hold.share_packs(&fresh).unwrap();
        let (first, second) = (commit(&hold, &["a", "b"]), commit(&hold, &["b", "c"]));
        let dir = hold.dir();
        let own = |generation| dir.bytes_of_own_packs(generation).unwrap();
        let each = dir.stored(&Name::from(PACKS).join("a")).unwrap();
        assert_eq!((own(first), own(second)), (each, each));
        hold.sweep_packs().unwrap();
        assert_eq!(shared(&hold), ["a", "b", "c"]);
        hold.remove(first).unwrap();
        assert_eq!(shared(&hold), ["b", "c"]);
        hold.remove(second).unwrap();
        assert!(shared(&hold).is_empty());
    }

    #[test]
    fn as_long_as_it_is_not_known_what_is_needed_all_is() {
        let (_volume, hold) = fixture::held();
        write(&packs_of(&hold), "a");
        let generation = fixture::commit(&hold);
        fs::create_dir(hold.dir().generation(generation).join(layout::PACK_LIST)).unwrap();
        assert!(hold.sweep_packs().is_err());
        assert_eq!(shared(&hold), ["a"]);
        // Which stands in the way of nothing else.
        let others = [commit(&hold, &["a"]), fixture::commit(&hold)];
        assert_eq!(hold.dir().bytes_of_own_packs(others[0]).unwrap(), 0);
        others.iter().for_each(|other| hold.remove(*other).unwrap());
        assert_eq!((hold.dir().list().unwrap(), shared(&hold)), (vec![generation], vec!["a".to_owned()]));
        hold.remove(generation).unwrap();
        assert!(shared(&hold).is_empty());
    }

    #[test]
    fn nothing_is_swept_while_a_checkpoint_is_written() {
        let (_volume, hold) = fixture::held();
        write(&packs_of(&hold), "a");
        let (one, other) = (hold.use_packs(), hold.use_packs());
        drop(one);
        hold.sweep_packs().unwrap();
        assert_eq!(shared(&hold), ["a"]);
        drop(other);
        hold.sweep_packs().unwrap();
        assert!(shared(&hold).is_empty());
    }

    #[test]
    fn what_is_spared_stays_as_long_as_somebody_wants_it() {
        let (_volume, hold) = fixture::held();
        ["a", "b"].iter().for_each(|name| write(&packs_of(&hold), name));
        let [one, other] = [(); 2].map(|()| hold.spare_packs(vec!["b".to_owned()]));
        hold.sweep_packs().unwrap();
        assert_eq!(shared(&hold), ["b"]);
        drop(one);
        hold.sweep_packs().unwrap();
        assert_eq!(shared(&hold), ["b"]);
        drop(other);
        hold.sweep_packs().unwrap();
        assert!(shared(&hold).is_empty());
    }

    #[test]
    fn a_checkpoint_that_begins_has_no_more_taken_away() {
        let (_volume, hold) = fixture::held();
        let quiet = hold.pack_use().quiet().unwrap();
        let taken = |quiet| hold.pack_use().take("a", quiet, || Ok::<_, ()>(())).unwrap();
        assert!(taken(quiet));
        drop(hold.use_packs());
        assert!(!taken(quiet) && taken(hold.pack_use().quiet().unwrap()));
    }

    #[test]
    fn who_holds_it_no_more_neither_shares_nor_sweeps() {
        let (volume, hold) = fixture::held();
        let fresh = hold.name().join("staging-1/packs");
        write(&hold.dir().path_of(&fresh), "mine");
        write(&packs_of(&hold), "theirs");
        hold.release();
        let next = Hold::take(&ImageDir::open(volume.path()).unwrap(), &fixture::wish("job-1")).unwrap();
        // What was to be shared is gone with the hold.
        hold.share_packs(&fresh).unwrap();
        assert!(matches!(hold.sweep_packs(), Err(ImageDirError::Lost(_))));
        assert_eq!(shared(&next), ["theirs"]);
    }
}
