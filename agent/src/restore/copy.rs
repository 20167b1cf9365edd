//! Restores a copy of a tree that runs on elsewhere, in a place of its own: of what the tree itself has, nothing is put back or cut for it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::ImageDirError;

use crate::base::headway::Headway;
use crate::base::limits;
use crate::carry::clocks::go_on::GoingOn;
use crate::carry::files::{self, PutBack};
use crate::carry::{loopback, open_files, reserved_pids};
use crate::config::Config;
use crate::restore::generation_images::GenerationImages;
use crate::restore::left_out::LeftOut;
use crate::restore::own_ipc;
use crate::restore::private_images::{PrivateImages, Wishes};
use crate::restore::restore_tree::{RestoreError, reopen_cgroup_files};
use crate::restore::verified_restore::NotBroughtBack;
use crate::tree::criu::{self, Connections, CriuError, Namespaces, PagesSource, Pause, Restore};

/// Restores it from what was staged in `path`; `streams` stand in for its standard streams. A container of its own gets the files that went
/// along, as `its_own` configuration says. When all of it is restored and nothing of it runs yet, `ready` is called. Blocks.
///
/// # Errors
/// It cannot be restored.
pub fn restore(
    path: &Path,
    manifest: &Manifest,
    (streams, its_own): (&[(RawFd, String)], Option<&Config>),
    mut ready: impl FnMut() + Send + 'static,
) -> Result<(), NotBroughtBack> {
    let headway = Arc::new(Headway::default());
    let nowhere = || -> Result<PathBuf, ImageDirError> { Ok(PathBuf::from(limits::TRIAL_DIRECTORIES[0])) };
    let wishes = Wishes::of_a_trial(&Config::default());
    let connections = if loopback::are_kept(manifest) { Connections::Keep } else { Connections::Close };
    let images = GenerationImages::of_files(path);
    let private = PrivateImages::prepare(&images, manifest, (wishes, connections), nowhere, &headway)?;
    let put_back = its_own.map(|config| files::put_back(images.parts(), config, &headway)).transpose();
    let mut put_back = put_back.map_err(RestoreError::from)?;
    let mut placed =
        open_files::place(&manifest.unnamed_files, images.parts()).map_err(RestoreError::from)?;
    let clocks = GoingOn::plan(manifest).map_err(RestoreError::Clocks)?;
    // Its files have the numbers that they have for the program itself.
    clocks.set_page(None).map_err(RestoreError::from)?;
    let removed = own_ipc::removed(private.path(), manifest).map_err(RestoreError::from)?;
    let namespaces =
        Namespaces { time: clocks.namespace, ipc: own_ipc::namespace(manifest, &Config::default()) };
    // The locks are of the copies of its files, which nobody else has.
    let left_out = LeftOut::new(&manifest.tree, clocks, (private.locks().clone(), removed), connections);
    let moved = reopen_cgroup_files(manifest);
    let mut inherited = streams.to_vec();
    inherited.extend(moved.iter().map(|(fd, key)| (fd.as_raw_fd(), key.clone())));
    let hook = move |pause| -> io::Result<()> {
        match pause {
            Pause::BeforeFork => left_out.before_fork(),
            Pause::BeforeResume => {
                left_out.give()?;
                placed.take_away();
                reserved_pids::pass_reserved()?;
                put_back.take().into_iter().for_each(PutBack::keep);
                ready();
                Ok(())
            }
            _ => Ok(()),
        }
    };
    let work = Path::new(limits::RESTORE_WORK);
    let what = Restore {
        images: private.path(),
        pages: images.streams().cloned().map(|streams| streams as Arc<dyn PagesSource>),
        work,
        inherited: &inherited,
        namespaces,
        connections,
        headway: &headway,
    };
    criu::restore(&what, Box::new(hook)).map_err(|error: CriuError| RestoreError::from(error).into())
}
