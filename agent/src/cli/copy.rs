//! `crik copy`: copies checkpoints into another image directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use crik_store::generation::copy::{self, Target};
use crik_store::generation::keys::GenerationKeys;
use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::hold::{self, Hold};
use crik_store::image_dir::{Generation, ImageDir, buckets, resumable};
use serde::Serialize;

use super::args::Copy;
use super::gc;
use super::place;
use super::progress_bar::ProgressBar;
use crate::base::output::print;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::table::table;
use crate::base::whole_story::whole_story;
use crate::base::{exit_codes, units};
use crate::config::{Config, Format};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    generation: u64,
    bytes: Option<u64>,
    /// How many were written.
    new_bytes: u64,
    copied: bool,
    reason: Option<String>,
}

/// Copies those that a start would resume, oldest first, so that a start from the copy has the same ladder; or one of them. Both image
/// directories may be on volumes or in buckets; the other one is held meanwhile, as a pod holds it. Returns the exit code: 0 if all of
/// them are there now.
///
/// # Errors
/// There is no such checkpoint, a pod holds the other image directory that may be alive, or it has other checkpoints.
pub fn copy(args: &Copy) -> Result<i32> {
    let config = Config::load(&args.config_path)?;
    ensure!(args.from != args.to, "it is copied to where it is; name another image directory");
    let from = place::look(&args.from)?;
    let wanted = wanted(args, &from)?;
    warn_of_a_holder(args, &from)?;
    buckets::connect(&args.to, &std::env::temp_dir());
    let hold = gc::take_in(&args.to, &config)?;
    let rows = Copier::new(args, &config, &from, &hold).and_then(|copier| copier.copy(&wanted));
    hold.release();
    let rows = rows?;
    print(args.output, &rows, |rows| told(rows))?;
    Ok(if rows.iter().all(|row| row.reason.is_none()) { 0 } else { exit_codes::FAILURE })
}

/// The oldest first.
fn wanted(args: &Copy, from: &ImageDir) -> Result<Vec<Generation>> {
    let mut wanted = resumable::resumable(from)?;
    if let Some(one) = args.generation {
        let one = one.find(from)?;
        ensure!(wanted.contains(&one), "no start would resume checkpoint {one} of {}", args.from.display());
        wanted = vec![one];
    }
    wanted.reverse();
    ensure!(!wanted.is_empty(), "{} has no checkpoint that a start would resume", args.from.display());
    Ok(wanted)
}

/// It may be of a node that is lost, and then nobody can end it.
fn warn_of_a_holder(args: &Copy, from: &ImageDir) -> Result<()> {
    if let Some(holder) = hold::newest(from)?.filter(|seen| !seen.released) {
        eprintln!(
            "crik: {} is held by {}: if that is alive end it first, or two go on from one checkpoint",
            args.from.display(),
            holder.name()
        );
    }
    Ok(())
}

/// Copies one after the other.
struct Copier<'a> {
    args: &'a Copy,
    config: &'a Config,
    from: &'a ImageDir,
    hold: &'a Arc<Hold>,
    keys: GenerationKeys,
    there: BTreeMap<Generation, u64>,
}

impl<'a> Copier<'a> {
    fn new(args: &'a Copy, config: &'a Config, from: &'a ImageDir, hold: &'a Arc<Hold>) -> Result<Self> {
        let encryption = config.encryption_keys()?.map(Arc::new);
        let keys = GenerationKeys { signing: config.keys()?, encryption };
        Ok(Self { args, config, from, hold, keys, there: there(hold.dir())? })
    }

    fn copy(&self, wanted: &[Generation]) -> Result<Vec<Row>> {
        let facts = |generation| Manifest::brought(self.from, generation, None).ok().map(|(_, facts)| facts);
        let known: Vec<Option<Manifest>> = wanted.iter().map(|generation| facts(*generation)).collect();
        wanted.iter().zip(&known).try_for_each(|(wanted, facts)| self.refuse(*wanted, facts.as_ref()))?;
        let progress = ProgressBar::new(known.iter().flatten().map(Manifest::total_bytes).sum());
        let (mut rows, mut first): (Vec<Row>, _) = (Vec::new(), None);
        for (generation, facts) in wanted.iter().zip(&known) {
            let (row, outlook) = self.copy_one(*generation, facts.as_ref(), (first, &progress))?;
            if row.copied {
                first.get_or_insert(*generation);
            }
            rows.push(row);
            // None is put above one that may follow when it is tried again.
            if outlook != Outlook::Lasting {
                break;
            }
        }
        Ok(rows)
    }

    /// What is there is not replaced.
    fn refuse(&self, generation: Generation, facts: Option<&Manifest>) -> Result<()> {
        let to = self.args.to.display();
        let is_same = |made: &u64| facts.is_some_and(|facts| facts.created_at == *made);
        let is_another = self.there.get(&generation).is_some_and(|made| !is_same(made));
        ensure!(!is_another, "{to} has another checkpoint {generation}; copy to an empty image directory");
        Ok(())
    }

    fn copy_one(
        &self,
        generation: Generation,
        facts: Option<&Manifest>,
        (first, progress): (Option<Generation>, &ProgressBar),
    ) -> Result<(Row, Outlook)> {
        let bytes = facts.map(Manifest::total_bytes);
        let row =
            |new_bytes, copied, reason| Row { generation: generation.0, bytes, new_bytes, copied, reason };
        if self.there.contains_key(&generation) {
            return Ok((row(0, false, None), Outlook::Lasting));
        }
        // Also one that ended its work, or was removed, would be in its way.
        if generation < self.hold.dir().next()? {
            let reason = format!("{} has had newer ones; copy to an empty one", self.args.to.display());
            return Ok((row(0, false, Some(reason)), Outlook::Lasting));
        }
        let target = Target { hold: self.hold, keys: &self.keys, first };
        let in_chunks = in_chunks(self.args, self.config, facts);
        Ok(match copy::copy((self.from, generation), &target, in_chunks, &|bytes| progress.add(bytes)) {
            Ok(manifest) => (row(manifest.new_bytes(), true, None), Outlook::Lasting),
            Err(error) => {
                let outlook = error.outlook();
                (row(0, false, Some(whole_story(&error.into()))), outlook)
            }
        })
    }
}

/// When each was made that is there already.
fn there(to: &ImageDir) -> Result<BTreeMap<Generation, u64>> {
    let made = |generation| Ok((generation, Manifest::brought(to, generation, None)?.1.created_at));
    to.list()?.into_iter().map(made).collect()
}

/// As it is, unless the command line or the configuration says otherwise, or there is but one way.
fn in_chunks(args: &Copy, config: &Config, manifest: Option<&Manifest>) -> bool {
    let format = args.format.unwrap_or_else(|| config.format());
    let only = config.encryption_key_file.is_some() || buckets::is_address(&args.to);
    match format {
        _ if only => true,
        Format::Chunks => true,
        Format::Plain => false,
        Format::Auto => manifest.is_some_and(|manifest| manifest.streams.is_some()),
    }
}

fn told(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let state = row
            .reason
            .clone()
            .unwrap_or_else(|| if row.copied { "copied" } else { "was there already" }.to_owned());
        let size = row.bytes.map_or_else(|| "-".to_owned(), units::bytes);
        vec![row.generation.to_string(), size, units::bytes(row.new_bytes), state]
    };
    table(&["GENERATION>", "SIZE>", "WRITTEN>", "STATE"], rows.iter().map(row))
}
