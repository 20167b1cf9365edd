//! Tries the volume, and says what it cannot do. What it does not keep need not matter, and is not told.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::{Effect, Finding};
use crate::store::image_dir::probe::{Keeps, Probe};
use crate::store::image_dir::{ImageDir, ImageDirError};

/// A volume that was tried.
#[derive(Debug, Default)]
pub struct Tried {
    /// What stands in the way of a checkpoint, and what should be known.
    pub findings: Vec<Finding>,
    /// Where it was tried, if it could be.
    pub probe: Option<Probe>,
}

/// Tries the volume of `image_dir`, whose generations are `signed` or not.
pub fn try_out(image_dir: &Path, signed: bool) -> Tried {
    let mut tried = Tried::default();
    let dir = match ImageDir::open(image_dir) {
        Ok(dir) => dir,
        Err(error) => return Tried { findings: vec![unusable(&error)], ..tried },
    };
    if dir.is_on_root_file_system() {
        tried.findings.push(Finding::no_checkpoint(format!(
            "imageDir {} is on the container's own file system and ends with it; mount a volume there",
            image_dir.display()
        )));
    }
    match Probe::begin(&dir).and_then(|probe| Ok((probe.run()?, probe))) {
        Ok((keeps, probe)) => {
            tracing::debug!(step = "check", "the volume keeps: {keeps:?}");
            let dangers = [danger(dir.root(), keeps, signed), stale(keeps)].into_iter().flatten();
            tried.findings.extend(dangers.map(|danger| Finding::new(Effect::Danger, danger)));
            tried.probe = Some(probe);
        }
        Err(lack) => tried.findings.push(Finding::no_checkpoint(lack)),
    }
    tried
}

/// What the kernel says of a directory that cannot be made is no remedy yet.
fn unusable(error: &ImageDirError) -> Finding {
    let kind = match error {
        ImageDirError::Unmade { source, .. } | ImageDirError::Io { source, .. } => source.kind(),
        _ => return Finding::no_checkpoint(error),
    };
    Finding::no_checkpoint(match kind {
        io::ErrorKind::ReadOnlyFilesystem => {
            format!(
                "{error}; mount the volume read-write: readOnly must be true neither in volumeMounts nor in the volume"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "{error}; let the container's user write there: securityContext.fsGroup, or chown it on the volume"
            )
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{error}; make room or raise the quota")
        }
        _ => error.to_string(),
    })
}

/// A checkpoint is a program that runs with all rights of the container. Where modes are not kept they tell nothing.
fn danger(root: &Path, keeps: Keeps, signed: bool) -> Option<String> {
    let mode = root.metadata().ok()?.mode() & 0o7777;
    let others_may = mode & libc::S_IWOTH != 0 && mode & libc::S_ISVTX == 0;
    (others_may && keeps.modes && !signed).then(|| {
        format!(
            "imageDir {} can be written by everybody (mode {mode:04o}), so that whoever has the volume can put a program there that \
             runs with all rights of this container; chmod 0700 it, or see signingKeyFile",
            root.display()
        )
    })
}

/// Crik itself opens a file again that was moved. A program cannot.
fn stale(keeps: Keeps) -> Option<String> {
    keeps.takes_open_files.then(|| {
        "the volume takes a file from who has it open when it is renamed or removed (ESTALE), so that a program that has such a file \
         there fails, with crik or without; keep such files on another volume, or use another kind of volume"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_everybody_can_write_is_told_unless_that_says_nothing() {
        let volume = tempfile::tempdir().unwrap();
        let dangers = |signed| -> Vec<String> {
            let found = try_out(volume.path(), signed).findings;
            // It may be where a container would have none.
            found.iter().filter(|one| one.effect == Effect::Danger).map(ToString::to_string).collect()
        };
        let mode = |mode| set_permissions(volume.path(), Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        let told = dangers(false);
        let told = told.first().unwrap();
        assert!(told.contains("(mode 0777)") && told.contains("chmod 0700"), "{told}");
        assert!(dangers(true).is_empty());
        assert_eq!(danger(volume.path(), Keeps { modes: false, ..Keeps::default() }, false), None);
        for harmless in [0o700, 0o2770, 0o1777] {
            mode(harmless);
            assert!(dangers(false).is_empty());
        }
    }
}
