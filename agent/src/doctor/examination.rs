//! All that can be seen of a container and its program at this moment, for who asks; nothing of it is changed, and nothing is held up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use crik_store::generation::clock_facts::{ClockFacts, Installed, Other, OtherKind};
use crik_store::image_dir::verdict::{ToldVerdict, Verdict};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use serde::Serialize;

use super::clocks::{GoOn, by_the_kernel};
use super::descriptors::{Descriptor, Fate, Judge};
use super::finding::{self, Effect, Finding};
use super::{checks, file_numbers, own_users, tree, volume};
use crate::base::{limits, units};
use crate::carry::clocks::facts;
use crate::carry::clocks::go_on::helpless;
use crate::carry::files::Carrying;
use crate::carry::files::beginning::{self, ChangeTime};
use crate::carry::files::mounts::Mounts;
use crate::carry::open_files::NextContainer;
use crate::carry::streams;
use crate::config::Config;
use crate::tree::criu::features::{FEATURES, Feature};
use crate::tree::criu::{self, CriuError};
use crate::tree::process::capabilities::{
    Capability, field, is_in_nodes_user_namespace, mask, of_own_file, status,
};
use crate::tree::process::lacking_rights::enough;
use crate::tree::process::snapshot::{Snapshot, Tree};
use crate::tree::process::time_namespace;

/// The program that is looked at.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The root of its tree.
    pub root: i32,
    /// The agent that runs it; none if it does not run under crik.
    pub agent: Option<i32>,
    /// The files of crik's own that it has mapped.
    pub own: Vec<PathBuf>,
    /// The library that keeps its clocks going.
    pub library: Option<Installed>,
    /// From when on a change of a file is its doing, as its agent says.
    pub since: Option<ChangeTime>,
}

/// What is true of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// Of what.
    pub of: &'static str,
    /// What.
    pub is: String,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Examination {
    /// Whether the program is protected.
    pub verdict: ToldVerdict,
    /// What is true of the container.
    pub facts: Vec<Fact>,
    /// What is in the way, or may be.
    pub findings: Vec<Finding>,
    /// What becomes of each thing that the program has open.
    pub descriptors: Vec<Descriptor>,
}

/// Looks at the container, and at `program` if there is one. What its agent has `known` before counts as well. Takes less than a second,
/// and some more if the volume does not answer.
pub fn examine(config: &Config, program: Option<&Program>, known: Vec<Finding>) -> Examination {
    let (mut facts, lacking) = (of_container(), features());
    facts.push(told_features(&lacking));
    let mut findings =
        checks::findings(&program.map(|program| streams::of(stream_holder(program))).unwrap_or_default());
    findings.extend(needed_features(lacking.as_deref().unwrap_or_default()));
    let place = config.image_dir.clone();
    match &place {
        None => findings.push(checks::nowhere(config.missing.as_deref())),
        Some(path) => {
            findings.extend(of_volume(path, config.signing_key_file.is_some(), program, &mut facts))
        }
    }
    let mut descriptors = Vec::new();
    match program {
        None => findings.push(Finding::no_checkpoint(
            "no agent of crik runs in this container; start the program by crik run -- PROGRAM, or look at one that runs by --pid",
        )),
        Some(program) => findings.extend(of_program(config, program, &mut facts, &mut descriptors)),
    }
    // Who may write to the volume was looked at anew here, and may have been mended since the agent did.
    for one in known.into_iter().filter(|one| one.effect != Effect::Danger) {
        if !findings.iter().any(|other| other.is_same(&one)) {
            findings.push(one);
        }
    }
    findings.sort_by_key(|one| std::cmp::Reverse(one.severity));
    Examination {
        verdict: verdict(&findings, place.as_deref(), program, &facts).into(),
        facts,
        findings,
        descriptors,
    }
}

fn verdict(findings: &[Finding], place: Option<&Path>, program: Option<&Program>, facts: &[Fact]) -> Verdict {
    let clocks = facts.iter().find(|fact| fact.of == CLOCKS).map(|fact| format!("clocks {}", fact.is));
    let later = program.filter(|program| program.agent.is_none());
    let later = later.map(|program| format!("once process {} is started by crik run", program.root));
    let place = place.map(|path| format!("imageDir {}", path.display()));
    let how: Vec<String> = place.into_iter().chain(clocks).chain(later).collect();
    finding::verdict(findings.iter(), how.join("; "))
}

const CLOCKS: &str = "clocks";

/// The standard streams are the agent's.
fn stream_holder(program: &Program) -> i32 {
    program.agent.unwrap_or(program.root)
}

fn of_container() -> Vec<Fact> {
    let (status, fact) = (status(), |of, is| Fact { of, is });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let seccomp = match field(&status, "Seccomp") {
        Some("0") => "no profile",
        Some("2") => "a profile",
        _ => "unknown",
    };
    let user =
        field(&status, "Uid").and_then(|ids| ids.split_whitespace().nth(1)).unwrap_or("unknown").to_owned();
    let criu = criu::version().map_or_else(|error| error.to_string(), |version| version.to_string());
    vec![
        fact("kernel", format!("{} {}", kernel.trim(), std::env::consts::ARCH)),
        fact("user", format!("{user}, {}", user_namespace())),
        fact("capabilities", named(mask(&status, "CapEff"))),
        fact("ambient", named(mask(&status, "CapAmb"))),
        fact("of crik's file", named(of_own_file())),
        fact("hostUsers: false", own_users::told()),
        fact("seccomp", seccomp.to_owned()),
        fact("criu", criu),
    ]
}

