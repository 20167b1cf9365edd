//! `crik list`: the checkpoints of an image directory, and what the next start does with each.

use anyhow::Result;
use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::attempts::Attempts;
use crik_store::image_dir::end_mark::EndMark;
use crik_store::image_dir::last_stop::LastStop;
use crik_store::image_dir::lines::{Apart, Lines};
use crik_store::image_dir::verdict::ToldVerdict;
use crik_store::image_dir::{Generation, ImageDir, hold};
use serde::Serialize;

use super::choose::numbers;
use super::place::Place;
use crate::base::output::print;
use crate::base::table::table;
use crate::base::units;
use crate::config::Config;

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    image_dir: String,
    holder: Option<Holder>,
    ended: Option<EndMark>,
    last_stop: Option<LastStop>,
    apart: Vec<Apart>,
    generations: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Holder {
    name: String,
    released: bool,
    since: Option<String>,
    /// What that pod has found of itself.
    verdict: Option<ToldVerdict>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    generation: u64,
    state: String,
    attempts: usize,
    #[serde(flatten)]
    facts: Option<Facts>,
}

/// What the manifest says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    created_at: String,
    #[serde(skip)]
    seconds: u64,
    bytes: u64,
    /// How many of them are on the volume.
    stored_bytes: u64,
    /// How many were written for this checkpoint alone.
    new_bytes: u64,
    processes: usize,
    resident_bytes: u64,
    crik: String,
    criu: String,
    node: Option<String>,
    host: String,
}

impl Listing {
    fn has(&self, generation: Generation) -> bool {
        self.generations.iter().any(|row| row.generation == generation.0)
    }

    /// A checkpoint of the main line, if there is one.
    fn main(&self) -> Option<u64> {
        let beside = |row: &Row| {
            self.apart.iter().any(|line| line.generations.contains(&Generation(row.generation)))
                || row.state.starts_with("given up for another line")
        };
        self.generations.iter().find(|row| !beside(row)).map(|row| row.generation)
    }
}

/// Prints the list.
///
/// # Errors
/// There is no image directory, or it cannot be read.
pub fn list(place: &Place) -> Result<()> {
    let (dir, config) = place.look()?;
    let ended = dir.ended()?;
    let holder = hold::newest(&dir)?.map(|seen| Holder {
        name: seen.name(),
        released: seen.released,
        // Of one that has gone it is no news.
        verdict: dir.verdict(seen.number).filter(|_| !seen.released).map(ToldVerdict::from),
        since: seen.holder.map(|holder| units::rfc3339(holder.since)),
    });
    let (last_stop, lines) = (dir.last_stop()?, dir.lines()?);
    let generations = rows(&dir, &config, ended.as_ref(), &lines)?;
    let (image_dir, apart) = (dir.root().display().to_string(), lines.apart);
    let listing = Listing { image_dir, holder, ended, last_stop, apart, generations };
    print(place.output, &listing, told)
}

fn rows(dir: &ImageDir, config: &Config, ended: Option<&EndMark>, lines: &Lines) -> Result<Vec<Row>> {
    let mut next = "next";
    let mut rows = Vec::new();
    for generation in dir.list()? {
        let account = Attempts::read(dir, generation)?;
        let attempts = account.counted();
        let manifest = Manifest::brought(dir, generation, None).map(|(_, manifest)| manifest);
        let state = match &manifest {
            _ if lines.of(generation).is_some() => "stands apart, see below".to_owned(),
            _ if lines.given_up.contains(&generation) => "given up for another line of descent".to_owned(),
            _ if ended.is_some_and(|ended| generation <= ended.newest) => "ended".to_owned(),
            Err(error) => format!("damaged: {error}"),
            Ok(_) if attempts >= config.max_restores as usize => {
                format!("given up: resumed {attempts} times")
            }
            Ok(_) => with_failure(std::mem::replace(&mut next, "older"), account.last_failure()),
        };
        rows.push(Row { generation: generation.0, state, attempts, facts: manifest.ok().map(facts) });
    }
    Ok(rows)
}

/// A checkpoint that did not work the last time is tried again, and a person wants to know before.
fn with_failure(turn: &str, failure: Option<&str>) -> String {
    failure.map_or_else(|| turn.to_owned(), |why| format!("{turn}; failed the last time: {why}"))
}

fn facts(manifest: Manifest) -> Facts {
    Facts {
        created_at: units::rfc3339(manifest.created_at),
        seconds: manifest.created_at,
        bytes: manifest.total_bytes(),
        stored_bytes: manifest.stored_bytes(),
        new_bytes: manifest.new_bytes(),
        processes: manifest.tree.processes,
        resident_bytes: manifest.tree.resident_bytes,
        criu: crate::base::limits::CriuVersion(manifest.identity.criu).to_string(),
        crik: manifest.crik_version,
        node: manifest.identity.node,
        host: manifest.identity.host,
    }
}

fn told(listing: &Listing) -> String {
    let mut text = String::new();
    match &listing.holder {
        None => {}
        Some(holder) if holder.released => text += &format!("last held by {}\n", holder.name),
        Some(holder) => {
            text += &format!("held by {}\n", holder.name);
            holder.verdict.iter().for_each(|verdict| text += &format!("{}\n", verdict.told));
        }
    }
    if let Some(ended) = &listing.ended {
        text += &format!(
            "the work ended ({}): checkpoints up to {} are not resumed\n",
            ended.why, ended.newest.0
        );
    }
    listing.last_stop.iter().for_each(|stop| text += &format!("{stop}\n"));
    if listing.generations.is_empty() {
        return text + &format!("{} has no checkpoint\n", listing.image_dir);
    }
    let headings = [
        "GENERATION>",
        "AGE>",
        "SIZE>",
        "STORED>",
        "NEW>",
        "MEMORY>",
        "PROCESSES>",
        "NODE",
        "RESUMED>",
        "NEXT START",
    ];
    text + &table(&headings, listing.generations.iter().map(cells)) + &choice(listing)
}

/// What a person has to decide, and how.
fn choice(listing: &Listing) -> String {
    let mut text = String::new();
    for line in &listing.apart {
        let there: Vec<Generation> =
            line.generations.iter().copied().filter(|one| listing.has(*one)).collect();
        let Some(chosen) = there.last() else { continue };
        let numbers = numbers(&there);
        text += &format!(
            "checkpoints {numbers} stand apart: {}. To go on with them and give all others up: crik choose {}\n",
            line.why, chosen.0
        );
    }
    match (listing.main(), text.is_empty()) {
        (Some(next), false) => text + &format!("To give them up instead: crik choose {next}\n"),
        _ => text,
    }
}

fn cells(row: &Row) -> Vec<String> {
    let fact = |tell: fn(&Facts) -> String| row.facts.as_ref().map_or_else(|| "-".to_owned(), tell);
    vec![
        Generation(row.generation).0.to_string(),
        fact(|facts| units::ago(facts.seconds)),
        fact(|facts| units::bytes(facts.bytes)),
        fact(|facts| units::bytes(facts.stored_bytes)),
        fact(|facts| units::bytes(facts.new_bytes)),
        fact(|facts| units::bytes(facts.resident_bytes)),
        fact(|facts| facts.processes.to_string()),
        fact(|facts| facts.node.clone().unwrap_or_else(|| facts.host.clone())),
        row.attempts.to_string(),
        row.state.clone(),
    ]
}
