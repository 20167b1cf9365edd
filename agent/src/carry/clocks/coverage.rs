//! Which of a tree's processes have the library, and which do not. Pure but for the notes of a program's file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crik_store::generation::clock_facts::Installed;

/// How a process gets its clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// By the library: its clocks go on, and so does what it waits for.
    Library,
    /// It is dynamically linked, but was started without the library (another user's environment, a setuid program), or has yet to
    /// load it ([`super::loading`]). A stub helps its reads, and not what waits absolutely.
    Bare,
    /// It is linked statically. A stub helps its reads, and not what waits absolutely.
    Static,
}

/// Of the process with these mappings (`/proc/PID/maps`, proc(5)).
#[must_use]
pub fn of(maps: &str, installed: &Installed) -> Coverage {
    let has = |path: &Path| files(maps).any(|file| Path::new(file) == path);
    if has(&installed.library) && has(&installed.page) {
        Coverage::Library
    } else if files(maps).any(is_dynamic_linker) {
        Coverage::Bare
    } else {
        Coverage::Static
    }
}

/// The files that are mapped, each as often as it has parts.
pub fn files(maps: &str) -> impl Iterator<Item = &str> {
    maps.lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .map(|path| path.strip_suffix(" (deleted)").unwrap_or(path))
}

/// `ld-linux-x86-64.so.2`, `ld-2.31.so`, `ld-musl-aarch64.so.1`; of musl it is the C library too.
pub(super) fn is_dynamic_linker(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("ld-") && name.contains(".so") || name.starts_with("libc.musl-")
}

/// Whether a program or library was made by Go, whose runtime reads the vDSO and not the C library's clock, also where it has one
/// (cgo): it carries a note by that name (cmd/internal/buildid). Such a process needs the stub besides the library.
///
/// # Errors
/// The file cannot be read.
pub fn is_from_go(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let mut header = [0; 64];
    if file.read_at(&mut header, 0)? < header.len() || !header.starts_with(b"\x7fELF\x02") {
        return Ok(false);
    }
    let at = u64::from_ne_bytes(field(&header, 32));
    let count = u16::from_ne_bytes(field(&header, 56));
    for index in 0..u64::from(count) {
        let mut segment = [0; 56];
        file.read_exact_at(&mut segment, at + index * 56)?;
        if u32::from_ne_bytes(field(&segment, 0)) == PT_NOTE && names_go(&file, &segment)? {
            return Ok(true);
        }
    }
    Ok(false)
}

const PT_NOTE: u32 = 4;
/// More notes than this no linker writes.
const NOTES_MAX_BYTES: u64 = 64 << 10;

/// A note is three numbers of 32 bits (length of its name and of its contents, kind), and then both, each padded to four bytes.
fn names_go(file: &File, segment: &[u8; 56]) -> io::Result<bool> {
    let length = u64::from_ne_bytes(field(segment, 32)).min(NOTES_MAX_BYTES);
    let mut notes = vec![0; length as usize];
    file.read_exact_at(&mut notes, u64::from_ne_bytes(field(segment, 8)))?;
    let mut rest = notes.as_slice();
    while rest.len() >= 12 {
        let [name, contents] = [0, 4].map(|at| u32::from_ne_bytes(field(rest, at)) as usize);
        if rest[12..].starts_with(b"Go\0") && name == 4 {
            return Ok(true);
        }
        rest = rest.get(12 + name.next_multiple_of(4) + contents.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn field<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| from[at + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: &str = "\
55e1f6a2c000-55e1f6c1d000 r-xp 00000000 00:1f 1 /usr/bin/python3.13
7f2a9c000000-7f2a9c021000 rw-p 00000000 00:00 0 
7f2aa0f2c000-7f2aa0f2d000 r--p 00000000 00:1f 2 /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
7ffc3a1e2000-7ffc3a1e4000 r-xp 00000000 00:00 0 [vdso]
";
    const LIBRARY: &str = "7f2aa0f00000-7f2aa0f02000 r-xp 00000000 00:1f 3 /run/crik/a.so\n";
    const PAGE: &str = "7f2aa0e00000-7f2aa0e41000 rw-s 00000000 00:20 4 /dev/shm/a.page\n";

    fn coverage(maps: &[&str]) -> Coverage {
        let installed = Installed { library: "/run/crik/a.so".into(), page: "/dev/shm/a.page".into() };
        of(&maps.concat(), &installed)
    }

    #[test]
    fn the_library_helps_only_with_its_page() {
        assert_eq!(coverage(&[PYTHON, LIBRARY, PAGE]), Coverage::Library);
        assert_eq!(coverage(&[PYTHON, LIBRARY]), Coverage::Bare);
        assert_eq!(coverage(&[PYTHON]), Coverage::Bare);
    }

    #[test]
    fn other_linkers_are_known_too() {
        for linker in [
            "/lib/ld-musl-x86_64.so.1",
            "/lib/x86_64-linux-gnu/ld-2.31.so",
            "/lib/ld-linux-aarch64.so.1 (deleted)",
        ] {
            assert_eq!(coverage(&["7f00-7f01 r-xp 0 0:1 5 ", linker]), Coverage::Bare, "{linker}");
        }
    }

    #[test]
    fn a_program_that_has_no_linker_is_static() {
        let go = "00400000-00593000 r-xp 00000000 00:1f 9 /app/server\nc000000000-c004000000 rw-p 00000000 00:00 0\n";
        assert_eq!(coverage(&[go]), Coverage::Static);
        assert_eq!(coverage(&[""]), Coverage::Static);
    }

    #[test]
    fn this_test_is_not_from_go() {
        assert!(!is_from_go(&std::env::current_exe().unwrap()).unwrap());
        assert!(!is_from_go(Path::new("/proc/self/maps")).unwrap());
    }
}
