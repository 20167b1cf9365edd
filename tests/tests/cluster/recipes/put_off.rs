//! The recipes of pods that their owner deletes to have them go on later.

use anyhow::{Result, ensure};

use super::counting::{Counting, is_complete};
use super::queued::{self, Kueue};
use super::{Part, notebook, prepare, side_by_side};
use crate::{Turn, turn};

/// What becomes of each.
type Story = fn(&Turn, &str) -> Result<()>;

/// All of them.
pub const RECIPES: [(&str, Story); 3] = [
    ("suspended-job.yaml", suspended),
    ("notebook.yaml", notebook::sleeps_at_night),
    ("kueue.yaml", queued::gives_way),
];

#[test]
fn what_its_owner_puts_off_goes_on_when_its_time_has_come() -> Result<()> {
    let turn = turn()?;
    let _release = prepare(&turn)?;
    // Its webhooks are asked about each pod, and so it comes before the others and goes after them.
    let _kueue = Kueue::new(&turn.cluster)?;
    let shared = &turn;
    let part = |(file, story): (_, Story)| -> Part<'_, ()> { (file, Box::new(move || story(shared, file))) };
    side_by_side(RECIPES.map(part)).map(drop)
}

fn suspended(turn: &Turn, file: &str) -> Result<()> {
    let counting = Counting::begin(turn, file, "job-name=sum", 1)?;
    suspend(&counting, true)?;
    counting.stopped()?;
    let status = counting.space.get("job", "sum")?["status"].clone();
    ensure!(status["failed"].as_u64().unwrap_or(0) == 0, "{status}");
    suspend(&counting, false)?;
    let space = counting.counts_to_the_end()?;
    is_complete(&space, "sum", 1, 0)?;
    space.held()
}

fn suspend(counting: &Counting, suspend: bool) -> Result<()> {
    let patch = format!(r#"{{"spec": {{"suspend": {suspend}}}}}"#);
    counting.space.kubectl(&["patch", "job", "sum", "--patch", &patch]).map(drop)
}
