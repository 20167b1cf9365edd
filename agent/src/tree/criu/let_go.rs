//! Whether a CRIU that has died in a restore had let go all that it restored. Then the tree runs, though nobody has said so: at the end
//! CRIU traces every thread, lets one after the other go, and tells of it only then (criu/cr-restore.c).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use nix::libc::SIGKILL;

use super::error::CriuError;
use super::pause::{Hook, Pause};
use super::preload::notes;
use crate::base::panics::locked;
use crate::tree::process::capabilities::{field, mask};

/// Watches a restore by its pauses and by what the library of CRIU notes (`preload/dies_with_criu.rs`).
pub(super) struct LetGo(Arc<Mutex<Watched>>);

struct Watched {
    hook: Hook,
    /// What CRIU has traced to see what the kernel can do is noted before.
    notes: Option<(File, u64)>,
    told: bool,
}

impl LetGo {
    /// Watches the restore that this `hook` is for.
    pub fn new(hook: Hook) -> Self {
        Self(Arc::new(Mutex::new(Watched { hook, notes: None, told: false })))
    }

    /// To be called at CRIU's pauses.
    pub fn hook(&self) -> Hook {
        let watched = Arc::clone(&self.0);
        Box::new(move |pause| locked(&watched).at(pause))
    }

    /// That the tree runs, if it does, although CRIU has ended with this error.
    ///
    /// # Errors
    /// It does not.
    pub fn instead_of(&self, error: CriuError) -> Result<(), CriuError> {
        let mut watched = locked(&self.0);
        if !watched.all_run().unwrap_or(false) {
            return Err(error);
        }
        tracing::warn!(step = "restore", "criu has ended when the application went on already: {error}");
        if !watched.told {
            watched.at(Pause::Resumed).unwrap_or_default();
        }
        Ok(())
    }
}

impl Watched {
    fn at(&mut self, pause: Pause) -> io::Result<()> {
        (self.hook)(pause)?;
        match pause {
            Pause::BeforeResume => {
                let file = notes()?;
                let noted = file.metadata()?.len();
                self.notes = Some((file, noted));
            }
            Pause::Resumed => self.told = true,
            _ => {}
        }
        Ok(())
    }

    fn all_run(&self) -> io::Result<bool> {
        let Some((file, noted)) = &self.notes else { return Ok(false) };
        let mut bytes = vec![0; (file.metadata()?.len() - noted) as usize];
        file.read_exact_at(&mut bytes, *noted)?;
        let (threads, _) = bytes.as_chunks();
        let threads: Vec<i32> = threads.iter().map(|thread| i32::from_ne_bytes(*thread)).collect();
        Ok(last_of_all(&threads).is_some_and(lives))
    }
}

/// Of the thread that was let go at last only the kernel knows, since it is noted just before; what CRIU still traced has a SIGKILL
/// when CRIU's end is known.
fn lives(thread: i32) -> bool {
    let killed = 1 << (SIGKILL - 1);
    fs::read_to_string(format!("/proc/{thread}/status")).is_ok_and(|status| {
        let is_over = field(&status, "State").is_none_or(|state| state.starts_with(['Z', 'X']));
        !is_over && (mask(&status, "SigPnd") | mask(&status, "ShdPnd")) & killed == 0
    })
}

/// The thread that was let go at last, if all that were traced were.
fn last_of_all(noted: &[i32]) -> Option<i32> {
    let is_let_go = |thread: &i32| noted.contains(&-thread);
    let last = noted.iter().rev().find(|thread| **thread < 0)?;
    noted.iter().filter(|thread| **thread > 0).all(is_let_go).then_some(-last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_runs_when_every_thread_was_let_go() {
        assert_eq!(last_of_all(&[]), None);
        assert_eq!(last_of_all(&[11, 12]), None);
        // The root was traced from the start.
        assert_eq!(last_of_all(&[11, 12, -10]), None);
        assert_eq!(last_of_all(&[11, 12, -10, -11]), None);
        assert_eq!(last_of_all(&[11, 12, -10, -11, -12]), Some(12));
        assert_eq!(last_of_all(&[-10]), Some(10));
    }
}
