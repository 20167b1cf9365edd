//! Looks at the program as it runs, for what a checkpoint would be refused for: each with its remedy, while there is time.

use std::path::Path;

use crik_store::generation::tree_facts::StdioMap;

use super::descriptors::{Descriptor, Fate, Judge};
use super::finding::{Effect, Finding};
use super::own_users;
use crate::base::edit::{Edit, Place};
use crate::carry::files;
use crate::carry::files::mounts::Mounts;
use crate::carry::open_files::{self, NextContainer};
use crate::carry::watched::Watched;
use crate::checkpoint::freeze::FreezeError;
use crate::config::{Config, LoopbackConnections};
use crate::tree::process::loopback;
use crate::tree::process::message_queues;
use crate::tree::process::snapshot::Tree;
use crate::tree::process::unfreezable;

/// What of `tree`, which has this `root`, stands in the way of a checkpoint now. What `goes_along` the next container gets. Costs a look
/// at every descriptor and mapping; a volume that does not answer holds it up.
pub fn findings(tree: &Tree, root: i32, goes_along: &dyn Fn(&Path) -> bool, config: &Config) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        unfreezable::of(tree).iter().map(|one| Finding::no_checkpoint(one).by(one.edit())).collect();
    let lost = tree.in_lost_sessions(root);
    if !lost.is_empty() {
        found.push(Finding::no_checkpoint(FreezeError::LostSessions(lost)));
    }
    found.extend(refused(tree, goes_along, config));
    let missing = open_files::refuse_missing(tree, goes_along).err();
    found.extend(missing.map(|error| Finding::no_checkpoint(&error).by(error.edit())));
    let watch = Watched::obstacle(tree, goes_along);
    found.extend(watch.map(|error| Finding::no_checkpoint(&error).by(error.edit())));
    found.extend(closed(tree, config));
    found.extend(left_behind(tree));
    found.extend(unclear(goes_along).filter(|_| config.carry.memory));
    found
}

/// Memory that may be the pod's own and does not go along.
fn unclear(goes_along: &dyn Fn(&Path) -> bool) -> Option<Finding> {
    let mounts = Mounts::read().ok()?;
    let paths: Vec<&Path> = files::unclear(&mounts).filter(|path| !goes_along(path)).collect();
    let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let told = format!(
        "what is in {}, a part of a file system in memory (an emptyDir's subPath, or a hostPath), stays behind; name it in \
         additionalPaths if it is the pod's own",
        named.join(", ")
    );
    (!paths.is_empty()).then(|| Finding::new(Effect::Danger, told).by([Edit::goes_along(paths)]))
}

/// Message queues that stay behind: CRIU dumps none, and by no descriptor does a process have these.
fn left_behind(tree: &Tree) -> Option<Finding> {
    let queues = message_queues::left_alone(tree);
    let first = queues.first()?;
    Some(Finding::new(
        Effect::Danger,
        format!(
            "the next pod has none of the message queues of POSIX that no process of the program has open ({}, such as {}); have the \
             program make them anew, or use files for its messages",
            queues.len(),
            first.display()
        ),
    ))
}

/// Connections within the program that could go on.
fn closed(tree: &Tree, config: &Config) -> Option<Finding> {
    if config.loopback_connections == LoopbackConnections::Keep && loopback::is_possible() {
        return None;
    }
    let told = loopback::told_of(&loopback::within(tree))?;
    let remedy = format!(
        "with loopbackConnections: keep and the capability NET_ADMIN, which hostUsers: false confines to the pod, they go on{}",
        own_users::as_root()
    );
    let edits = [
        Edit::new(Place::Config, "loopbackConnections: keep"),
        Edit::new(Place::Pod, "hostUsers: false"),
        Edit::capabilities(&["NET_ADMIN"]),
    ];
    let finding = Finding::new(Effect::IsClosed, format!("{told}; {remedy}"));
    Some(finding.by(edits).by(own_users::root_edit()))
}

/// Descriptors of which CRIU would not know what to do. Paths and rings are told in other ways.
fn refused(tree: &Tree, goes_along: &dyn Fn(&Path) -> bool, config: &Config) -> Vec<Finding> {
    let Ok(next) = NextContainer::new(goes_along) else { return Vec::new() };
    let all = Judge::new(tree, StdioMap::default(), next, config).all(tree);
    let refused = all.into_iter().filter(|one| {
        one.fate == Fate::Refused && !one.what.starts_with('/') && !one.what.contains(unfreezable::URING)
    });
    let told = |one: Descriptor| {
        let remedy = one.remedy.unwrap_or_default();
        let told = format!(
            "process {} ({}) has {} open, which CRIU cannot dump; {remedy}",
            one.pid, one.process, one.what
        );
        Finding::no_checkpoint(told).by(one.edits)
    };
    refused.map(told).collect()
}
