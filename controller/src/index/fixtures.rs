//! Every row of the table has a Node in `fixtures/nodes/` that shows it, and every Node there is what it says.
//!
//! A fixture's first lines are comments: `# source:` who writes such a Node and where that is known, `# state:` the state
//! that it is in at first sight, and `# signals:` all signals on it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::tracked::Tracked;
use crate::signals::{Class, DELETED, Node, Object, SOURCE_LOST, Signals, TABLE, read};

struct Fixture {
    name: String,
    source: String,
    state: String,
    signals: Vec<String>,
    node: Node,
}

fn fixtures() -> Vec<Fixture> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nodes");
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| fixture(&path)).collect()
}

fn fixture(path: &Path) -> Fixture {
    let text = fs::read_to_string(path).unwrap();
    let says = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("# {key}:")));
        line.unwrap_or_else(|| panic!("{} has no line `# {key}:`", path.display())).trim().to_owned()
    };
    let object: Object = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let signals = says("signals");
    Fixture {
        name: path.file_stem().unwrap().to_string_lossy().into_owned(),
        source: says("source"),
        state: says("state"),
        signals: signals.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        node: object.into(),
    }
}

#[test]
fn every_row_has_a_fixture_of_its_name_that_shows_it() {
    let fixtures = fixtures();
    for signal in &TABLE {
        let own = fixtures.iter().find(|fixture| fixture.name == signal.name);
        let own = own.unwrap_or_else(|| panic!("{} has no fixture", signal.name));
        assert!(own.signals.iter().any(|name| *name == signal.name), "{} does not show it", own.name);
    }
}

#[test]
fn every_fixture_shows_what_it_says_and_nothing_else() {
    let signals = Signals::built_in();
    for fixture in fixtures() {
        let observation = signals.observe(&fixture.node);
        let shown: BTreeSet<&str> = observation.signals().collect();
        let said: BTreeSet<&str> = fixture.signals.iter().map(String::as_str).collect();
        assert_eq!(shown, said, "{}", fixture.name);
        assert_eq!(Tracked::new(observation).state().as_str(), fixture.state, "{}", fixture.name);
        assert!(!fixture.source.is_empty(), "{} names no source", fixture.name);
    }
}

#[test]
fn every_row_decides_alone_what_its_class_says() {
    for signal in &TABLE {
        let fixture = fixtures().into_iter().find(|fixture| fixture.name == signal.name).unwrap();
        let alone = Signals::default().with(vec![signal.clone()]).observe(&fixture.node);
        let expected = match signal.class {
            Class::ShuttingDown | Class::TooLate => "shutting-down",
            Class::Draining => "draining",
            Class::Cordoned => "cordoned",
            Class::Evicting | Class::Unreachable => "evicting",
            Class::Candidate | Class::Silent => "ready",
        };
        let tracked = Tracked::new(alone);
        assert_eq!(tracked.state().as_str(), expected, "{}", signal.name);
        assert_eq!(tracked.hints().len(), usize::from(signal.class == Class::Candidate), "{}", signal.name);
    }
}

#[test]
fn rows_have_names_of_their_own() {
    let names: BTreeSet<&str> = TABLE.iter().map(|signal| &*signal.name).collect();
    assert_eq!(names.len(), TABLE.len());
}

#[test]
fn every_row_is_in_the_documentation_and_no_other() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/signals.md");
    let text = fs::read_to_string(page).unwrap();
    let (_, signals) = text.split_once("| signal | on the Node |").unwrap();
    let rows = signals.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
    let names: BTreeSet<&str> = TABLE.iter().map(|signal| &*signal.name).collect();
    assert_eq!(documented, names);
}

#[test]
fn the_chart_knows_the_names_that_are_taken() {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/crik/templates/_helpers.tpl");
    let text = fs::read_to_string(chart).unwrap();
    let (_, list) = text.split_once("{{- define \"crik.signalsOfItsOwn\" -}}").unwrap();
    let (list, _) = list.split_once("{{- end }}").unwrap();
    let listed: BTreeSet<&str> = list.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    let names = TABLE.iter().map(|signal| &*signal.name).chain([DELETED, SOURCE_LOST]);
    assert_eq!(listed, names.collect());
}

#[test]
fn the_documented_signals_file_is_a_good_one() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/signals.md");
    let text = fs::read_to_string(page).unwrap();
    let (_, example) = text.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), example).unwrap();
    assert_eq!(read(file.path()).unwrap().len(), 3);
}