/// What of the kernel is missing for CRIU, or why that is not known.
fn features() -> Result<Vec<Feature>, String> {
    // CRIU refuses before it looks.
    enough().map_err(|_| "CRIU does not say as long as it may not work here, see below".to_owned())?;
    // A profile that refuses what CRIU asks the kernel for looks like a kernel that lacks it.
    if field(&status(), "Seccomp") == Some("2") {
        return Err("nobody can tell what the kernel has from what the seccomp profile allows".to_owned());
    }
    within_patience(criu::features::missing)
        .unwrap_or(Err(CriuError::GivenUp))
        .map_err(|error| error.to_string())
}

fn told_features(missing: &Result<Vec<Feature>, String>) -> Fact {
    let is = match missing {
        Err(error) => format!("unknown: {error}"),
        Ok(missing) if missing.is_empty() => format!("all {} that matter", FEATURES.len()),
        Ok(missing) => {
            let told = missing.iter().map(|one| format!("without {}: {}", one.name, one.without));
            told.collect::<Vec<_>>().join("; ")
        }
    };
    Fact { of: "criu's features", is }
}

/// Those without which nothing is resumed.
fn needed_features(missing: &[Feature]) -> impl Iterator<Item = Finding> {
    missing.iter().filter(|one| one.needed).map(|one| {
        Finding::no_checkpoint(format!(
            "the kernel has no {} as CRIU needs it: {}; use a node with a newer kernel (Linux 5.5 and later have all that is needed)",
            one.name, one.without
        ))
    })
}

fn user_namespace() -> &'static str {
    if is_in_nodes_user_namespace() {
        "in the node's user namespace"
    } else {
        "in a user namespace of the pod's own"
    }
}

fn named(mask: u64) -> String {
    let known: Vec<&str> =
        Capability::ALL.iter().filter(|one| mask & one.bit() != 0).map(|one| one.name()).collect();
    match (known.as_slice(), mask) {
        ([], 0) => "none".to_owned(),
        ([], _) => "none of those that matter".to_owned(),
        (known, _) => known.join(", "),
    }
}

/// Where nothing is yet, nothing is made by who only looks.
fn of_volume(path: &Path, signed: bool, program: Option<&Program>, facts: &mut Vec<Fact>) -> Vec<Finding> {
    let is_agents = program.is_some_and(|program| program.agent.is_some());
    let may_write = path.parent().is_some_and(|parent| access(parent, AccessFlags::W_OK).is_ok());
    if !is_agents && may_write && !path.exists() {
        facts.push(Fact {
            of: "volume",
            is: format!("{} is not there yet; the first start makes it", path.display()),
        });
        return Vec::new();
    }
    let owned = path.to_owned();
    let Some(tried) = within_patience(move || volume::try_out(&owned, signed).findings) else {
        return vec![Finding::no_checkpoint(
            "the volume does not answer; see what its server or its driver says",
        )];
    };
    facts.push(Fact { of: "volume", is: told_volume(path) });
    tried
}

fn told_volume(path: &Path) -> String {
    let mounts = Mounts::read().unwrap_or_default();
    let point = mounts.of(path);
    let kind = mounts.at(point).map_or("an unknown file system", |mount| mount.kind.as_str());
    let free = statvfs(path).map(|all| all.blocks_available().saturating_mul(all.fragment_size()));
    let free = free.map_or_else(|error| error.to_string(), |free| format!("{} free", units::bytes(free)));
    format!("{} on {kind} mounted at {}, {free}", path.display(), point.display())
}

fn of_program(
    config: &Config,
    program: &Program,
    facts: &mut Vec<Fact>,
    descriptors: &mut Vec<Descriptor>,
) -> Vec<Finding> {
    program.since.map_or_else(|| beginning::adopt(beginning::of_process(program.root)), beginning::adopt);
    let tree = Snapshot::take().tree(program.root);
    if tree.0.is_empty() {
        return vec![Finding::no_checkpoint(format!(
            "there is no process {} in sight; see ps",
            program.root
        ))];
    }
    let under = program
        .agent
        .map_or_else(|| "not under crik".to_owned(), |agent| format!("under the agent, process {agent}"));
    let memory = units::bytes(tree.resident_bytes());
    facts.push(Fact {
        of: "program",
        is: format!("{} processes below {}, {memory}, {under}", tree.0.len(), program.root),
    });
    let (config, looked) = (config.clone(), program.clone());
    let seen = within_patience(move || look_twice(&config, &looked, tree));
    let Some((findings, found, clocks)) = seen else {
        return vec![Finding::no_checkpoint(
            "what the program has open cannot be looked at; does a volume not answer?",
        )];
    };
    descriptors.extend(found);
    facts.extend(clocks.by().map(|by| Fact { of: CLOCKS, is: format!("go on {by}") }));
    findings
}

