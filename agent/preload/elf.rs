//! Finds a function in a library that is loaded, by the hash tables that the linker made (System V ABI; GNU hash as in glibc).

use core::ffi::{CStr, c_char};
use core::ptr;

/// A part of a file that is loaded (`Elf64_Phdr`).
#[repr(C)]
pub struct Segment {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub physical: u64,
    pub file_bytes: u64,
    pub bytes: u64,
    pub alignment: u64,
}

pub const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;

/// Where in `Elf64_Ehdr` the segments' place and number are.
const E_PHOFF: usize = 32;
const E_PHNUM: usize = 56;

const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_VERSYM: u64 = 0x6fff_fff0;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

const STT_FUNC: u8 = 2;
/// An older version of the symbol, kept for programs that were linked with it.
const VERSYM_HIDDEN: u16 = 0x8000;

/// `Elf64_Sym`.
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,
}

/// A library's dynamic symbols.
pub struct Library {
    base: usize,
    symbols: *const Symbol,
    names: *const u8,
    versions: *const u16,
    gnu_hash: *const u32,
    hash: *const u32,
}

impl Library {
    /// # Safety
    /// `header` is where a whole file is mapped, as the kernel does with the vDSO.
    pub unsafe fn mapped_at(header: usize) -> Option<Library> {
        unsafe {
            let segments = (header + *((header + E_PHOFF) as *const u64) as usize) as *const Segment;
            let count = *((header + E_PHNUM) as *const u16) as usize;
            let first = (0..count).map(|i| &*segments.add(i)).find(|segment| segment.kind == PT_LOAD)?;
            let base = header.wrapping_add(first.offset as usize).wrapping_sub(first.address as usize);
            Library::loaded(base, segments, count)
        }
    }

    /// # Safety
    /// The segments are those of a library that is loaded with this base.
    pub unsafe fn loaded(base: usize, segments: *const Segment, count: usize) -> Option<Library> {
        unsafe {
            let dynamic = (0..count).map(|i| &*segments.add(i)).find(|segment| segment.kind == PT_DYNAMIC)?;
            let mut library = Library {
                base,
                symbols: ptr::null(),
                names: ptr::null(),
                versions: ptr::null(),
                gnu_hash: ptr::null(),
                hash: ptr::null(),
            };
            let mut entry = base.wrapping_add(dynamic.address as usize) as *const [u64; 2];
            while (*entry)[0] != 0 {
                library.note(*entry);
                entry = entry.add(1);
            }
            (!library.symbols.is_null() && !library.names.is_null()).then_some(library)
        }
    }

    fn note(&mut self, [tag, value]: [u64; 2]) {
        // glibc adds the base when it loads a library, musl and the kernel do not.
        let value = value as usize;
        let address = if value < self.base { self.base + value } else { value };
        match tag {
            DT_HASH => self.hash = address as *const u32,
            DT_STRTAB => self.names = address as *const u8,
            DT_SYMTAB => self.symbols = address as *const Symbol,
            DT_VERSYM => self.versions = address as *const u16,
            DT_GNU_HASH => self.gnu_hash = address as *const u32,
            _ => {}
        }
    }

    /// Address of the newest version of a function.
    pub fn find(&self, name: &CStr) -> Option<usize> {
        unsafe {
            if !self.gnu_hash.is_null() {
                self.find_by_gnu_hash(name)
            } else if !self.hash.is_null() {
                self.find_by_hash(name)
            } else {
                None
            }
        }
    }

    unsafe fn find_by_gnu_hash(&self, name: &CStr) -> Option<usize> {
        unsafe {
            let [buckets, first, bloom] = [0, 1, 2].map(|i| *self.gnu_hash.add(i) as usize);
            let bucket = self.gnu_hash.add(4 + bloom * 2);
            let chain = bucket.add(buckets);
            let hash = gnu_hash(name);
            let mut index = *bucket.add(hash as usize % buckets.max(1)) as usize;
            while index >= first && index != 0 {
                let entry = *chain.add(index - first);
                if entry | 1 == hash | 1 && self.is(index, name) {
                    return Some(self.address(index));
                }
                if entry & 1 == 1 {
                    break;
                }
                index += 1;
            }
            None
        }
    }

    unsafe fn find_by_hash(&self, name: &CStr) -> Option<usize> {
        unsafe {
            let buckets = *self.hash as usize;
            let bucket = self.hash.add(2);
            let chain = bucket.add(buckets);
            let mut index = *bucket.add(hash(name) as usize % buckets.max(1)) as usize;
            while index != 0 {
                if self.is(index, name) {
                    return Some(self.address(index));
                }
                index = *chain.add(index) as usize;
            }
            None
        }
    }

    unsafe fn is(&self, index: usize, name: &CStr) -> bool {
        unsafe {
            let symbol = &*self.symbols.add(index);
            symbol.section != 0
                && symbol.info & 0xf == STT_FUNC
                && (self.versions.is_null() || *self.versions.add(index) & VERSYM_HIDDEN == 0)
                && same(self.names.add(symbol.name as usize).cast(), name.as_ptr())
        }
    }

    unsafe fn address(&self, index: usize) -> usize {
        unsafe { self.base.wrapping_add((*self.symbols.add(index)).value as usize) }
    }
}

/// # Safety
/// Both end with a zero.
pub unsafe fn same(mut a: *const c_char, mut b: *const c_char) -> bool {
    unsafe {
        while *a == *b {
            if *a == 0 {
                return true;
            }
            (a, b) = (a.add(1), b.add(1));
        }
        false
    }
}

fn gnu_hash(name: &CStr) -> u32 {
    name.to_bytes().iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)))
}

fn hash(name: &CStr) -> u32 {
    name.to_bytes().iter().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(*byte));
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}
