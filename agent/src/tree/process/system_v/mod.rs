//! System V's shared memory, message queues and semaphores (sysvipc(7)) that a tree has. They belong to an IPC namespace (ipc_namespaces(7)) and to
//! no process: no descriptor shows them, and the next container has a namespace without them.
//!
//! Where the tree has a namespace of its own they go along with it, as CRIU dumps both. All containers of a pod share the pod's. Whose an
//! object is, is told by who has it mapped, has made it or has used it last, of which the kernel tells nobody outside of a PID namespace, so
//! what a sidecar has is nobody's here. Where the kernel names nobody at all it is the tree's if one of its users has made it and no process
//! of another container is of that user: to refuse a checkpoint costs less than to lose it.

mod semaphores;
mod table;
mod waiting;

use std::collections::BTreeSet;
use std::fs;

use self::table::{Kind, Object};
use super::capabilities::field;
use super::ipc_namespace;
use super::sessions::is_of_this_container;
use super::snapshot::{Snapshot, Tree, told};

/// What of one kind a tree has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Whose it is, as it is told.
    pub who: String,
    /// What it is, with the key and the id by which ipcs(1) and ipcrm(1) know it.
    pub what: String,
}

/// Whether there is any in the namespace of a process. It is taken to be there if that cannot be looked into.
#[must_use]
pub fn is_in_that_of(pid: i32) -> bool {
    ipc_namespace::in_that_of(pid, || !table::all().is_empty()).unwrap_or(true)
}

/// All that `tree` has and CRIU cannot dump, one of each kind.
pub(super) fn of(tree: &Tree) -> Vec<Held> {
    if tree.root().is_some_and(ipc_namespace::is_elsewhere) {
        return Vec::new();
    }
    let mut objects = table::all();
    if objects.is_empty() {
        return Vec::new();
    }
    let sets = objects.iter_mut().filter(|object| object.kind == Kind::SemaphoreSet);
    sets.for_each(semaphores::complete);
    let view = View::of(tree);
    Kind::ALL.into_iter().filter_map(|kind| one_of(kind, &objects, &view)).collect()
}

fn one_of(kind: Kind, objects: &[Object], view: &View<'_>) -> Option<Held> {
    let held = objects.iter().filter(|object| object.kind == kind);
    let held: Vec<_> = held.filter_map(|object| Some((object, view.holder(object)?))).collect();
    let (object, holder) = held.iter().min_by_key(|(_, holder)| *holder == Holder::Program)?;
    let who = match holder {
        Holder::Process(pid) => format!("process {}", told(*pid)),
        Holder::Program => "the program".to_owned(),
    };
    let more = if held.len() > 1 { format!("; {} in all", held.len()) } else { String::new() };
    let what = format!("{} of System V (key {:#010x}, id {}{more})", kind.name(), object.key, object.id);
    Some(Held { who, what })
}

/// Who of a tree has an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Process(i32),
    /// None that is still there.
    Program,
}

/// All of whom it could be.
struct View<'a> {
    tree: &'a Tree,
    /// Every id that is in sight.
    alive: BTreeSet<i32>,
    /// Who the processes of other containers are, if they are in sight (`shareProcessNamespace`).
    strangers: BTreeSet<u32>,
    users: BTreeSet<u32>,
}

impl<'a> View<'a> {
    fn of(tree: &'a Tree) -> Self {
        let all = Snapshot::take();
        let alive: BTreeSet<i32> = all.processes().map(|process| process.pid).collect();
        let is_ours = |pid: &i32| tree.0.iter().any(|process| process.pid == *pid);
        let strange = alive.iter().filter(|pid| !is_ours(pid) && !is_of_this_container(**pid));
        let strangers = strange.flat_map(|pid| users(*pid)).collect();
        let users = tree.0.iter().flat_map(|process| users(process.pid)).collect();
        Self { tree, alive, strangers, users }
    }

