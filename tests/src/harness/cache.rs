//! What is slow to make is kept outside the tree under a name made from all that went into it. What has another name now is never
//! asked for again, so it is removed when nobody has used it for a while.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;

/// Where slow things are kept between runs.
pub(crate) const CACHE: &str = "/var/cache/crik-tests";

/// Longer than anybody works on something before going back to what was before.
const UNUSED: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Notes that what is kept at `path` is used now.
///
/// # Errors
/// The disk is full.
pub(crate) fn used(path: &Path) -> Result<()> {
    Ok(File::create(path.with_extension("used"))?.set_modified(SystemTime::now())?)
}

/// Removes what was noted to be used in `directory`, and not for long.
pub(crate) fn sweep(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let notes = entries.filter(|path| path.extension().is_some_and(|kind| kind == "used"));
    for note in notes.filter(|note| is_old(note)) {
        let kept = note.with_extension("");
        // Another run may be at the same.
        if fs::remove_dir_all(&kept).is_ok() || !kept.exists() {
            for of_it in ["log", "lock", "used"] {
                let _ = fs::remove_file(note.with_extension(of_it));
            }
        }
    }
}

fn is_old(note: &Path) -> bool {
    let modified = note.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|ago| ago > UNUSED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_has_used_for_long_is_removed() {
        let cache = tempfile::tempdir().unwrap();
        let kept = ["root-1", "root-2", "tools-3"].map(|name| cache.path().join(name));
        kept.iter().for_each(|path| fs::create_dir(path).unwrap());
        used(&kept[0]).unwrap();
        used(&kept[1]).unwrap();
        let long_ago = SystemTime::now() - 2 * UNUSED;
        File::open(cache.path().join("root-1.used")).unwrap().set_modified(long_ago).unwrap();
        sweep(cache.path());
        assert_eq!(kept.map(|path| path.exists()), [false, true, true]);
        assert!(!cache.path().join("root-1.used").exists());
    }
}
