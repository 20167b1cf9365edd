//! Tries the volume, and says what it cannot do. What it does not keep need not matter, and is not told.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crik_store::image_dir::probe::{Keeps, Lack, Probe};
use crik_store::image_dir::retention::RoomError;
use crik_store::image_dir::{ImageDir, ImageDirError};
use nix::sys::statvfs::statvfs;
use nix::unistd::{getegid, geteuid};

use super::finding::{Effect, Finding};
use crate::base::edit::{Edit, Place, quoted};
use crate::base::limits;
use crate::carry::files::mounts::Mounts;

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
        Err(error) => return Tried { findings: vec![unusable(&error, image_dir)], ..tried },
    };
    // It was tried when it was opened: whether it can be written, on conditions, and whether what is written can be removed.
    if dir.is_in_a_bucket() {
        tried.findings.extend(dir.refuses_removal().map(|told| Finding::new(Effect::Danger, told)));
        return tried;
    }
    if dir.is_on_root_file_system() {
        let told = format!(
            "imageDir {} is on the container's own file system and ends with it; mount a volume there",
            image_dir.display()
        );
        let place = image_dir.parent().unwrap_or(image_dir);
        tried.findings.push(Finding::no_checkpoint(told).by(mounted_at(place)));
    }
    match Probe::begin(&dir).and_then(|probe| Ok((probe.run()?, probe))) {
        Ok((keeps, probe)) => {
            tracing::debug!(step = "check", "the volume keeps: {keeps:?}");
            let chmod = Edit::new(Place::Shell, format!("chmod 0700 {}", image_dir.display()));
            let open =
                danger(dir.root(), keeps, signed).map(|told| Finding::new(Effect::Danger, told).by([chmod]));
            let stale = stale(keeps).map(|told| Finding::new(Effect::Danger, told));
            tried.findings.extend(open.into_iter().chain(stale));
            tried.probe = Some(probe);
        }
        Err(lack) => tried.findings.push(lacks(&lack, image_dir)),
    }
    tried
}

/// What the kernel says of a directory that cannot be made is no remedy yet.
fn unusable(error: &ImageDirError, image_dir: &Path) -> Finding {
    let parent = image_dir.parent().unwrap_or(image_dir);
    let kind = match error {
        ImageDirError::Unmade { source, .. } | ImageDirError::Io { source, .. } => source.kind(),
        ImageDirError::NoParent { parent, .. } => {
            return Finding::no_checkpoint(error).by(mounted_at(parent));
        }
        ImageDirError::Occupied { .. } => {
            let line = format!("imageDir: {}/crik-${{POD_NAME}}", image_dir.display());
            return Finding::no_checkpoint(error).by([Edit::new(Place::Config, line)]);
        }
        _ => return Finding::no_checkpoint(error),
    };
    match refused(kind, parent) {
        Some((remedy, edits)) => Finding::no_checkpoint(format!("{error}; {remedy}")).by(edits),
        None => Finding::no_checkpoint(error),
    }
}

fn lacks(lack: &Lack, image_dir: &Path) -> Finding {
    let refused = match lack {
        Lack::Unwritable { source, .. } => refused(source.kind(), image_dir),
        _ => None,
    };
    Finding::no_checkpoint(lack).by(refused.into_iter().flat_map(|(_, edits)| edits))
}

/// What to do where nothing can be made in `directory`, and what to write for it.
fn refused(kind: io::ErrorKind, directory: &Path) -> Option<(String, Vec<Edit>)> {
    match kind {
        io::ErrorKind::ReadOnlyFilesystem => {
            let remedy = "mount the volume read-write: readOnly must be true neither in volumeMounts nor in the volume";
            Some((
                remedy.to_owned(),
                vec![Edit::new(Place::Container, mount(&mount_point(directory), ", readOnly: false"))],
            ))
        }
        io::ErrorKind::PermissionDenied => Some(no_permission(directory)),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(("make room (crik gc) or raise the quota".to_owned(), larger(directory, None)))
        }
        _ => None,
    }
}

/// Root may write anywhere, unless the volume knows of no root: NFS with `root_squash` (exports(5)), or files of users whom the pod's user
/// namespace does not have (user_namespaces(7)).
fn no_permission(directory: &Path) -> (String, Vec<Edit>) {
    let meta = directory.metadata();
    let owner = meta.as_ref().map_or(0, MetadataExt::uid);
    let told = meta.map_or_else(
        |_| String::new(),
        |meta| {
            format!(
                ", which is of user {}, group {}, mode {:04o}",
                meta.uid(),
                meta.gid(),
                meta.mode() & 0o7777
            )
        },
    );
    let directory = directory.display();
    if !geteuid().is_root() {
        let line = format!("securityContext: {{fsGroup: {}}}", getegid());
        let remedy = format!(
            "let the container's user {} write to {directory}{told}: securityContext.fsGroup, or chown it on the volume",
            geteuid()
        );
        return (remedy, vec![Edit::new(Place::Pod, line)]);
    }
    let remedy = format!(
        "the volume does not let root write to {directory}{told}, as with root_squash of NFS, or with hostUsers: false where the volume has \
         no ids of the pod's: export it with no_root_squash, or chown it to a user as whom the container runs"
    );
    let user = Some(owner).filter(|owner| *owner != 0 && *owner != limits::NOBODY);
    (
        remedy,
        user.map(|user| Edit::new(Place::Pod, format!("securityContext: {{runAsUser: {user}}}")))
            .into_iter()
            .collect(),
    )
}

fn mount(at: &Path, more: &str) -> String {
    format!("volumeMounts: [{{name: checkpoints, mountPath: {}{more}}}]", quoted(&at.to_string_lossy()))
}

fn mount_point(path: &Path) -> PathBuf {
    Mounts::read().unwrap_or_default().of(path).to_owned()
}

/// A volume that is mounted there.
fn mounted_at(directory: &Path) -> [Edit; 2] {
    let volume = "volumes: [{name: checkpoints, persistentVolumeClaim: {claimName: checkpoints}}]";
    [Edit::new(Place::Container, mount(directory, "")), Edit::new(Place::Pod, volume)]
}

/// That a checkpoint finds no room, of which there should be enough for `keep` of them and another one.
pub fn no_room(error: &RoomError, root: &Path, keep: u64) -> Finding {
    let needed = match error {
        RoomError::TooLittle { needed, .. } => Some(needed.saturating_mul(keep.saturating_add(1))),
        _ => None,
    };
    Finding::new(Effect::NoRoom, error).by(needed.into_iter().flat_map(|needed| larger(root, Some(needed))))
}

/// A claim that has room for so many more bytes than are used, or twice as large.
fn larger(path: &Path, bytes: Option<u64>) -> Vec<Edit> {
    let Ok(volume) = statvfs(path) else { return Vec::new() };
    let of = |blocks: u64| blocks.saturating_mul(volume.fragment_size());
    let used = of(volume.blocks().saturating_sub(volume.blocks_available()));
    let total =
        bytes.map_or_else(|| of(volume.blocks()).saturating_mul(2), |bytes| used.saturating_add(bytes));
    let line = format!("resources: {{requests: {{storage: {}Mi}}}}", total.div_ceil(1 << 20));
    vec![Edit::new(Place::Claim, line)]
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
