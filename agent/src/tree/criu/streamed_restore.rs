//! Has CRIU restore from streams. By its RPC it aborts (criu/cr-service.c opens the directory as for neither a dump nor a restore), so it is
//! called by a command line, with the same options.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::action_script::Actions;
use super::become_criu::RESTORE;
use super::call::{Call, present_mounts};
use super::error::CriuError;
use super::image_streamer::ImageStreamer;
use super::pages::PagesSource;
use super::pause::{Hook, Pause};
use super::restore_request::Restore;
use crate::base::limits;
use crate::tree::process::borrow;

/// Restores a tree whose root becomes a child of this process.
///
/// # Errors
/// CRIU refused, or the hook did, or the pages are not there as they should be.
pub(super) fn restore(
    what: &Restore<'_>,
    source: &Arc<dyn PagesSource>,
    call: &Call,
    mut hook: Hook,
) -> Result<(), CriuError> {
    let prepare = |what| move |source| CriuError::Prepare { what, source };
    let streamer = ImageStreamer::begin(what.images, Arc::clone(source)).map_err(prepare("serve images"))?;
    let actions = Actions::begin(streamer.directory()).map_err(prepare("make a socket"))?;
    let mut criu = Command::new("/proc/self/exe");
    criu.args(words(what, &streamer));
    actions.tell(&mut criu);
    let mut child = criu.spawn().map_err(|error| CriuError::Missing(error.to_string()))?;
    let mut lost = None;
    let mut checked = |pause| {
        if pause == Pause::BeforeResume {
            // Nothing runs yet, so that what CRIU does not look for can still be told.
            streamer.all_given(what.headway).map_err(|error| {
                let told = io::Error::other(error.to_string());
                lost = Some(error);
                told
            })?;
        }
        hook(pause)
    };
    let ended = attend(&mut child, &actions, &mut checked).map_err(prepare("wait"))?;
    if ended.success() {
        return Ok(());
    }
    // Of a source that failed CRIU can only tell that it has ended.
    Err(streamer.failure().or(lost).map_or_else(|| call.refused(&ended), CriuError::Pages))
}

/// The words of the command line, for what rust-criu asks of a CRIU otherwise.
fn words(what: &Restore<'_>, streamer: &ImageStreamer) -> Vec<OsString> {
    let mut words: Vec<OsString> = [
        RESTORE,
        "--stream",
        "--restore-detached",
        "--restore-sibling",
        "--ext-unix-sk",
        "--file-locks",
        "--manage-cgroups=ignore",
        "--images-dir",
    ]
    .map(OsString::from)
    .into();
    words.extend([streamer.directory().into(), "--work-dir".into(), what.work.into()]);
    words.push(format!("--verbosity={}", limits::CRIU_LOG_LEVEL).into());
    words.extend(present_mounts().map(|(name, path)| format!("--external=mnt[{name}]:{path}").into()));
    words.extend(what.inherited.iter().map(|(fd, key)| format!("--inherit-fd=fd[{fd}]:{key}").into()));
    words
}

/// Answers CRIU at its pauses until it has ended. What it restores has its descriptors for a while, so that only its process tells
/// of that.
fn attend(
    criu: &mut Child,
    actions: &Actions,
    hook: &mut dyn FnMut(Pause) -> io::Result<()>,
) -> io::Result<ExitStatus> {
    let process = borrow::process_fd(criu.id().cast_signed())?;
    loop {
        let [asks, ended] = {
            let mut polled = [actions.listener().as_fd(), process.as_fd()]
                .map(|file| PollFd::new(file, PollFlags::POLLIN));
            match poll(&mut polled, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                polled => polled?,
            };
            polled.map(|file| file.any().unwrap_or(true))
        };
        if ended {
            return criu.wait();
        }
        // A script that is gone has not let CRIU go on.
        if asks && let Err(error) = actions.answer(hook) {
            tracing::warn!(step = "criu", "cannot answer an action script: {error}");
        }
    }
}
