//! `crik gc`: removes what no start would resume.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use crik_store::encryption::keys::EncryptionKeys;
use crik_store::generation::manifest::Manifest;
use crik_store::generation::signature::Keys;
use crik_store::generation::verify_whole::whole;
use crik_store::image_dir::attempts::Attempts;
use crik_store::image_dir::hold::{Hold, Wish};
use crik_store::image_dir::pod::Pod;
use crik_store::image_dir::retention::{self, Superfluous};
use crik_store::image_dir::{Generation, ImageDir, ImageDirError};
use serde::Serialize;

use super::args::Gc;
use crate::base::output::print;
use crate::base::table::table;
use crate::base::units;
use crate::config::Config;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    dry_run: bool,
    removed: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    generation: u64,
    bytes: Option<u64>,
    why: &'static str,
}

/// Removes them, and prints which. The image directory is held meanwhile, as a pod holds it.
///
/// # Errors
/// A pod holds it that may be alive, or the volume fails.
pub fn gc(args: &Gc) -> Result<()> {
    let (dir, config) = args.place.look()?;
    let (keys, encryption) = (config.keys()?, config.encryption_keys()?);
    let keep = Keep {
        newest: args.keep.unwrap_or(config.keep_generations) as usize,
        keys,
        encryption,
        max_restores: config.max_restores as usize,
    };
    let done = if args.dry_run {
        Done { dry_run: true, removed: superfluous(&dir, &keep)? }
    } else {
        let hold = take(&dir, &config)?;
        let removed = remove(&hold, &keep);
        hold.release();
        Done { dry_run: false, removed: removed? }
    };
    print(args.place.output, &done, told)
}

/// Takes the image directory as a person. With it goes what other pods have left half done.
///
/// # Errors
/// A pod holds it that may be alive, or the volume fails.
pub fn take(dir: &ImageDir, config: &Config) -> Result<Arc<Hold>> {
    take_in(dir.root(), config)
}

/// The same of the one in this place, which is made if it is not there.
///
/// # Errors
/// As of [`take`].
pub fn take_in(root: &Path, config: &Config) -> Result<Arc<Hold>> {
    let dir = ImageDir::open(root)?;
    let wish =
        Wish { pod: Pod { container: None, ..Pod::here(None) }, expiry: config.claim_expiry, expired: None };
    Ok(Hold::take(&dir, &wish)?)
}

/// What is kept: the newest that a start would resume.
struct Keep {
    newest: usize,
    keys: Option<Keys>,
    encryption: Option<EncryptionKeys>,
    max_restores: usize,
}

impl Keep {
    /// Whether a start here would resume it, as far as that can be told without the machine on which it is.
    fn is_good(&self, dir: &ImageDir, generation: Generation) -> Result<bool, ImageDirError> {
        if Attempts::read(dir, generation)?.counted() >= self.max_restores {
            return Ok(false);
        }
        let found = Manifest::brought(dir, generation, self.keys.as_ref());
        let keys = self.encryption.as_ref();
        Ok(found.is_ok_and(|(path, manifest)| whole(&path, dir, (&manifest, keys), &|_| {}).is_ok()))
    }
}

fn remove(hold: &Hold, keep: &Keep) -> Result<Vec<Row>> {
    hold.remove_left_overs()?;
    let rows = superfluous(hold.dir(), keep)?;
    rows.iter().try_for_each(|row| hold.remove(Generation(row.generation)))?;
    Ok(rows)
}

fn superfluous(dir: &ImageDir, keep: &Keep) -> Result<Vec<Row>> {
    let row = |(generation, why)| {
        let manifest = Manifest::brought(dir, generation, None);
        let bytes = manifest.ok().map(|(_, manifest)| manifest.total_bytes());
        let why = match why {
            Superfluous::Ended => "the work has ended since",
            Superfluous::GivenUp => "another line of descent was chosen",
            Superfluous::Older => "there are newer ones that are whole",
        };
        Row { generation: generation.0, bytes, why }
    };
    let is_good = |generation| keep.is_good(dir, generation);
    Ok(retention::superfluous(dir, keep.newest, is_good)?.into_iter().map(row).collect())
}

fn told(done: &Done) -> String {
    if done.removed.is_empty() {
        return "nothing is superfluous\n".to_owned();
    }
    let row = |row: &Row| {
        let size = row.bytes.map_or_else(|| "-".to_owned(), units::bytes);
        vec![row.generation.to_string(), size, row.why.to_owned()]
    };
    let freed: u64 = done.removed.iter().filter_map(|row| row.bytes).sum();
    let verb = if done.dry_run { "would be freed" } else { "are freed" };
    table(&["GENERATION>", "SIZE>", "REMOVED SINCE"], done.removed.iter().map(row))
        + &format!("{} {verb}\n", units::bytes(freed))
}
