//! `crik verify`: whether checkpoints are what was committed.

use anyhow::Result;
use crik_store::encryption::keys::EncryptionKeys;
use crik_store::generation::manifest::Manifest;
use crik_store::generation::signature::Keys;
use crik_store::generation::verify_whole::whole;
use crik_store::image_dir::{Generation, ImageDir};
use serde::Serialize;

use super::args::Verify;
use super::progress_bar::ProgressBar;
use crate::base::output::print;
use crate::base::table::table;
use crate::base::whole_story::whole_story;
use crate::base::{exit_codes, units};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    generation: u64,
    whole: bool,
    bytes: Option<u64>,
    reason: Option<String>,
}

/// Prints the verdict on each. Returns the exit code: 0 if all are whole.
///
/// # Errors
/// There is no such checkpoint, or no image directory.
pub fn verify(args: &Verify) -> Result<i32> {
    let (dir, config) = args.place.look()?;
    let keys = (config.keys()?, config.encryption_keys()?);
    let wanted = match args.generation {
        Some(wanted) => vec![wanted.find(&dir)?],
        None => dir.list()?,
    };
    let bytes =
        wanted.iter().filter_map(|generation| Some(read(&dir, *generation, None).ok()?.total_bytes())).sum();
    let progress = ProgressBar::new(bytes);
    let rows: Vec<Row> = wanted
        .iter()
        .map(|generation| judge(&dir, *generation, (keys.0.as_ref(), keys.1.as_ref()), &progress))
        .collect();
    drop(progress);
    print(args.place.output, &rows, |rows| told(rows))?;
    Ok(if rows.iter().all(|row| row.whole) { 0 } else { exit_codes::FAILURE })
}

fn read(dir: &ImageDir, generation: Generation, key: Option<&Keys>) -> Result<Manifest> {
    Ok(Manifest::brought(dir, generation, key)?.1)
}

fn judge(
    dir: &ImageDir,
    generation: Generation,
    (key, encryption): (Option<&Keys>, Option<&EncryptionKeys>),
    progress: &ProgressBar,
) -> Row {
    let manifest = read(dir, generation, key);
    let bytes = manifest.as_ref().ok().map(Manifest::total_bytes);
    let verdict = manifest.and_then(|manifest| {
        Ok(whole(&dir.generation(generation), dir, (&manifest, encryption), &|bytes| progress.add(bytes))?)
    });
    let reason = verdict.err().map(|error| whole_story(&error));
    Row { generation: generation.0, whole: reason.is_none(), bytes, reason }
}

fn told(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "there is no checkpoint\n".to_owned();
    }
    let row = |row: &Row| {
        let size = row.bytes.map_or_else(|| "-".to_owned(), units::bytes);
        vec![row.generation.to_string(), size, row.reason.clone().unwrap_or_else(|| "whole".to_owned())]
    };
    table(&["GENERATION>", "SIZE>", "VERDICT"], rows.iter().map(row))
}
