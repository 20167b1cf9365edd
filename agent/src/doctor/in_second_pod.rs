//! In the second pod of a trial: it has the volumes of the first one read-only. Where the program has files open that it changes there are
//! copies of these in a directory of the pod's own, and links to all else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use crik_store::generation::identity::Identity;
use crik_store::generation::manifest::{Manifest, ManifestError};
use crik_store::image_dir::Generation;

use super::copy::{self, NoCopy, Watched};
use super::second_pod;
use crate::base::limits;
use crate::config::Config;
use crate::tree::process::lacking_rights::enough;
use crate::tree::process::scratch;

/// A volume that the copy must not write to: where it is, and what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoodIn {
    /// Where it is mounted read-only.
    pub from: PathBuf,
    /// The empty directory where the program expects it.
    pub at: PathBuf,
}

impl std::str::FromStr for StoodIn {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, at) = text.split_once('=').ok_or("it is for the second pod of a trial")?;
        Ok(Self { from: from.into(), at: at.into() })
    }
}

/// Restores the copy from what lies in `image`, and watches it. Blocks. Returns the manifest too.
///
/// # Errors
/// There is no such image.
pub fn resume(
    (image, generation): (&Path, Generation),
    volumes: &[StoodIn],
    config: &Config,
) -> Result<(Manifest, Result<Watched, NoCopy>), ManifestError> {
    let manifest = Manifest::read(image, generation, None)?;
    let copy = prepare(image, &manifest, volumes)
        .map_err(NoCopy::NoPlace)
        .and_then(|()| copy::resume_inside(image, &manifest, Some(config)).map_err(NoCopy::NotResumed));
    Ok((manifest, copy))
}

fn prepare(image: &Path, manifest: &Manifest, volumes: &[StoodIn]) -> Result<(), String> {
    enough().map_err(|lacking| lacking.to_string())?;
    // What it is compared with is the machine.
    let its = &manifest.identity;
    let here = Identity { argv: its.argv.clone(), own: its.own.clone(), ..Identity::here(&[], None) };
    its.obstacle(&here).map_or(Ok(()), Err)?;
    let changed = second_pod::files(image, manifest).map_err(|error| error.to_string())?.changed;
    let mut stand_in = StandIn { changed, sizes: copy::sizes(image), left: limits::TRIAL_COPIES_BYTES };
    volumes.iter().try_for_each(|volume| {
        let made = stand_in.fill(&volume.from, &volume.at);
        made.map_err(|error| format!("{} cannot be stood in for: {error}", volume.at.display()))
    })
}

struct StandIn {
    changed: BTreeSet<PathBuf>,
    sizes: BTreeMap<PathBuf, u64>,
    left: u64,
}

impl StandIn {
    fn fill(&mut self, from: &Path, at: &Path) -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            self.one(&entry.path(), &at.join(entry.file_name()))?;
        }
        like(from, at)
    }

    fn one(&mut self, from: &Path, at: &Path) -> io::Result<()> {
        let kind = from.symlink_metadata()?.file_type();
        let is_changed = self.changed.iter().any(|path| path.starts_with(at));
        if is_changed && kind.is_dir() {
            fs::create_dir(at).or_else(|error| if at.is_dir() { Ok(()) } else { Err(error) })?;
            return self.fill(from, at);
        }
        if is_changed && kind.is_file() {
            scratch::copy_file(from, at, &mut self.left)?;
            self.sizes
                .get(at)
                .map_or(Ok(()), |size| OpenOptions::new().write(true).open(at)?.set_len(*size))?;
            return like(from, at);
        }
        // A socket is made anew by who is bound to it, and another volume may be mounted there.
        if is_changed || at.symlink_metadata().is_ok() { Ok(()) } else { symlink(from, at) }
    }
}

/// Gives it the mode, which CRIU compares, and the owner as far as that is possible.
fn like(from: &Path, at: &Path) -> io::Result<()> {
    let meta = from.metadata()?;
    let _ = chown(at, Some(meta.uid()), Some(meta.gid()));
    match fs::set_permissions(at, Permissions::from_mode(meta.mode() & 0o7777)) {
        // The directory itself is the kubelet's.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && at.is_dir() => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_is_a_copy_as_long_as_it_was_and_all_else_a_link() {
        let (from, at) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join("a/b")).unwrap();
        for name in ["a/changed", "a/read", "read"] {
            fs::write(from.path().join(name), "12345").unwrap();
        }
        let changed = at.path().join("a/changed");
        let mut stand_in = StandIn {
            changed: [changed.clone(), at.path().join("a/socket")].into(),
            sizes: [(changed.clone(), 3)].into(),
            left: 5,
        };
        stand_in.fill(from.path(), at.path()).unwrap();
        assert_eq!(fs::read(&changed).unwrap(), b"123");
        assert_eq!(fs::read(from.path().join("a/changed")).unwrap(), b"12345");
        assert!(!changed.is_symlink() && !at.path().join("a").is_symlink());
        for name in ["a/read", "a/b", "read"] {
            assert!(at.path().join(name).is_symlink(), "{name}");
        }
        fs::remove_file(&changed).unwrap();
        assert!(
            stand_in.fill(from.path(), at.path()).unwrap_err().to_string().contains("to copy for a trial")
        );
    }
}
