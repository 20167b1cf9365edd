//! Writes down what a start must know of a frozen tree.

use std::time::Duration;

use crik_store::generation::clock_facts::ClockFacts;
use crik_store::generation::digest;
use crik_store::generation::identity::Identity;
use crik_store::generation::manifest::{self, Manifest};
use crik_store::image_dir::Generation;
use crik_store::image_dir::staging::Purpose;

use crate::base::units::{self, whole_ms};
use crate::carry::own_values;
use crate::checkpoint::freeze::Staged;
use crate::tree::criu::{self, CriuError};
use crate::workload::{RunningTree, Workload};

/// What is written down of a frozen tree, to be committed as `generation`.
///
/// # Errors
/// There is no CRIU any more.
pub fn manifest_of(
    workload: &Workload,
    running: &RunningTree,
    generation: Generation,
    purpose: Purpose,
    staged: Staged,
) -> Result<Manifest, CriuError> {
    let pod = &workload.pod;
    let clocks = ClockFacts { ran_ms: whole_ms(running.life.so_far()), ..staged.clocks };
    Ok(Manifest {
        version: manifest::VERSION,
        generation,
        created_at: units::now(),
        crik_version: env!("CARGO_PKG_VERSION").to_owned(),
        identity: Identity::here(&workload.command, pod.node.as_deref())
            .with_criu(criu::version()?)
            .with_own(own_values::of(pod))
            .with_programs(running.programs.known()),
        tree: staged.tree,
        stdio: staged.stdio,
        terminal: staged.terminal,
        cgroups: staged.cgroups,
        addresses: staged.addresses,
        kubelet_files: staged.kubelet_files,
        datagram_peers: staged.datagram_peers,
        extra_paths: Vec::new(),
        monotonic_seconds: Duration::from_nanos(clocks.told.monotonic.unsigned_abs()).as_secs(),
        clocks: Some(clocks),
        durations_ms: staged.durations_ms,
        files: digest::Files::new(),
        extra: None,
        image_dir: workload.config.image_dir.clone(),
        went_on: purpose != Purpose::Stop,
        volume_files: staged.volume_files,
        unnamed_files: staged.unnamed_files,
        file_numbers: staged.file_numbers,
        ids: staged.ids,
        has_digest: true,
        ran_since_start_ms: whole_ms(running.life.since_start()),
        streams: None,
    })
}
