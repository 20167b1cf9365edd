//! Which of the files that a program has changed are those of its image, as far as it is known: the next container's image may not have
//! them.
//!
//! Whether a file is from a layer below cannot be asked from inside the container. It is known of what was put back here: something was
//! at its place, or nothing. Of all else it follows from times: what is made gives its directory another one, and to change a file in
//! place does not. A directory's change time tells nothing, since a file that is copied up into the container's layer changes that too
//! (overlayfs). A program that sets the times of a directory back after it has filled it, as tar does, sets back those of the files in it
//! as well.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Mutex;

use super::beginning::{self, ChangeTime, modified_at};
use super::walk::Found;
use crate::base::panics::locked;

/// Of what was put back: whether the image had something there.
static PUT_BACK: Mutex<BTreeMap<PathBuf, bool>> = Mutex::new(BTreeMap::new());

/// Notes what was put back for good, and whether the image had something there.
pub fn note(put_back: impl Iterator<Item = (PathBuf, bool)>) {
    *locked(&PUT_BACK) = put_back.collect();
}

/// Marks the image's own files among those that were `found` to have changed, in places of which these are the layer.
pub fn mark(found: &mut [Found], is_layer: impl Fn(usize) -> bool) {
    let put_back = locked(&PUT_BACK);
    let since = beginning::since();
    let named_anew = named_anew(found, since);
    for found in found.iter_mut().filter(|found| is_layer(found.place) && found.meta.is_file()) {
        found.of_image = put_back.get(&found.path).copied().unwrap_or_else(|| {
            let mut above = found.path.ancestors().skip(1);
            modified_at(&found.meta) >= since && !above.any(|above| named_anew.contains(above))
        });
    }
}

/// The directories in which a name was made or removed.
fn named_anew(found: &[Found], since: ChangeTime) -> HashSet<PathBuf> {
    let directories = found.iter().filter(|found| found.meta.is_dir());
    directories.filter(|found| modified_at(&found.meta) >= since).map(|found| found.path.clone()).collect()
}
