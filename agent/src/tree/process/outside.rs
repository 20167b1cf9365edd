//! Connections over UNIX sockets that lead out of the tree, to another container of the pod or of the node: CRIU dumps no half of one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::snapshot::{Snapshot, Tree, told};
use super::unix_sockets::{self, Listed, UnixSockets};

/// An end that a process of the tree has.
#[derive(Debug)]
pub struct Outside {
    inode: u32,
    other: Option<i32>,
    told: String,
}

impl Outside {
    /// The inode of the socket.
    pub fn inode(&self) -> u32 {
        self.inode
    }

    /// The process that has the other end, if it is in sight.
    pub fn other(&self) -> Option<i32> {
        self.other
    }

    /// Of which process it is, and with whom it is connected.
    pub fn told(&self) -> &str {
        &self.told
    }
}

/// All of them. An end that nobody has may also be on its way from one process of the tree to another (SCM_RIGHTS, unix(7)).
///
/// # Errors
/// The kernel tells nothing about sockets.
pub fn of(tree: &Tree) -> io::Result<Vec<Outside>> {
    let all: BTreeMap<u32, Listed> =
        unix_sockets::listed()?.into_iter().map(|socket| (socket.inode, socket)).collect();
    let ours = unix_sockets::holders(tree, |inode| all.get(&inode).is_some_and(is_stream));
    let own_names: BTreeSet<&str> = ours
        .keys()
        .filter_map(|inode| all.get(inode))
        .filter(|socket| socket.listens)
        .filter_map(name)
        .collect();
    let sockets = UnixSockets::open()?;
    let mut others = None;
    let mut found = Vec::new();
    for (&inode, &(pid, _)) in &ours {
        let Some(peer) = sockets.peer(inode)?.filter(|peer| *peer != 0 && !ours.contains_key(peer)) else {
            continue;
        };
        let other = others.get_or_insert_with(|| held_by_others(tree)).get(&peer).map(|(pid, _)| *pid);
        let (own_name, peers_name) = (all.get(&inode).and_then(name), all.get(&peer).and_then(name));
        // One on its way is in this network namespace, and of a connection with a name it is the end that was accepted.
        let is_on_its_way = other.is_none()
            && sockets.peer(peer)?.is_some()
            && peers_name.map_or(own_name.is_none(), |name| own_names.contains(name));
        if !is_on_its_way {
            found.push(Outside { inode, other, told: tell(pid, peers_name.or(own_name), other) });
        }
    }
    Ok(found)
}

fn is_stream(socket: &Listed) -> bool {
    [libc::SOCK_STREAM, libc::SOCK_SEQPACKET].contains(&socket.kind)
}

fn name(socket: &Listed) -> Option<&str> {
    socket.name.as_deref()
}

/// The sockets of all processes in sight that are not of the tree.
fn held_by_others(tree: &Tree) -> BTreeMap<u32, (i32, i32)> {
    let members: BTreeSet<i32> = tree.0.iter().map(|process| process.pid).collect();
    let others =
        Snapshot::take().processes().filter(|process| !members.contains(&process.pid)).cloned().collect();
    unix_sockets::holders(&Tree(others), |_| true)
}

fn tell(pid: i32, name: Option<&str>, other: Option<i32>) -> String {
    let name = name
        .map_or_else(|| "a UNIX socket without a name".to_owned(), |name| format!("the UNIX socket {name}"));
    let other = other.map_or_else(
        || "a process outside of this container".to_owned(),
        |pid| format!("process {}", told(pid)),
    );
    format!("process {} is connected by {name} to {other}", told(pid))
}
