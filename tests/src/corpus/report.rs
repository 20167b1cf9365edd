//! `docs/programs.md`: which programs go on, and what that takes.

use std::fmt::Write as _;
use std::time::Duration;

use super::checkpoint::Figures;
use super::cycles::Outcome;
use super::event::Event;
use super::kept::Kept;
use super::remedies;
use super::workload::{Group, Workload};
use crate::spec::bounding_set;

/// A workload, and what became of it by crik and by CRIU alone.
pub struct Row {
    /// The workload.
    pub workload: Workload,
    /// Under crik.
    pub crik: Kept<Outcome>,
    /// By CRIU alone in the same pod.
    pub plain: Kept<Figures>,
    /// By the Go program's recipe.
    pub go: Kept<Figures>,
}

const HEAD: &str = "# Programs that were tried

`make corpus` has written this page. Each program was preempted at work and went on in a container on another node, which was booted a day after the one
before it, and so on, MOVES times, with another boot id, other addresses, an empty layer and empty directories; and at last another checkpoint of it was taken.
A program that does nothing by itself is kept busy by requests meanwhile (`load`); the others have work of their own (`busy`). How each is
started and used is in a file of its name in [tests/workloads](../tests/workloads). Beside it stand, in the same containers and moved once,
CRIU alone with the least options with which it works, and what the Go program of crik's name tells CRIU, in a privileged pod.
All programs are Debian's or of their language's registry; what is started like in an official image has that image's entry point written again.

- **preempted**: from the SIGTERM to the container's end, of the program as it was started. **resumed elsewhere**: from the runtime's call until the program
  goes on. **preempted again**: as the first, a fresh checkpoint of what was resumed. The worst of all moves, on a machine with two
  processors, to a local disk.
- **size**: bytes of the checkpoint on the volume.
";

const GROUPS: [Group; 6] =
    [Group::Servers, Group::Languages, Group::Python, Group::Data, Group::Desktop, Group::Kernel];

/// The page.
pub fn write(rows: &[Row], moves: u32) -> String {
    let mut page = HEAD.replace("MOVES", &moves.to_string());
    let _ = writeln!(page, "\n{}{}", summary(rows), provisos(rows));
    for group in GROUPS {
        let of_group: Vec<&Row> = rows.iter().filter(|row| row.workload.group == group).collect();
        if !of_group.is_empty() {
            page += &table(group, &of_group);
        }
    }
    page + &remedies::table(rows)
}

/// What it comes to, which stands in the README, too.
pub fn summary(rows: &[Row]) -> String {
    let count = |holds: fn(&Row) -> bool| rows.iter().filter(|row| holds(row)).count();
    format!(
        "Of {} programs {} go on under crik as they are, {} are refused before they are frozen and go on with a remedy, and {} are refused.\n\
         CRIU alone moves {}, and the Go program's recipe in a privileged pod {}; {} of those that go on under crik it does not.",
        rows.len(),
        count(Row::goes_on),
        count(|row| matches!(row.crik.came, Ok(Outcome::Refused { remedied: Some(_), .. }))),
        count(|row| matches!(row.crik.came, Ok(Outcome::Refused { remedied: None, .. }))),
        count(|row| row.plain.came.is_ok()),
        count(|row| row.go.came.is_ok()),
        count(|row| row.goes_on() && row.go.came.is_err() && !row.go_is_unknown()),
    )
}

/// What a reader has to know of the columns beside crik's.
fn provisos(rows: &[Row]) -> String {
    let unknown = rows.iter().filter(|row| row.go_is_unknown()).count();
    let alone = rows.iter().flat_map(|row| [&row.plain, &row.go]).filter(|kept| kept.earlier).count();
    let by_crik = rows.iter().filter(|row| row.crik.earlier).count();
    let mut text = String::new();
    if unknown > 0 {
        let _ = write!(
            text,
            "\nOf {unknown} nothing is known by that recipe, and they are not counted: they have processes of other users, and the machine on which this was \
             tried gives the capability SYS_RESOURCE to nobody, which `privileged: true` gives on a node."
        );
    }
    if alone + by_crik > 0 {
        let _ = write!(
            text,
            "\n{by_crik} of the rows of crik, and {alone} of the {} attempts beside it, are of an earlier run with the same crik, program, root file system, CRIU, \
             kernel and harness.",
            2 * rows.len()
        );
    }
    text
}

