//! A suite that is told to end has containers, networks and mounts: nothing that it waits for comes any more, so its tests fail, and
//! remove what they have.

use std::env;
use std::ffi::c_int;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Set for a suite that is to end so. Others end at once, and do not take what was interrupted for a result.
pub(crate) const CLEANS_UP: &str = "CRIK_TESTS_CLEANS_UP";

static CAME: AtomicBool = AtomicBool::new(false);

/// Whether this program was told to end.
pub(crate) fn came() -> bool {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        if env::var_os(CLEANS_UP).is_some() {
            listen();
        }
    });
    CAME.load(Ordering::Relaxed)
}

/// To the first signal: the second one ends it at once.
fn listen() {
    let flags = SaFlags::SA_RESTART | SaFlags::SA_RESETHAND;
    let action = SigAction::new(SigHandler::Handler(note), flags, SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // SAFETY: the handler does no more than set a flag.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

extern "C" fn note(_signal: c_int) {
    CAME.store(true, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    use nix::sys::signal::kill;
    use nix::unistd::Pid;

    use super::*;
    use crate::wait::wait_for;

    const NAME: &str = "harness::interrupt::tests::a_suite_that_is_told_to_end_cleans_up";

    /// Names the file that the test, run once more, has until it is told to end.
    const HAS: &str = "CRIK_TESTS_HAS";

    /// A file that is removed when this is dropped.
    struct Held(PathBuf);

    impl Drop for Held {
        fn drop(&mut self) {
            fs::remove_file(&self.0).unwrap();
        }
    }

    #[test]
    fn a_suite_that_is_told_to_end_cleans_up() {
        if let Some(path) = env::var_os(HAS) {
            let held = Held(path.into());
            let never = wait_for("what never comes", || {
                let _ = fs::write(&held.0, "held");
                None::<()>
            });
            return never.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("held");
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", NAME]).env(HAS, &path).env(CLEANS_UP, "1");
        let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        wait_for("the test to wait", || path.exists().then_some(())).unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(said.contains("interrupted while it waited for what never comes"), "{said}");
        assert!(!path.exists());
    }
}
