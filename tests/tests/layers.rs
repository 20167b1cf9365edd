//! The rule that the agent, its store and the controller give at the root of their sources, which room may import which, is kept.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::imports::{Files, Import, imports, read};

/// Two files that import each other on purpose, and why.
const CIRCLES: [([&str; 2], &str); 2] = [
    (
        ["index/mod.rs", "index/waiters.rs"],
        "who waits asks the controller's index for a status, and tells it when nobody waits any more",
    ),
    (["workloads/mod.rs", "workloads/bells.rs"], "the same of a pod that is watched"),
];

/// The order of the rooms from the top of the house to its ground, by the number of their floor; two on one floor do not know
/// each other.
struct Rule {
    text: String,
    rooms: BTreeMap<String, usize>,
    /// The same for the folders inside a room, a few floors each.
    folders: BTreeMap<String, usize>,
}

impl Rule {
    /// Reads it from the root's comment: a line of names with ` > ` and `, ` between them, and one that begins with
    /// `inside a pillar:`.
    fn read(root: &str) -> Result<Self> {
        let lines = || root.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim);
        let is_rule = |line: &&str| {
            line.contains(" > ") && line.chars().all(|c| c.is_ascii_lowercase() || "_ ,>".contains(c))
        };
        let text = lines().find(is_rule).context("the root's comment has no line like `a > b, c > d`")?;
        let pairs = lines().find_map(|line| line.strip_prefix("inside a pillar:")).unwrap_or_default();
        let folders = pairs.split(',').flat_map(floors).collect();
        Ok(Self { text: text.to_owned(), rooms: floors(text).collect(), folders })
    }

    /// Each breach, with the file, the name and the rule.
    fn breaches(&self, files: &Files) -> BTreeSet<String> {
        let imports = imports(files);
        let strangers = files.keys().filter_map(|file| self.stranger(file, files));
        let upwards = imports.iter().filter_map(|import| self.upwards(import));
        strangers.chain(upwards).chain(circles(&imports)).collect()
    }

    /// A room, or a folder of a room whose folders have an order, that the rule does not have.
    fn stranger(&self, file: &str, files: &Files) -> Option<String> {
        let (room, folder) = place(file);
        let is_pillar = || files.keys().map(|other| place(other)).any(|(r, f)| r == room && self.has(f));
        let unknown = match (self.rooms.contains_key(room), folder) {
            (false, _) if !room.is_empty() => room,
            (true, folder) if !folder.is_empty() && !self.has(folder) && is_pillar() => folder,
            _ => return None,
        };
        Some(format!("{file}: {unknown} is not in the rule `{}`", self.text))
    }

    fn has(&self, folder: &str) -> bool {
        self.folders.contains_key(folder)
    }

    fn upwards(&self, import: &Import) -> Option<String> {
        let ((room, folder), (to, to_folder)) = (place(&import.from), place(&import.to));
        let (floors, above, below) =
            if room == to { (&self.folders, folder, to_folder) } else { (&self.rooms, room, to) };
        let allowed = above == below || floors.get(above)? < floors.get(below).unwrap_or(&0);
        let Import { from, to, name, .. } = import;
        let below = if below.is_empty() { "the root" } else { below };
        let rule = &self.text;
        (!allowed).then(|| format!("{from}: {name} (of {to}): {above} may not import {below}, by `{rule}`"))
    }
}

/// The names between `>`, with the number of those before them.
fn floors(text: &str) -> impl Iterator<Item = (String, usize)> {
    let named = |(floor, names): (usize, &str)| {
        names.split(',').map(|name| (name.trim().to_owned(), floor)).collect::<Vec<_>>()
    };
    text.split('>').enumerate().flat_map(named).filter(|(name, _)| !name.is_empty())
}

/// The room and the folder in it that a file is in; both may be empty.
fn place(file: &str) -> (&str, &str) {
    let mut parts = file.split('/');
    let room = parts.next().unwrap_or_default().trim_end_matches(".rs");
    let folder = parts.next().filter(|part| !part.ends_with(".rs")).unwrap_or_default();
    if ["lib", "main"].contains(&room) { ("", "") } else { (room, folder) }
}

/// Files that import each other, be it by way of others. What is only handed on by `pub use` closes no circle.
fn circles(imports: &[Import]) -> BTreeSet<String> {
    let on_purpose = |one: &Import| {
        CIRCLES.iter().any(|(files, _)| files.contains(&&*one.from) && files.contains(&&*one.to))
    };
    let counted: Vec<&Import> = imports.iter().filter(|one| !one.hands_on && !on_purpose(one)).collect();
    let in_circle = counted.iter().filter(|one| reached(&one.to, &counted).contains(&*one.from));
    let told = |one: &&Import| format!("{}: {} (of {}) closes a circle of files", one.from, one.name, one.to);
    in_circle.map(told).collect()
}