impl Row {
    /// Without a remedy.
    pub fn goes_on(&self) -> bool {
        matches!(self.crik.came, Ok(Outcome::GoesOn(_)))
    }

    /// CRIU alone can do what crik does not.
    pub fn is_behind(&self) -> bool {
        !self.goes_on() && (self.plain.came.is_ok() || self.go.came.is_ok())
    }

    /// Its recipe failed for want of what a privileged pod has on a node, and cannot have here.
    fn go_is_unknown(&self) -> bool {
        const SYS_RESOURCE: u32 = 24;
        let lacking = bounding_set().is_ok_and(|bounding| bounding >> SYS_RESOURCE & 1 == 0);
        lacking && self.go.came.as_ref().is_err_and(|failure| failure.why.contains("Can't get rlimit"))
    }

    fn by_go(&self) -> &'static str {
        if self.go_is_unknown() { "not known" } else { by_criu(&self.go) }
    }
}

fn table(group: Group, rows: &[&Row]) -> String {
    let mut text = format!(
        "\n## {}\n\n| program | what | crik | preempted | resumed elsewhere | preempted again | size | plain CRIU | the Go recipe |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        title(group)
    );
    for row in rows {
        let (said, [preempted, resumed, again, size]) = under_crik(row);
        let _ = writeln!(
            text,
            "| {} | {} | {said} | {preempted} | {resumed} | {again} | {size} | {} | {} |",
            row.workload.name,
            row.workload.about,
            by_criu(&row.plain),
            row.by_go()
        );
    }
    text
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Servers => "Servers",
        Group::Languages => "Languages and their runtimes",
        Group::Python => "Python",
        Group::Data => "Data and computing",
        Group::Desktop => "Desktops and tools",
        Group::Kernel => "What the kernel gives to a program",
    }
}

/// What is said of it, and of each event how it went.
fn under_crik(row: &Row) -> (String, [String; 4]) {
    match &row.crik.came {
        Ok(Outcome::GoesOn(figures)) => ("goes on".to_owned(), told(*figures)),
        Ok(Outcome::Refused { remedied, .. }) => {
            let remedy =
                row.workload.remedy.as_ref().map(|remedy| format!("; goes on with `{}`", one_line(remedy)));
            (format!("refused{}", remedy.unwrap_or_default()), remedied.map(told).unwrap_or_default())
        }
        Err(failure) => ("**fails**".to_owned(), went(failure.event)),
    }
}

/// How each event went, if the program failed at one.
fn went(failed: Event) -> [String; 4] {
    let cell = |event: Event| match event.cmp(&failed) {
        std::cmp::Ordering::Less => "yes",
        std::cmp::Ordering::Equal => "**fails**",
        std::cmp::Ordering::Greater => "",
    };
    let [preempted, resumed, again] = [Event::Preempted, Event::Resumed, Event::PreemptedAgain].map(cell);
    [preempted, resumed, again, ""].map(str::to_owned)
}

pub(super) fn one_line(remedy: &toml::Table) -> String {
    remedy.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
}

fn told(figures: Figures) -> [String; 4] {
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let [preempted, resumed, again] =
        [figures.preempted, figures.resumed, figures.preempted_again].map(seconds);
    [preempted, resumed, again, format!("{:.1} MB", figures.size as f64 / 1e6)]
}

fn by_criu(kept: &Kept<Figures>) -> &'static str {
    match &kept.came {
        Ok(_) => "goes on",
        Err(failure) if failure.event == Event::Resumed => "fails, resumed",
        Err(failure) if failure.event == Event::Preempted => "fails, preempted",
        Err(_) => "fails, started",
    }
}
