//! Tells a process that has yet to load the library from one that was started without it. A tree is frozen at any moment, also in
//! the one after an execve(2), and who is restored there loads the library as it would have.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crik_store::generation::clock_facts::Installed;

use super::coverage::{files, is_dynamic_linker};
use super::install::PRELOAD;

/// Whether the process in this directory of /proc, which has these mappings and not both the library and its page, will have them:
/// its dynamic linker has not come so far. The library is the first that is mapped after the program and the linker; its page is
/// mapped by its constructor.
#[must_use]
pub fn is_loading(process: &Path, maps: &str, installed: &Installed) -> bool {
    let read = |name| fs::read(process.join(name)).unwrap_or_default();
    is_asked_for(&read("environ"), installed)
        && !is_secure(&read("auxv"))
        && has_come_no_further(process, maps, installed)
}

/// Whether this environment has the linker load the library.
fn is_asked_for(environment: &[u8], installed: &Installed) -> bool {
    let values = environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| variable.strip_prefix(PRELOAD.as_bytes())?.strip_prefix(b"="));
    let library = installed.library.as_os_str().as_bytes();
    values.flat_map(|value| value.split(|byte| matches!(byte, b':' | b' '))).any(|path| path == library)
}

/// Whether this is the auxiliary vector, of pairs of words, of a program that was given another user's rights or capabilities and
/// does not heed LD_PRELOAD (getauxval(3)).
fn is_secure(auxiliary: &[u8]) -> bool {
    let words: Vec<_> = auxiliary.as_chunks().0.iter().copied().map(u64::from_ne_bytes).collect();
    words.as_chunks().0.iter().any(|[key, value]| *key == libc::AT_SECURE && *value != 0)
}

fn has_come_no_further(process: &Path, maps: &str, installed: &Installed) -> bool {
    if files(maps).any(|file| Path::new(file) == installed.library) {
        let page = installed.page.strip_prefix("/").unwrap_or(&installed.page);
        return process.join("root").join(page).exists();
    }
    let program = fs::read_link(process.join("exe")).unwrap_or_default();
    files(maps).all(|file| Path::new(file) == program || is_dynamic_linker(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(environment: &str) -> bool {
        let installed = Installed { library: "/run/crik/a.so".into(), page: "/dev/shm/a.page".into() };
        is_asked_for(environment.as_bytes(), &installed)
    }

    #[test]
    fn the_library_is_asked_for_wherever_it_stands() {
        assert!(asks("A=1\0LD_PRELOAD=/run/crik/a.so\0B=2\0"));
        assert!(asks("LD_PRELOAD=/run/crik/a.so:libjemalloc.so.2"));
        assert!(asks("LD_PRELOAD=other.so /run/crik/a.so"));
        assert!(!asks("LD_PRELOAD=/run/crik/a.so.1\0MY_LD_PRELOAD=/run/crik/a.so\0"));
        assert!(!asks(""));
    }

    #[test]
    fn a_program_with_anothers_rights_loads_nothing() {
        let vector = |secure: u64| [6, 4096, libc::AT_SECURE, secure, 0, 0].map(u64::to_ne_bytes).concat();
        assert!(is_secure(&vector(1)));
        assert!(!is_secure(&vector(0)));
        assert!(!is_secure(&[]));
    }
}