/// All files that one of them leads to.
fn reached<'a>(from: &'a str, imports: &[&'a Import]) -> BTreeSet<&'a str> {
    let (mut found, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(file) = next.pop() {
        let new = imports.iter().filter(|one| one.from == file).map(|one| &*one.to);
        next.extend(new.filter(|to| found.insert(to)).collect::<Vec<_>>());
    }
    found
}

fn keeps_its_rule(src: &str, root: &str) -> Result<()> {
    let files = read(&workspace().join(src))?;
    let rule = Rule::read(files.get(root).context("no root")?).with_context(|| format!("{src}/{root}"))?;
    ensure!(imports(&files).len() > files.len(), "{src}: the reader finds hardly any imports");
    let breaches: Vec<String> = rule.breaches(&files).into_iter().collect();
    ensure!(breaches.is_empty(), "{src}: {} breaches\n{}", breaches.len(), breaches.join("\n"));
    Ok(())
}

#[test]
fn the_agent_keeps_its_rule() -> Result<()> {
    keeps_its_rule("agent/src", "lib.rs")
}

#[test]
fn the_store_keeps_its_rule() -> Result<()> {
    keeps_its_rule("store/src", "lib.rs")
}

/// It is a crate, and stands where a room of the agent's would stand: on `config` and `base`, beside `cluster` and `tree`.
#[test]
fn what_stands_beside_the_store_or_below_it_knows_no_more_of_it_than_it_needs() -> Result<()> {
    let files = read(&workspace().join("agent/src"))?;
    for (room, known) in [
        ("cluster", &[][..]),
        ("tree", &[]),
        (
            "config",
            &[
                "crik_store::encryption::key",
                "crik_store::generation::signature",
                "crik_store::image_dir::buckets",
            ],
        ),
        ("base", &["crik_store::base"]),
    ] {
        let mut of_room = files.iter().filter(|(file, _)| file.starts_with(&format!("{room}/"))).peekable();
        ensure!(of_room.peek().is_some(), "there is no {room}");
        for (file, text) in of_room {
            let named = text.match_indices("crik_store::").map(|(at, _)| &text[at..]);
            let more = named.filter(|named| !known.iter().any(|known| named.starts_with(known)));
            let more: Vec<_> = more.filter_map(|named| named.lines().next()).collect();
            ensure!(more.is_empty(), "{file} knows of the store {more:?}");
        }
    }
    Ok(())
}

#[test]
fn the_controller_keeps_its_rule() -> Result<()> {
    keeps_its_rule("controller/src", "main.rs")
}

const ROOT: &str = "//! What it is: a > b.\n//!\n//!     cli > start, stop > store > base\n//! inside a pillar: whole > part\npub mod cli;";

/// The breaches in a house of these files besides the root.
fn told(files: &[(&str, &str)]) -> Result<Vec<String>> {
    let all = files.iter().chain(&[("lib.rs", ROOT)]);
    let files: Files = all.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Ok(Rule::read(ROOT)?.breaches(&files).into_iter().collect())
}

/// Expects one breach, that begins so.
fn breach(files: &[(&str, &str)], expected: &str) -> Result<()> {
    let told = told(files)?;
    ensure!(told.len() == 1 && told[0].starts_with(expected), "{told:#?}, not {expected}");
    Ok(())
}

#[test]
fn what_is_as_the_rule_says_is_no_breach() -> Result<()> {
    let told = told(&[
        ("cli/mod.rs", "mod args;\nuse crate::{start::{begin, end}, store::whole::Whole as All, base};"),
        (
            "cli/args.rs",
            "use super::super::base::{self, limits::*};\n// crate::nowhere\nconst S: &str = \"super::x\";",
        ),
        (
            "start.rs",
            "pub fn begin() -> crate::store::part::Part<'static> { crate::base::limits::ONE }\npub fn end() {}",
        ),
        ("store/mod.rs", "pub mod part; pub mod whole;\npub use whole::Whole;"),
        (
            "store/whole.rs",
            "use super::part::Part; const OPEN: char = '{'; const R: &str = r#\"\"crate::cli\"#;",
        ),
        ("store/part.rs", "pub struct Part;"),
        ("base/mod.rs", "pub mod limits;"),
        ("base/limits.rs", "pub const ONE: u8 = b'\\'';"),
    ])?;
    ensure!(told.is_empty(), "{told:#?}");
    Ok(())
}

#[test]
fn an_import_upwards_is_found_in_every_form() -> Result<()> {
    let cli = ("cli/mod.rs", "pub mod args;");
    let args = ("cli/args.rs", "pub struct Args;");
    for source in [
        "use crate::cli::args::Args;",
        "fn f(_: crate::cli::args::Args) {}",
        "use {std::fs, crate::{base, cli::{args::{Args}}}};",
        "pub(crate) use super::super::cli::args::Args;",
        "mod inline { use super::super::super::cli::args::Args as Other; }",
    ] {
        let files = [cli, args, ("store/deep.rs", source), ("store/mod.rs", "mod deep;"), ("base.rs", "")];
        breach(
            &files,
            "store/deep.rs: cli::args::Args (of cli/args.rs): store may not import cli, by `cli > ",
        )
        .context(source)?;
    }
    Ok(())
}

#[test]
fn a_name_that_is_handed_on_is_where_it_is_defined() -> Result<()> {
    let cli = ("cli/mod.rs", "pub fn main() {}");
    let base = ("base/mod.rs", "pub use crate::cli::main;");
    breach(&[cli, base], "base/mod.rs: cli::main (of cli/mod.rs): base may not import cli")?;
    let told = told(&[cli, base, ("store.rs", "use crate::base::main;")])?;
    ensure!(told.len() == 2 && told[1].starts_with("store.rs: base::main (of cli/mod.rs)"), "{told:#?}");
    Ok(())
}

#[test]
fn siblings_do_not_know_each_other() -> Result<()> {
    let stop = ("stop.rs", "pub fn stop() {}");
    breach(&[stop, ("start/mod.rs", "use super::stop::stop;")], "start/mod.rs: stop::stop (of stop.rs)")
}

#[test]
fn inside_a_pillar_there_is_an_order_too() -> Result<()> {
    let whole = ("store/whole/mod.rs", "pub struct Whole;");
    let part = ("store/part/mod.rs", "use super::whole::Whole;");
    breach(&[whole, part], "store/part/mod.rs: store::whole::Whole (of store/whole/mod.rs): part may not")?;
    breach(&[whole, ("store/other/mod.rs", "")], "store/other/mod.rs: other is not in the rule")
}

#[test]
fn a_room_that_the_rule_does_not_have_is_found_and_so_is_what_lies_at_the_root() -> Result<()> {
    breach(&[("attic/mod.rs", "")], "attic/mod.rs: attic is not in the rule `cli > ")?;
    breach(
        &[("base.rs", "use crate::VERSION;")],
        "base.rs: VERSION (of lib.rs): base may not import the root",
    )
}

#[test]
fn a_circle_of_files_is_found_also_over_a_third() -> Result<()> {
    let told = told(&[
        ("base/mod.rs", "mod a; mod b; mod c; pub use a::A;"),
        ("base/a.rs", "use super::b::B; pub struct A;"),
        ("base/b.rs", "use super::c::C; pub struct B;"),
        ("base/c.rs", "pub struct C(super::A);"),
    ])?;
    ensure!(told.len() == 3, "{told:#?}");
    ensure!(told[2] == "base/c.rs: base::A (of base/a.rs) closes a circle of files", "{told:#?}");
    Ok(())
}

#[test]
fn a_folder_whose_root_uses_what_uses_it_is_a_circle() -> Result<()> {
    let child = ("base/child.rs", "pub struct Child; pub fn f() -> super::Parent {}");
    let told = told(&[("base/mod.rs", "mod child; pub use child::Child; pub struct Parent(Child);"), child])?;
    ensure!(told.len() == 2, "{told:#?}");
    Ok(())
}

#[test]
fn what_is_for_tests_only_is_ignored() -> Result<()> {
    let told = told(&[
        ("cli/mod.rs", "pub fn main() {}"),
        (
            "base/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::cli::main; fn f() { { } } }\n#[cfg(test)]\nmod fixture;",
        ),
        ("base/fixture.rs", "use crate::cli::main;"),
        ("base/more/tests.rs", "use crate::cli::main;"),
        ("store/mod.rs", "#[cfg(test)]\nfn f() { crate::cli::main() }"),
    ])?;
    ensure!(told.is_empty(), "{told:#?}");
    breach(
        &[("cli/mod.rs", ""), ("base.rs", "#[cfg(test)] use std::fs; use crate::cli::main;")],
        "base.rs: cli::main",
    )
}