    fn holder(&self, object: &Object) -> Option<Holder> {
        let mut tree = self.tree.0.iter().map(|process| process.pid);
        let maps = |pid| object.kind == Kind::SharedMemory && table::maps(pid, object.id);
        if let Some(pid) = tree.find(|pid| object.processes.contains(pid) || maps(*pid)) {
            return Some(Holder::Process(pid));
        }
        let is_ours = if object.processes.is_empty() {
            // Of what other containers have used nobody is named either, but then it shows that it was used.
            let waits = || self.tree.0.iter().find(|process| waiting::waits_for(process.pid, object));
            if let Some(process) = object.is_unused.then(waits).flatten() {
                return Some(Holder::Process(process.pid));
            }
            object.is_unused && self.users.contains(&object.creator)
        } else {
            // Who has ended cannot be told from the processes of another container that have.
            object.processes.iter().all(|pid| !self.alive.contains(pid))
        };
        (is_ours && !self.strangers.contains(&object.creator)).then_some(Holder::Program)
    }
}

/// Who a process is, really, effectively and otherwise.
fn users(pid: i32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let users = field(&status, "Uid").unwrap_or_default();
    users.split_whitespace().filter_map(|user| user.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32) -> super::super::snapshot::Process {
        super::super::snapshot::Process {
            pid,
            parent: 1,
            session: pid,
            state: 'S',
            resident_pages: 1,
            started: 1,
        }
    }

    #[test]
    fn an_object_is_whose_process_has_made_or_used_it() {
        let tree = Tree(vec![process(300), process(301)]);
        let view = |strangers: &[u32]| View {
            tree: &tree,
            alive: [1, 7, 300, 301].into(),
            strangers: strangers.iter().copied().collect(),
            users: [0, 33].into(),
        };
        let object = |processes: &[i32], creator, is_unused| Object {
            kind: Kind::MessageQueue,
            key: 1,
            id: 0,
            creator,
            processes: processes.to_vec(),
            is_unused,
        };
        let of = |object: &Object| (view(&[]).holder(object), view(&[0]).holder(object));
        let ours = Some(Holder::Process(301));
        let programs = Some(Holder::Program);
        assert_eq!(of(&object(&[7, 301], 0, false)), (ours, ours));
        // Of a process that has ended, which may be a stranger's where there are any.
        assert_eq!(of(&object(&[305], 0, false)), (programs, None));
        assert_eq!(of(&object(&[305], 33, false)), (programs, programs));
        // A sidecar's, which is in sight or is not.
        assert_eq!(of(&object(&[7], 0, false)), (None, None));
        assert_eq!(of(&object(&[], 0, false)), (None, None));
        // Nobody's yet.
        assert_eq!(of(&object(&[], 0, true)), (programs, None));
        assert_eq!(of(&object(&[], 1000, true)), (None, None));
    }

    #[test]
    fn what_this_process_has_is_its_own_as_long_as_it_is_there() {
        let tree = Snapshot::take().tree(std::process::id().cast_signed());
        let of = |kind: &str| of(&tree).into_iter().find(|held| held.what.starts_with(kind));
        let kind: libc::c_long = 1;
        // SAFETY: all of these take numbers; what they make is removed below.
        let (memory, queue, set) = unsafe {
            (
                libc::shmget(libc::IPC_PRIVATE, 4096, 0o600),
                libc::msgget(libc::IPC_PRIVATE, 0o600),
                libc::semget(libc::IPC_PRIVATE, 2, 0o600),
            )
        };
        // SAFETY: as above, and what is sent is a kind and no text.
        unsafe {
            libc::msgsnd(queue, (&raw const kind).cast(), 0, libc::IPC_NOWAIT);
            libc::semctl(set, 1, libc::SETVAL, 1);
        }
        let found = [("shared memory", memory), ("a message queue", queue), ("a semaphore set", set)]
            .map(|(kind, id)| (of(kind), id));
        // SAFETY: as above.
        unsafe {
            libc::shmctl(memory, libc::IPC_RMID, std::ptr::null_mut());
            libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut());
            libc::semctl(set, 0, libc::IPC_RMID);
        }
        for (held, id) in found {
            let what = held.expect("it is not seen").what;
            // Other programs on the machine may have some of the same user.
            assert!(what.contains(&format!("id {id}")) || what.contains(" in all"), "{what}");
        }
    }
}
