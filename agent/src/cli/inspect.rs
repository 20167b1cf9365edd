//! `crik inspect`: what is in a checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::attempts::{Attempt, Attempts};
use serde::Serialize;

use super::args::Inspect;
use crate::base::limits::CriuVersion;
use crate::base::output::print;
use crate::base::table::table;
use crate::base::units;
use crate::restore::generation_images::GenerationImages;
use crate::restore::went_on;
use crate::tree::criu::images::{self, ImageProcess};

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspection {
    manifest: Manifest,
    created_at: String,
    bytes: u64,
    attempts: Vec<Attempt>,
    processes: Vec<ImageProcess>,
}

/// Prints it.
///
/// # Errors
/// There is no such checkpoint, or it is damaged.
pub fn inspect(args: &Inspect) -> Result<()> {
    let (dir, config) = args.place.look()?;
    let keys = config.encryption_keys()?;
    let generation = args.generation.find(&dir)?;
    let (path, manifest) =
        Manifest::brought(&dir, generation, None).with_context(|| format!("checkpoint {}", generation.0))?;
    let opened = GenerationImages::open(&path, &dir, &manifest, (keys.as_ref(), &Arc::default()))?;
    let inspection = Inspection {
        created_at: units::rfc3339(manifest.created_at),
        bytes: manifest.total_bytes(),
        attempts: Attempts::read(&dir, generation)?.attempts,
        processes: images::processes(opened.path())?,
        manifest,
    };
    print(args.place.output, &inspection, told)
}

fn told(inspection: &Inspection) -> String {
    let parts = [
        facts(inspection),
        attempts(&inspection.attempts),
        processes(&inspection.processes),
        files(&inspection.processes),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn facts(inspection: &Inspection) -> String {
    let (manifest, identity) = (&inspection.manifest, &inspection.manifest.identity);
    let durations: Vec<String> =
        manifest.durations_ms.iter().map(|(step, ms)| format!("{step} {ms} ms")).collect();
    let place = identity.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let rows = [
        ("generation", manifest.generation.0.to_string()),
        (
            "taken",
            format!(
                "{}, {} ago, by {}{place}",
                inspection.created_at,
                units::ago(manifest.created_at),
                identity.host
            ),
        ),
        ("program", identity.argv.join(" ")),
        (
            "size",
            format!(
                "{} in {} files",
                units::bytes(inspection.bytes),
                manifest.files.len() + streams(manifest)
            ),
        ),
        ("stored", stored(manifest)),
        ("memory", units::bytes(manifest.tree.resident_bytes)),
        ("took", durations.join(", ")),
        ("machine", format!("{}, kernel {}", identity.arch, identity.kernel)),
        ("versions", format!("crik {}, CRIU {}", manifest.crik_version, CriuVersion(identity.criu))),
        (
            "put back",
            manifest.extra_paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" "),
        ),
    ];
    rows.iter().map(|(name, value)| format!("{name:<11}{value}\n")).collect()
}

fn streams(manifest: &Manifest) -> usize {
    manifest.streams.as_ref().map_or(0, |streams| streams.sizes.len())
}

/// What of it is on the volume, and what was written for it alone.
fn stored(manifest: &Manifest) -> String {
    let (stored, new) = (units::bytes(manifest.stored_bytes()), units::bytes(manifest.new_bytes()));
    let how = manifest.streams.as_ref().map_or_else(
        || "as CRIU wrote it".to_owned(),
        |streams| format!("memory in chunks, by {} at the end", streams.codec),
    );
    format!("{stored}, of which {new} are new; {how}")
}

fn attempts(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return "it was never resumed\n".to_owned();
    }
    let row = |one: &Attempt| {
        let untold = match went_on::is_noted(one) {
            true => "none: the program went on there after this checkpoint",
            false => "unknown: the pod vanished meanwhile",
        };
        let outcome = one.outcome.clone().unwrap_or_else(|| untold.to_owned());
        vec![units::rfc3339(one.at), one.host.clone(), one.node.clone().unwrap_or_default(), outcome]
    };
    table(&["RESUMED AT", "POD", "NODE", "OUTCOME"], attempts.iter().map(row))
}

fn processes(processes: &[ImageProcess]) -> String {
    let parents: BTreeMap<u32, u32> = processes.iter().map(|one| (one.pid, one.parent)).collect();
    let depth = |pid: u32| {
        let ancestors = std::iter::successors(parents.get(&pid), |parent| parents.get(parent));
        // Ids on a volume may form a ring.
        ancestors.take(processes.len()).count().saturating_sub(1)
    };
    let row = |one: &ImageProcess| {
        let name = format!("{}{}", "  ".repeat(depth(one.pid)), one.name);
        vec![
            one.pid.to_string(),
            name,
            one.threads.to_string(),
            units::bytes(one.memory),
            one.files.len().to_string(),
        ]
    };
    table(&["PID>", "PROCESS", "THREADS>", "MEMORY>", "FILES>"], processes.iter().map(row))
}

fn files(processes: &[ImageProcess]) -> String {
    let rows = processes.iter().flat_map(|process| {
        process.files.iter().map(|file| {
            vec![process.pid.to_string(), file.fd.to_string(), file.kind.to_owned(), file.what.clone()]
        })
    });
    table(&["PID>", "FD>", "KIND", "WHAT"], rows)
}
