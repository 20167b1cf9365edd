//! With which modes CRIU makes its files.

use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};

/// As long as this exists, what the calling thread and the programs that it starts make is for its owner alone. CRIU makes its files
/// readable for all, and what an image holds is nobody's but the application's; to change their modes afterwards would take a round
/// trip to the volume for each.
pub struct Umask(Mode);

impl Umask {
    /// Begins.
    ///
    /// # Errors
    /// The kernel lacks memory.
    pub fn private() -> io::Result<Self> {
        // The umask of other threads stays as it is (unshare(2)).
        unshare(CloneFlags::CLONE_FS)?;
        Ok(Self(umask(Mode::S_IRWXG | Mode::S_IRWXO)))
    }
}

impl Drop for Umask {
    fn drop(&mut self) {
        umask(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn what_a_program_makes_meanwhile_is_for_its_owner_alone_and_only_there() {
        let dir = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = dir.path().join(name);
            assert!(Command::new("touch").arg(&path).status().unwrap().success());
            path.metadata().unwrap().permissions().mode() & 0o777
        };
        let before = made("before");
        let (meanwhile, elsewhere) = {
            let _private = Umask::private().unwrap();
            (made("meanwhile"), thread::scope(|scope| scope.spawn(|| 0).join().unwrap()))
        };
        assert_eq!((meanwhile, made("after"), elsewhere), (0o600, before, 0));
    }
}
