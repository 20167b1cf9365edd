//! What goes into the staging directory with CRIU's images, and what the manifest will say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crik_store::generation::clock_facts::ClockFacts;
use crik_store::generation::file_numbers::FileNumbers;
use crik_store::generation::open_files::{UnnamedFile, VolumeFile};
use crik_store::generation::parts::NewParts;
use crik_store::generation::streams::StreamsWriter;
use crik_store::generation::tree_facts::{
    Cgroups, DatagramPeer, KubeletFile, PodAddress, StdioMap, TerminalFacts, TreeFacts,
};
use crik_store::image_dir::io_at;

use super::error::FreezeError;
use super::request::FreezeRequest;
use crate::carry::files::{BesideDump, Summary};
use crate::carry::open_files::{self, LostNames};
use crate::carry::{addresses, cgroup_files, clocks, file_numbers, kubelet_files, orphans, streams};
use crate::tree::criu::{IPC_IMAGE, images as criu_images};
use crate::tree::process::capabilities::permitted;
use crate::tree::process::snapshot::{Snapshot, Tree};
use crate::tree::process::{ipc_namespace, system_v};

/// What is in the staging directory, and what the manifest will say of it.
pub struct Staged {
    /// The tree that was dumped.
    pub tree: TreeFacts,
    /// Where its standard streams lead.
    pub stdio: StdioMap,
    /// The container's terminal.
    pub terminal: TerminalFacts,
    /// Its open control group files.
    pub cgroups: Cgroups,
    /// Its clocks.
    pub clocks: ClockFacts,
    /// The pod's addresses.
    pub addresses: Vec<PodAddress>,
    /// The files of ConfigMaps and their like that it has open.
    pub kubelet_files: Vec<KubeletFile>,
    /// Its datagram sockets that are connected to those of other pods.
    pub datagram_peers: Vec<DatagramPeer>,
    /// The files that went along.
    pub carried: Summary,
    /// The files of volumes that it had open.
    pub volume_files: Vec<VolumeFile>,
    /// By which numbers the tree knows the files that it has open.
    pub file_numbers: Vec<FileNumbers>,
    /// The ids that must be free to resume it.
    pub ids: BTreeSet<i32>,
    /// Those of its open files that have lost their name.
    pub unnamed_files: Vec<UnnamedFile>,
    /// What each step took, in milliseconds.
    pub durations_ms: BTreeMap<String, u64>,
    /// Its memory, of which not all may be durable yet.
    pub streams: Option<Arc<StreamsWriter>>,
}

/// What goes with the image. The tree is frozen, so its files are those of the same moment.
pub(super) fn stage(
    request: &FreezeRequest,
    (parts, images): (&NewParts, &Path),
    names: &LostNames,
    files: Option<BesideDump>,
) -> Result<Staged, FreezeError> {
    let tree = Snapshot::take().tree(request.root);
    refuse_new_system_v(request.root, images)?;
    let goes_along = |path: &Path| request.carrying.takes(path);
    open_files::refuse_unreachable(images, names, &goes_along)?;
    let open = open_files::note(&tree).map_err(io_at("read", Path::new("/proc/self/mountinfo")))?;
    Ok(Staged {
        tree: facts(&tree, request)?,
        stdio: streams::current(),
        terminal: TerminalFacts::default(),
        cgroups: cgroup_files::of(&tree),
        clocks: facts_of_clocks(&tree, request)?,
        addresses: addresses::own().unwrap_or_else(unknown("the pod's addresses are")),
        kubelet_files: kubelet_files::of(images, &tree)
            .unwrap_or_else(unknown("what is open of ConfigMaps and Secrets is")),
        datagram_peers: Vec::new(),
        carried: files.ok_or(FreezeError::NoPause)?.finish(|| request.headway.is_given_up())?,
        file_numbers: file_numbers::known(open.named, request.library.as_ref())
            .unwrap_or_else(unknown("the inodes of files that are open are")),
        volume_files: open.on_volumes,
        unnamed_files: open_files::keep(names, parts, &|path| request.carrying.holds(path))
            .map_err(io_at("keep open files without a name in", parts.staging()))?,
        ids: criu_images::ids(images).unwrap_or_else(unknown("the ids of the tree are")),
        durations_ms: BTreeMap::new(),
        streams: None,
    })
}

/// What was not there before the tree was frozen is in no image.
fn refuse_new_system_v(root: i32, images: &Path) -> Result<(), FreezeError> {
    let names = fs::read_dir(images).map_err(io_at("read", images))?.flatten().map(|entry| entry.file_name());
    let is_dumped = names.into_iter().any(|name| name.as_encoded_bytes().starts_with(IPC_IMAGE.as_bytes()));
    let is_new = || ipc_namespace::is_elsewhere(root) && system_v::is_in_that_of(root);
    if !is_dumped && is_new() { Err(FreezeError::NewSystemV) } else { Ok(()) }
}

fn facts_of_clocks(tree: &Tree, request: &FreezeRequest) -> Result<ClockFacts, FreezeError> {
    clocks::facts::of(tree, request.root, request.library.as_ref()).map_err(FreezeError::Clocks)
}

/// Without it a restore may fail, and without a checkpoint there would be none.
fn unknown<T: Default, E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> T {
    move |error| {
        tracing::warn!("{what} not in this checkpoint: {error}");
        T::default()
    }
}

fn facts(tree: &Tree, request: &FreezeRequest) -> Result<TreeFacts, FreezeError> {
    let lost = tree.in_lost_sessions(request.root);
    if !lost.is_empty() {
        return Err(FreezeError::LostSessions(lost));
    }
    let orphans = tree.has_orphans(request.root);
    if orphans && !orphans::SUPPORTED {
        return Err(FreezeError::Orphans);
    }
    Ok(TreeFacts {
        root: request.root,
        init: request.init.clone(),
        processes: tree.0.len(),
        resident_bytes: tree.resident_bytes(),
        orphans,
        capabilities: tree.0.iter().fold(0, |all, process| all | permitted(process.pid)),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::base::retry::{HasOutlook as _, Outlook};

    #[test]
    fn what_of_system_v_was_made_just_as_it_was_frozen_fails_the_checkpoint_which_is_tried_again() {
        let images = tempfile::tempdir().unwrap();
        let refuse = |root| refuse_new_system_v(root, images.path());
        let make_and_start = || {
            // SAFETY: shmget(2) takes numbers.
            assert!(unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) } >= 0);
            Command::new("sleep").arg("60").spawn()
        };
        let mut child = ipc_namespace::in_new(make_and_start).flatten().unwrap();
        let root = child.id().cast_signed();
        let made = refuse(root);
        fs::write(images.path().join(format!("{IPC_IMAGE}10.img")), "").unwrap();
        let dumped = refuse(root);
        child.kill().unwrap();
        child.wait().unwrap();
        let error = made.unwrap_err();
        assert!(matches!(error, FreezeError::NewSystemV) && error.outlook() == Outlook::MayPass, "{error}");
        dumped.unwrap();
    }
}
