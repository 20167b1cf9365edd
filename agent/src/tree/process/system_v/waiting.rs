//! Who waits for an object that nobody has used yet: what a thread has asked the kernel for and has no answer to (proc_pid_syscall(5)).

use std::fs;

use super::table::{Kind, Object};

/// Whether a thread of a process waits for a message or for a semaphore of this object.
pub fn waits_for(pid: i32, object: &Object) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut calls = threads.filter_map(|thread| fs::read_to_string(thread.path().join("syscall")).ok());
    calls.any(|call| is_for(&call, object))
}

fn is_for(call: &str, object: &Object) -> bool {
    let waits: &[libc::c_long] = match object.kind {
        Kind::SharedMemory => &[],
        Kind::MessageQueue => &[libc::SYS_msgrcv, libc::SYS_msgsnd],
        Kind::SemaphoreSet => &[libc::SYS_semop, libc::SYS_semtimedop],
    };
    let mut words = call.split_whitespace();
    let number = words.next().and_then(|number| number.parse().ok());
    let first = words.next().and_then(|first| i64::from_str_radix(first.strip_prefix("0x")?, 16).ok());
    number.is_some_and(|number| waits.contains(&number)) && first == Some(object.id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_its_number_and_the_id_that_it_names() {
        let object =
            |kind, id| Object { kind, key: 0, id, creator: 0, processes: Vec::new(), is_unused: true };
        let call = format!("{} 0x20 0x7ffd 0x1 0x0 0x0 0x0 0x7ffc 0x7f00", libc::SYS_semtimedop);
        assert!(is_for(&call, &object(Kind::SemaphoreSet, 0x20)));
        assert!(!is_for(&call, &object(Kind::SemaphoreSet, 0x21)));
        assert!(!is_for(&call, &object(Kind::MessageQueue, 0x20)));
        assert!(!is_for("running", &object(Kind::SemaphoreSet, 0x20)));
        assert!(!is_for("-1 0x7ffc 0x7f00", &object(Kind::SemaphoreSet, 0x20)));
    }
}