/// What a single look meets may be a matter of that moment: a process that is just being started, say.
fn look_twice(config: &Config, program: &Program, tree: Tree) -> (Vec<Finding>, Vec<Descriptor>, GoOn) {
    let first = look(config, program, &tree);
    if first.0.is_empty() {
        return first;
    }
    thread::sleep(limits::TREE_LOOK_AGAIN);
    let (mut found, descriptors, clocks) = look(config, program, &Snapshot::take().tree(program.root));
    found.retain(|one| first.0.iter().any(|other| other.is_same(one)));
    (found, descriptors, clocks)
}

/// What is in the way of the program, what becomes of what it has open, and how its clocks go on.
fn look(config: &Config, program: &Program, tree: &Tree) -> (Vec<Finding>, Vec<Descriptor>, GoOn) {
    let later = program.agent.is_none() || config.image_dir.is_none();
    let (clocks, mut descriptors) = clocks(program, tree, later);
    let mut findings: Vec<Finding> = clocks.finding().into_iter().collect();
    match Carrying::new(config, &program.own) {
        Err(error) => findings.push(Finding::no_checkpoint(error)),
        Ok(carrying) => {
            findings
                .extend(carrying.bytes().err().map(|error| Finding::no_checkpoint(&error).by(error.edit())));
            let goes_along = |path: &Path| carrying.takes(path);
            findings.extend(tree::findings(tree, program.root, &goes_along, config));
            findings.extend(file_numbers::finding(others(program, tree, later), &goes_along));
            let judged = NextContainer::new(&goes_along)
                .map(|next| Judge::new(tree, streams::of(stream_holder(program)), next, config).all(tree));
            descriptors.extend(judged.unwrap_or_default());
        }
    }
    (findings, descriptors, clocks)
}

/// Those for which the library is not enough. A program that does not run under crik yet, or without an image directory, will be given
/// it `later`, if it is one to take it.
fn others(program: &Program, tree: &Tree, later: bool) -> BTreeMap<i32, Other> {
    let mut others = facts::others(tree, program.root, program.library.as_ref());
    if later {
        others.retain(|_, other| other.kind == OtherKind::Static);
    }
    others
}

fn clocks(program: &Program, tree: &Tree, later: bool) -> (GoOn, Vec<Descriptor>) {
    if time_namespace::is_possible() {
        return (GoOn::Kernel, Vec::new());
    }
    let others = others(program, tree, later);
    let of = |others: BTreeMap<_, _>| helpless(&ClockFacts { others, ..ClockFacts::default() });
    let row = |(pid, other): (i32, Other)| {
        let what = of([(pid, other.clone())].into()).pop()?;
        let remedy = Some("hostUsers: false with SYS_ADMIN and SYS_TIME helps, see onClockBack".to_owned());
        let edits = by_the_kernel();
        Some(Descriptor { pid, process: other.name, fd: None, fate: Fate::StandsStill, what, remedy, edits })
    };
    let rows: Vec<Descriptor> = others.clone().into_iter().filter_map(row).collect();
    let all = of(others);
    (if all.is_empty() { GoOn::Library } else { GoOn::Not(all) }, rows)
}

/// None if it took too long: it may wait for a volume that does not answer.
fn within_patience<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(what()));
    told.recv_timeout(limits::DOCTOR_PATIENCE).ok()
}

/// Where a program without an agent would be configured.
#[must_use]
pub fn configured(mut config: Config, image_dir: Option<PathBuf>) -> Config {
    config.image_dir = image_dir.or(config.image_dir);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_told_by_their_names() {
        assert_eq!(named(0x0000_0100_0008_0000), "SYS_PTRACE, CHECKPOINT_RESTORE");
        assert_eq!([named(0), named(1)], ["none", "none of those that matter"]);
    }

    #[test]
    fn what_a_missing_feature_means_is_told_and_only_a_needed_one_is_in_the_way() {
        let missing: Vec<Feature> = FEATURES
            .into_iter()
            .filter(|one| ["clone3_set_tid", "pagemap_scan"].contains(&one.name))
            .collect();
        let told = told_features(&Ok(missing.clone())).is;
        assert!(told.contains("without pagemap_scan: a dump of much memory takes longer"), "{told}");
        let found: Vec<Finding> = needed_features(&missing).collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("clone3_set_tid"), "{}", found[0]);
    }

    #[test]
    fn what_takes_too_long_is_given_up() {
        assert_eq!(within_patience(|| 7), Some(7));
        let (_never, waits) = mpsc::channel::<()>();
        assert_eq!(within_patience(move || waits.recv().is_ok()), None);
    }

    #[test]
    fn without_a_program_nobody_is_protected() {
        let found = examine(&Config::default(), None, Vec::new());
        let told = found.verdict.told;
        assert!(
            told.contains("no imageDir is configured") && told.contains("no agent of crik runs"),
            "{told}"
        );
    }
}
