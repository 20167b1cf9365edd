//! Finds the vDSO of a process, and in it the function that reads the clock and room for a stub.
//!
//! By the address that the kernel told the program (getauxval(3)) and not by the name `[vdso]` of a mapping: after a restore
//! under another kernel the program calls the old one, whose functions CRIU has made to jump to the new.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use super::stub_code;
use crate::base::limits;

#[cfg(target_arch = "x86_64")]
const FUNCTION: &str = "__vdso_clock_gettime";
#[cfg(target_arch = "aarch64")]
const FUNCTION: &str = "__kernel_clock_gettime";

const AT_SYSINFO_EHDR: u64 = 33;

/// ELF-64 (elf(5)): where things are, and how long.
const PROGRAM_HEADERS: usize = 32;
const PROGRAM_HEADER_COUNT: usize = 56;
const PROGRAM_HEADER_BYTES: usize = 56;
const PT_DYNAMIC: u32 = 2;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const SYMBOL_BYTES: usize = 24;

/// The vDSO of a process.
pub struct Vdso {
    /// Where it is mapped.
    pub start: u64,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Vdso {
    /// Of this process; `None` if the kernel gave it none.
    ///
    /// # Errors
    /// The process cannot be read, or is gone.
    pub fn of(pid: i32) -> io::Result<Option<Self>> {
        let Some(start) = auxiliary_value(&fs::read(format!("/proc/{pid}/auxv"))?, AT_SYSINFO_EHDR) else {
            return Ok(None);
        };
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let Some(range) = mapping_at(&maps, start) else { return Ok(None) };
        let length = usize::try_from(range.end - start).unwrap_or(usize::MAX).min(limits::VDSO_MAX_BYTES);
        let mut bytes = vec![0; length];
        File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut bytes, start)?;
        Ok(Some(Self { start, bytes }))
    }

    /// Where in it the function is that reads the clock.
    #[must_use]
    pub fn clock(&self) -> Option<usize> {
        let dynamic = self.segment(PT_DYNAMIC)?;
        let entries = self.bytes.get(dynamic)?.as_chunks::<16>().0;
        let value = |tag| {
            let entry = entries.iter().find(|entry| u64::from_ne_bytes(field(*entry, 0)) == tag)?;
            usize::try_from(u64::from_ne_bytes(field(entry, 8))).ok()
        };
        // The strings follow the symbols in every file that a linker makes.
        let (symbols, names) = (value(DT_SYMTAB)?, value(DT_STRTAB)?);
        let symbols = self.bytes.get(symbols..names)?.as_chunks::<SYMBOL_BYTES>().0;
        let symbol = symbols.iter().find(|symbol| self.is_called(names, symbol, FUNCTION))?;
        usize::try_from(u64::from_ne_bytes(field(symbol, 8))).ok().filter(|at| at + 8 <= self.bytes.len())
    }

    /// Where a stub is, or can be: behind the last byte that is in use, since a mapping is whole pages.
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        let used = |bytes: &[u8]| {
            bytes
                .windows(stub_code::instructions().len())
                .rposition(|window| window == stub_code::instructions())
        };
        if let Some(at) = used(&self.bytes) {
            return Some(at);
        }
        let end = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let at = end.next_multiple_of(16);
        (at + stub_code::bytes() <= self.bytes.len()).then_some(at)
    }

    fn segment(&self, kind: u32) -> Option<Range<usize>> {
        let at = usize::try_from(u64::from_ne_bytes(self.field(PROGRAM_HEADERS)?)).ok()?;
        let count = usize::from(u16::from_ne_bytes(self.field(PROGRAM_HEADER_COUNT)?));
        let headers =
            self.bytes.get(at..at + count * PROGRAM_HEADER_BYTES)?.as_chunks::<PROGRAM_HEADER_BYTES>().0;
        let header = headers.iter().find(|header| u32::from_ne_bytes(field(*header, 0)) == kind)?;
        let [offset, length] = [8, 32].map(|at| u64::from_ne_bytes(field(header, at)) as usize);
        Some(offset..offset.checked_add(length)?)
    }

    fn is_called(&self, names: usize, symbol: &[u8; SYMBOL_BYTES], name: &str) -> bool {
        let at = names + u32::from_ne_bytes(field(symbol, 0)) as usize;
        self.bytes
            .get(at..)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.starts_with(&[0]))
    }

    fn field<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }
}

fn field<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|i| from[at + i])
}

/// The auxiliary vector is pairs of a kind and a value (getauxval(3)).
fn auxiliary_value(vector: &[u8], kind: u64) -> Option<u64> {
    let pair = vector.as_chunks::<16>().0.iter().find(|pair| u64::from_ne_bytes(field(*pair, 0)) == kind)?;
    Some(u64::from_ne_bytes(field(pair, 8))).filter(|value| *value != 0)
}

/// The mapping that an address lies in (`/proc/PID/maps`).
fn mapping_at(maps: &str, address: u64) -> Option<Range<u64>> {
    maps.lines().find_map(|line| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        range.contains(&address).then_some(range)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_one_with_a_clock_and_room() {
        let vdso = Vdso::of(std::process::id().cast_signed()).unwrap().unwrap();
        assert!(vdso.bytes.starts_with(b"\x7fELF"));
        assert!(vdso.clock().unwrap() >= 64);
        let room = vdso.room().unwrap();
        assert!(vdso.bytes[room..][..stub_code::bytes()].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_mapping_is_the_one_that_holds_the_address() {
        let maps = "1000-2000 r-xp 0 0:0 0 a\n2000-4000 r-xp 0 0:0 0 [vdso]\n";
        assert_eq!(mapping_at(maps, 0x2000), Some(0x2000..0x4000));
        assert_eq!(mapping_at(maps, 0x4000), None);
    }
}
