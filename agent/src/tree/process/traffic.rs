//! How much processes have read and written.

use std::fs;

use crate::tree::process::snapshot::Snapshot;

/// The bytes that all descendants of this process have read and written so far (proc(5), `rchar` and `wchar`). It says that something
/// moves when it changes, and nothing else: what has ended counts no more.
pub fn of_descendants() -> u64 {
    let own = std::process::id().cast_signed();
    let tree = Snapshot::take().tree(own);
    tree.0
        .iter()
        .filter(|process| process.pid != own)
        .map(|process| of(process.pid))
        .fold(0, u64::wrapping_add)
}

fn of(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let counts = text.lines().filter_map(|line| {
        line.strip_prefix("rchar: ").or_else(|| line.strip_prefix("wchar: "))?.parse::<u64>().ok()
    });
    counts.fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_child_writes_is_seen() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let before = of(child.id().cast_signed());
        child.stdin.take().unwrap().write_all(&[b'x'; 1000]).unwrap();
        while of(child.id().cast_signed()) < before + 2000 {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
